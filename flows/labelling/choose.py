"""Acquire: which clips people should hear next, and how many fit into their time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection

from annotation.acquire import Choice, Quota, choose_next
from annotation.budget import (
    LeadTime,
    LeadTimeModel,
    fit_lead_times,
    fit_to_budget,
    parse_duration,
)
from annotation.candidate import Candidate
from flows.settings import AnnotationSettings
from flows.workspace import Say, Workspace
from voxdata.audio_digest import AudioGuard
from voxdata.dataset import Example, Split
from voxdata.errors import AudioError
from voxdata.label import Prediction
from voxdata.utterance import Utterance
from warehouse.annotations import list_lead_times

if TYPE_CHECKING:
    from training.config import TrainingConfig
    from training.models.backbone import Backbone

Embedding = npt.NDArray[np.float32]

SEED = 0
"""The seed of the control arm. It stays the same for the life of a project, or the arm would start
again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Time that people have.

    Attributes:
        time_ms: The time that each of them has.
        annotators: How many they are.
    """

    time_ms: int
    annotators: int


def read_budget(text: str, annotators: int) -> Budget | None:
    """The time that people have, such as "45min" each; None when nothing is said of it.

    Raises:
        ConfigError: It is no length of time.
    """
    return Budget(time_ms=parse_duration(text), annotators=annotators) if text else None


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
        new: Those of them that are not in Label Studio yet; only these cost anything of the
            budget.
        budget: None chooses all of them, in the order in which they should be heard.
        embeddings: Utterance id -> what it sounds like; strategies that spread need them, and fall
            back to doubt without.
        heard: Clips that somebody labelled; strategies that spread keep away from them.

    Returns:
        Utterance id -> choice; with a budget, new clips that do not fit are left out.
    """
    if not utterances:
        return {}
    candidates = [_candidate(u, proposals, embeddings or {}) for u in utterances]
    labelled = [_candidate(u, proposals, embeddings or {}) for u in heard]
    if budget is None:
        choices = _choose(candidates, len(candidates), settings, labelled)
        return {choice.utterance_id: choice for choice in choices}
    present = [c for c in candidates if c.utterance_id not in new]
    coming = [c for c in candidates if c.utterance_id in new]
    choices = _choose(present, len(present), settings, labelled) if present else []
    if coming:
        count = _count_offered(coming, settings, lead_times, budget)
        choices += fit_to_budget(
            _choose(coming, count, settings, labelled),
            lead_times,
            budget.time_ms,
            annotators=budget.annotators,
            votes_wanted=settings.votes_wanted,
        )
    return {choice.utterance_id: choice for choice in choices}


def _choose(
    candidates: Sequence[Candidate],
    count: int,
    settings: AnnotationSettings,
    labelled: Sequence[Candidate],
) -> list[Choice]:
    return choose_next(
        candidates,
        count=count,
        strategy=settings.strategy,
        random_share=settings.random_share,
        quotas=[Quota(**quota.model_dump()) for quota in settings.quotas],
        heard=labelled,
        seed=SEED,
    )


def _count_offered(
    candidates: Sequence[Candidate],
    settings: AnnotationSettings,
    lead_times: LeadTimeModel,
    budget: Budget,
) -> int:
    """Somewhat more than will fit, so that quotas and worth a second both have a say."""
    costs_ms = [lead_times.predict(c.duration_ms, num_words=c.num_words) for c in candidates]
    cost_ms = sum(costs_ms) / len(candidates) * settings.votes_wanted
    return min(len(candidates), 10 + round(1.2 * budget.time_ms * budget.annotators / cost_ms))


def embed_utterances(
    workspace: Workspace,
    utterances: Sequence[Utterance],
    audio_files: Mapping[str, str],
    *,
    guard: AudioGuard,
    say: Say,
) -> dict[str, Embedding]:
    """What utterances sound like to the speech encoder, from the cache that training uses too.

    Args:
        audio_files: Recording id -> canonical file.
        guard: Lets a recording be read when its file is what was stored; those it refuses are left
            out.

    Returns:
        Utterance id -> (num_features,) float32.

    Raises:
        TrainingError: A recording of which no digest is on record is missing or damaged.
    """
    encoder = _load_encoder(workspace)
    for utterance in _find_uncached(workspace, encoder, utterances):
        with suppress(AudioError):
            path = workspace.audio_dir / audio_files[utterance.recording_id]
            guard.admit(path, utterance.recording_id)
    readable = [u for u in utterances if u.recording_id not in guard.refused]
    return _load_embeddings(workspace, encoder, readable, audio_files, guard=guard, say=say)


def read_embeddings(
    workspace: Workspace,
    utterances: Sequence[Utterance],
    audio_files: Mapping[str, str],
    *,
    guard: AudioGuard,
    say: Say,
) -> dict[str, Embedding] | None:
    """The same from the cache alone; None when one is not in it.

    Writes nothing, unless what is cached was damaged.

    Args:
        guard: Of these recordings; none of them is read.
    """
    if not _cache_dir(workspace).is_dir():
        return None
    encoder = _load_encoder(workspace)
    if _find_uncached(workspace, encoder, utterances):
        return None
    return _load_embeddings(workspace, encoder, utterances, audio_files, guard=guard, say=say)


def _cache_dir(workspace: Workspace) -> Path:
    return workspace.models_dir / "features"


def _recipe(workspace: Workspace) -> TrainingConfig:
    """The recipe whose encoder and pooling are used: that of the first scheme that is trained."""
    from training.config import load_recipe

    training = workspace.settings.training
    scheme = (*training.schemes, workspace.schemes[0].name)[0]
    return load_recipe(scheme, overrides=training.recipe)


def _load_encoder(workspace: Workspace) -> Backbone:
    from training.encoder import load_encoder

    compute = workspace.settings.training.compute
    return load_encoder(_recipe(workspace).encoder, compute=compute)


def _find_uncached(
    workspace: Workspace, encoder: Backbone, utterances: Sequence[Utterance]
) -> list[Utterance]:
    from training.features import find_uncached

    uncached = find_uncached(
        encoder,
        _cache_dir(workspace),
        [utterance.utterance_id for utterance in utterances],
        pooling=_recipe(workspace).audio.pooling,
    )
    return [utterance for utterance in utterances if utterance.utterance_id in uncached]


def _load_embeddings(
    workspace: Workspace,
    encoder: Backbone,
    utterances: Sequence[Utterance],
    audio_files: Mapping[str, str],
    *,
    guard: AudioGuard,
    say: Say,
) -> dict[str, Embedding]:
    from training.features import load_features

    if not utterances:
        return {}
    features = load_features(
        encoder,
        [_unlabelled_example(u, audio_files[u.recording_id]) for u in utterances],
        audio_root=workspace.audio_dir,
        cache_dir=_cache_dir(workspace),
        guard=guard,
        pooling=_recipe(workspace).audio.pooling,
        progress=say,
    )
    rows = features.values.reshape(len(utterances), -1)
    return {u.utterance_id: row for u, row in zip(utterances, rows, strict=True)}


def _unlabelled_example(utterance: Utterance, audio_file: str) -> Example:
    return Example(
        utterance_id=utterance.utterance_id,
        recording_id=utterance.recording_id,
        channel=utterance.channel,
        segment=utterance.segment,
        voice="",
        group="",
        audio_file=audio_file,
        text=utterance.text,
        language=utterance.language,
        gold={},
        split=Split.TRAIN,
    )


def learn_lead_times(con: DuckDBPyConnection) -> LeadTimeModel:
    """How long clips take to label, from the times that people took so far."""
    return fit_lead_times(
        [
            LeadTime(
                lead_time_ms=row.lead_time_ms,
                duration_ms=row.duration_ms,
                num_words=len(row.text.split()),
            )
            for row in list_lead_times(con)
        ]
    )


def _candidate(
    utterance: Utterance,
    proposals: Mapping[str, Mapping[str, Prediction]],
    embeddings: Mapping[str, Embedding],
) -> Candidate:
    utterance_id = utterance.utterance_id
    distributions = {
        scheme: of_scheme[utterance_id].distribution
        for scheme, of_scheme in proposals.items()
        if utterance_id in of_scheme
    }
    return Candidate(
        utterance_id=utterance_id,
        duration_ms=utterance.segment.duration_ms,
        distributions=distributions,
        embedding=embeddings.get(utterance_id),
        language=utterance.language,
        num_words=len(utterance.text.split()),
    )
