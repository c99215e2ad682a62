"""Who takes over: on simulated models, by a test that cannot be lucky."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.judge import Lot, count_promotions, draw_lot, judge_lot
from training.judge.gate import Rules, decide
from training.judge.verdict import Verdict


def judge(*, num_clips: int = 480, num_voices: int = 24, gain: float = 0.3) -> Verdict:
    generator = np.random.default_rng(0)
    return judge_lot(
        draw_lot(generator, num_clips=num_clips, num_voices=num_voices, gain=gain),
    )


def test_decide_promotes_when_the_whole_interval_is_above_the_gate() -> None:
    verdict = judge()
    assert verdict.before is not None
    assert verdict.after is not None
    assert verdict.difference is not None
    interval = verdict.difference.uar_interval
    assert interval is not None
    assert verdict.decision.promote
    assert verdict.decision.reason == (
        f"better: UAR {verdict.before.uar:.3f} -> {verdict.after.uar:.3f} "
        f"({verdict.difference.uar:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]) "
        "on 480 clips of 24 voices; the lower bound must be above +0.000"
    )
    gate = (interval.low + verdict.difference.uar) / 2
    decision = decide(verdict.before, verdict.after, verdict.difference, rules=Rules(min_gain=gate))
    assert not decision.promote
    assert "not shown to be better" in decision.reason


@pytest.mark.parametrize(
    ("num_clips", "num_voices", "missing"),
    [
        (59, 24, "a decision needs 60 test clips (1 more)"),
        (480, 4, "a decision needs 5 test voices (1 more)"),
        (17, 2, "a decision needs 60 test clips (43 more) and 5 test voices (3 more)"),
    ],
)
def test_decide_says_what_is_missing_when_the_test_set_is_small(
    num_clips: int, num_voices: int, missing: str
) -> None:
    decision = judge(num_clips=num_clips, num_voices=num_voices, gain=0.4).decision
    assert not decision.promote
    assert decision.reason.startswith("undecided: UAR ")
    assert decision.reason.endswith(missing)


def test_decide_promotes_nothing_when_the_test_set_is_empty_or_has_one_label() -> None:
    assert "empty" in decide(None, None, None).reason
    generator = np.random.default_rng(0)
    lot = draw_lot(generator, num_clips=480, num_voices=24, gain=0.3)
    one_label = replace(lot, gold=lot.gold * 0)
    assert not judge_lot(one_label).decision.promote
    assert "one label" in judge_lot(one_label).decision.reason


def test_decide_never_promotes_a_model_that_answers_alike() -> None:
    generator = np.random.default_rng(0)
    lot: Lot = draw_lot(generator, num_clips=480, num_voices=24, gain=0.3)
    same = judge_lot(replace(lot, after=lot.before))
    assert same.difference is not None
    assert same.difference.uar_interval == (0.0, 0.0)
    assert not same.decision.promote


@pytest.mark.parametrize(("num_clips", "num_voices"), [(60, 6), (200, 10), (480, 24)])
def test_judge_promotes_equal_models_seldom(num_clips: int, num_voices: int) -> None:
    tally = count_promotions(num_clips=num_clips, num_voices=num_voices, gain=0.0, draws=80)
    assert tally.by_gate <= 8
    assert tally.by_point >= 20


def test_judge_promotes_ten_points_on_many_voices() -> None:
    tally = count_promotions(num_clips=480, num_voices=24, gain=0.1, draws=80)
    assert tally.by_gate >= 44
