"""Telling a person what is going on."""

from __future__ import annotations

import sys


def tell(line: str) -> None:
    """One line on stderr; inside a flow run, Prefect puts it into the run's log instead."""
    print(line, file=sys.stderr, flush=True)
