"""What stays when the disk under the warehouse, its batches or its snapshots has no room."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from voxdata.errors import MachineError
from warehouse.batches import REJECTED, leave_batch, list_batches, merge_batches
from warehouse.connection import open_warehouse, transaction
from warehouse.ledger import list_drops
from warehouse.recordings import add_source, known_uris
from warehouse.snapshot import list_snapshots, take_snapshot


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As a disk that is full: what is written beyond that size is refused."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


FILL = """
import resource, sys
from pathlib import Path
from voxdata.errors import MachineError
from warehouse.connection import open_warehouse, transaction
from warehouse.recordings import add_source
path = Path(sys.argv[1])
with open_warehouse(path) as con:
    add_source(con, uri="/before.wav", size_bytes=1, modified_ns=1, recording_id=None, run_id="t")
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, resource.RLIM_INFINITY))
try:
    with open_warehouse(path) as con, transaction(con):
        con.execute("insert into ledger(stage, subject, reason, detail, key, run_id) "
                    "select 's', uuid()::varchar, 'empty', repeat(uuid()::varchar, 20), '', 't' "
                    "from range(200000)")
except MachineError as error:
    print(error)
"""


def test_transaction_tells_the_first_error_and_leaves_the_warehouse_whole(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "File too large" in done.stdout, done.stderr[-2000:]
    assert "cannot rollback" not in done.stdout
    with open_warehouse(path) as con:
        assert known_uris(con) == {"/before.wav"}
        assert list_drops(con) == []


def test_merge_batches_puts_no_batch_aside_when_it_cannot_be_read(
    path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "batches"
    rows = pl.DataFrame(
        [
            {
                "uri": "/a.wav",
                "size_bytes": 1,
                "modified_ns": 1,
                "recording_id": None,
                "run_id": "t",
                "decoder": "",
            }
        ]
    )
    leave_batch(folder, {"source": rows}, run_id="t", batch_id="one")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open_warehouse(path) as con:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises((MachineError, OSError), match="Too many open files"):
                merge_batches(con, folder, run_id="t")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(list_batches(folder)) == 1
        assert not (folder / REJECTED).exists()
        assert merge_batches(con, folder, run_id="t").merged == 1
        assert known_uris(con) == {"/a.wav"}


def test_leave_batch_leaves_nothing_half_written(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        [
            {"uri": f"/{n}.wav", "size_bytes": n, "modified_ns": n, "run_id": "t", "decoder": ""}
            for n in range(50_000)
        ]
    )
    with files_of_at_most(1_000), pytest.raises((MachineError, OSError)):
        leave_batch(tmp_path / "batches", {"source": rows}, run_id="t")
    assert list_batches(tmp_path / "batches") == []


def test_take_snapshot_leaves_no_half_copy(path: Path, tmp_path: Path) -> None:
    with open_warehouse(path) as con, transaction(con):
        add_source(
            con,
            uri="/a.wav",
            size_bytes=1,
            modified_ns=1,
            recording_id=None,
            run_id="t",
        )
    snapshots = tmp_path / "snapshots"
    snapshots.mkdir()
    with files_of_at_most(100_000), pytest.raises(MachineError, match="File too large"):
        take_snapshot(
            path,
            snapshots,
            batches=tmp_path / "batches",
            now=datetime.now(UTC),
        )
    assert list(snapshots.iterdir()) == []
    take_snapshot(
        path,
        snapshots,
        batches=tmp_path / "batches",
        now=datetime.now(UTC),
    )
    assert len(list_snapshots(snapshots)) == 1
