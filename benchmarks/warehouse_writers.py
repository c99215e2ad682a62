"""Eight processes that write and three that read for a minute: rows per second, and whether anybody
ever sees a lock error.

    python -m benchmarks.warehouse_writers [--seconds 60] [--producers 8] [--readers 3] [--rows 500]

Beside it, in the same command, what one would write first: every producer opens the file, inserts,
closes, and tries again when it is locked.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import polars as pl


def main() -> None:
    """Run both and print a table; exit code 1 when batches lose a row or show somebody an error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--producers", type=int, default=8)
    parser.add_argument("--readers", type=int, default=3)
    parser.add_argument(
        "--rows",
        type=int,
        default=500,
        help="rows a batch",
    )
    parser.add_argument(
        "--child",
        nargs=4,
        metavar=("ROLE", "ROOT", "NUMBER", "UNTIL"),
        help=argparse.SUPPRESS,
    )
    options = parser.parse_args()
    if options.child:
        role, root, number, until = options.child
        ROLES[role](
            Path(root),
            int(number),
            float(until),
            options.rows,
        )
        return
    failed = False
    for name, writer in (("batches, one merger", "leave"), ("open, insert, close, retry", "retry")):
        with tempfile.TemporaryDirectory() as folder:
            wrong = run(
                name,
                writer,
                Path(folder),
                options,
            )
        failed |= wrong and writer == "leave"  # what the other way loses is a figure, not a failure
    sys.exit(failed)


def run(
    name: str,
    writer: str,
    root: Path,
    options: argparse.Namespace,
) -> bool:
    """One way of writing.

    Returns:
        True when a row is missing or doubled, or somebody saw an error.
    """
    from warehouse.connection import open_warehouse
    from warehouse.rows import read_rows

    with open_warehouse(root / "w.duckdb"):
        pass
    until = time.time() + options.seconds
    roles = (
        [writer] * options.producers
        + ["read"] * options.readers
        + (["merge"] if writer == "leave" else [])
    )
    command = [
        sys.executable,
        "-m",
        "benchmarks.warehouse_writers",
        "--rows",
        str(options.rows),
        "--child",
    ]
    children = [
        (
            role,
            subprocess.Popen(
                [*command, role, str(root), str(n), str(until)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ),
        )
        for n, role in enumerate(roles)
    ]
    said = [(role, *child.communicate()) for role, child in children]
    took: dict[str, list[float]] = {"write": [], "read": []}
    written, errors = 0, 0
    for role, out, err in said:
        errors += bool(err.strip())
        if err.strip():
            print(f"{role}: {err.strip().splitlines()[-1]}", file=sys.stderr)
        for line in out.splitlines():
            kind, count, seconds = line.split()
            took[kind].append(float(seconds))
            written += int(count) if kind == "write" else 0
    if writer == "leave":
        _merge(root)
    with open_warehouse(root / "w.duckdb", read_only=True) as con:
        there = read_rows(
            con, "select count(*) as n, count(distinct uri) as different from source"
        )[0]
    missing = written - int(str(there["different"]))
    doubled = int(str(there["n"])) - int(str(there["different"]))
    print(
        f"{name}: {options.producers} producers, {options.readers} readers, {options.seconds:g} s"
    )
    print(
        f"  rows written {written} ({written / options.seconds:.0f} a second), missing "
        f"{missing}, doubled {doubled}, errors seen {errors}"
    )
    for kind, values in took.items():
        if values:
            cuts = statistics.quantiles(values, n=100) if len(values) > 1 else values * 99
            print(
                f"  {kind}: {len(values)} times, p50 {cuts[49] * 1000:.0f} ms, p99 "
                f"{cuts[98] * 1000:.0f} ms"
            )
    return bool(missing or doubled or errors)


def _frame(number: int, batch: int, rows: int) -> pl.DataFrame:
    names = [f"{number}-{batch}-{i}" for i in range(rows)]
    return pl.DataFrame(
        {
            "uri": names,
            "size_bytes": [1] * rows,
            "modified_ns": [1] * rows,
            "recording_id": [None] * rows,
            "decoder": [""] * rows,
            "run_id": "b",
        },
        schema_overrides={"recording_id": pl.String},
    )


def _leave(root: Path, number: int, until: float, rows: int) -> None:
    from warehouse.batches import leave_batch

    batch = 0
    while time.time() < until:
        began = time.monotonic()
        leave_batch(
            root / "batches",
            {"source": _frame(number, batch, rows)},
            run_id="b",
        )
        print("write", rows, time.monotonic() - began)
        batch += 1


def _retry(root: Path, number: int, until: float, rows: int) -> None:
    batch = 0
    while time.time() < until:
        began = time.monotonic()
        frame = _frame(number, batch, rows)
        while True:
            try:
                with duckdb.connect(root / "w.duckdb") as con:
                    con.register("rows_in", frame)
                    con.execute("insert into source by name from rows_in")
                break
            except duckdb.IOException:
                time.sleep(random.uniform(0.001, 0.02))
        print("write", rows, time.monotonic() - began)
        batch += 1


def _merge(
    root: Path,
    number: int = 0,
    until: float = 0,
    rows: int = 0,
) -> None:
    from warehouse.batches import list_batches, merge_batches
    from warehouse.connection import open_warehouse

    while True:
        if list_batches(root / "batches"):
            with open_warehouse(root / "w.duckdb") as con:
                merge_batches(con, root / "batches", run_id="b")
        if time.time() >= until:
            return
        time.sleep(0.5)


def _read(root: Path, number: int, until: float, rows: int) -> None:
    from warehouse.connection import open_warehouse

    while time.time() < until:
        began = time.monotonic()
        with open_warehouse(root / "w.duckdb", read_only=True) as con:
            con.execute("select count(*), max(uri) from source").fetchall()
        print("read", 1, time.monotonic() - began)
        time.sleep(0.2)


ROLES = {"leave": _leave, "retry": _retry, "merge": _merge, "read": _read}

if __name__ == "__main__":
    main()
