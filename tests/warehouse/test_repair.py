from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from voxdata.dataset import Example
from voxdata.errors import LockedError, WarehouseError
from voxdata.testing.factories import make_example
from warehouse.batches import leave_batch, merge_batches
from warehouse.commits import commits_path
from warehouse.connection import open_warehouse
from warehouse.guards import sidecar_path
from warehouse.recordings import add_source, known_uris
from warehouse.repair import Repair, repair_warehouse
from warehouse.snapshot import list_snapshots, take_snapshot
from warehouse.verify import verify_all
from warehouse.versions import create_version, list_versions

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
Make = Callable[..., Example]

CRASH = """
import os, signal, sys
from pathlib import Path
from warehouse.connection import open_warehouse, transaction
from warehouse.recordings import add_source
with open_warehouse(Path(sys.argv[1])) as con:
    for i in range(50):
        with transaction(con):
            uri = f"crash-{i}"
            add_source(con, uri=uri, size_bytes=1, modified_ns=1, recording_id=None, run_id="t")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def crash_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a version, then fifty acknowledged transactions in the log alone."""
    path = tmp_path_factory.mktemp("crash") / "warehouse.duckdb"
    with open_warehouse(path) as con:
        create_version(
            con,
            "calls",
            [make_example(n) for n in range(50)],
            recipe={},
            run_id="t",
        )
    died = subprocess.run([sys.executable, "-c", CRASH, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert wal(path).exists()
    return path.parent


@pytest.fixture
def crashed(crash_template: Path, path: Path) -> Path:
    """A copy of the warehouse that crashed, for one test to damage."""
    shutil.copytree(crash_template, path.parent, dirs_exist_ok=True)
    return path


def wal(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def repair(path: Path) -> Repair:
    return repair_warehouse(
        path,
        snapshots=path.parent / "snapshots",
        batches=path.parent / "batches",
        now=NOON,
        run_id="t",
    )


def test_open_warehouse_replays_what_was_acknowledged(crashed: Path) -> None:
    with open_warehouse(crashed) as con:
        assert known_uris(con) == {f"crash-{i}" for i in range(50)}


@pytest.mark.parametrize("part", [0.3, 0.9, 0.0])
def test_open_warehouse_refuses_a_log_that_was_cut_short(crashed: Path, part: float) -> None:
    os.truncate(wal(crashed), int(wal(crashed).stat().st_size * part))
    with (
        pytest.raises(
            WarehouseError, match=r"acknowledged transactions are missing.*voxdata repair"
        ),
        open_warehouse(crashed),
    ):
        pass
    found = repair(crashed)
    assert found.lost_commits > 0
    assert found.lost_versions == ()
    with open_warehouse(crashed) as con:
        assert verify_all(con)[0].ok
    assert {p.name for p in (found.kept or crashed).iterdir()} >= {
        crashed.name,
        sidecar_path(crashed).name,
    }


def test_open_warehouse_refuses_a_log_with_a_flipped_bit(crashed: Path) -> None:
    content = bytearray(wal(crashed).read_bytes())
    content[len(content) // 2] ^= 4
    wal(crashed).write_bytes(content)
    with pytest.raises(WarehouseError, match="voxdata repair"), open_warehouse(crashed):
        pass
    assert repair(crashed).source == "the file without its write-ahead log"
    with open_warehouse(crashed) as con:
        assert verify_all(con)[0].ok


def test_repair_warehouse_makes_it_anew_from_a_snapshot_and_the_batches(
    path: Path, example: Make
) -> None:
    batches, snapshots = path.parent / "batches", path.parent / "snapshots"
    frame = pl.DataFrame(
        [
            {
                "uri": "early",
                "size_bytes": 1,
                "modified_ns": 1,
                "recording_id": None,
                "decoder": "",
                "run_id": "t",
            }
        ],
        schema_overrides={"recording_id": pl.String},
    )
    with open_warehouse(path) as con:
        create_version(
            con,
            "calls",
            [example(n) for n in range(200)],
            recipe={},
            run_id="t",
        )
        leave_batch(batches, {"source": frame}, run_id="t")
        merge_batches(con, batches, run_id="t")
    snapshot = take_snapshot(path, snapshots, batches=batches, now=NOON)
    with open_warehouse(path) as con:
        for name in ("later", "latest"):
            leave_batch(
                batches,
                {"source": frame.with_columns(uri=pl.lit(name))},
                run_id="t",
            )
            merge_batches(con, batches, run_id="t")
        create_version(
            con,
            "calls",
            [example(n) for n in range(100)],
            recipe={},
            run_id="t",
        )
    rng, content = random.Random(7), bytearray(path.read_bytes())
    for _ in range(200):
        content[rng.randrange(len(content))] ^= 255
    path.write_bytes(content)
    found = repair(path)
    assert (found.source, found.batches, found.lost_versions) == (
        f"snapshot {snapshot.name}",
        2,
        ("calls@2",),
    )
    with open_warehouse(path) as con:
        assert known_uris(con) == {"early", "later", "latest"}
        assert [one.ok for one in verify_all(con)] == [True]
        add_source(
            con,
            uri="after",
            size_bytes=1,
            modified_ns=1,
            recording_id=None,
            run_id="t",
        )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(bytes(40_000)),
        lambda p: os.truncate(p, 20_000),
    ],
)
def test_damaged_files_are_refused_and_repaired_from_a_snapshot(
    path: Path,
    example: Make,
    spoil: Callable[[Path], object],
) -> None:
    with open_warehouse(path) as con:
        create_version(
            con,
            "calls",
            [example(n) for n in range(500)],
            recipe={},
            run_id="t",
        )
    take_snapshot(
        path,
        path.parent / "snapshots",
        batches=path.parent / "batches",
        now=NOON,
    )
    spoil(path)
    with pytest.raises(WarehouseError, match="voxdata repair"), open_warehouse(path, wait_s=0.3):
        pass
    assert repair(path).lost_versions == ()
    with open_warehouse(path) as con:
        assert list_versions(con)[0].num_examples == 500


def test_repair_warehouse_writes_a_missing_list_of_versions_anew(path: Path, example: Make) -> None:
    with open_warehouse(path) as con:
        create_version(
            con,
            "calls",
            [example()],
            recipe={},
            run_id="t",
        )
    before = sidecar_path(path).read_text()
    sidecar_path(path).unlink()
    found = repair(path)
    assert (found.source, found.lost_commits, sidecar_path(path).read_text()) == (
        "the file as it opens",
        0,
        before,
    )
    with open_warehouse(path) as con:
        assert verify_all(con)[0].ok
        assert int(commits_path(path).read_text()) == 1


def test_repair_warehouse_says_so_when_nothing_can_be_opened(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(WarehouseError, match="restore it from a backup"):
        repair(path)
    assert path.read_bytes().startswith(b"no database")


def test_repair_warehouse_leaves_an_open_warehouse_alone(path: Path) -> None:
    with open_warehouse(path):
        pass
    code = """
import sys, time
from pathlib import Path
from warehouse.connection import open_warehouse
with open_warehouse(Path(sys.argv[1])) as con:
    print("open", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(LockedError, match="stop"):
            repair(path)
        holder.kill()


def test_take_snapshot_keeps_the_newest_and_opens_like_the_warehouse(
    path: Path, example: Make
) -> None:
    with open_warehouse(path) as con:
        version, _ = create_version(
            con,
            "calls",
            [example()],
            recipe={},
            run_id="t",
        )
        guarded = con.execute("select count(*) from duckdb_triggers()").fetchall()
    folder = path.parent / "snapshots"
    for hour in range(4):
        last = take_snapshot(
            path,
            folder,
            batches=path.parent / "batches",
            now=NOON.replace(hour=hour),
            keep=2,
        )
    assert list_snapshots(folder)[1:] == [last]
    assert len(list(folder.iterdir())) == 4
    with open_warehouse(last, read_only=True) as con:
        assert list_versions(con) == [version]
        assert guarded != [(0,)]
        assert con.execute("select count(*) from duckdb_triggers()").fetchall() == guarded
