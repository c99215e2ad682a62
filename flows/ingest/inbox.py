"""A watched inbox: ingestion runs again whenever something has arrived."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import watchfiles

from flows.ingest.listing import source_patterns
from flows.ingest.sources import STILL_S
from flows.workspace import Say, Workspace
from voxdata.errors import ConfigError
from voxdata.progress import Progress

PATIENCE_S = 30.0
"""In an inbox that is never still, what has arrived is taken this often."""


def watch_inbox(
    workspace: Workspace, patterns: Sequence[str], *, say: Say, poll_ms: int = 500
) -> Iterator[list[str]]:
    """Watch folders, and give them back whenever something in them changed; ends with Ctrl-C.

    The caller ingests the folders as a whole, leaving out files younger than STILL_S: so a file is
    treated as it would be without watching, whatever it is and however it came.

    Args:
        patterns: Local folders; without any, the inbox of voxdata.toml.

    Raises:
        ConfigError: A pattern is no folder on this machine.
    """
    folders = source_patterns(workspace, patterns)
    for folder in folders:
        if not Path(folder).is_dir():
            raise ConfigError(
                f"{folder}: only folders on this machine can be watched; "
                "a store is read by the schedule of `voxdata up`"
            )
    say(Progress(f"ingest: watching {', '.join(folders)}; Ctrl-C ends it"))
    logging.getLogger("watchfiles").setLevel(logging.ERROR)
    # Something may have arrived since the folders were last listed.
    waiting, first, last = True, time.monotonic(), time.monotonic()
    for something in _ticks(folders, poll_ms=poll_ms):
        now = time.monotonic()
        if something:
            waiting, first, last = True, first if waiting else now, now
        if waiting and (now - last >= STILL_S or now - first >= PATIENCE_S):
            waiting, first = now - last < STILL_S, now
            yield folders


def _ticks(folders: Sequence[str], *, poll_ms: int) -> Iterator[bool]:
    """Every `poll_ms`, or sooner, whether something changed."""
    while True:
        try:
            for changes in watchfiles.watch(
                *folders,
                watch_filter=None,
                rust_timeout=poll_ms,
                yield_on_timeout=True,
                raise_interrupt=False,
                debounce=poll_ms,
            ):
                yield bool(changes)
        except watchfiles._rust_notify.WatchfilesRustInternalError:
            # A name that is not UTF-8: something has changed, and the listing can name it.
            yield True
        else:
            return
