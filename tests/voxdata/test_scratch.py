from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from voxdata.durable import replacing, scratch_folder, workshop, write_file
from voxdata.scratch import SCRATCH, find_scratch, move_into_place, sweep, sweep_beside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / SCRATCH).mkdir(parents=True)
    (tmp_path / "audio" / "ab").mkdir(parents=True)
    return tmp_path


def test_find_scratch_takes_the_nearest_one(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    scratch = find_scratch(root / "audio" / "ab")
    assert scratch == root / SCRATCH
    (root / "audio" / SCRATCH).mkdir(parents=True)
    scratch = find_scratch(root / "audio" / "ab")
    assert scratch == root / "audio" / SCRATCH
    assert find_scratch(tmp_path_factory.mktemp("none")) is None


def test_find_scratch_takes_none_of_another_file_system(root: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == root.stat().st_dev:
        pytest.skip("there is no other file system to write to")
    (root / "far").symlink_to(memory)
    assert find_scratch(root / "far") is None


def test_replacing_writes_in_scratch_and_leaves_nothing_there(root: Path) -> None:
    target = root / "audio" / "ab" / "a.flac"
    with replacing(target, mode=0o600) as file:
        file.write(b"sound")
        assert len(list((root / SCRATCH).iterdir())) == 1
        assert list(target.parent.iterdir()) == []
        assert sweep(root / SCRATCH) == 0
    assert target.read_bytes() == b"sound"
    assert target.stat().st_mode & 0o077 == 0
    assert list((root / SCRATCH).iterdir()) == []


def test_sweep_takes_what_nobody_holds_and_leaves_the_rest(root: Path) -> None:
    (root / SCRATCH / "0011223344556677.partial").write_bytes(b"a voice")
    (root / SCRATCH / "8899aabbccddeeff.lock").touch()
    (root / SCRATCH / "8899aabbccddeeff.partial").mkdir()
    (root / SCRATCH / "notes.partial").write_text("somebody's")
    with workshop(root) as held, scratch_folder(near=root) as other:
        (held / "warehouse.duckdb").write_bytes(b"rows")
        assert sweep(root / SCRATCH) == 2
        assert (held / "warehouse.duckdb").exists()
        assert other.is_relative_to(root / SCRATCH)
    names = [path.name for path in (root / SCRATCH).iterdir()]
    assert names == ["notes.partial"]


def test_sweep_beside_finds_what_had_no_scratch_folder(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / ".0011223344556677.partial").write_bytes(b"a voice")
    (tmp_path / "audio" / ".theirs.lock").touch()
    with replacing(tmp_path / "audio" / "a.flac") as file:
        file.write(b"sound")
        assert sweep_beside(tmp_path) == 1
    names = {path.name for path in (tmp_path / "audio").iterdir()}
    assert names == {"a.flac", ".theirs.lock"}


@pytest.mark.parametrize("folder", [False, True])
def test_move_into_place_copies_between_two_mounts_of_one_disk(
    root: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    partial = root / SCRATCH / "0011223344556677.partial"
    target = root / "audio" / "there"
    if folder:
        partial.mkdir()
    write_file(
        partial / "a" if folder else partial,
        b"sound",
        mode=0o600,
    )
    real = Path.replace

    def refuse(path: Path, to: Path) -> Path:
        if path == partial:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return real(path, to)

    monkeypatch.setattr(Path, "replace", refuse)
    move_into_place(partial, target)
    content = (target / "a" if folder else target).read_bytes()
    assert content == b"sound"
    assert not partial.exists()
    names = {path.name for path in target.parent.iterdir()}
    assert names == {"ab", "there"}
