"""Folders: where a workspace keeps what it has, and what it knows of that."""
