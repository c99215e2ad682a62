"""Forgetting somebody: erase, prove, and keep out."""
