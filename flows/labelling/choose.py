"""Acquire: which clips people should hear next, and how many fit into their time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection

from annotation.acquire import Choice, Quota, choose_next
from annotation.budget import LeadTime, LeadTimeModel, fit_lead_times, fit_to_budget
from annotation.candidate import Candidate
from flows.settings import AnnotationSettings
from flows.workspace import Say, Workspace
from voxdata.audio_digest import AudioGuard
from voxdata.dataset import Example, Split
from voxdata.errors import AudioError
from voxdata.label import Distribution, Prediction
from voxdata.utterance import Utterance
from warehouse.annotations import current_annotations
from warehouse.utterances import list_utterances

Embedding = npt.NDArray[np.float32]

SEED = 0
"""The seed of the control arm. It stays the same for the life of a project, or the arm would start again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Time that people have.

    Attributes:
        time_ms: The time that each of them has.
        annotators: How many they are.
    """

    time_ms: int
    annotators: int


def choose_clips(
    utterances: Sequence[Utterance],
    proposals: Mapping[str, Mapping[str, Prediction]],
    *,
    settings: AnnotationSettings,
    new: Collection[str],
    lead_times: LeadTimeModel,
    budget: Budget | None = None,
    embeddings: Mapping[str, Embedding] | None = None,
    heard: Sequence[Utterance] = (),
) -> dict[str, Choice]:
    """Choose among the clips that nobody has labelled yet.

    Args:
        utterances: Those clips.
        proposals: Scheme -> utterance id -> proposal.
        new: Those of them that are not in Label Studio yet; only these cost anything of the budget.
        budget: None chooses all of them, in the order in which they should be heard.
        embeddings: Utterance id -> what it sounds like; strategies that spread need them, and fall back to doubt without.
        heard: Clips that somebody labelled; strategies that spread keep away from them.

    Returns:
        Utterance id -> choice; with a budget, new clips that do not fit are left out.
    """
    if not utterances:
        return {}
    candidates = [_candidate(u, proposals, embeddings or {}) for u in utterances]
    done = [_candidate(u, proposals, embeddings or {}) for u in heard]

    def choose(some: Sequence[Candidate], count: int) -> list[Choice]:
        quotas = [Quota(**quota.model_dump()) for quota in settings.quotas]
        return choose_next(
            some, count=count, strategy=settings.strategy, random_share=settings.random_share, quotas=quotas, heard=done, seed=SEED
        )  # fmt: skip

    if budget is None:
        return {choice.utterance_id: choice for choice in choose(candidates, len(candidates))}
    there = [c for c in candidates if c.utterance_id not in new]
    coming = [c for c in candidates if c.utterance_id in new]
    chosen = choose(there, len(there)) if there else []
    if coming:
        cost_ms = sum(lead_times.predict(c.duration_ms, num_words=c.num_words) for c in coming) / len(coming) * settings.votes_wanted
        # Somewhat more than will fit, so that quotas and worth a second both have a say.
        count = min(len(coming), 10 + round(1.2 * budget.time_ms * budget.annotators / cost_ms))
        chosen += fit_to_budget(
            choose(coming, count), lead_times, budget.time_ms, annotators=budget.annotators, votes_wanted=settings.votes_wanted
        )  # fmt: skip
    return {choice.utterance_id: choice for choice in chosen}


def embed_utterances(
    workspace: Workspace, utterances: Sequence[Utterance], audio_files: Mapping[str, str], *, guard: AudioGuard, say: Say
) -> dict[str, Embedding]:
    """What utterances sound like to the speech encoder, from the cache that training uses too.

    Args:
        audio_files: Recording id -> canonical file.
        guard: Lets a recording be read when its file is what was stored; those it refuses are left out.

    Returns:
        Utterance id -> (num_features,) float32.

    Raises:
        TrainingError: A recording of which no digest is on record is missing or damaged.
    """
    from training.config import load_recipe
    from training.encoder import load_encoder
    from training.features import cached_file, load_features

    scheme = (*workspace.settings.training.schemes, workspace.schemes[0].name)[0]
    encoder = load_encoder(load_recipe(scheme, overrides=workspace.settings.training.recipe).encoder)
    cache_dir = workspace.models_dir / "features"
    for u in utterances:
        if not cached_file(encoder, cache_dir, u.utterance_id).exists():
            with suppress(AudioError):
                guard.admit(workspace.audio_dir / audio_files[u.recording_id], u.recording_id)
    heard = [u for u in utterances if u.recording_id not in guard.refused]
    if not heard:
        return {}
    examples = [
        Example(
            utterance_id=u.utterance_id, recording_id=u.recording_id, channel=u.channel, segment=u.segment, voice="", group="",
            audio_file=audio_files[u.recording_id], text=u.text, language=u.language, gold={}, split=Split.TRAIN,
        )
        for u in heard
    ]  # fmt: skip
    features = load_features(encoder, examples, audio_root=workspace.audio_dir, cache_dir=cache_dir, guard=guard, progress=say)
    return {u.utterance_id: row for u, row in zip(heard, features.values.reshape(len(heard), -1), strict=True)}


def learn_lead_times(con: DuckDBPyConnection) -> LeadTimeModel:
    """How long clips take to label, from the times that people took so far."""
    utterances = {u.utterance_id: u for u in list_utterances(con)}
    return fit_lead_times(
        [
            LeadTime(lead_time_ms=a.lead_time_ms, duration_ms=u.segment.duration_ms, num_words=len(u.text.split()))
            for a in current_annotations(con)
            if a.lead_time_ms and not a.deleted and (u := utterances.get(a.utterance_id)) is not None
        ]
    )


def _candidate(utterance: Utterance, proposals: Mapping[str, Mapping[str, Prediction]], embeddings: Mapping[str, Embedding]) -> Candidate:
    return Candidate(
        utterance_id=utterance.utterance_id,
        duration_ms=utterance.segment.duration_ms,
        distributions=_distributions(utterance.utterance_id, proposals),
        embedding=embeddings.get(utterance.utterance_id),
        language=utterance.language,
        num_words=len(utterance.text.split()),
    )


def _distributions(utterance_id: str, proposals: Mapping[str, Mapping[str, Prediction]]) -> dict[str, Distribution]:
    return {scheme: found[utterance_id].distribution for scheme, found in proposals.items() if utterance_id in found}
