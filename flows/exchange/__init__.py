"""Exchange: dataset versions in the formats of others, and back. Equal versions give equal bytes; every export says which version it is."""
