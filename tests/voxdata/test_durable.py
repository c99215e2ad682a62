from __future__ import annotations

import ast
import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from voxdata.canonical import open_canonical, read_clip, write_canonical
from voxdata.durable import (
    append_lines,
    copy_file,
    create_file,
    move,
    remove,
    remove_tree,
    replacing,
    sync,
    write_file,
)
from voxdata.errors import AudioError, DropReason, MachineError, ShortageError
from voxdata.machine import ended_from_outside, find_fault, named_errno
from voxdata.testing import tone


def test_replacing_leaves_what_was_there_when_the_disk_refuses(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_file(path, b"before")
    with pytest.raises(MachineError, match=f"{tmp_path}: No space left on device; make room there"):
        _write_half(path)
    assert path.read_bytes() == b"before"
    names = [each.name for each in tmp_path.iterdir()]
    assert names == ["a.json"]


def _write_half(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_write_file_names_the_folder_that_cannot_be_made() -> None:
    with pytest.raises(
        MachineError, match="/dev/null/below: Not a directory; a part of that path is no folder"
    ):
        write_file(Path("/dev/null/below/a.json"), b"x")


def test_write_file_lets_the_umask_take_permissions_away(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_file(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('IO Error: Could not write file "/w/x.wal": No space left on device', errno.ENOSPC),
        ("Error opening '/w/No space left on device.wav': Format not recognised.", None),
        ("[Errno 1094995529] Invalid data found: 'Too many open files.wav'", None),
    ],
)
def test_named_errno_reads_the_systems_words_but_no_file_name(
    text: str, number: int | None
) -> None:
    assert named_errno(text) == number


def test_find_fault_sees_what_caused_an_error() -> None:
    trouble = RuntimeError("the model cannot be loaded")
    trouble.__cause__ = OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/m/weights.bin")
    assert "/m/weights.bin: Too many open files" in str(find_fault(trouble))
    assert isinstance(find_fault(MemoryError()), ShortageError)
    assert find_fault(ValueError("bad header")) is None
    assert find_fault(OSError(errno.EACCES, os.strerror(errno.EACCES), "/somebodys.wav")) is None


@pytest.mark.parametrize(
    ("code", "outside"),
    [(0, False), (1, False), (-6, False), (-11, False), (-9, True), (-15, True)],
)
def test_ended_from_outside_tells_a_kill_from_a_crash(code: int, outside: bool) -> None:
    assert ended_from_outside(code) is outside


def test_open_canonical_blames_no_recording_when_its_file_may_not_be_read(tmp_path: Path) -> None:
    """/proc/self/mem answers like a disk that is broken, and a file below a file cannot be looked
    up.
    """
    write_canonical(tmp_path / "a.flac", tone(100)[:, None])
    for path in (Path("/proc/self/mem"), tmp_path / "a.flac" / "b.flac"):
        with pytest.raises(MachineError, match=str(path)):
            open_canonical(path)
    with pytest.raises(AudioError) as caught:
        read_clip(tmp_path / "gone.flac")
    assert caught.value.reason is DropReason.MISSING


def test_append_lines_takes_back_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append_lines(path, b"one\n")
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))
    try:
        with pytest.raises(MachineError, match="File too large"):
            append_lines(path, b"two\nthree\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert path.read_bytes() == b"one\n"


def test_append_lines_begins_a_line_of_its_own_after_one_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\ntw")
    append_lines(path, b"three\n")
    assert path.read_bytes() == b"one\ntw\nthree\n"


def test_create_file_leaves_alone_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    assert create_file(path, b"mine", mode=0o600)
    assert not create_file(path, b"theirs", mode=0o600)
    assert path.read_bytes() == b"mine"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["key"]


@pytest.mark.parametrize(
    "verb",
    [
        sync,
        remove,
        remove_tree,
        lambda path: move(path, path.with_name("b")),
        lambda path: copy_file(path, path.with_name("b")),
    ],
)
def test_verbs_name_the_folder_when_nothing_is_there(
    tmp_path: Path, verb: Callable[[Path], None]
) -> None:
    with pytest.raises(MachineError, match=f"{tmp_path}: No such file or directory"):
        verb(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


BY_HAND = {
    "os": {"fsync", "fdatasync", "pwrite", "replace", "rename", "unlink", "remove", "link"},
    "method": {"unlink", "hardlink_to", "symlink_to"},
    "one path": {"rename", "replace"},
}
"""Calls that write, move or delete a file past the door; the last with one path as argument."""

NO_FILES = {
    ("voxdata/audit/groups.py", "replace"),
    ("voxdata/spreadsheet.py", "rename"),
}
"""What is called so there replaces values or renames columns of a table."""


def test_nothing_but_the_door_moves_syncs_or_deletes_a_file() -> None:
    root = Path(__file__).parents[2]
    past_the_door: list[str] = []
    for package in ("voxdata", "warehouse", "annotation", "training", "flows"):
        for path in sorted((root / package).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if name in {"voxdata/durable.py", "voxdata/scratch.py"}:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = _call_by_hand(node)
                if called and (name, called) not in NO_FILES:
                    past_the_door.append(f"{name}: {called}")
    assert past_the_door == []


def _call_by_hand(node: ast.AST) -> str:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return ""
    called, owner = node.func.attr, node.func.value
    if isinstance(owner, ast.Name) and owner.id == "os":
        return called if called in BY_HAND["os"] else ""
    takes_one_path = len(node.args) == 1 and not node.keywords
    if called in BY_HAND["method"] or (called in BY_HAND["one path"] and takes_one_path):
        return called
    return ""
