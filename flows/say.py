"""Telling a person what is going on."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from flows.progress_bar import ProgressBar, has_terminal
from voxdata.progress import Progress
from voxdata.visible import visible


@dataclass(slots=True, kw_only=True)
class Manner:
    """How this process tells things.

    Attributes:
        quiet: Results, warnings and errors only: nothing about how the work goes.
        verbose: Also what Prefect says, and where an error comes from.
        owns_terminal: Prefect shows its lines nowhere, so those of a flow run are shown here.
        bar: What is drawn of the work that goes on.
    """

    quiet: bool = False
    verbose: bool = False
    owns_terminal: bool = False
    bar: ProgressBar = field(default_factory=ProgressBar)


MANNER = Manner()
"""Of this process, which has one stderr; the command line sets it."""


def tell(line: str) -> None:
    """One line on stderr, or a bar where it says how far the work is and a person watches; inside a
    flow run it goes into the run's log on Prefect, too.

    What a terminal would act on is shown as escapes, and what comes after a line feed stands
    further in: no name that holds one can pass for a line of ours.
    """
    shown = "\n  ".join(visible(line).split("\n"))
    if _is_recorded():
        print(shown, file=sys.stderr, flush=True)  # Prefect takes it
        if not MANNER.owns_terminal:
            return
    if isinstance(line, Progress):
        _show_progress(shown, line)
    elif MANNER.bar.is_drawn:
        MANNER.bar.tell_above(shown)
    else:
        _write(shown)


def end_progress() -> None:
    """Take the bar away, if there is one: something else is to be shown."""
    MANNER.bar.end()


def _show_progress(shown: str, progress: Progress) -> None:
    if MANNER.quiet:
        return
    is_counted = progress.total > 0
    is_begun = MANNER.bar.is_drawn or progress.done < progress.total
    if is_counted and is_begun and not MANNER.verbose and has_terminal():
        MANNER.bar.advance(shown, progress)
    elif MANNER.bar.is_drawn:
        MANNER.bar.tell_above(shown)
    else:
        _write(shown)


def _write(shown: str) -> None:
    # Not by print, which Prefect replaces inside a flow run.
    sys.stderr.write(shown + "\n")
    sys.stderr.flush()


def _is_recorded() -> bool:
    """Whether Prefect puts what is printed here into the log of a run."""
    context = sys.modules.get("prefect.context")
    if context is None:
        return False
    run = context.TaskRunContext.get() or context.FlowRunContext.get()
    return run is not None and bool(run.log_prints)
