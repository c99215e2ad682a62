"""What a training run says of itself, and result.json, in which it says so.

The JSON is flat and its keys are in the order of `encode_result`. A result that was stored with a
run has one part more: the model that it had to beat. Reading a result loads no model framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from training.judge.baselines import Baseline
from training.judge.calibration import Calibration
from training.judge.gate import Check, Decision
from training.judge.groups import GroupChange
from training.judge.paired import Difference
from training.judge.verdict import Verdict
from training.metrics import ClassScore, Interval, Scores
from voxdata.errors import TrainingError
from voxdata.identity import ModelRef
from voxdata.malformed import FAULTS, Readers, as_list, as_mapping, name_fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One row of the learning curves; the validation figures are None when nothing validates."""

    epoch: int
    train_loss: float
    validation_loss: float | None
    validation_uar: float | None
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderCard:
    """Which encoder made the features, and how clips became its input."""

    name: str
    revision: str
    padding_policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """How long each step took, and how much audio went through the encoder, all in seconds."""

    load: float
    features: float
    train: float
    judge: float
    audio_encoded: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """The model that a run has saved; `key` is the identity of the other three."""

    name: str
    revision: str
    params: Mapping[str, object]
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """The model that a run had to beat."""

    name: str
    key: str
    weak: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """The content of result.json.

    Attributes:
        task: What was learnt: the name of a scheme.
        labels: In the order of the head's outputs and of the confusion matrices.
        version_id: The dataset version.
        config: The values of the recipe, as they were; another recipe has other ones.
        counts: Examples, by split.
        voices: Different voices, by split.
        verdict: How the model did on the test set, beside the model before it.
        curves: One row per epoch.
        best_epoch: The epoch whose weights were kept; 1-based.
        note: What the reader must know about the fit; "" when there is nothing.
        encoder: What made the features.
        seconds: Where the time went.
        model: What was saved; None until it is.
        incumbent: The model to beat; None where a run does not know its name.
    """

    task: str
    labels: tuple[str, ...]
    version_id: str
    config: Mapping[str, object]
    counts: Mapping[str, int]
    voices: Mapping[str, int]
    verdict: Verdict
    curves: tuple[Epoch, ...]
    best_epoch: int
    note: str
    encoder: EncoderCard
    seconds: Seconds
    model: ModelCard | None = None
    incumbent: Incumbent | None = None


def model_card(model: ModelRef) -> ModelCard:
    """The identity of a saved model, as a result holds it."""
    return ModelCard(
        name=model.name,
        revision=model.revision,
        params=dict(model.params),
        key=model.key,
    )


def encode_result(result: TrainingResult) -> dict[str, object]:
    """A result as JSON values; absent parts at its end have no key."""
    row: dict[str, object] = {
        "task": result.task,
        "labels": list(result.labels),
        "version_id": result.version_id,
        "config": dict(result.config),
        "counts": dict(result.counts),
        "voices": dict(result.voices),
        **_encode_verdict(result.verdict),
        "curves": [asdict(epoch) for epoch in result.curves],
        "best_epoch": result.best_epoch,
        "note": result.note,
        "encoder": asdict(result.encoder),
        "seconds": asdict(result.seconds),
    }
    if result.model is not None:
        row["model"] = asdict(result.model)
    if result.incumbent is not None:
        row["incumbent"] = asdict(result.incumbent)
    return row | encode_evidence(result.verdict)


def decode_result(row: Mapping[str, object], *, origin: str) -> TrainingResult:
    """The inverse of `encode_result`; keys that this release does not know are left out.

    Args:
        origin: The file or run that the values come from, for messages.

    Raises:
        TrainingError: A field is missing or malformed; names `origin` and the field.
    """
    try:
        return _decode(row)
    except FAULTS as error:
        why = name_fault(row, RESULT, error)
        raise TrainingError(f"{origin}: the result is malformed: {why}; train again") from error


def _decode(row: Mapping[str, Any]) -> TrainingResult:
    model = row.get("model")
    incumbent = row.get("incumbent")
    return TrainingResult(
        task=str(row["task"]),
        labels=_decode_labels(row["labels"]),
        version_id=str(row["version_id"]),
        config=as_mapping(row["config"]),
        counts=_decode_counts(row["counts"]),
        voices=_decode_counts(row["voices"]),
        verdict=_decode_verdict(row),
        curves=_decode_curves(row["curves"]),
        best_epoch=int(row["best_epoch"]),
        note=str(row["note"]),
        encoder=_decode_encoder(row["encoder"]),
        seconds=_decode_seconds(row["seconds"]),
        model=None if model is None else _decode_model(model),
        incumbent=None if incumbent is None else _decode_incumbent(incumbent),
    )


def _encode_verdict(verdict: Verdict) -> dict[str, object]:
    before, after, difference = verdict.before, verdict.after, verdict.difference
    return {
        "before": None if before is None else _encode_scores(before),
        "after": None if after is None else _encode_scores(after),
        "difference": None if difference is None else _encode_difference(difference),
        "decision": _encode_decision(verdict.decision),
        "small_sample": verdict.small_sample,
        "warning": verdict.warning,
    }


def encode_evidence(verdict: Verdict) -> dict[str, object]:
    """What a verdict of the first release had not: no key without a value."""
    row: dict[str, object] = {}
    if verdict.baselines:
        row["baselines"] = [_encode_baseline(baseline) for baseline in verdict.baselines]
    if verdict.calibration is not None:
        row["calibration"] = asdict(verdict.calibration)
    if verdict.num_folds:
        row["num_folds"] = verdict.num_folds
    if verdict.groups:
        row["groups"] = [_encode_group(group) for group in verdict.groups]
    return row


def _encode_decision(decision: Decision) -> dict[str, object]:
    row: dict[str, object] = {"promote": decision.promote, "reason": decision.reason}
    if decision.checks:
        row["checks"] = [asdict(check) for check in decision.checks]
    return row


def _encode_baseline(baseline: Baseline) -> dict[str, object]:
    return {**asdict(baseline), "uar_interval": _encode_interval(baseline.uar_interval)}


def _encode_group(group: GroupChange) -> dict[str, object]:
    return {**asdict(group), "interval": _encode_interval(group.interval)}


def _decode_verdict(row: Mapping[str, Any]) -> Verdict:
    return Verdict(
        before=_decode_scores(row["before"]),
        after=_decode_scores(row["after"]),
        difference=_decode_difference(row["difference"]),
        decision=_decode_decision(row["decision"]),
        small_sample=bool(row["small_sample"]),
        warning=str(row["warning"]),
        groups=tuple(map(_decode_group, row.get("groups", ()))),
        baselines=tuple(map(_decode_baseline, row.get("baselines", ()))),
        calibration=_decode_calibration(row.get("calibration")),
        num_folds=int(row.get("num_folds", 0)),
    )


def _decode_group(row: Any) -> GroupChange:
    low, high = row["interval"]
    return GroupChange(
        kind=str(row["kind"]),
        name=str(row["name"]),
        num_clips=int(row["num_clips"]),
        before=float(row["before"]),
        after=float(row["after"]),
        interval=Interval(low=float(low), high=float(high)),
    )


def _decode_baseline(row: Any) -> Baseline:
    return Baseline(
        name=str(row["name"]),
        uar=_decode_optional(row["uar"]),
        macro_f1=_decode_optional(row["macro_f1"]),
        uar_interval=_decode_interval(row["uar_interval"]),
        num_clips=int(row["num_clips"]),
        note=str(row["note"]),
    )


def _decode_calibration(row: Any) -> Calibration | None:
    if row is None:
        return None
    return Calibration(
        temperature=float(row["temperature"]),
        num_clips=int(row["num_clips"]),
        ece=float(row["ece"]),
        scaled_ece=float(row["scaled_ece"]),
    )


def _encode_scores(scores: Scores) -> dict[str, object]:
    return {
        "num_clips": scores.num_clips,
        "num_voices": scores.num_voices,
        "accuracy": scores.accuracy,
        "uar": scores.uar,
        "macro_f1": scores.macro_f1,
        "ece": scores.ece,
        "overconfidence": scores.overconfidence,
        "uar_interval": _encode_interval(scores.uar_interval),
        "interval_note": scores.interval_note,
        "per_class": {label: asdict(figures) for label, figures in scores.per_class.items()},
        "confusion": [list(counts) for counts in scores.confusion],
    }


def _decode_scores(row: Any) -> Scores | None:
    if row is None:
        return None
    per_class: dict[str, ClassScore] = {}
    for label, figures in as_mapping(row["per_class"]).items():
        per_class[str(label)] = _decode_class_score(figures)
    return Scores(
        num_clips=int(row["num_clips"]),
        num_voices=int(row["num_voices"]),
        accuracy=float(row["accuracy"]),
        uar=float(row["uar"]),
        macro_f1=float(row["macro_f1"]),
        ece=float(row["ece"]),
        overconfidence=float(row.get("overconfidence", row["ece"])),
        uar_interval=_decode_interval(row["uar_interval"]),
        interval_note=str(row["interval_note"]),
        per_class=per_class,
        confusion=_decode_confusion(row["confusion"]),
    )


def _decode_confusion(rows: object) -> tuple[tuple[int, ...], ...]:
    confusion: list[tuple[int, ...]] = []
    for counts in as_list(rows):
        confusion.append(tuple(map(_decode_whole, as_list(counts))))
    return tuple(confusion)


def _decode_class_score(row: Any) -> ClassScore:
    return ClassScore(
        recall=_decode_optional(row["recall"]),
        precision=_decode_optional(row["precision"]),
        support=int(row["support"]),
    )


def _encode_difference(difference: Difference) -> dict[str, object]:
    return {
        "uar": difference.uar,
        "uar_interval": _encode_interval(difference.uar_interval),
    }


def _decode_difference(row: Any) -> Difference | None:
    if row is None:
        return None
    return Difference(
        uar=float(row["uar"]),
        uar_interval=_decode_interval(row["uar_interval"]),
    )


def _encode_interval(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def _decode_interval(bounds: Any) -> Interval | None:
    if bounds is None:
        return None
    low, high = bounds
    return Interval(low=float(low), high=float(high))


def _decode_whole(value: Any) -> int:
    return int(value)


def _decode_optional(value: Any) -> float | None:
    return None if value is None else float(value)


def _decode_labels(names: object) -> tuple[str, ...]:
    return tuple(map(str, as_list(names)))


def _decode_counts(row: object) -> dict[str, int]:
    counts: dict[str, int] = {}
    for split, number in as_mapping(row).items():
        counts[str(split)] = _decode_whole(number)
    return counts


def _decode_decision(row: Any) -> Decision:
    return Decision(
        promote=bool(row["promote"]),
        reason=str(row["reason"]),
        checks=tuple(map(_decode_check, row.get("checks", ()))),
    )


def _decode_check(row: Any) -> Check:
    return Check(
        name=str(row["name"]),
        value=_decode_optional(row["value"]),
        limit=float(row["limit"]),
        failure=str(row["failure"]),
    )


def _decode_curves(rows: object) -> tuple[Epoch, ...]:
    return tuple(map(_decode_epoch, as_list(rows)))


def _decode_epoch(row: Any) -> Epoch:
    return Epoch(
        epoch=int(row["epoch"]),
        train_loss=float(row["train_loss"]),
        validation_loss=_decode_optional(row["validation_loss"]),
        validation_uar=_decode_optional(row["validation_uar"]),
        learning_rate=float(row["learning_rate"]),
    )


def _decode_encoder(row: Any) -> EncoderCard:
    return EncoderCard(
        name=str(row["name"]),
        revision=str(row["revision"]),
        padding_policy=str(row["padding_policy"]),
    )


def _decode_seconds(row: Any) -> Seconds:
    return Seconds(
        load=float(row["load"]),
        features=float(row["features"]),
        train=float(row["train"]),
        judge=float(row["judge"]),
        audio_encoded=float(row["audio_encoded"]),
    )


def _decode_model(row: Any) -> ModelCard:
    return ModelCard(
        name=str(row["name"]),
        revision=str(row["revision"]),
        params=as_mapping(row["params"]),
        key=str(row["key"]),
    )


def _decode_incumbent(row: Any) -> Incumbent:
    return Incumbent(
        name=str(row["name"]),
        key=str(row["key"]),
        weak=bool(row["weak"]),
    )


RESULT: Readers = {
    "task": (str, "text"),
    "labels": (_decode_labels, "a list of labels"),
    "version_id": (str, "text"),
    "config": (as_mapping, "the values of a recipe"),
    "counts": (_decode_counts, "examples by split"),
    "voices": (_decode_counts, "voices by split"),
    "before": (_decode_scores, "the scores of a model, or null"),
    "after": (_decode_scores, "the scores of a model, or null"),
    "difference": (_decode_difference, "a difference with its interval, or null"),
    "decision": (_decode_decision, "whether to promote, and why"),
    "small_sample": (bool, "true or false"),
    "warning": (str, "text"),
    "curves": (_decode_curves, "a list of epochs"),
    "best_epoch": (int, "a whole number"),
    "note": (str, "text"),
    "encoder": (_decode_encoder, "name, revision and padding policy"),
    "seconds": (_decode_seconds, "seconds by step"),
}
"""The fields that every result has."""
