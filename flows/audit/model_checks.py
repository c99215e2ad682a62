"""What models find in an audited corpus: the label or the split guessed from the recording's
channel alone, and labels that look wrong.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from annotation.label_errors import LabelDoubt, find_label_errors, out_of_fold
from voxdata.audit.clips import HeardClip
from voxdata.audit.findings import MAX_EVIDENCE, Finding, Severity, Statistic, limit_evidence
from voxdata.audit.groups import SURE, TELLING_GAIN
from voxdata.audit.predictors import NUM_PERMUTATIONS, encode_codes
from voxdata.errors import ConfigError

MIN_CLIPS = 40
NUM_FOLDS = 5
WRONG_SHARE = 0.1
"""Share of labels estimated wrong from which on that is a warning, when the model is good enough to
say so.
"""


def judge_channel(
    heard: Sequence[HeardClip], targets: Sequence[str], groups: Sequence[str], *, of: str, seed: int
) -> tuple[Statistic | None, Finding | None]:
    """How well rate, codec, bandwidth, noise floor and clipping guess a target, never heard with
    the same speaker in training.

    The level is left out: people who are angry are louder.

    Args:
        targets: (num_clips,) the label or the split of each clip.
        groups: (num_clips,) speaker, or whatever may not be on both sides.
        of: "label" or "split".

    Returns:
        None twice when there are too few clips or groups to say.
    """
    from sklearn.metrics import balanced_accuracy_score  # type: ignore[import-untyped]

    answers = encode_codes(targets)
    counts = np.bincount(answers)
    groups_of: defaultdict[int, set[object]] = defaultdict(set)
    for group, answer in zip(groups, answers, strict=True):
        groups_of[int(answer)].add(group)
    spread = min(len(groups_of[label]) for label in range(len(counts)))
    num_folds = min(NUM_FOLDS, int(counts.min()), spread)
    if len(heard) < MIN_CLIPS or len(counts) < 2 or num_folds < 2:
        return None, None
    values = _channel_values(heard)
    guesses = _guess_held_out(
        values, answers, groups=encode_codes(groups), num_folds=num_folds, seed=seed
    )
    draws = np.random.default_rng(seed)
    value = float(balanced_accuracy_score(answers, guesses))
    null = np.array(
        [
            balanced_accuracy_score(draws.permutation(answers), guesses)
            for _ in range(NUM_PERMUTATIONS)
        ]
    )
    low, high = np.percentile(null, (2.5, 97.5))
    statistic = _compare(
        value,
        null,
        name=f"{of} by recording channel alone (balanced accuracy)",
        baseline=1 / len(counts),
        num_rows=len(heard),
    )
    if statistic.p_value > SURE or statistic.gain < TELLING_GAIN:
        return statistic, None
    conditions = _describe_channels(heard, targets, of=of)
    chance = f"{low:.0%} to {high:.0%}"
    return statistic, _find_channel(statistic, conditions, value=value, chance=chance, of=of)


def _find_channel(
    statistic: Statistic, conditions: pl.DataFrame, *, value: float, chance: str, of: str
) -> Finding:
    return Finding(
        check=f"channel_gives_{of}",
        severity=Severity.WARNING,
        title=(
            f"rate, codec, bandwidth, noise floor and clipping guess {value:.0%} of the {of}s of "
            f"held-out clips (chance {chance}): the recording condition goes with the {of}"
        ),
        remedy=(
            f"record every {of} under the same conditions, or bring all files to one rate, "
            "codec and bandwidth before training"
        ),
        evidence=limit_evidence(conditions.to_dicts()),
        count=conditions.height,
        statistics=[statistic],
    )


def _channel_values(heard: Sequence[HeardClip]) -> npt.NDArray[np.float64]:
    """(num_clips, 5): rate, codec, bandwidth, noise floor and clipping of each clip."""
    codecs = encode_codes([clip.codec for clip in heard])
    rows: list[list[float]] = []
    for clip, codec in zip(heard, codecs, strict=True):
        quality = clip.quality
        rows.append(
            [clip.rate_hz, codec, quality.bandwidth_hz, clip.noise_db, quality.clipping_ratio]
        )
    return np.array(rows)


def _guess_held_out(
    values: npt.NDArray[np.float64],
    answers: npt.NDArray[np.int64],
    *,
    groups: npt.NDArray[np.int64],
    num_folds: int,
    seed: int,
) -> npt.NDArray[np.int64]:
    """(num_clips,) the answer that a forest gives which was trained on other groups."""
    from sklearn.ensemble import RandomForestClassifier  # type: ignore[import-untyped]
    from sklearn.model_selection import (  # type: ignore[import-untyped]
        StratifiedGroupKFold,
        cross_val_predict,
    )

    model = RandomForestClassifier(
        60, min_samples_leaf=3, class_weight="balanced", random_state=seed, n_jobs=1
    )
    folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        guesses: npt.NDArray[np.int64] = cross_val_predict(
            model, values, answers, groups=groups, cv=folds
        )
    return guesses


def _describe_channels(
    heard: Sequence[HeardClip], targets: Sequence[str], *, of: str
) -> pl.DataFrame:
    """How each target was recorded, as evidence."""
    clips = pl.DataFrame(
        {
            of: list(targets),
            "codec": [clip.codec for clip in heard],
            "bandwidth_hz": [clip.quality.bandwidth_hz for clip in heard],
            "noise_db": [clip.noise_db for clip in heard],
        }
    )
    described = clips.group_by(of).agg(
        pl.len().alias("clips"),
        pl.col("codec").mode().sort().first(),
        pl.col("bandwidth_hz").median(),
        pl.col("noise_db").median(),
    )
    return described.sort(of)


def judge_labels(
    frame: pl.DataFrame, heard: Sequence[HeardClip], groups: Sequence[str], *, seed: int
) -> tuple[str, Statistic | None, Finding | None]:
    """Labels that models of other people's clips find implausible, by cleanlab.

    They see mean and deviation of log-mel bands. These features are cheap: where they hardly tell
    the labels apart the list is short of errors, and the finding says so.

    Returns:
        What came of it in a sentence, how good the models are, and the finding.
    """
    labels = [str(frame["label"][clip.at]) for clip in heard]
    if len(heard) < MIN_CLIPS:
        return f"not checked: needs {MIN_CLIPS} clips", None, None
    features = np.stack([clip.features for clip in heard]).astype(np.float64)
    deviation = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(deviation > 1e-6, deviation, 1.0)
    try:
        predicted = out_of_fold(features, labels, groups, num_folds=NUM_FOLDS, seed=seed)
        doubts = find_label_errors([str(clip.at) for clip in heard], labels, predicted)
    except ConfigError as error:
        return f"not checked: {error}", None, None
    guessed = np.array([predicted.labels[i] for i in predicted.probabilities.argmax(axis=1)])
    value = float((np.array(labels) == guessed).mean())
    statistic = _rate_guesses(labels, guessed, value=value, seed=seed)
    if not doubts:
        return "no label is doubted", statistic, None
    if statistic.p_value > SURE:
        return (
            f"not checked: cheap features guess {value:.0%} of the labels, no better than chance",
            statistic,
            None,
        )
    able = statistic.gain >= TELLING_GAIN
    doubts = doubts if able else doubts[:MAX_EVIDENCE]
    share = len(doubts) / len(heard)
    severity = Severity.WARNING if able and share >= WRONG_SHARE else Severity.NOTE
    evidence = [_doubt_row(frame, doubt) for doubt in doubts]
    title = (
        f"{len(doubts)} of {len(heard)} labels ({share:.0%}) are doubted by models that never "
        "heard these clips or their speakers"
        if able
        else f"the {len(doubts)} least plausible labels are listed; "
        f"many are right, for the features guess only {value:.0%} of all labels"
    )
    finding = Finding(
        check="label_noise",
        severity=severity,
        title=title,
        remedy="listen to them, worst first, and correct what is wrong",
        evidence=limit_evidence(evidence),
        count=len(doubts),
        statistics=[statistic],
    )
    return title, statistic, finding


def _doubt_row(frame: pl.DataFrame, doubt: LabelDoubt) -> dict[str, object]:
    at = int(doubt.utterance_id)
    return {
        "row": frame["row"][at],
        "audio": frame["audio"][at],
        "label": doubt.given,
        "looks like": doubt.suggested,
        "plausibility": round(doubt.quality, 4),
    }


def _rate_guesses(
    labels: Sequence[str], guessed: npt.NDArray[np.str_], *, value: float, seed: int
) -> Statistic:
    """How often the guesses are the labels, beside how often they would be by chance.

    Args:
        labels: (num_clips,) one at the least.
        guessed: (num_clips,)
        value: Share of guesses that are right.
    """
    given = np.array(labels)
    draws = np.random.default_rng(seed)
    null = np.array([(draws.permutation(given) == guessed).mean() for _ in range(NUM_PERMUTATIONS)])
    commonest = float(np.bincount(encode_codes(labels)).max() / len(labels))
    return _compare(
        value,
        null,
        name="label by cheap features, held-out clips",
        baseline=commonest,
        num_rows=len(labels),
    )


def _compare(
    value: float,
    null: npt.NDArray[np.float64],
    *,
    name: str,
    baseline: float,
    num_rows: int,
) -> Statistic:
    """A value beside what chance gives.

    Args:
        null: (num_permutations,) the value with shuffled answers.
    """
    low, high = np.percentile(null, (2.5, 97.5))
    return Statistic(
        name=name,
        value=round(value, 4),
        baseline=round(baseline, 4),
        null_low=round(float(low), 4),
        null_high=round(float(high), 4),
        p_value=round((1 + int((null >= value).sum())) / (1 + len(null)), 4),
        num_rows=num_rows,
    )
