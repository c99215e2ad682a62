"""The whole chain on a folder, in a fresh workspace with the default models:
python -m benchmarks.chain FOLDER [--workers N].

A program of its own that imports little, because a child's peak memory counts what its parent holds
when it starts it. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flows.place import FILE_NAME


def run_chain(recordings: Path, *, workers: int) -> dict[str, object]:
    """Ingest and pre-label a folder in a fresh workspace with the default models.

    Returns:
        Wall and CPU seconds of `voxdata ingest` and `voxdata prelabel`, loading included; seconds a
        stage; peak memory of the largest process in MiB.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "workspace"
        _voxdata(root, "init", str(root))
        settings = root / FILE_NAME
        text = settings.read_text(encoding="utf-8")
        settings.write_text(text.replace("workers = 0 ", f"workers = {workers} "), encoding="utf-8")
        row: dict[str, object] = {"workers": workers}
        for command in (("ingest", str(recordings)), ("prelabel",)):
            began = time.monotonic()
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            _voxdata(root, *command)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            row[f"{command[0]}_wall_s"] = round(time.monotonic() - began, 1)
            row[f"{command[0]}_cpu_s"] = round(
                after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                1,
            )
            row[f"{command[0]}_peak_mib"] = after.ru_maxrss // 1024
        from flows.workspace import open_workspace
        from warehouse.rows import read_rows

        with open_workspace(root).warehouse(read_only=True) as con:
            stages = read_rows(
                con,
                "select stage, sum(seconds) as seconds from stage_result where not reused "
                "group by stage order by min(seq)",
            )
            (counts,) = read_rows(con, "select count(*) as utterances from utterance")
        row["stages"] = {
            str(stage["stage"]): round(float(str(stage["seconds"])), 1) for stage in stages
        }
        row["utterances"] = counts["utterances"]
        return row


def _voxdata(root: Path, *arguments: str) -> None:
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    place = () if arguments[0] == "init" else ("--dir", str(root))
    command = [sys.executable, "-m", "flows.cli", *place, *arguments]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env=environ,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")


def main() -> int:
    """Run it once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    print(json.dumps(run_chain(chosen.folder, workers=chosen.workers)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
