"""A clock that is set back takes nothing away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.warehouse.conftest import create_calls
from voxdata.dataset import Example
from voxdata.errors import WarehouseError
from warehouse import snapshot
from warehouse.batches import MERGED, leave_batch, merge_batches
from warehouse.connection import open_warehouse
from warehouse.guards import sidecar_path
from warehouse.recordings import known_uris
from warehouse.repair import repair_warehouse
from warehouse.snapshot import list_snapshots, take_snapshot
from warehouse.versions import list_versions

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def merge(path: Path, name: str) -> None:
    """Leave a batch of one row, and merge it."""
    rows = pl.DataFrame(
        [
            {
                "uri": name,
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
        leave_batch(
            path.parent / "batches",
            {"source": rows},
            run_id="t",
            batch_id=name,
        )
        merge_batches(con, path.parent / "batches", run_id="t")


def merged(path: Path) -> set[str]:
    return {batch.name for batch in (path.parent / "batches" / MERGED).glob("*")}


def take(path: Path, *, now: datetime, keep: int = 3) -> Path:
    return take_snapshot(
        path,
        path.parent / "snapshots",
        batches=path.parent / "batches",
        now=now,
        keep=keep,
    )


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1, 2, 3])
@pytest.mark.parametrize(
    "back",
    [timedelta(0), timedelta(hours=1), timedelta(days=9_000)],
    ids=["stopped", "an hour", "a dead battery"],
)
def test_take_snapshot_keeps_what_it_took_when_the_clock_was_set_back(
    path: Path, keep: int, back: timedelta
) -> None:
    for hour in range(keep):
        merge(path, f"before-{hour}")
        take(
            path,
            now=NOON + timedelta(hours=hour),
            keep=keep,
        )
    merge(path, "last")
    last = take(
        path,
        now=NOON + timedelta(hours=keep - 1) - back,
        keep=keep,
    )
    snapshots = list_snapshots(last.parent)
    assert len(snapshots) == keep
    assert snapshots[-1] == last
    assert merged(path) == set()
    path.write_bytes(b"lost" * 10_000)
    repair = repair_warehouse(
        path,
        snapshots=last.parent,
        batches=path.parent / "batches",
        now=NOON,
        run_id="t",
    )
    assert repair.source == f"snapshot {last.name}"
    with open_warehouse(path) as con:
        assert known_uris(con) == {*(f"before-{hour}" for hour in range(keep)), "last"}


def test_list_snapshots_takes_those_of_earlier_releases_for_older(path: Path) -> None:
    folder = path.parent / "snapshots"
    first = take(path_of_an_empty_warehouse(path), now=NOON)
    old = folder / "warehouse-20991231T235959Z-schema10.duckdb"
    first.rename(old)
    assert list_snapshots(folder) == [old]
    new = take(path, now=NOON, keep=1)
    assert list_snapshots(folder) == [new]


def path_of_an_empty_warehouse(path: Path) -> Path:
    with open_warehouse(path):
        return path


def damage(where: str) -> Callable[[Path, Path], None]:
    """A disk that writes something else than it was given."""
    copy = snapshot.copy_warehouse

    def copy_badly(path: Path, target: Path) -> None:
        copy(path, target)
        content = bytearray(target.read_bytes())
        start = 0 if where == "the header" else len(content) // 3
        content[start:] = bytes(len(content) - start)
        target.write_bytes(content)

    return copy_badly


@pytest.mark.slow
@pytest.mark.parametrize("where", ["the header", "the rows"])
def test_take_snapshot_deletes_nothing_before_the_snapshot_can_be_read(
    path: Path,
    example: Callable[..., Example],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    for name in ("one", "two"):
        merge(path, name)
        take(path, now=NOON, keep=2)
    merge(path, "three")
    with open_warehouse(path) as con:
        create_calls(con, [example(n) for n in range(3_000)])
    before = list_snapshots(path.parent / "snapshots")
    monkeypatch.setattr(snapshot, "copy_warehouse", damage(where))
    with pytest.raises(WarehouseError, match="cannot be read"):
        take(path, now=NOON, keep=2)
    assert list_snapshots(path.parent / "snapshots") == before
    assert len(list((path.parent / "snapshots").iterdir())) == 2 * len(before)
    assert merged(path) == {"three"}


def test_take_snapshot_leaves_batches_that_it_does_not_hold(path: Path) -> None:
    merge(path, "held")
    late_batch = path.parent / "batches" / MERGED / "came later"
    late_batch.mkdir()
    take(path, now=NOON)
    assert merged(path) == {"came later"}


def test_take_snapshot_makes_no_warehouse(path: Path) -> None:
    with pytest.raises(WarehouseError, match="no warehouse"):
        take(path, now=NOON)
    assert not path.exists()


def test_take_snapshot_lists_the_versions_that_it_holds(
    path: Path, example: Callable[..., Example]
) -> None:
    with open_warehouse(path) as con:
        create_calls(con, [example()])
    taken = take(path, now=NOON)
    assert sidecar_path(taken).read_text() == sidecar_path(path).read_text()
    with open_warehouse(taken, read_only=True) as con:
        refs = [version.ref for version in list_versions(con)]
        assert refs == ["calls@1"]


def test_repair_warehouse_keeps_what_earlier_repairs_of_the_same_second_put_aside(
    path: Path,
) -> None:
    folders = set()
    for _ in range(2):
        path_of_an_empty_warehouse(path)
        folders.add(
            repair_warehouse(
                path,
                snapshots=path.parent / "none",
                batches=path.parent / "none",
                now=NOON,
                run_id="t",
            ).kept
        )
    assert len(folders) == 2
    assert all((folder / path.name).exists() for folder in folders)
