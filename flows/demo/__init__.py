"""The demo: the loop on sample recordings with scripted annotators."""
