"""Which clips a push chooses, with and without a budget."""

from __future__ import annotations

import pytest

from annotation.budget import fit_lead_times, parse_duration
from flows.acquire import Budget, choose_clips
from flows.settings import AnnotationSettings
from voxdata.errors import ConfigError
from voxdata.identity import ModelRef
from voxdata.label import Prediction
from voxdata.testing import make_utterance

MODEL = ModelRef(name="m", revision="1")
UTTERANCES = [make_utterance(1_000 * i, 1_000 * i + 900, language="zh" if i % 10 == 0 else "en") for i in range(100)]
KEYS = [u.utterance_id for u in UTTERANCES]
PROPOSALS = {
    "intent": {
        key: Prediction(utterance_id=key, scheme="intent", distribution={"ask": 0.5 + i / 200, "tell": 0.5 - i / 200}, model=MODEL)
        for i, key in enumerate(KEYS)
    }
}
PRIOR = fit_lead_times([])


def settings(**fields: object) -> AnnotationSettings:
    return AnnotationSettings.model_validate({"strategy": "margin", **fields})


def test_choose_clips_orders_all_of_them_the_most_doubtful_first_and_keeps_a_control_arm() -> None:
    found = choose_clips(UTTERANCES, PROPOSALS, settings=settings(), new=set(KEYS), lead_times=PRIOR)
    assert set(found) == set(KEYS)
    assert sum(choice.arm == "random" for choice in found.values()) == 10
    active = sorted((c for c in found.values() if c.arm == "active"), key=lambda c: -c.score)
    assert [KEYS.index(c.utterance_id) for c in active] == sorted(KEYS.index(c.utterance_id) for c in active)


def test_choose_clips_keeps_to_the_budget_and_to_quotas() -> None:
    one_ms = PRIOR.predict(900, num_words=1)
    budget = Budget(time_ms=10 * one_ms, annotators=2)
    found = choose_clips(UTTERANCES, PROPOSALS, settings=settings(), new=set(KEYS), lead_times=PRIOR, budget=budget)
    assert len(found) == 20
    twice = choose_clips(UTTERANCES, PROPOSALS, settings=settings(votes_wanted=2), new=set(KEYS), lead_times=PRIOR, budget=budget)
    assert len(twice) == 10
    quota = {"share": 0.1, "language": "zh"}
    with_quota = choose_clips(
        UTTERANCES, PROPOSALS, settings=settings(quotas=[quota], random_share=0.02), new=set(KEYS), lead_times=PRIOR, budget=budget
    )
    assert sum(c.candidate.language == "zh" for c in with_quota.values()) >= 2


def test_choose_clips_spends_nothing_of_the_budget_on_what_is_there() -> None:
    one_ms = PRIOR.predict(900, num_words=1)
    found = choose_clips(
        UTTERANCES, PROPOSALS, settings=settings(), new=set(KEYS[:50]), lead_times=PRIOR, budget=Budget(time_ms=5 * one_ms, annotators=1)
    )
    assert set(KEYS[50:]) <= set(found)
    assert len(found) == 55


@pytest.mark.parametrize("text", ["", "abc", "0min", "-5min", "45", "1h1h"])
def test_parse_duration_refuses(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_duration(text)
