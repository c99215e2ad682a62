"""Runs inside the Label Studio server; in a folder of its own, so that nothing else of ours gets on its path."""
