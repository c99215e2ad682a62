"""What signing costs a release, and a receipt an erasure: seconds and bytes by size of the version.

    python -m benchmarks.receipts [EXAMPLES ...]

Beside the bytes stand those that a binary Merkle tree (RFC 6962) would need for the same leaves,
which would have given every version another root.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

from flows.forget.receipt import issue_receipt
from flows.place import FILE_NAME
from flows.settings import template
from flows.signing.keys import make_keys
from flows.signing.sign import sign_version
from flows.workspace import Workspace, open_workspace
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.segment import Segment
from voxdata.signature import public_pem
from warehouse.erase import begin_erasure, erase_rows, plan_erasure
from warehouse.versions import create_version

SIZES = (2_000, 20_000, 200_000)
EACH = 50
"""Examples of one recording."""

SCRIPT = Path(__file__).parent.parent / "docs" / "verify_receipt.py"
T = TypeVar("T")


def main() -> None:
    """Measure every size that is given."""
    for size in map(int, sys.argv[1:]) if sys.argv[1:] else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / FILE_NAME).write_text(template(), encoding="utf-8")
            measure(open_workspace(Path(folder)), size)


def measure(workspace: Workspace, size: int) -> None:
    """Release, sign, forget two recordings, release again, and have the receipt checked."""
    print(f"{size} examples")
    examples = [example(number) for number in range(size)]
    with workspace.warehouse() as con:
        version, _ = timed(
            "release",
            lambda: create_version(con, "calls", examples, recipe={}, run_id="b"),
        )
    keys = timed("make the key", lambda: make_keys(workspace))
    timed("sign the root", lambda: sign_version(workspace, version))
    with workspace.warehouse() as con:
        plan = plan_erasure(con, [examples[0].recording_id, examples[EACH].recording_id])
        receipt_id = begin_erasure(
            con,
            plan,
            kind="recording",
            subject="b",
            reason="",
            run_id="b",
        )
        timed(
            "erase rows",
            lambda: erase_rows(
                con,
                plan,
                receipt_id=receipt_id,
                kind="recording",
                subject="b",
                reason="",
                run_id="b",
            ),
        )
        create_version(
            con,
            "calls",
            examples[2 * EACH :],
            recipe={},
            run_id="b",
        )
    issued = timed("issue the receipt", lambda: issue_receipt(workspace, receipt_id))
    key = workspace.root / "public.pem"
    key.write_text(public_pem(keys.current), encoding="utf-8")
    command = [sys.executable, "-I", str(SCRIPT), str(issued.path), "--key", str(key)]
    timed(
        "check it without voxdata",
        lambda: subprocess.run(command, check=True, capture_output=True),
    )
    leaves = issued.predicate["num_leaves"]
    # Hex; absence takes the paths of both neighbours.
    binary = 64 * math.ceil(math.log2(size)) * leaves * 3
    print(
        f"  {issued.path.stat().st_size} bytes for {leaves} leaves in 2 versions; paths in "
        f"binary trees: {binary}"
    )


def timed(what: str, do: Callable[[], T]) -> T:
    """Do it, and print how long it took."""
    cpu, wall = process_time(), perf_counter()
    found = do()
    cpu_s = process_time() - cpu
    wall_s = perf_counter() - wall
    print(f"  {what}: {cpu_s:.4f} CPU-s, {wall_s:.4f} s", flush=True)
    return found


def example(number: int) -> Example:
    """One of many."""
    recording = number // EACH
    return Example(
        utterance_id=f"{number:032x}",
        recording_id=f"{recording:064x}",
        channel=0,
        segment=Segment(start_ms=0, end_ms=1_000),
        voice=f"v{recording}",
        group=f"v{recording}",
        audio_file=f"{recording}.flac",
        text=f"text {number}",
        language="en",
        split=Split.TRAIN,
        gold={
            "intent": GoldLabel(
                label="question",
                distribution={"question": 1.0},
                num_votes=1,
            )
        },
    )


if __name__ == "__main__":
    main()
