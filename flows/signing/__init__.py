"""Signing: keys of a workspace, and what is signed by them."""
