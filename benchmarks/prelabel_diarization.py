"""The diarization stage beside its peers: python -m benchmarks.prelabel_diarization [--memory]
[--senko] [--long MINUTES].

Stock is pyannote.audio's `SpeakerDiarization` with the same weights, step, clustering and embedding
rule (statistics pooled by mask), on one thread, in batches of 32; its turns must be ours within one
frame. What counts is CPU time: other work on the machine does not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import process_time

import numpy as np
import numpy.typing as npt

from benchmarks.composed_calls import compose_calls
from benchmarks.diarization import CACHE, mono, real_files
from voxdata.backends.diarization.pyannote import PyannoteDiarizer
from voxdata.ports import MODEL_RATE_HZ, Diarization, Samples
from voxdata.sound import ArraySound

FRAME_MS = 17
MEMORY_MINUTES = (10, 60, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRow:
    """One file: CPU seconds of each side, and how far their turns lie apart; None when the turns do
    not pair up.
    """

    name: str
    seconds: float
    ours: float
    stock: float
    turns: int
    difference_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSound:
    """A `Sound` of any length that repeats a few clips and is made as it is read."""

    loop: Samples
    num_samples: int

    def read(
        self,
        start: int = 0,
        stop: int | None = None,
    ) -> Samples:
        """See `Sound.read`."""
        stop = self.num_samples if stop is None else min(stop, self.num_samples)
        return self.loop[np.arange(start, max(start, stop)) % len(self.loop)]


def peer_files() -> list[tuple[str, Samples]]:
    """The real files, four composed calls, and the real files in a row as one long recording."""
    real = [(file.name, mono(file.samples)) for file in real_files()]
    calls = [
        (plan.name, mono(call.samples))
        for plan, call in compose_calls("show")
        if plan.name in ("show01", "show03", "show08", "show10")
    ]
    return [*real, *calls, ("real, in a row", np.concatenate([samples for _, samples in real]))]


def peer_rows(files: Sequence[tuple[str, Samples]]) -> list[PeerRow]:
    """Measure both sides on each file; models are loaded before."""
    from benchmarks.stock_diarization import build_stock, diarize_stock

    diarizer = PyannoteDiarizer(cache_dir=str(CACHE), device="cpu")
    options = dict(diarizer.model.params)
    stock = build_stock(
        threshold=float(str(options["threshold"])),
        min_cluster_size=int(str(options["min_cluster_size"])),
        segmentation_step=float(str(options["segmentation_step"])),
    )
    warm = np.full(MODEL_RATE_HZ, 0.01, np.float32)
    diarizer.diarize([ArraySound(warm)])
    diarize_stock(stock, warm)
    rows = []
    for name, samples in files:
        began = process_time()
        (ours,) = diarizer.diarize([ArraySound(samples)])
        between = process_time()
        theirs = diarize_stock(stock, samples)
        rows.append(
            PeerRow(
                name=name,
                seconds=len(samples) / MODEL_RATE_HZ,
                ours=between - began,
                stock=process_time() - between,
                turns=len(ours.segments),
                difference_ms=boundary_difference_ms(ours, theirs),
            )
        )
    return rows


def boundary_difference_ms(a: Diarization, b: Diarization) -> int | None:
    """The largest distance between boundaries of paired segments; None when number, order or
    speakers differ.
    """
    if [s.speaker for s in a.segments] != [s.speaker for s in b.segments]:
        return None
    largest = 0
    for x, y in zip(a.segments, b.segments, strict=True):
        starts = abs(x.segment.start_ms - y.segment.start_ms)
        ends = abs(x.segment.end_ms - y.segment.end_ms)
        largest = max(largest, starts, ends)
    return largest


def senko_cpu_s(files: Sequence[tuple[str, Samples]]) -> float:
    """CPU seconds of senko on the files, loading and warming up not counted."""
    from benchmarks.diarization import hear_senko

    hear = hear_senko()
    began = process_time()
    for _, samples in files:
        hear(samples[:, None])
    return process_time() - began


def peer_ratio(*, senko: bool = True) -> dict[str, float | None]:
    """The stage in one line: CPU seconds of each side, how many times less ours are than stock's,
    and the largest difference in ms.

    `max_boundary_difference_ms` is None when on any file the turns do not pair up.
    """
    files = peer_files()
    rows = peer_rows(files)
    print_peer_rows(rows)
    ours = sum(r.ours for r in rows)
    stock = sum(r.stock for r in rows)
    differences_ms = [r.difference_ms for r in rows if r.difference_ms is not None]
    return {
        "audio_s": sum(r.seconds for r in rows),
        "cpu_s_ours": ours,
        "cpu_s_stock": stock,
        "cpu_s_senko": senko_cpu_s(files) if senko else None,
        "ratio": stock / ours,
        "max_boundary_difference_ms": max(differences_ms, default=0)
        if len(differences_ms) == len(rows)
        else None,
    }


def print_peer_rows(rows: Sequence[PeerRow]) -> None:
    """A table; every line is one file."""
    print(
        f"{'file':<20}{'seconds':>9}{'voxdata CPU-s':>15}{'stock CPU-s':>13}"
        f"{'ratio':>7}{'turns':>7}{'difference':>12}"
    )
    for row in rows:
        apart = "other turns" if row.difference_ms is None else f"{row.difference_ms} ms"
        times = (
            f"{row.seconds:>9.1f}{row.ours:>15.2f}{row.stock:>13.2f}{row.stock / row.ours:>7.1f}"
        )
        print(f"{row.name:<20}{times}{row.turns:>7}{apart:>12}")


def memory_rows(minutes: Sequence[float] = MEMORY_MINUTES) -> list[dict[str, float]]:
    """Peak memory and CPU time for one recording of each length, each in a process of its own."""
    rows = []
    for length in minutes:
        command = [sys.executable, "-m", "benchmarks.prelabel_diarization", "--long", str(length)]
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    return rows


def measure_long(minutes: float) -> dict[str, float]:
    """Diarize one recording of that length in this process."""
    clips: list[npt.NDArray[np.float32]] = [mono(call.samples) for _, call in compose_calls()]
    num_samples = round(minutes * 60 * MODEL_RATE_HZ)
    diarizer = PyannoteDiarizer(cache_dir=str(CACHE), device="cpu")
    diarizer.diarize([ArraySound(np.full(MODEL_RATE_HZ, 0.01, np.float32))])
    began = process_time()
    (answer,) = diarizer.diarize([LoopSound(loop=np.concatenate(clips), num_samples=num_samples)])
    return {
        "minutes": minutes,
        "cpu_s": round(process_time() - began, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "turns": len(answer.segments),
        "speakers": len({s.speaker for s in answer.segments}),
    }


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--memory",
        action="store_true",
        help="peak memory for 10 minutes, 1 hour and 10 hours instead",
    )
    parser.add_argument("--senko", action="store_true", help="measure senko too")
    parser.add_argument(
        "--long",
        type=float,
        default=None,
        help="one recording of so many minutes, in this process",
    )
    chosen = parser.parse_args()
    if chosen.long is not None:
        print(json.dumps(measure_long(chosen.long)))
    elif chosen.memory:
        for row in memory_rows():
            print(row, flush=True)
    else:
        print(
            {
                key: value if value is None else round(value, 2)
                for key, value in peer_ratio(senko=chosen.senko).items()
            }
        )
        print(
            "Repeat: VOXDATA_CORPORA=... OMP_NUM_THREADS=1 python -m "
            "benchmarks.prelabel_diarization --senko"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
