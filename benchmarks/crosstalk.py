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
from dataclasses import dataclass, field
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
    counted: dict[str, list[Samples]] = {}
    for speaker, paths in sorted(by_speaker.items()):
        chosen = rng.choice(len(paths), NUM_CLIPS)
        counted[speaker] = [read_spoken(paths[index]) for index in chosen]
    rows = _rows(moods)
    chosen = rng.choice(len(rows), NUM_CLIPS)
    acted = [read_spoken(moods / rows[index]["path"]) for index in chosen]
    speakers = list(counted)
    for number in range(NUM_PAIRS):
        first_side = np.roll(order[:half], -number)[:4]
        second_side = np.roll(order[half:], -number)[:4]
        said = _fill([ordered[index] for index in first_side])
        other = _fill([ordered[index] for index in second_side])
        yield _pair(said, other, rng)
        speaker = speakers[number % len(speakers)]
        spoken = counted[speaker]
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
    times = -(-wanted // len(joined))
    repeated = np.tile(joined, times)
    return np.asarray(repeated[:wanted], dtype=np.float32)


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
    gain = 10 ** (level_db / 20)
    leaking[lag:] = said[: len(said) - lag] * gain
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
    counts = Counts()
    for pair in pairs:
        lines = {"speaking": pair.other + pair.noise, "silent": pair.noise}
        for line, heard in lines.items():
            count_line(counts, pair.said, line, heard)
    print(f"{len(pairs)} pairs, a peak counts from {SURE} deviations")
    print_counts(counts, len(pairs))
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many leaks were noticed.

    Attributes:
        covered: (line, length, level in dB, lag in ms) -> leaks that would be muted wholly.
        partly: (line, length) -> leaks that were noticed at a time that leaves some of them.
        alarms: (line, length) -> what would be muted though nothing leaks.
    """

    covered: Counter[tuple[str, str, int, int]] = field(default_factory=Counter)
    partly: Counter[tuple[str, str]] = field(default_factory=Counter)
    alarms: Counter[tuple[str, str]] = field(default_factory=Counter)


def count_line(
    counts: Counts,
    said: Samples,
    line: str,
    heard: Samples,
) -> None:
    """Count what is noticed on one line, with and without a leak.

    Args:
        heard: The other channel without a leak.
    """
    for length, length_ms in LENGTHS_MS.items():
        alarm = find_leak(said, heard, length_ms=length_ms)
        counts.alarms[line, length] += alarm is not None
        for level_db, lag_ms in itertools.product(LEVELS_DB, LAGS_MS):
            leaking = leak_into(
                said,
                heard,
                level_db=level_db,
                lag_ms=lag_ms,
            )
            answer = find_leak(said, leaking, length_ms=length_ms)
            is_covered = covers(answer, length_ms=length_ms, lag_ms=lag_ms)
            counts.covered[line, length, level_db, lag_ms] += is_covered
            counts.partly[line, length] += answer is not None and not is_covered


def print_counts(counts: Counts, num_pairs: int) -> None:
    """The table, and the sentences below it."""
    lags = " | ".join(f"{lag_ms} ms later" for lag_ms in LAGS_MS)
    print(f"| other party | part | level | {lags} |")
    print("|---|---|---|" + "---|" * len(LAGS_MS))
    lines = ("speaking", "silent")
    for line, length, level_db in itertools.product(lines, LENGTHS_MS, LEVELS_DB):
        covered = [counts.covered[line, length, level_db, lag_ms] for lag_ms in LAGS_MS]
        cells = " | ".join(f"{number} of {num_pairs}" for number in covered)
        length_s = LENGTHS_MS[length] / 1000
        print(f"| {line} | {length}, {length_s} s | {level_db} dB | {cells} |")
    for line, length in itertools.product(lines, LENGTHS_MS):
        alarms = counts.alarms[line, length]
        partly = counts.partly[line, length]
        print(
            f"no crosstalk, other party {line}, {length}: {alarms} of {num_pairs} muted in vain; "
            f"with crosstalk, noticed at a time that leaves some of it: {partly}"
        )


if __name__ == "__main__":
    sys.exit(main())
