"""Ingest: recordings come in, each once."""
