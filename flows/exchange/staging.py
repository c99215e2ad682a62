"""Audio on its way in: written aside, moved to its place with the rows that need it, taken back
when these do not come.

A move and a commit cannot be one step. So the ids of what is about to be moved are written down
first; whoever finds such a list later, since the process was killed in between, removes the audio
of recordings that no row names.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from flows.locks import hold_lock
from flows.workspace import Say, Workspace
from voxdata.durable import move, remove, sync, write_file, writing
from voxdata.errors import VoxdataError
from voxdata.recording import canonical_file
from warehouse.recordings import named_recordings

PREFIX = ".import-"
LOCK, MOVED = "lock", "moved.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """Audio of an import that is not yet in its place.

    Attributes:
        audio_dir: Where it goes.
        folder: Where it waits, on the same disk.
    """

    audio_dir: Path
    folder: Path

    def place(self, recording_id: str) -> Path:
        """Where to write the audio of a recording; its final place when it is there already.

        Raises:
            AudioError: That is no recording's id.
        """
        final = self.audio_dir / canonical_file(recording_id)
        return final if final.exists() else self.folder / recording_id

    def publish(self, recording_ids: Collection[str]) -> None:
        """Move the audio of some recordings to its place, durably. Call it inside the transaction
        that adds their rows.
        """
        waiting = sorted(key for key in recording_ids if (self.folder / key).exists())
        write_file(self.folder / MOVED, json.dumps(waiting).encode("ascii"))
        sync(self.folder)
        for recording_id in waiting:
            final = self.audio_dir / canonical_file(recording_id)
            with writing(self.audio_dir):
                final.parent.mkdir(parents=True, exist_ok=True)
            move(self.folder / recording_id, final)
        for parent in {(self.audio_dir / canonical_file(key)).parent for key in waiting}:
            sync(parent)


@contextmanager
def stage_audio(workspace: Workspace, *, say: Say) -> Iterator[Staging]:
    """A place for the audio of one import. What killed imports left behind is cleared first; what
    is not published goes at the end.

    Raises:
        ServiceError: Another process clears up for longer than one waits.
    """
    with hold_lock(workspace.state_dir / "import.lock", doing="starting an import", say=say):
        clear_staging(workspace)
        workspace.audio_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=workspace.audio_dir))
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield Staging(audio_dir=workspace.audio_dir, folder=folder)
    except BaseException:
        # What cannot be settled now, since the disk or the warehouse fails, the next
        # import settles.
        with suppress(OSError, VoxdataError, duckdb.Error):
            _settle(workspace, folder)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def clear_staging(workspace: Workspace) -> None:
    """Undo what imports that were killed had begun; imports that are running are left alone."""
    for folder in sorted(workspace.audio_dir.glob(f"{PREFIX}*")):
        if not _is_held(folder):
            _settle(workspace, folder)


def _is_held(folder: Path) -> bool:
    try:
        handle = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _settle(workspace: Workspace, folder: Path) -> None:
    """Remove a staging folder, and the audio that was moved out of it for rows that were never
    committed.
    """
    moved = _moved(folder)
    if moved:
        with workspace.warehouse() as con:
            kept = named_recordings(con, moved)
        for recording_id in sorted(set(moved) - kept):
            remove(workspace.audio_dir / canonical_file(recording_id), missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _moved(folder: Path) -> list[str]:
    try:
        return [str(key) for key in json.loads((folder / MOVED).read_text(encoding="ascii"))]
    except (
        FileNotFoundError,
        ValueError,
    ):  # a list that was cut short was not synced, so nothing was moved
        return []
