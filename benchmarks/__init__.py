"""Benchmarks: one script a claim. Each prints its peer, the figures and how to repeat it."""
