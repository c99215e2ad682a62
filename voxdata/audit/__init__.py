"""Audit: what is wrong with a split of labelled speech. Pure."""
