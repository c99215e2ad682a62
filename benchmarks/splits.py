"""Splits of 20 to 20,000 voices beside plain hashing, and what moves when voices come:
python -m benchmarks.splits.

Voices are made up: each has a handful of examples (a long tail of talkative ones) of seven labels,
each with favourites of its own, in two languages. Deviation is the largest difference, over labels,
languages and splits, between the share a split has and the share it should have, as a part of the
latter; only labels and languages that could be met are counted (at least one voice for each split
has them).
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter

import numpy as np

from voxdata.dataset import Split
from voxdata.identity import digest
from voxdata.split import assign_splits

SIZES = (20, 200, 2_000, 20_000)
RATIOS = {Split.TRAIN: 0.7, Split.VALIDATION: 0.15, Split.TEST: 0.15}
LABELS = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")
SHARES = (0.4, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03)
SEEDS = 5


def make_voices(
    count: int,
    *,
    seed: int,
    start: int = 0,
) -> dict[str, Counter[str]]:
    """Voice -> how often each label and language occurs in it, as a release counts them."""
    draws = np.random.default_rng((seed, start))
    voices = {}
    for number in range(start, start + count):
        size = 1 + int(draws.lognormal(2.0, 1.0))
        favourite = draws.dirichlet(np.array(SHARES) * 4)
        said = draws.multinomial(size, favourite)
        language = "language=zh" if draws.random() < 0.3 else "language=en"
        tally = Counter(
            {
                f"emotion={label}": int(times)
                for label, times in zip(LABELS, said, strict=True)
                if times
            }
        )
        tally["examples"] = tally[language] = size
        voices[f"voice-{number}"] = tally
    return voices


def deviation(voices: dict[str, Counter[str]], placed: dict[str, Split]) -> float:
    """The largest relative deviation from the wanted share over labels, languages and splits."""
    worst = 0.0
    for column in sorted(set(itertools.chain.from_iterable(voices.values()))):
        total = sum(tally[column] for tally in voices.values())
        if sum(tally[column] > 0 for tally in voices.values()) < len(RATIOS):
            continue
        for split, wanted in RATIOS.items():
            held = sum(tally[column] for voice, tally in voices.items() if placed[voice] is split)
            worst = max(worst, abs(held / total - wanted) / wanted)
    return worst


def hash_splits(voices: dict[str, Counter[str]], *, seed: int) -> dict[str, Split]:
    """The plain way: a hash of the voice decides."""
    edges = np.cumsum(list(RATIOS.values()))
    splits = list(RATIOS)
    placed = {}
    for voice in voices:
        at = int(digest(seed, voice)[:12], 16) / 16**12
        place = int(np.searchsorted(edges, at, side="right"))
        placed[voice] = splits[place]
    return placed


def main() -> None:
    """Print a table; exit code 1 when a voice is in two splits or an old example moved."""
    failed = False
    print(
        "| voices | examples | overlap | worst deviation, ours | plain hashing | after +20 "
        "%, ours | from scratch | moved, ours "
        "| moved, from scratch | seconds |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for size in SIZES:
        rows = []
        for seed in range(SEEDS if size <= 2_000 else 1):
            voices = make_voices(size, seed=seed)
            began = time.perf_counter()
            placed = assign_splits(
                voices,
                fixed={},
                ratios=RATIOS,
                seed=seed,
            )
            seconds = time.perf_counter() - began
            more = voices | make_voices(size // 5, seed=seed, start=size)
            later = assign_splits(
                more,
                fixed=placed,
                ratios=RATIOS,
                seed=seed,
            )
            from_scratch = assign_splits(
                more,
                fixed={},
                ratios=RATIOS,
                seed=seed,
            )
            overlap = len(voices) - len(placed) + len(more) - len(later)
            moved = sum(later[voice] is not placed[voice] for voice in voices)
            failed |= bool(overlap or moved)
            rows.append(
                (
                    sum(t["examples"] for t in voices.values()),
                    overlap,
                    deviation(voices, placed),
                    deviation(voices, hash_splits(voices, seed=seed)),
                    deviation(more, later),
                    deviation(more, from_scratch),
                    moved,
                    sum(from_scratch[v] is not placed[v] for v in voices) / size,
                    seconds,
                )
            )
        mean = np.mean(rows, axis=0)
        cells = (
            f"{size:,}",
            f"{mean[0]:,.0f}",
            f"{mean[1]:.0f}",
            f"{mean[2]:.2%}",
            f"{mean[3]:.1%}",
            f"{mean[4]:.2%}",
            f"{mean[5]:.2%}",
            f"{mean[6]:.0f}",
            f"{mean[7]:.0%}",
            f"{mean[8]:.2f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
