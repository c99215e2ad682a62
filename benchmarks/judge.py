"""The judge on simulated test sets: how often it promotes a model that is no better, and one that
is: python -m benchmarks.judge [--draws 2000].

Both models answer the same clips. A model is right in 60 % of them, the better one in 70 %, and for
each voice either is better or worse by some points, drawn for each of them alone (deviation 8
points). There are five labels.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from training.judge.verdict import Verdict, reach_verdict
from training.metrics import Floats, Ints

LABELS = ("a", "b", "c", "d", "e")
TEST_SETS = ((17, 2), (60, 6), (200, 10), (480, 24))
"""(clips, voices)."""

GAINS = (0.0, 0.1)
ACCURACY = 0.6
VOICE_DEVIATION = 0.08
SEED = 13

MAX_UNDESERVED, MIN_POWER = 0.05, 0.70
"""The shares of draws that may, and must, be promoted: of equal models on every test set, and of
one that is 10 points better on the largest.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """A test set and what two models say about it.

    Attributes:
        gold: (num_clips,) label indices.
        before: (num_clips, num_labels) probabilities: all on one label.
        after: As `before`.
        voices: The speaker of each clip.
    """

    gold: Ints
    before: Floats
    after: Floats
    voices: tuple[str, ...]


def draw_lot(
    generator: np.random.Generator, *, num_clips: int, num_voices: int, gain: float
) -> Lot:
    """Draw a test set of which the second model gets `gain` more right."""
    voice_of_clip = np.arange(num_clips) % num_voices
    gold = generator.integers(0, len(LABELS), num_clips)
    return Lot(
        gold=gold,
        before=_answer(generator, gold, voice_of_clip, accuracy=ACCURACY),
        after=_answer(generator, gold, voice_of_clip, accuracy=ACCURACY + gain),
        voices=tuple(map(str, voice_of_clip.tolist())),
    )


def _answer(
    generator: np.random.Generator, gold: Ints, voice_of_clip: Ints, *, accuracy: float
) -> Floats:
    num_clips, num_labels = len(gold), len(LABELS)
    deviations = generator.normal(0, VOICE_DEVIATION, voice_of_clip.max() + 1)
    is_right = generator.random(num_clips) < accuracy + deviations[voice_of_clip]
    elsewhere = (gold + generator.integers(1, num_labels, num_clips)) % num_labels
    answers: npt.NDArray[np.int64] = np.where(is_right, gold, elsewhere)
    return np.eye(num_labels)[answers]


def judge_lot(lot: Lot) -> Verdict:
    """What the judge says of the second model."""
    return reach_verdict(
        lot.gold,
        before=lot.before,
        after=lot.after,
        voices=lot.voices,
        labels=LABELS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many of some draws each rule promotes."""

    draws: int
    by_point: int
    by_gate: int


def count_promotions(*, num_clips: int, num_voices: int, gain: float, draws: int) -> Tally:
    """Judge `draws` test sets of one size."""
    generator = np.random.default_rng((SEED, num_clips, num_voices, round(gain * 1000)))
    by_point = by_gate = 0
    for _ in range(draws):
        lot = draw_lot(generator, num_clips=num_clips, num_voices=num_voices, gain=gain)
        verdict = judge_lot(lot)
        by_gate += verdict.decision.promote
        by_point += verdict.difference is not None and verdict.difference.uar > 0
    return Tally(draws=draws, by_point=by_point, by_gate=by_gate)


def show_share(count: int, draws: int) -> str:
    """ "48.0 % [44.9, 51.1]": a share of draws with its 95 % binomial interval."""
    interval = binomtest(count, draws).proportion_ci(method="wilson")
    return f"{count / draws:6.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def print_simulation(draws: int) -> bool:
    """Print the table.

    Returns:
        Whether the gate promotes as rarely, and as often, as it should.
    """
    print(f"{draws} draws a cell; promoted, with the 95 % binomial interval")
    print(f"{'test set':<24} {'the model is':<18} {'point estimate':<26} gate")
    held = True
    for num_clips, num_voices in TEST_SETS:
        for gain in GAINS:
            tally = count_promotions(
                num_clips=num_clips, num_voices=num_voices, gain=gain, draws=draws
            )
            size = f"{num_clips} clips, {num_voices} voices"
            truth = f"{100 * gain:.0f} points better" if gain else "no better"
            by_point = show_share(tally.by_point, draws)
            print(f"{size:<24} {truth:<18} {by_point:<26} {show_share(tally.by_gate, draws)}")
            held = held and _is_as_wanted(tally, num_voices=num_voices, gain=gain)
    return held


def _is_as_wanted(tally: Tally, *, num_voices: int, gain: float) -> bool:
    share = tally.by_gate / tally.draws
    if not gain:
        return share <= MAX_UNDESERVED
    largest = max(voices for _, voices in TEST_SETS)
    return num_voices < largest or share >= MIN_POWER


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    held = print_simulation(chosen.draws)
    print(f"{time.monotonic() - began:.0f} s. Repeat: python -m benchmarks.judge")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
