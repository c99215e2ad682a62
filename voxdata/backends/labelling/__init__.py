"""Labelling: what an utterance means, and how it sounds."""
