"""Exchange: versions of our own and labelled clips of others come in."""
