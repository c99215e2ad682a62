"""The composition root: Prefect flows, settings, wiring and the command line."""
