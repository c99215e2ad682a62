"""Runs inside the Label Studio server.

It has a folder of its own, so that nothing else of ours gets on the server's path.
"""
