"""What stands beside a score: people, calibration, groups, baselines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.judge import draw_lot, judge_lot
from tests.training.conftest import LABELS, make_manifest
from training.config.schema import TrainingConfig
from training.judge.acoustics import acoustic_statistics
from training.judge.baselines import (
    ACOUSTICS,
    COLD_START,
    MAJORITY,
    PEOPLE,
    PROBE,
    Baseline,
)
from training.judge.calibration import calibrate, fit_temperature, scale
from training.judge.gate import Rules
from training.judge.groups import MIN_CLIPS, compare_groups
from training.judge.people import measure_agreement
from training.judge.verdict import hide_voice, reach_verdict
from training.metrics import expected_calibration_error
from training.run import run_training
from voxdata.dataset import GoldLabel, Split
from voxdata.manifest import select
from voxdata.testing.synthetic import noise, tone

AB = ("a", "b")


def gold(num_votes: int, **shares: float) -> GoldLabel:
    label = max(shares, key=shares.__getitem__)
    return GoldLabel(label=label, distribution=shares, num_votes=num_votes)


def test_measure_agreement_holds_each_vote_against_the_others() -> None:
    unanimous = measure_agreement([gold(3, a=1.0), gold(3, b=1.0)], labels=AB)
    assert unanimous.uar == 1.0
    assert unanimous.num_clips == 2
    split = measure_agreement([gold(3, a=2 / 3, b=1 / 3)], labels=AB)
    # The one b-vote faces two a-votes; each a-vote faces a tie of one a and one b.
    assert split.uar == pytest.approx((1 / 3 / (1 / 3 + 1 / 3) + 0.0) / 2)
    alone = measure_agreement([gold(1, a=1.0)], labels=AB)
    assert alone.uar is None
    assert alone.num_clips == 0


def test_fit_temperature_finds_how_much_too_sure_a_model_is() -> None:
    generator = np.random.default_rng(0)
    honest = generator.dirichlet(np.ones(3), 4_000)
    labels = np.array([generator.choice(3, p=shares) for shares in honest])
    assert fit_temperature(labels, scale(honest, 0.5)) == pytest.approx(2.0, rel=0.1)
    found = calibrate(
        validation_gold=labels[:2_000],
        validation=scale(honest, 0.4)[:2_000],
        gold=labels[2_000:],
        answers=scale(honest, 0.4)[2_000:],
    )
    assert found is not None
    assert found.ece == expected_calibration_error(labels[2_000:], scale(honest, 0.4)[2_000:])
    assert found.scaled_ece < 0.04 < found.ece
    none = np.zeros(0, dtype=np.int64)
    empty = np.zeros((0, 3))
    assert calibrate(validation_gold=none, validation=empty, gold=labels, answers=honest) is None


def test_compare_groups_puts_the_worst_first_and_leaves_small_ones_out() -> None:
    labels = np.zeros(50, dtype=np.int64)
    voices = ["lost"] * 20 + ["won"] * 20 + ["few"] * (MIN_CLIPS - 1) + ["one"]
    right, wrong = np.tile([1.0, 0.0], (50, 1)), np.tile([0.0, 1.0], (50, 1))
    before, after = wrong.copy(), right.copy()
    before[:20], after[:20] = right[:20], wrong[:20]
    groups = compare_groups(labels, before, after, {"voice": voices, "language": ["en"] * 50})
    assert [(group.name, group.change) for group in groups] == [("lost", -1.0), ("won", 1.0)]
    assert groups[0].interval.high < -0.5


def test_decide_refuses_a_model_that_fails_one_voice() -> None:
    generator = np.random.default_rng(0)
    lot = draw_lot(generator, num_clips=1_440, num_voices=48, gain=0.35)
    assert judge_lot(lot).decision.promote
    lost = np.array([voice == "3" for voice in lot.voices])
    before, after = lot.before.copy(), lot.after.copy()
    before[lost] = np.eye(5)[lot.gold[lost]]
    after[lost] = np.eye(5)[(lot.gold[lost] + 1) % 5]
    decision = judge_lot(replace(lot, before=before, after=after)).decision
    assert not decision.promote
    assert f"voice {hide_voice('3')} is right in 0% of 30 clips instead of 100%" in decision.reason
    failed = [check.name for check in decision.checks if not check.passed]
    assert failed == ["upper bound of the change of the worst group"]


@pytest.mark.parametrize(
    ("confidence", "promoted"),
    [pytest.param(1.0, False, id="too sure"), pytest.param(0.4, True, id="too unsure")],
)
def test_decide_refuses_a_model_that_is_much_surer_than_it_is_right(
    confidence: float, promoted: bool
) -> None:
    generator = np.random.default_rng(0)
    lot = draw_lot(generator, num_clips=480, num_voices=24, gain=0.3)
    verdict = reach_verdict(
        lot.gold,
        before=np.full_like(lot.before, 0.2),
        after=confidence * lot.after + (1 - confidence) / 5,
        voices=lot.voices,
        labels=("a", "b", "c", "d", "e"),
        rules=Rules(max_ece_rise=0.05),
    )
    assert verdict.decision.promote is promoted
    assert ("it is surer than it is right" in verdict.decision.reason) is not promoted


def test_run_training_measures_every_baseline(tmp_path: Path, config: TrainingConfig) -> None:
    manifest = make_manifest(tmp_path, num=48)
    tested = select(manifest, Split.TEST, scheme="emotion")
    guesses = {example.utterance_id: {"calm": 0.6, "愤怒": 0.4} for example in tested}
    right = {example.utterance_id: {example.gold["emotion"].label: 1.0} for example in tested}
    outcome = run_training(
        config, manifest, guesses, cold_start=right, cache_dir=tmp_path / "cache"
    )
    verdict = outcome.result.verdict
    beside: dict[str, Baseline] = {baseline.name: baseline for baseline in verdict.baselines}
    uars = {name: baseline.uar for name, baseline in beside.items()}
    assert uars == {MAJORITY: 0.5, COLD_START: 1.0, ACOUSTICS: 1.0, PROBE: 1.0, PEOPLE: None}
    assert beside[PEOPLE].note == "no test clip has two votes"
    assert verdict.calibration is not None
    assert verdict.calibration.num_clips == 12
    assert LABELS[0] in outcome.result.labels


def test_acoustic_statistics_are_finite_for_any_clip() -> None:
    for samples in (noise(0), noise(5), tone(2_000, frequency_hz=200), np.zeros(4_000, np.int16)):
        statistics = acoustic_statistics(samples)
        assert statistics.shape == (200,)
        assert np.isfinite(statistics).all()


def test_reach_verdict_names_no_voice() -> None:
    generator = np.random.default_rng(0)
    lot = draw_lot(generator, num_clips=480, num_voices=12, gain=0.3)
    named = tuple(f"{'ab' * 16}/S{voice}" for voice in lot.voices)
    verdict = judge_lot(replace(lot, voices=named))
    assert len(verdict.groups) == 12
    assert "abab" not in repr(verdict)
