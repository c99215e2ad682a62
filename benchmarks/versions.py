"""Versions of one and ten million utterances beside full copies in DuckDB, Delta Lake, Lance and
DVC: make bench-warehouse.

    python -m benchmarks.versions [--sizes 1000000 10000000] [--systems voxdata duckdb delta lance
    dvc] [--keep FOLDER]

Every system keeps the same two contents: the second has 1 % relabelled, 0.5 % new and 0.1 % gone,
recording by recording. Each runs in a process of its own, DuckDB with one thread, the peers in an
environment of their own, made when it is absent. CPU time is compared: a release is everything from
content in memory to a version on disk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.versions_content import write_versions
from benchmarks.versions_worker import STEPS

WORKER = Path(__file__).parent / "versions_worker.py"
PEERS = (
    "deltalake==1.6.6",
    "pylance==14.0.2",
    "dvc==3.67.1",
    "duckdb==2.0.0",
    "polars==2.1.0",
    "pyarrow>=26,<27",
)
SAYS = {
    "voxdata": "voxdata",
    "duckdb": "DuckDB, full copies",
    "delta": "Delta Lake",
    "lance": "Lance",
    "dvc": "DVC",
}


def main() -> None:
    """Measure and print a table for each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[1_000_000, 10_000_000],
    )
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=list(SAYS),
        default=list(SAYS),
    )
    parser.add_argument(
        "--keep", type=Path, help="where the made-up content stays for the next time"
    )
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(".venv") / "peers",
        help="the peers' environment",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        content = options.keep or Path(scratch) / "content"
        for size in options.sizes:
            print(
                f"content of {size:,} utterances",
                file=sys.stderr,
                flush=True,
            )
            first, second = write_versions(content, size)
            found = {
                name: measure(name, Path(scratch), first, second, peers=options.peers)
                for name in options.systems
            }
            print_table(size, found)


def measure(
    system: str, scratch: Path, first: Path, second: Path, *, peers: Path
) -> dict[str, Any]:
    """Run one system in a process of its own."""
    python = Path(sys.executable) if system == "voxdata" else peer_python(peers)
    print(SAYS[system], file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        run = [
            str(python.absolute()),
            *(["-m", "benchmarks.versions_worker"] if system == "voxdata" else [str(WORKER)]),
        ]
        done = subprocess.run(
            [
                *run,
                system,
                folder,
                str(first.absolute()),
                str(second.absolute()),
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def peer_python(folder: Path) -> Path:
    """The interpreter of the peers' environment, which is made when it is absent."""
    python = folder / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "-q", folder], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *PEERS], check=True)
    return python


def print_table(size: int, found: dict[str, dict[str, Any]]) -> None:
    """CPU seconds a step, bytes and memory, one column a system."""
    names = list(found)
    print(f"\n{size:,} utterances; CPU-s (wall s)")
    print(f"| step | {' | '.join(SAYS[name] for name in names)} |")
    print(f"|---|{'---|' * len(names)}")
    for step in STEPS:
        cells = [found[name]["steps"].get(step) for name in names]
        shown = [
            "-" if cell is None else f"{cell['cpu']:.2f} ({cell['wall']:.2f})" for cell in cells
        ]
        print(f"| {step} | {' | '.join(shown)} |")
    sizes = {}
    for name in names:
        notes = found[name]["notes"]
        sizes[name] = [notes["bytes first"], notes["bytes second"]]
    print(
        "| MB after the first version | "
        f"{' | '.join(f'{sizes[name][0] / 1e6:.1f}' for name in names)} |"
    )
    print(
        f"| MB after the second | {' | '.join(f'{sizes[name][1] / 1e6:.1f}' for name in names)} |"
    )
    print(
        "| bytes a row that the second added | "
        f"{' | '.join(f'{(sizes[name][1] - sizes[name][0]) / size:.2f}' for name in names)} |"
    )
    peaks = [found[name]["peak"] for name in names]
    diffs = [found[name]["notes"]["diff"] for name in names]
    print(f"| peak memory, MB | {' | '.join(f'{peak / 1e6:.0f}' for peak in peaks)} |")
    print(f"| added, removed, relabelled | {' | '.join(map(str, diffs))} |", flush=True)


if __name__ == "__main__":
    main()
