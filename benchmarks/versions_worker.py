"""One system keeping two versions of a dataset, measured step by step, in a process of its own; see
benchmarks/versions.py.

    python benchmarks/versions_worker.py SYSTEM FOLDER FIRST.parquet SECOND.parquet

Imports nothing of voxdata but for SYSTEM "voxdata", since the others run in an environment without
it. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STEPS = (
    "first release",
    "second release",
    "same again",
    "diff",
    "verify",
    "to polars",
    "to parquet",
)


class Meter:
    """Seconds and CPU-seconds of named steps, children included."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, float]] = {}
        self.notes: dict[str, Any] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Measure what happens inside."""
        wall, cpu = time.perf_counter(), _cpu()
        yield
        self.steps[name] = {"wall": time.perf_counter() - wall, "cpu": _cpu() - cpu}
        print(
            f"  {name}: {self.steps[name]['cpu']:.2f} CPU-s",
            file=sys.stderr,
            flush=True,
        )


def _cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run_voxdata(meter: Meter, folder: Path, first: Path, second: Path) -> None:
    """Interned rows, an integer manifest and a Merkle root a version."""
    from warehouse.compact import compact_warehouse
    from warehouse.connection import open_warehouse
    from warehouse.diffs import diff_versions
    from warehouse.verify import verify_version
    from warehouse.versions import cut_version, list_versions

    path = folder / "w.duckdb"

    def cut(content: Path) -> bool:
        con.execute(f"create or replace temp table content as from '{content}'")
        with meter(step):
            return cut_version(con, "b", "content", recipe={}, run_id="b")[1]

    with open_warehouse(path) as con:
        con.execute("set memory_limit = '8GB'; set threads = 1")
        step = STEPS[0]
        cut(first)
        con.execute("drop table content")
    compact_warehouse(path)
    meter.notes["bytes first"] = _size(folder)
    with open_warehouse(path) as con:
        con.execute("set memory_limit = '8GB'; set threads = 1")
        step = STEPS[1]
        cut(second)
        step = STEPS[2]
        meter.notes["same content, new version"] = cut(second)
        con.execute("drop table content")
        old, new = list_versions(con)
        with meter("diff"):
            diff = diff_versions(con, old.version_id, new.version_id)
        meter.notes["diff"] = [
            len(diff.added),
            len(diff.removed),
            len({c.utterance_id for c in diff.relabelled}),
        ]
        with meter("verify"):
            meter.notes["verified"] = verify_version(con, old).ok
        kept = "from example semi join (from manifest where manifest_key = 1) using (row_id)"
        with meter("to polars"):
            meter.notes["rows"] = len(con.sql(kept).pl())
        with meter("to parquet"):
            con.execute(
                f"copy ({kept} order by row_id) to '{folder}/out.parquet' (format parquet, "
                "compression zstd)"
            )
    (folder / "out.parquet").unlink()
    compact_warehouse(path)
    meter.notes["bytes second"] = _size(folder)


def run_duckdb(meter: Meter, folder: Path, first: Path, second: Path) -> None:
    """A full copy of the table for every version."""
    import duckdb

    con = duckdb.connect(folder / "w.duckdb")
    con.execute("set memory_limit = '8GB'; set threads = 1")
    for step, name, content in (
        (STEPS[0], "v1", first),
        (STEPS[1], "v2", second),
        (STEPS[2], "v3", second),
    ):
        con.execute(f"create or replace temp table content as from '{content}'")
        with meter(step):
            con.execute(f"create table {name} as from content")
            con.execute("checkpoint")
        if name != "v3":
            con.execute("drop table content")
            meter.notes["bytes first" if name == "v1" else "bytes second"] = _size(folder)
    con.execute("drop table content")
    with meter("diff"):
        meter.notes["diff"] = [
            con.execute(query).fetchall()[0][0]
            for query in (
                "select count(*) from v2 anti join v1 using (utterance_id)",
                "select count(*) from v1 anti join v2 using (utterance_id)",
                "select count(*) from v1 join v2 using (utterance_id) where v1.gold <> v2.gold",
            )
        ]
    with meter("to polars"):
        meter.notes["rows"] = len(con.sql("from v1").pl())
    with meter("to parquet"):
        con.execute(f"copy v1 to '{folder}/out.parquet' (format parquet, compression zstd)")


def run_delta(meter: Meter, folder: Path, first: Path, second: Path) -> None:
    """A Delta Lake table, each version written over the one before."""
    import polars as pl

    table = str(folder / "t")
    for step, content in (
        (STEPS[0], first),
        (STEPS[1], second),
        (STEPS[2], second),
    ):
        frame = pl.read_parquet(content)
        with meter(step):
            frame.write_delta(table, mode="overwrite")
        if step != STEPS[2]:
            meter.notes["bytes first" if step == STEPS[0] else "bytes second"] = _size(folder)
    with meter("diff"):
        meter.notes["diff"] = _frame_diff(
            pl.read_delta(table, version=0),
            pl.read_delta(table, version=1),
        )
    with meter("to polars"):
        meter.notes["rows"] = len(pl.read_delta(table, version=0))
    with meter("to parquet"):
        pl.read_delta(table, version=0).write_parquet(folder / "out.parquet", compression="zstd")


def run_lance(meter: Meter, folder: Path, first: Path, second: Path) -> None:
    """A Lance dataset, each version written over the one before."""
    import lance
    import polars as pl
    import pyarrow.parquet as pq

    table = str(folder / "t.lance")
    for step, content in (
        (STEPS[0], first),
        (STEPS[1], second),
        (STEPS[2], second),
    ):
        frame = pq.read_table(content)
        with meter(step):
            lance.write_dataset(frame, table, mode="overwrite")
        if step != STEPS[2]:
            meter.notes["bytes first" if step == STEPS[0] else "bytes second"] = _size(folder)

    def load(version: int) -> pl.DataFrame:
        frame = pl.from_arrow(lance.dataset(table, version=version).to_table())
        return frame if isinstance(frame, pl.DataFrame) else frame.to_frame()

    with meter("diff"):
        meter.notes["diff"] = _frame_diff(load(1), load(2))
    with meter("to polars"):
        meter.notes["rows"] = len(load(1))
    with meter("to parquet"):
        load(1).write_parquet(folder / "out.parquet", compression="zstd")


def run_dvc(meter: Meter, folder: Path, first: Path, second: Path) -> None:
    """A Parquet file under DVC, in a git repository, each version a commit."""
    dvc = [sys.executable, "-m", "dvc", "-q"]
    environment = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "GIT_AUTHOR_NAME": "b",
        "GIT_AUTHOR_EMAIL": "b@localhost",
    }
    environment |= {"GIT_COMMITTER_NAME": "b", "GIT_COMMITTER_EMAIL": "b@localhost"}

    def call(*command: str) -> None:
        subprocess.run(
            command,
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
        )

    call("git", "init", "-q")
    call(*dvc, "init")
    call(*dvc, "config", "core.analytics", "false")
    for step, content in (
        (STEPS[0], first),
        (STEPS[1], second),
        (STEPS[2], second),
    ):
        shutil.copyfile(content, folder / "rows.parquet")
        with meter(step):
            call(*dvc, "add", "rows.parquet")
            call("git", "add", ".")
            call("git", "commit", "-q", "--allow-empty", "-m", step)
            if step != STEPS[2]:
                call("git", "tag", "v1" if step == STEPS[0] else "v2")
        if step != STEPS[2]:
            meter.notes["bytes first" if step == STEPS[0] else "bytes second"] = _size(
                folder / ".dvc" / "cache"
            )
    import polars as pl

    def load(tag: str) -> pl.DataFrame:
        call(
            *dvc,
            "get",
            "--force",
            "-o",
            f"{tag}.parquet",
            "--rev",
            tag,
            ".",
            "rows.parquet",
        )
        return pl.read_parquet(folder / f"{tag}.parquet")

    with meter("diff"):
        meter.notes["diff"] = _frame_diff(load("v1"), load("v2"))
    with meter("verify"):
        call(*dvc, "status")
    with meter("to polars"):
        meter.notes["rows"] = len(load("v1"))
    with meter("to parquet"):
        call(*dvc, "get", "--force", "-o", "out.parquet", "--rev", "v1", ".", "rows.parquet")


def _frame_diff(old: Any, new: Any) -> list[int]:
    import polars as pl

    both = old.select("utterance_id", "gold").join(
        new.select("utterance_id", "gold"),
        on="utterance_id",
    )
    return [
        new.join(old, on="utterance_id", how="anti").height,
        old.join(new, on="utterance_id", how="anti").height,
        both.filter(pl.col("gold") != pl.col("gold_right")).height,
    ]


SYSTEMS: dict[str, Callable[[Meter, Path, Path, Path], None]] = {
    "voxdata": run_voxdata,
    "duckdb": run_duckdb,
    "delta": run_delta,
    "lance": run_lance,
    "dvc": run_dvc,
}

if __name__ == "__main__":
    system, place, one, two = sys.argv[1:]
    measured = Meter()
    SYSTEMS[system](
        measured,
        Path(place),
        Path(one),
        Path(two),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"steps": measured.steps, "notes": measured.notes, "peak": peak}))
