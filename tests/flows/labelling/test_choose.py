"""Which clips a push chooses, with and without a budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from annotation.budget import fit_lead_times, parse_duration
from benchmarks.annotation_workspace import make_workspace
from flows.labelling.choose import Budget, choose_clips, embed_utterances
from flows.settings import AnnotationSettings
from training.feature_files import feature_name, find_shards, read_names
from voxdata.audio_digest import AudioGuard
from voxdata.errors import ConfigError
from voxdata.identity import ModelRef
from voxdata.label import Prediction
from voxdata.testing import make_utterance
from warehouse.recordings import list_recordings
from warehouse.utterances import list_utterances

MODEL = ModelRef(name="m", revision="1")
UTTERANCES = [
    make_utterance(1_000 * i, 1_000 * i + 900, language=("en", "zh")[i % 10 == 0])
    for i in range(100)
]
KEYS = [u.utterance_id for u in UTTERANCES]
PROPOSALS = {
    "intent": {
        key: Prediction(
            utterance_id=key,
            scheme="intent",
            distribution={"ask": 0.5 + i / 200, "tell": 0.5 - i / 200},
            model=MODEL,
        )
        for i, key in enumerate(KEYS)
    }
}
PRIOR = fit_lead_times([])


def settings(**fields: object) -> AnnotationSettings:
    return AnnotationSettings.model_validate({"strategy": "margin", **fields})


def test_choose_clips_orders_all_of_them_the_most_doubtful_first_and_keeps_a_control_arm() -> None:
    chosen = choose_clips(
        UTTERANCES,
        PROPOSALS,
        settings=settings(),
        new=set(KEYS),
        lead_times=PRIOR,
    )
    assert set(chosen) == set(KEYS)
    assert sum(choice.arm == "random" for choice in chosen.values()) == 10
    active = sorted((c for c in chosen.values() if c.arm == "active"), key=lambda c: -c.score)
    assert [KEYS.index(c.utterance_id) for c in active] == sorted(
        KEYS.index(c.utterance_id) for c in active
    )


def test_choose_clips_keeps_to_the_budget_and_to_quotas() -> None:
    one_ms = PRIOR.predict(900, num_words=1)
    budget = Budget(time_ms=10 * one_ms, annotators=2)
    chosen = choose_clips(
        UTTERANCES,
        PROPOSALS,
        settings=settings(),
        new=set(KEYS),
        lead_times=PRIOR,
        budget=budget,
    )
    assert len(chosen) == 20
    twice = choose_clips(
        UTTERANCES,
        PROPOSALS,
        settings=settings(votes_wanted=2),
        new=set(KEYS),
        lead_times=PRIOR,
        budget=budget,
    )
    assert len(twice) == 10
    quota = {"share": 0.1, "language": "zh"}
    with_quota = choose_clips(
        UTTERANCES,
        PROPOSALS,
        settings=settings(quotas=[quota], random_share=0.02),
        new=set(KEYS),
        lead_times=PRIOR,
        budget=budget,
    )
    assert sum(c.candidate.language == "zh" for c in with_quota.values()) >= 2


def test_choose_clips_spends_nothing_of_the_budget_on_what_is_there() -> None:
    one_ms = PRIOR.predict(900, num_words=1)
    chosen = choose_clips(
        UTTERANCES,
        PROPOSALS,
        settings=settings(),
        new=set(KEYS[:50]),
        lead_times=PRIOR,
        budget=Budget(time_ms=5 * one_ms, annotators=1),
    )
    assert set(KEYS[50:]) <= set(chosen)
    assert len(chosen) == 55


def test_choose_clips_spreads_by_embeddings_and_keeps_away_from_what_was_heard() -> None:
    near = np.array([1.0, 0.0], np.float32)
    far = np.array([0.0, 1.0], np.float32)
    embeddings = dict.fromkeys(KEYS[:50], near) | dict.fromkeys(KEYS[50:], far)
    jitter = np.random.default_rng(0)
    embeddings = {
        key: vector + jitter.normal(0, 0.01, 2).astype(np.float32)
        for key, vector in embeddings.items()
    }
    chosen = choose_clips(
        UTTERANCES[1:],
        {},
        settings=settings(strategy="coverage", random_share=0.02),
        new=set(KEYS[1:]),
        lead_times=PRIOR,
        embeddings=embeddings,
        heard=UTTERANCES[:1],
    )
    first = max((c for c in chosen.values() if c.arm == "active"), key=lambda c: c.score)
    assert KEYS.index(first.utterance_id) >= 50


@pytest.mark.slow
def test_embed_utterances_shares_the_cache_with_training(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, clips=3, name="calls")
    with workspace.warehouse() as con:
        utterances = list_utterances(con)
        files = {s.recording.recording_id: s.audio_file for s in list_recordings(con)}
    lines: list[str] = []
    first = embed_utterances(
        workspace,
        utterances,
        files,
        guard=AudioGuard({}),
        say=lines.append,
    )
    assert {vector.ndim for vector in first.values()} == {1}
    (shard,) = find_shards(workspace.models_dir / "features")
    assert set(read_names(shard)) == {feature_name(u.utterance_id) for u in utterances}
    assert len(utterances) == 3
    again = embed_utterances(
        workspace,
        utterances,
        files,
        guard=AudioGuard({}),
        say=lines.append,
    )
    assert all((again[key] == vector).all() for key, vector in first.items())


@pytest.mark.parametrize(
    "text",
    ["", "abc", "0min", "-5min", "45", "1h1h"],
)
def test_parse_duration_refuses(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_duration(text)
