from __future__ import annotations

import numpy as np
import pytest

from annotation.anchoring import Heard, measure_anchoring

LABELS = ("angry", "calm", "sad")


def simulate(
    *,
    swayed: float,
    faster_ms: int,
    seed: int,
    clips: int = 600,
) -> list[Heard]:
    """Answers of three people; when shown a proposal, a share `swayed` of them takes it instead of
    what they hear.
    """
    rng = np.random.default_rng(seed)
    out = []
    for clip in range(clips):
        truth = rng.integers(3)
        proposed = LABELS[rng.integers(3)]
        blind = bool(rng.random() < 0.3)
        for person in range(3):
            own = LABELS[truth] if rng.random() < 0.7 else LABELS[rng.integers(3)]
            label = proposed if not blind and rng.random() < swayed else own
            out.append(
                Heard(
                    utterance_id=f"u{clip}",
                    call=f"c{clip // 5}",
                    annotator=f"p{person}",
                    label=label,
                    proposed=proposed,
                    blind=blind,
                    lead_time_ms=int(6_000 + rng.normal(0, 800) - (0 if blind else faster_ms)),
                )
            )
    return out


def test_measure_anchoring_finds_a_known_effect() -> None:
    answers = simulate(
        swayed=0.3,
        faster_ms=1_000,
        seed=1,
    )
    anchoring = measure_anchoring(answers, draws=200)
    # Without a proposal a third agrees with it by chance; of those swayed all do.
    expected = 0.3 * (1 - 1 / 3)
    agrees = anchoring["agrees with the proposal"]
    assert agrees.low < expected < agrees.high
    assert agrees.low > 0
    assert agrees.difference == pytest.approx(agrees.shown - agrees.blind)
    assert anchoring["seconds a clip"].low < -1.0 < anchoring["seconds a clip"].high
    assert anchoring["alpha between annotators"].blind > 0.3


def test_measure_anchoring_holds_zero_when_nobody_is_swayed() -> None:
    hits = 0
    for seed in range(10):
        effect = measure_anchoring(
            simulate(swayed=0.0, faster_ms=0, seed=seed, clips=200), draws=200
        )["agrees with the proposal"]
        hits += effect.low <= 0 <= effect.high
    assert hits >= 8


def test_measure_anchoring_says_nothing_without_blind_clips() -> None:
    anchoring = measure_anchoring(
        [a for a in simulate(swayed=0.2, faster_ms=0, seed=3, clips=20) if not a.blind]
    )
    assert anchoring == {}
    assert measure_anchoring([]) == {}


def test_measure_anchoring_is_the_same_twice() -> None:
    heard = simulate(
        swayed=0.2,
        faster_ms=500,
        seed=4,
        clips=60,
    )
    assert measure_anchoring(heard, draws=50) == measure_anchoring(heard, draws=50)
