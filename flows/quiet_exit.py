"""A clean last screen."""

from __future__ import annotations

import atexit
import os


def quiet_exit() -> None:
    """Keep DuckDB's binding from printing a page of "leaked function" lines after everything is done.

    duckdb 2.0.0 prints them from C while the interpreter shuts down, whenever a background thread (Prefect has some) is still alive
    then. They say nothing to a user. Call this first: handlers run in reverse order, so this one runs after every other.
    """
    atexit.register(_close_stderr)


def _close_stderr() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
