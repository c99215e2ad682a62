"""What comes of a command when the system refuses one of the things that it does to its files.

The refusal comes in the middle of a real command: a file that takes half of what is written to it,
a sync, a rename, a removal that fails. Every verb of `voxdata.durable` is refused in each of the
main commands, at its first, its middle and its last use in it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import soundfile

import flows.ingest.flow
from flows.exchange.export import open_bundle
from flows.forget.flow import finish_forgetting, forget, require_gone
from flows.forget.work import list_work
from flows.ingest.flow import ingest_sources
from flows.release.flow import release_version
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import release_calls, workspace_with
from tests.flows.loop_ground import PoolHere, quiet
from voxdata.errors import VoxdataError
from voxdata.scratch import LOCK, PARTIAL
from warehouse.exchange.read import read_export
from warehouse.exchange.write import export_bundle
from warehouse.gate import count_bans
from warehouse.recordings import list_recordings
from warehouse.verify import verify_all

SETTINGS = """
[[schemes]]
name = "intent"
version = 1
cold_start = "similarity"
labels = [{ name = "question" }, { name = "request" }]
[training]
schemes = []
"""

USED = (
    *product(("ingest", "release"), ("write", "write over", "sync", "move")),
    *product(("forget",), ("write", "write over", "sync", "move", "remove")),
    *product(("export",), ("write", "append", "sync", "move")),
)
"""Which command uses which verbs of the door."""

HALF_WRITTEN = re.compile(r"\.?[0-9a-f]{16}\.(partial|lock)")
ERRORS = (errno.ENOSPC, errno.EIO)


class HalfFile:
    """A file that takes half of the first thing that is written to it, and then no more."""

    def __init__(self, file: Any, number: int) -> None:
        self._file, self._number = file, number

    def __enter__(self) -> HalfFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, content: bytes) -> int:
        self._file.write(bytes(content)[: len(content) // 2])
        self._file.flush()
        raise OSError(self._number, os.strerror(self._number))


class System:
    """The system's calls on files below a folder; one of them it refuses.

    Attributes:
        uses: Verb -> how often it was used.
    """

    def __init__(
        self,
        folder: Path,
        *,
        verb: str = "",
        at: int = 0,
        number: int = 0,
    ) -> None:
        self.uses: Counter[str] = Counter()
        self._folder, self._verb, self._at, self._number = folder, verb, at, number

    def set_up(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the real calls."""
        for verb, name in (
            ("write over", "pwrite"),
            ("sync", "fsync"),
            ("sync", "fdatasync"),
            ("move", "rename"),
            ("move", "replace"),
            ("move", "link"),
            ("remove", "unlink"),
        ):
            patch.setattr(os, name, self._guarded(verb, getattr(os, name)))
        fdopen = os.fdopen

        def open_half(number: int, mode: str = "r", *rest: Any, **options: Any) -> Any:
            file = fdopen(number, mode, *rest, **options)
            verb = "append" if mode.startswith("r") else "write"
            if mode != "rb" and self._is_refused(verb, self._place(number)):
                return HalfFile(file, self._number)
            return file

        patch.setattr(os, "fdopen", open_half)

    def _guarded(
        self,
        verb: str,
        call: Callable[..., Any],
    ) -> Callable[..., Any]:
        def guarded(place: Any, *rest: Any, **options: Any) -> Any:
            if self._is_refused(verb, self._place(place, options.get("dir_fd"))):
                raise OSError(self._number, os.strerror(self._number))
            return call(place, *rest, **options)

        return guarded

    def _place(
        self,
        place: Any,
        folder: int | None = None,
    ) -> Path:
        if isinstance(place, int):
            return Path(f"/proc/self/fd/{place}").readlink()
        if folder is not None:
            return self._place(folder) / place
        return Path(place)

    def _is_refused(self, verb: str, place: Path) -> bool:
        is_scratch = place.name.endswith((PARTIAL, LOCK)) or "scratch" in place.parts
        if not place.is_relative_to(self._folder) or (verb == "remove" and is_scratch):
            return False
        number = self.uses[verb]
        self.uses[verb] += 1
        return verb == self._verb and number == self._at


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a workspace holds."""

    recordings: frozenset[str]
    versions: frozenset[tuple[str, str]]
    bans: int
    unfinished: int
    export: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthy:
    """What a command comes to.

    Attributes:
        uses: Verb -> how often it was used.
        state: What the workspace holds afterwards.
    """

    uses: Counter[str]
    state: State


def ingest_inbox(workspace: Workspace) -> None:
    """Two calls came in; one is there already."""
    ingest_sources(
        workspace,
        [str(workspace.root / "new")],
        say=quiet,
    )


def release_others(workspace: Workspace) -> None:
    """Cut a version of another name."""
    release_version(workspace, "others", say=quiet)


def forget_first(workspace: Workspace) -> None:
    """Forget who is in the version, or go on with it."""
    if list_work(workspace.state_dir):
        forgotten = finish_forgetting(workspace, say=quiet)
    else:
        with workspace.warehouse() as con:
            keys = sorted(stored.recording.recording_id for stored in list_recordings(con))
            if count_bans(con):
                return
        forgotten = [forget(workspace, "recording", keys[0], reason="asked", say=quiet)]
    for one in forgotten:
        require_gone(one)


def export_calls(workspace: Workspace) -> None:
    """Write a version with its clips over an earlier export of it."""
    export_bundle(
        open_bundle(workspace, "calls@1"),
        format_name="jsonl",
        output=workspace.root / "exports" / "calls",
        audio="clips",
    )


Command = Callable[[Workspace], None]
COMMANDS: dict[str, Command] = {
    "ingest": ingest_inbox,
    "release": release_others,
    "forget": forget_first,
    "export": export_calls,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with a version, an export of it, and a call that waits to come in."""
    root = tmp_path_factory.mktemp("refused") / "w"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows.ingest.flow, "WorkerPool", PoolHere)
        workspace = workspace_with(root, SETTINGS)
        release_calls(workspace, ["a", "b"])
        export_calls(workspace)
        (root / "new").mkdir()
        sound, rate_hz = soundfile.read(root / "inbox" / "caller-a-private.wav")
        soundfile.write(root / "new" / "again.wav", sound, rate_hz)
        soundfile.write(root / "new" / "another.wav", sound[::-1], rate_hz)
        shutil.copytree(root, root.with_name("kept"), symlinks=True)
        yield root


def put_back(root: Path) -> Workspace:
    """The workspace as it was prepared."""
    shutil.rmtree(root)
    shutil.copytree(root.with_name("kept"), root, symlinks=True)
    return open_workspace(root)


def state_of(workspace: Workspace) -> State:
    """What a workspace holds; every version in it verifies."""
    with workspace.warehouse() as con:
        checks = verify_all(con)
        assert [check.problems for check in checks if not check.ok] == []
        recordings = frozenset(stored.recording.recording_id for stored in list_recordings(con))
        bans = count_bans(con)
    exports = workspace.root / "exports"
    return State(
        recordings=recordings,
        versions=frozenset((check.version.name, check.version.root) for check in checks),
        bans=bans,
        unfinished=len(list_work(workspace.state_dir)),
        export=tuple(
            (str(path.relative_to(exports)), path.stat().st_size)
            for path in sorted(exports.rglob("*"))
            if path.is_file()
        ),
    )


def require_whole(workspace: Workspace, *, with_exports: bool = True) -> None:
    """Nothing half-written lies anywhere, and an export is whole or not there.

    Args:
        with_exports: Who is forgotten goes out of an export file by file, whatever stays.
    """
    for path in workspace.root.rglob("*"):
        assert not HALF_WRITTEN.fullmatch(path.name), path
        if path.suffix == ".flac":
            soundfile.read(path)
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        if path.suffix == ".jsonl":
            lines = path.read_bytes()
            assert lines.endswith(b"\n") or not lines, path
            assert all(isinstance(json.loads(line), dict) for line in lines.splitlines()), path
        if with_exports and path.name == "voxdata.json":
            read_export(path.parent)


@pytest.fixture(scope="module")
def healthy(prepared: Path) -> Callable[[str], Healthy]:
    """What a command comes to when nothing is refused."""

    @cache
    def run_healthy(command: str) -> Healthy:
        workspace = put_back(prepared)
        system = System(prepared)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flows.ingest.flow, "WorkerPool", PoolHere)
            system.set_up(patch)
            COMMANDS[command](workspace)
        require_whole(workspace)
        return Healthy(uses=system.uses, state=state_of(workspace))

    return run_healthy


@pytest.mark.slow
@pytest.mark.parametrize(("command", "verb"), USED)
def test_command_tells_a_refusal_and_leaves_nothing_half_written(
    command: str,
    verb: str,
    prepared: Path,
    healthy: Callable[[str], Healthy],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was refused is done by the same command afterwards, or was done all the same."""
    uses, wanted = healthy(command).uses[verb], healthy(command).state
    assert uses
    monkeypatch.setattr(flows.ingest.flow, "WorkerPool", PoolHere)
    run = COMMANDS[command]
    for number, at in enumerate(sorted({0, uses // 2, uses - 1})):
        workspace = put_back(prepared)
        error_number = ERRORS[number % len(ERRORS)]
        system = System(
            prepared,
            verb=verb,
            at=at,
            number=error_number,
        )
        with monkeypatch.context() as patch:
            system.set_up(patch)
            refused = refusal_of(run, workspace)
        assert os.strerror(error_number) in refused or not refused, (at, uses)
        assert str(prepared) in refused or not refused, (at, uses)
        require_whole(workspace, with_exports=command != "forget")
        again = open_workspace(prepared)
        run(again)
        assert state_of(again) == wanted, (at, uses)


def refusal_of(run: Command, workspace: Workspace) -> str:
    """What a command says that is refused something; "" when it is done all the same."""
    try:
        run(workspace)
    except VoxdataError as error:
        return str(error)
    return ""
