"""What is to be learnt from a version, checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from training.config import TrainingConfig
from training.judge.answers import Answers
from training.metrics import Floats, Ints
from voxdata.dataset import Example, Split
from voxdata.errors import TrainingError
from voxdata.label import Distribution
from voxdata.manifest import Manifest, select


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What is to be learnt, from which examples, and against which answers; checked."""

    config: TrainingConfig
    manifest: Manifest
    labels: tuple[str, ...]
    parts: Mapping[Split, list[Example]]
    incumbent: Answers
    cold_start: Answers


def prepare_lesson(
    config: TrainingConfig, manifest: Manifest, incumbent: Answers, cold_start: Answers
) -> Lesson:
    """The examples of a version under a scheme, and what they are judged beside.

    Args:
        incumbent: The answers of the model to beat for every test example.
        cold_start: Those of the cold start; empty when nobody asked it.

    Raises:
        TrainingError: Unknown scheme, leaking split, too few labels or missing answers.
    """
    lesson = Lesson(
        config=config,
        manifest=manifest,
        labels=_find_labels(config, manifest),
        parts={split: list(select(manifest, split, scheme=config.scheme)) for split in Split},
        incumbent=incumbent,
        cold_start=cold_start,
    )
    check_splits(list(chain.from_iterable(lesson.parts.values())))
    _check_labels(lesson)
    _check_incumbent(lesson)
    return lesson


def check_splits(examples: Sequence[Example]) -> None:
    """Refuse examples of which a voice, group or recording is in two splits.

    Raises:
        TrainingError: Names the first such voice, group or recording.
    """
    for kind in ("voice", "group", "recording_id"):
        split_of: dict[str, Split] = {}
        for example in examples:
            key = getattr(example, kind)
            first = split_of.setdefault(key, example.split)
            if first is not example.split:
                raise TrainingError(
                    f"the split leaks: {kind} {key!r} is in both {first} and {example.split}, "
                    "so no score would mean anything; release the version again"
                )


def _find_labels(config: TrainingConfig, manifest: Manifest) -> tuple[str, ...]:
    """The labels of the scheme that is to be learnt."""
    if config.scheme not in manifest.schemes:
        raise TrainingError(
            f"scheme {config.scheme!r} is not in version {manifest.name!r}; "
            f"it has: {', '.join(manifest.schemes)}"
        )
    return manifest.schemes[config.scheme]


def _check_labels(lesson: Lesson) -> None:
    scheme = lesson.config.scheme
    for example in chain.from_iterable(lesson.parts.values()):
        gold = example.gold[scheme]
        strange = {gold.label, *gold.distribution} - set(lesson.labels)
        if strange:
            raise TrainingError(
                f"example {example.utterance_id}: {sorted(strange)} is not in scheme {scheme!r}; "
                "release again"
            )
        shares = gold.distribution.values()
        if gold.distribution and not (min(shares) >= 0 and 0 < sum(shares) < math.inf):
            raise TrainingError(
                f"example {example.utterance_id}: the shares of its labels under {scheme!r} are no "
                "distribution; release again"
            )
    train = lesson.parts[Split.TRAIN]
    if not train:
        raise TrainingError(
            f"no training example has a label for scheme {scheme!r}; "
            "label some and release a version again"
        )
    learnt = {example.gold[scheme].label for example in train}
    if len(learnt) < 2:
        raise TrainingError(
            f"all {len(train)} training examples are labelled {learnt.pop()!r}; "
            "a model needs at least two labels to distinguish"
        )


def _check_incumbent(lesson: Lesson) -> None:
    tested = [example.utterance_id for example in lesson.parts[Split.TEST]]
    missing = [utterance_id for utterance_id in tested if utterance_id not in lesson.incumbent]
    if missing:
        raise TrainingError(
            f"the incumbent file has no answer for {len(missing)} test examples, "
            f"the first is {missing[0]}"
        )
    unasked = [utterance_id for utterance_id in tested if utterance_id not in lesson.cold_start]
    if lesson.cold_start and unasked:
        raise TrainingError(
            f"the incumbent file has no answer of the cold start for {len(unasked)} test examples, "
            f"the first is {unasked[0]}"
        )


def make_targets(lesson: Lesson, split: Split) -> Floats:
    """(num_examples, num_labels): the shares of the votes, or one-hot."""
    config, labels = lesson.config, lesson.labels
    examples = lesson.parts[split]
    rows = np.zeros((len(examples), len(labels)))
    for row, example in zip(rows, examples, strict=True):
        gold = example.gold[config.scheme]
        shares: Distribution = {gold.label: 1.0}
        if config.fit.soft_targets and gold.distribution:
            shares = gold.distribution
        for label, share in shares.items():
            row[labels.index(label)] = share
        row /= row.sum()
    return rows


def list_gold(lesson: Lesson, examples: Sequence[Example]) -> Ints:
    """(num_examples,) label indices."""
    scheme, labels = lesson.config.scheme, lesson.labels
    indices = [labels.index(example.gold[scheme].label) for example in examples]
    return np.array(indices, dtype=np.int64)
