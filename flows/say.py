"""Telling a person what is going on."""

from __future__ import annotations

import sys

from voxdata.visible import visible


def tell(line: str) -> None:
    """One line on stderr; inside a flow run, Prefect puts it into the run's log instead.

    What a terminal would act on is shown as escapes, and what comes after a line feed stands
    further in: no name that holds one can pass for a line of ours.
    """
    print("\n  ".join(visible(line).split("\n")), file=sys.stderr, flush=True)
