from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from voxdata.canonical import open_canonical, read_clip, write_canonical
from voxdata.durable import replacing, write_file
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
