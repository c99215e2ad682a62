"""Kill -9 of writers and mergers at random points, inside checkpoints too: is anything acknowledged
lost, or anything doubled?

    python -m benchmarks.warehouse_kills [--kills 100] [--seed 0]

One process after the other does what a writer of the warehouse does, and is killed: it leaves
batches and says so, merges them, cuts versions, and rewrites a large table so that a checkpoint
takes long. What it says it has done is held against what is there afterwards.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import polars as pl

PHASES = ("leave", "merge", "cut", "checkpoint")


def work(root: Path, phase: str, seed: int) -> None:
    """What the child does, until it is killed; every line on stdout is an acknowledgement."""
    from voxdata.dataset import Example, GoldLabel, Split
    from voxdata.segment import Segment
    from warehouse.batches import leave_batch, merge_batches
    from warehouse.connection import open_warehouse, transaction
    from warehouse.versions import create_version

    rng = random.Random(seed)
    print("ready", flush=True)
    for number in range(10**6):
        if phase == "leave":
            names = [f"{seed}-{number}-{i}" for i in range(rng.randrange(1, 2_000))]
            leave_batch(
                root / "batches",
                {"source": _sources(names)},
                run_id="k",
            )
            print("left", *names, flush=True)
        elif phase == "merge":
            names = [f"{seed}-{number}-{i}" for i in range(500)]
            leave_batch(
                root / "batches",
                {"source": _sources(names)},
                run_id="k",
            )
            print("left", *names, flush=True)
            with open_warehouse(root / "w.duckdb") as con:
                merge_batches(con, root / "batches", run_id="k")
        elif phase == "cut":
            examples = [
                Example(
                    utterance_id=f"{i:05d}",
                    recording_id=f"r{i // 10}",
                    channel=0,
                    segment=Segment(start_ms=0, end_ms=1000),
                    voice=f"v{i // 10}",
                    group="g",
                    audio_file="a",
                    text=f"text {rng.randrange(3)}",
                    language="en",
                    split=Split.TRAIN,
                    gold={
                        "intent": GoldLabel(
                            label=f"l{rng.randrange(4)}", distribution={"a": 1.0}, num_votes=1
                        )
                    },
                )
                for i in range(3_000)
            ]
            with open_warehouse(root / "w.duckdb") as con:
                version, _ = create_version(
                    con,
                    "calls",
                    examples,
                    recipe={},
                    run_id="k",
                )
            print("cut", version.ref, version.root, flush=True)
        else:
            with open_warehouse(root / "w.duckdb") as con:
                with transaction(con):
                    con.execute("create table if not exists ballast(a bigint, b varchar)")
                    con.execute(
                        "insert into ballast select i, sha256(i::varchar) from range(300000) t(i)"
                    )
                    con.execute("delete from ballast where random() < 0.3")
                print("checkpoint", flush=True)
                con.execute("checkpoint")


def _sources(names: list[str]) -> pl.DataFrame:
    rows = [
        {
            "uri": name,
            "size_bytes": 1,
            "modified_ns": 1,
            "recording_id": None,
            "decoder": "",
            "run_id": "k",
        }
        for name in names
    ]
    return pl.DataFrame(rows, schema_overrides={"recording_id": pl.String})


def main() -> None:
    """Kill, look, and print what was found; exit code 1 when anything was lost or doubled."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--work",
        nargs=3,
        metavar=("ROOT", "PHASE", "SEED"),
        help=argparse.SUPPRESS,
    )
    options = parser.parse_args()
    if options.work:
        work(
            Path(options.work[0]),
            options.work[1],
            int(options.work[2]),
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(run(Path(folder), kills=options.kills, seed=options.seed))


def run(root: Path, *, kills: int, seed: int) -> int:
    """Do all of it.

    Returns:
        0 when nothing acknowledged was lost, nothing doubled, and every root verifies.
    """
    from warehouse.batches import merge_batches
    from warehouse.connection import open_warehouse
    from warehouse.rows import read_rows
    from warehouse.verify import verify_all

    rng = random.Random(seed)
    with open_warehouse(root / "w.duckdb"):
        pass
    killed: Counter[str] = Counter()
    left: list[str] = []
    cut: list[list[str]] = []
    inside, slowest = 0, 0.0
    for number in range(kills):
        phase = PHASES[number % len(PHASES)]
        command = [
            sys.executable,
            "-m",
            "benchmarks.warehouse_kills",
            "--work",
            str(root),
            phase,
            str(seed * 10_000 + number),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()
            if phase == "checkpoint":
                child.stdout.readline()  # it is inside one now
                time.sleep(rng.uniform(0, 0.25))
            else:
                time.sleep(rng.uniform(0, 1.2))
            child.send_signal(signal.SIGKILL)
            said = [line.split() for line in child.stdout.read().splitlines()]
        killed[phase] += 1
        inside += phase == "checkpoint" and not any(line[0] == "checkpoint" for line in said)
        for line in said:
            if line[0] == "left":
                left += line[1:]
        cut += [line[1:] for line in said if line[0] == "cut" and len(line) == 3]
        began = time.monotonic()
        with open_warehouse(root / "w.duckdb") as con:
            con.execute("select 1").fetchall()
        slowest = max(slowest, time.monotonic() - began)
        print(
            f"\r{number + 1}/{kills} kills",
            end="",
            file=sys.stderr,
            flush=True,
        )
    print(file=sys.stderr)
    with open_warehouse(root / "w.duckdb") as con:
        merge_batches(con, root / "batches", run_id="k")
        counts = Counter(str(row["uri"]) for row in read_rows(con, "select uri from source"))
        versions = {
            (str(row["ref"]), str(row["root"]))
            for row in read_rows(
                con, "select name || '@' || number as ref, root from dataset_version"
            )
        }
        verified = verify_all(con)
    lost = [name for name in left if name not in counts]
    doubled = [name for name, count in counts.items() if count > 1]
    gone = [ref for ref, digest in cut if (ref, digest) not in versions]
    broken = [one.version.ref for one in verified if not one.ok]
    print(
        f"kill -9: {sum(killed.values())} "
        f"({', '.join(f'{phase} {count}' for phase, count in killed.items())})"
    )
    print(f"  inside a checkpoint: {inside}")
    print(
        f"  rows acknowledged: {len(left)}, lost {len(lost)}; rows there: "
        f"{sum(counts.values())}, doubled {len(doubled)}"
    )
    print(
        f"  versions acknowledged: {len(cut)}, lost {len(gone)}; roots verified: "
        f"{len(verified) - len(broken)} of {len(verified)}"
    )
    print(f"  slowest opening afterwards: {slowest:.2f} s")
    return 1 if lost or doubled or gone or broken else 0


if __name__ == "__main__":
    main()
