"""Audit: every check on a table of labelled speech, with a verdict. Needs no workspace."""
