"""Files beside the warehouse in every odd shape: refused with a remedy, or mended with a word;
never a crash, never a false failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.warehouse.conftest import create_calls
from tests.warehouse.test_clock import NOON
from voxdata.dataset import Example
from voxdata.errors import MachineError, WarehouseError
from warehouse.commits import commits_path, read_commits
from warehouse.connection import open_warehouse, transaction
from warehouse.guards import sidecar_path
from warehouse.recordings import add_source, known_uris
from warehouse.repair import repair_warehouse
from warehouse.versions import list_versions

Shape = Callable[[Path], object]

ODD: dict[str, Shape] = {
    "a folder": lambda path: (path.mkdir(), (path / "x").write_text("x")),
    "a pipe": os.mkfifo,
    "a link to nowhere": lambda path: path.symlink_to("/nowhere/at/all"),
    "a link to itself": lambda path: path.symlink_to(path),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 4),
    "invalid JSON": lambda path: path.write_text('{"name": "calls",\n'),
    "deep JSON": lambda path: path.write_text("[" * 100_000),
    "a list": lambda path: path.write_text('["calls", 1]\n'),
    "a text": lambda path: path.write_text('"calls"\n'),
    "null": lambda path: path.write_text("null\n"),
    "other keys": lambda path: path.write_text('{"name": "calls"}\n'),
    "lists for values": lambda path: path.write_text(
        '{"name": ["calls"], "number": {}, "version_id": []}\n'
    ),
    "huge": lambda path: (path.touch(), os.truncate(path, 8 << 30)),
}


@pytest.fixture
def cut(path: Path, example: Callable[..., Example]) -> Path:
    """A warehouse with a version."""
    with open_warehouse(path) as con:
        create_calls(con, [example()])
    return path


@pytest.mark.parametrize("shape", list(ODD))
@pytest.mark.parametrize("beside", [sidecar_path, commits_path])
def test_open_warehouse_refuses_what_lies_beside_it_in_an_odd_shape_and_repair_mends_it(
    cut: Path,
    beside: Callable[[Path], Path],
    shape: str,
) -> None:
    beside(cut).unlink()
    ODD[shape](beside(cut))
    for read_only in (True, False):
        with (
            pytest.raises(WarehouseError, match="voxdata repair"),
            open_warehouse(cut, read_only=read_only),
        ):
            pass
    repair = repair_warehouse(
        cut,
        snapshots=cut.parent / "none",
        batches=cut.parent / "none",
        now=NOON,
        run_id="t",
    )
    assert repair.source == "the file as it opens"
    assert repair.broken_versions == {}
    assert os.path.lexists(repair.kept / beside(cut).name)
    with open_warehouse(cut) as con:
        refs = [version.ref for version in list_versions(con)]
        assert refs == ["calls@1"]
    assert read_commits(cut) == 1


def test_open_warehouse_fills_an_empty_list_and_says_so(cut: Path) -> None:
    before = sidecar_path(cut).read_text()
    lines: list[str] = []
    sidecar_path(cut).write_text("")
    with open_warehouse(cut, say=lines.append):
        pass
    assert sidecar_path(cut).read_text() == before
    assert [line for line in lines if "was empty" in line] == lines != []


def test_open_warehouse_counts_anew_where_nothing_was_counted(cut: Path) -> None:
    commits_path(cut).write_text("")
    with open_warehouse(cut):
        pass
    assert read_commits(cut) == 1


@pytest.mark.parametrize(
    "number",
    ["-1", "1_0", "1.0", "٣", "0x10", "1 2", "9" * 60],
)
def test_open_warehouse_refuses_a_number_of_commits_that_is_none_of_ours(
    cut: Path, number: str
) -> None:
    commits_path(cut).write_text(number, encoding="utf-8")
    with pytest.raises(WarehouseError, match="voxdata repair"), open_warehouse(cut):
        pass


def test_transaction_succeeds_when_its_number_cannot_be_written_and_the_next_one_catches_up(
    cut: Path,
) -> None:
    lines: list[str] = []
    with open_warehouse(cut, say=lines.append) as con:
        commits_path(cut).unlink()
        commits_path(cut).mkdir()
        for name in ("a", "b"):
            with transaction(con):
                add_source(
                    con,
                    uri=name,
                    size_bytes=1,
                    modified_ns=1,
                    recording_id=None,
                    run_id="t",
                )
        assert known_uris(con) == {"a", "b"}
    assert len(lines) == 1
    assert "the number of commits could not be written down" in lines[0]
    commits_path(cut).rmdir()
    with open_warehouse(cut) as con:
        assert known_uris(con) == {"a", "b"}
    assert read_commits(cut) == 3


def test_create_version_succeeds_when_its_list_cannot_be_written_and_the_next_opening_catches_up(
    cut: Path,
    example: Callable[..., Example],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[str] = []

    def refuse(*_arguments: object) -> None:
        raise MachineError(f"{cut.parent}: No space left on device")

    with open_warehouse(cut, say=lines.append) as con:
        listed = sidecar_path(cut).read_text()
        with monkeypatch.context() as patch:
            patch.setattr("warehouse.guards.write_file", refuse)
            version, new = create_calls(con, [example(), example(2)])
        assert version.ref == "calls@2"
        assert new is True
    assert any("list of versions could not be written" in line for line in lines)
    assert sidecar_path(cut).read_text() == listed
    with open_warehouse(cut):
        pass
    assert sidecar_path(cut).read_text().startswith(listed)
    text = sidecar_path(cut).read_text()
    assert len(text.splitlines()) == 2


AS_NOBODY = """
import encodings.ascii, os, sys  # what a user without rights could not import later
from pathlib import Path
import duckdb, numpy, polars, pyarrow
from voxdata.errors import VoxdataError
from warehouse.connection import open_warehouse, transaction
from warehouse.recordings import add_source, known_uris
path, read_only = Path(sys.argv[1]), sys.argv[2] == "read"
os.setuid(65534)
try:
    with open_warehouse(
        path, read_only=read_only, wait_s=1, say=lambda line: print("said", line)
    ) as con:
        if not read_only:
            with transaction(con):
                add_source(con, uri="b", size_bytes=1, modified_ns=1, recording_id=None, run_id="t")
        print("holds", *sorted(known_uris(con)))
except VoxdataError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Path]:
    """A warehouse of another account."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = folder / "warehouse.duckdb"
    with open_warehouse(path) as con, transaction(con):
        add_source(
            con,
            uri="a",
            size_bytes=1,
            modified_ns=1,
            recording_id=None,
            run_id="t",
        )
    for part in (folder, *folder.iterdir()):
        os.chown(part, 65534, 65534)
    opened = [parent for parent in folder.parents if parent != Path("/")]
    modes = [parent.stat().st_mode for parent in opened]
    for parent in opened:
        parent.chmod(parent.stat().st_mode | 0o011)
    yield path
    for parent, mode in zip(opened, modes, strict=True):
        parent.chmod(mode)


@pytest.mark.parametrize(
    ("what", "mode", "how", "outcome"),
    [
        ("folder", 0o500, "read", "holds a"),
        ("folder", 0o500, "write", "MachineError"),
        ("folder", 0o000, "read", "MachineError"),
        ("folder", 0o000, "write", "MachineError"),
        ("file", 0o400, "read", "holds a"),
        ("file", 0o400, "write", "MachineError"),
        ("file", 0o000, "read", "MachineError"),
        ("file", 0o000, "write", "MachineError"),
        ("commits", 0o400, "read", "holds a"),
        ("commits", 0o400, "write", "holds a b"),
        ("commits", 0o000, "read", "WarehouseError"),
        ("commits", 0o000, "write", "WarehouseError"),
        ("versions", 0o400, "read", "holds a"),
        ("versions", 0o400, "write", "holds a b"),
        ("versions", 0o000, "read", "WarehouseError"),
        ("versions", 0o000, "write", "WarehouseError"),
    ],
)
def test_open_warehouse_has_a_stated_outcome_whatever_rights_are_lacking(
    theirs: Path, what: str, mode: int, how: str, outcome: str
) -> None:
    parts = {
        "folder": theirs.parent,
        "file": theirs,
        "commits": commits_path(theirs),
        "versions": sidecar_path(theirs),
    }
    parts[what].chmod(mode)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(theirs), how],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    parts[what].chmod(0o700)
    told = [line for line in done.stdout.splitlines() if not line.startswith("said")]
    assert (told or [done.stderr])[0].startswith(outcome), done.stdout + done.stderr
    assert ("said" in done.stdout) == (what == "commits" and how == "write" and mode == 0o400)
    if "Error" in outcome:
        assert "this user" in done.stdout
    with open_warehouse(theirs) as con:
        assert known_uris(con) == ({"a", "b"} if outcome == "holds a b" else {"a"})
