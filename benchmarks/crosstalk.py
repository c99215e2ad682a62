"""Crosstalk under the other party's own speech: how much of it is noticed, and how often it is
noticed where there is none.

    python -m benchmarks.crosstalk

Real speech on both channels at one level: coffee orders over other orders (barista), and strings of
digits (FSDD, 8 kHz) over acted sentences (RAVDESS). What is said on the first channel leaks into
the second, so many dB quieter and so many ms later; there the other party speaks all the while, or
the line is silent but for its noise. A leak counts as found when the stretch that would be muted
covers all of it. There is no named peer: the table says what `voxdata.crosstalk` does.
"""

from __future__ import annotations

import csv
import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.composed_calls import join_clips, read_spoken
from benchmarks.speech_corpus import find_corpus
from voxdata.crosstalk import SURE, measure_leaks
from voxdata.privacy import PrivateSpan
from voxdata.segment import Segment
from voxdata.sound import MODEL_RATE_HZ, ArraySound, Samples
from voxdata.testing import make_utterance

NUM_PAIRS = 50
"""Of each of the two kinds of speech."""

NUM_CLIPS = 40
"""Of each speaker of digits; and so many acted sentences from all."""

LEVELS_DB = (-10, -20, -30)
LAGS_MS = (0, 40, 250)
LENGTHS_MS = {"a name": 800, "a number": 4_000}
"""How long the private part is that may leak."""

START_MS = 1_000
WHOLE_MS = 6_500
NOISE = 10 ** (-60 / 20)
TOLERANCE_MS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two people who speak at the same time.

    Attributes:
        said, other: (num_samples,) of the two channels, without crosstalk.
        noise: (num_samples,) of the second channel's line.
    """

    said: Samples
    other: Samples
    noise: Samples


def read_pairs(
    orders: Path,
    digits: Path,
    moods: Path,
) -> Iterator[Pair]:
    """The pairs, drawn alike on every machine; no voice is on both sides of a pair.

    Args:
        orders, digits, moods: The folders of barista, FSDD and RAVDESS.
    """
    rng = np.random.default_rng(4)
    ordered = [read_spoken(orders / row["path"]) for row in _rows(orders)]
    order = rng.permutation(len(ordered))
    half = len(order) // 2
    by_speaker: dict[str, list[Path]] = {}
    for row in _rows(digits):
        by_speaker.setdefault(row["speaker"], []).append(digits / row["path"])
    counted = {}
    for speaker, paths in sorted(by_speaker.items()):
        counted[speaker] = [
            read_spoken(paths[index]) for index in rng.choice(len(paths), NUM_CLIPS)
        ]
    rows = _rows(moods)
    chosen = rng.choice(len(rows), NUM_CLIPS)
    acted = [read_spoken(moods / rows[index]["path"]) for index in chosen]
    speakers = list(counted)
    for number in range(NUM_PAIRS):
        sides = [np.roll(part, -number)[:4] for part in (order[:half], order[half:])]
        said, other = (_fill(list(map(ordered.__getitem__, side))) for side in sides)
        yield _pair(said, other, rng)
        spoken = counted[speakers[number % len(speakers)]]
        said = _fill([spoken[index] for index in rng.choice(NUM_CLIPS, 20)])
        other = _fill([acted[index] for index in rng.choice(NUM_CLIPS, 5)])
        yield _pair(said, other, rng)


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _fill(clips: Sequence[Samples]) -> Samples:
    """Clips one after the other, and again until the whole length is spoken."""
    wanted = WHOLE_MS * MODEL_RATE_HZ // 1000
    joined = join_clips(clips)
    return np.asarray(np.tile(joined, -(-wanted // len(joined)))[:wanted], dtype=np.float32)


def _pair(
    said: Samples,
    other: Samples,
    rng: np.random.Generator,
) -> Pair:
    noise = (rng.standard_normal(len(other)) * NOISE).astype(np.float32)
    return Pair(
        said=said,
        other=other,
        noise=noise,
    )


def leak_into(said: Samples, heard: Samples, *, level_db: float, lag_ms: int) -> Samples:
    """A channel in which another is heard, too."""
    lag = lag_ms * MODEL_RATE_HZ // 1000
    leaking = np.zeros_like(heard)
    leaking[lag:] = said[: len(said) - lag] * 10 ** (level_db / 20)
    return heard + leaking


def find_leak(
    said: Samples,
    heard: Samples,
    *,
    length_ms: int,
) -> Segment | None:
    """Where the second channel would be muted for a private part of the first; None where it would
    not.
    """
    utterance = make_utterance(0, len(said) * 1000 // MODEL_RATE_HZ)
    part = Segment(start_ms=START_MS, end_ms=START_MS + length_ms)
    span = PrivateSpan(
        kind="number",
        start=0,
        end=1,
        segment=part,
        score=1.0,
    )
    leaks = measure_leaks(
        {utterance.utterance_id: [span]},
        [utterance],
        [ArraySound(said), ArraySound(heard)],
    )
    return leaks[utterance.utterance_id][0].leaks[1]


def covers(
    found: Segment | None,
    *,
    length_ms: int,
    lag_ms: int,
) -> bool:
    """Whether what would be muted holds all of a leak."""
    if found is None:
        return False
    late_ms = START_MS + length_ms + lag_ms - found.end_ms
    return found.start_ms <= START_MS + lag_ms + TOLERANCE_MS and late_ms <= TOLERANCE_MS


def main() -> int:
    """Print the tables."""
    folders = [find_corpus(name) for name in ("barista", "fsdd", "ravdess")]
    if any(folder is None for folder in folders):
        return 0
    pairs = list(read_pairs(*(folder for folder in folders if folder is not None)))
    found: Counter[tuple[str, str, int, int]] = Counter()
    elsewhere: Counter[tuple[str, str]] = Counter()
    alarms: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        lines = {"speaking": pair.other + pair.noise, "silent": pair.noise}
        for (line, heard), (length, length_ms) in itertools.product(
            lines.items(), LENGTHS_MS.items()
        ):
            alarms[line, length] += find_leak(pair.said, heard, length_ms=length_ms) is not None
            for level_db, lag_ms in itertools.product(LEVELS_DB, LAGS_MS):
                leaking = leak_into(pair.said, heard, level_db=level_db, lag_ms=lag_ms)
                answer = find_leak(pair.said, leaking, length_ms=length_ms)
                covered = covers(answer, length_ms=length_ms, lag_ms=lag_ms)
                found[line, length, level_db, lag_ms] += covered
                elsewhere[line, length] += answer is not None and not covered
    print(f"{len(pairs)} pairs, a peak counts from {SURE} deviations")
    print(
        "| other party | part | level | "
        + " | ".join(f"{lag_ms} ms later" for lag_ms in LAGS_MS)
        + " |"
    )
    print("|---|---|---|" + "---|" * len(LAGS_MS))
    for line, length, level_db in itertools.product(("speaking", "silent"), LENGTHS_MS, LEVELS_DB):
        counts = " | ".join(
            f"{found[line, length, level_db, lag_ms]} of {len(pairs)}" for lag_ms in LAGS_MS
        )
        print(f"| {line} | {length}, {LENGTHS_MS[length] / 1000} s | {level_db} dB | {counts} |")
    for line, length in itertools.product(("speaking", "silent"), LENGTHS_MS):
        print(
            f"no crosstalk, other party {line}, {length}: {alarms[line, length]} of "
            f"{len(pairs)} muted in vain; "
            f"with crosstalk, noticed at a time that leaves some of it: {elsewhere[line, length]}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
