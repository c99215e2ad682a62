"""Transcription: what was said."""
