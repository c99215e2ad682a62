"""A clean last screen, and a log without a page of noise after every run."""

from __future__ import annotations

import atexit
import os
from functools import cache

CHILD = "PREFECT__FLOW_RUN_ID"
"""Prefect's worker says by this variable which run a process was started for."""


@cache
def quiet_exit() -> None:
    """Keep DuckDB's binding from printing a page of "leaked function" lines after everything is
    done; safe to repeat.

    duckdb 2.0.0 prints them from C after the interpreter has shut down, whenever a background
    thread (Prefect has some) is still alive: what its frames hold, DuckDB's classes among it, is
    never freed then. The switch for this report is not in reach of Python. The lines say nothing to
    a user. Call this first: handlers run in reverse order, so this one runs after every other.
    """
    atexit.register(_close_stderr)


def quiet_child() -> None:
    """The same for the process that the worker started for one run, whose last screen is the
    worker's log; a flow's first act.

    Tracebacks are written before; what handlers from before this one say about their own end goes
    with the noise. A hook of Prefect's would do the same with two lines about itself in each log.
    """
    if os.environ.get(CHILD):
        quiet_exit()


def _close_stderr() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
