"""A live progress bar on a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from voxdata.progress import Progress

if TYPE_CHECKING:
    from rich import progress as drawing

BAR_WIDTH = 20


def has_terminal() -> bool:
    """Whether somebody watches stderr, so that a line may be drawn again and again.

    On a build server nobody does, though some give their jobs a terminal.
    """
    dumb = os.environ.get("TERM", "dumb") == "dumb"
    return sys.stderr.isatty() and not dumb and not os.environ.get("CI")


class ProgressBar:
    """The bar of the work that goes on, at the foot of what was told.

    Lines are taken as they are to be shown: with escapes for whatever a terminal would act on.
    """

    def __init__(self) -> None:
        self._drawn: drawing.Progress | None = None
        self._line = ""

    @property
    def is_drawn(self) -> bool:
        """Whether there is a bar now."""
        return self._drawn is not None

    def advance(self, line: str, progress: Progress) -> None:
        """Draw how far the work is; work that is done leaves its line behind, and no bar."""
        self._line = line
        drawn = self._drawn = self._drawn or _draw()
        drawn.update(
            drawn.task_ids[0],
            description=line,
            completed=progress.done,
            total=progress.total,
            refresh=True,
        )
        if progress.done >= progress.total:
            self.end()

    def tell_above(self, line: str) -> None:
        """A line that is no progress; it stays, above the bar."""
        self._line = ""
        if self._drawn is not None:
            self._drawn.console.out(line, highlight=False)

    def end(self) -> None:
        """Take the bar away; what it said last stays when nothing was told since."""
        drawn, self._drawn = self._drawn, None
        if drawn is None:
            return
        drawn.stop()
        if self._line:
            drawn.console.out(self._line, highlight=False)
        self._line = ""


def _draw() -> drawing.Progress:
    # Here, since rich takes longer to import than everything else that a quick command needs.
    from rich import progress as drawing
    from rich.console import Console
    from rich.table import Column

    class LastingCursor(Console):
        """Never hides the cursor: a process that is killed could not bring it back."""

        def show_cursor(self, show: bool = True) -> bool:
            """See rich."""
            return show

    bar = drawing.Progress(
        drawing.BarColumn(bar_width=BAR_WIDTH),
        drawing.TaskProgressColumn(),
        drawing.TimeElapsedColumn(),
        drawing.TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
        ),
        console=LastingCursor(stderr=True),
        transient=True,
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("")
    bar.start()
    return bar
