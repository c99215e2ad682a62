"""Exchange: dataset versions in the formats of others, written and read back. Equal versions give
equal bytes.
"""
