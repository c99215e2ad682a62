"""A clean last screen, and a log without a page of noise after every run."""

from __future__ import annotations

import atexit
import os
import sys
from functools import cache
from typing import NoReturn

CHILD = "PREFECT__FLOW_RUN_ID"
"""Prefect's worker says by this variable which run a process was started for."""

LOST_OUTPUT = 120
"""The exit code of Python when what it prints at the end cannot be written."""


@cache
def quiet_exit() -> None:
    """Keep DuckDB's binding from printing a page of "leaked function" lines after everything is
    done; safe to repeat.

    duckdb 2.0.0 prints them from C after the interpreter has shut down, whenever a background
    thread (Prefect has some) is still alive: what its frames hold, DuckDB's classes among it, is
    never freed then. The switch for this report is not in reach of Python. The lines say nothing to
    a user. Call this first: handlers run in reverse order, so this one runs after every other.
    """
    atexit.register(_end)


def end_process(code: int) -> NoReturn:
    """Leave with an exit code, after every other handler: what the interpreter would still tidy up
    takes half a second of CPU time after a flow run, and nobody misses it.

    Needs `quiet_exit` before.
    """
    _codes.append(code)
    sys.exit(code)


_codes: list[int] = []


def quiet_child() -> None:
    """The same for the process that the worker started for one run, whose last screen is the
    worker's log; a flow's first act.

    Tracebacks are written before; what handlers from before this one say about their own end goes
    with the noise. A hook of Prefect's would do the same with two lines about itself in each log.
    """
    if os.environ.get(CHILD):
        quiet_exit()


def _end() -> None:
    if _codes:
        os._exit(_flush_output(_codes[-1]))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _flush_output(code: int) -> int:
    """Write what waits in the buffers; the exit code is that of Python when stdout is gone."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return LOST_OUTPUT
    return code
