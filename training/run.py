"""One training run: manifest in, judged checkpoint out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from time import monotonic

import numpy as np
import torch

from training.checkpoint import Checkpoint, save_checkpoint
from training.compute import ON_CPU, Compute
from training.config import TrainingConfig, encode_config
from training.device import open_device
from training.encoder import load_encoder
from training.feature_files import PADDING_POLICY
from training.feature_store import DTYPE
from training.features import FeatureSet, load_features, read_samples
from training.judge.answers import Answers
from training.judge.baselines import Lesson as BaselineLesson
from training.judge.baselines import measure_baselines
from training.judge.calibration import calibrate
from training.judge.gate import Rules
from training.judge.verdict import Verdict, reach_verdict
from training.loop import Fit, fit_head, predict
from training.metrics import Floats, Ints
from training.models.backbone import Backbone
from training.result import (
    EncoderCard,
    Epoch,
    Seconds,
    TrainingResult,
    encode_result,
    model_card,
)
from training.state import SAVE_EVERY_S, StateKeeper, remove_state
from voxdata.audio_digest import AudioGuard
from voxdata.dataset import Example, Split
from voxdata.durable import write_file, writing
from voxdata.errors import TrainingError
from voxdata.identity import ModelRef, canonical_json, digest
from voxdata.label import Distribution, top_label
from voxdata.manifest import Manifest, select
from voxdata.ports import Samples

LIBRARIES = ("torch", "transformers", "numpy", "voxdata")
"""Their versions are kept with a checkpoint."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a run has made.

    Attributes:
        result: The content of result.json, but for the identity of the model.
        fit: The head and its curves.
        predictions: Test utterance id -> distribution.
        checkpoint: Ready to be saved.
    """

    result: TrainingResult
    fit: Fit
    predictions: dict[str, dict[str, float]]
    checkpoint: Checkpoint


def run_training(
    config: TrainingConfig,
    manifest: Manifest,
    incumbent: Answers,
    *,
    cold_start: Answers | None = None,
    cache_dir: Path,
    compute: Compute = ON_CPU,
    encoder: Backbone | None = None,
    state_dir: Path | None = None,
    state_every_s: float = SAVE_EVERY_S,
    say: Say | None = None,
) -> Outcome:
    """Features, training, judgement.

    Args:
        incumbent: The answers of the model to beat for every test example.
        cold_start: Those of the cold start; None when nobody asked it.
        cache_dir: Folder of cached features.
        compute: Where the encoder runs, unless it is loaded, and the head learns.
        encoder: Already loaded; None: `config.encoder`.
        state_dir: The folder of the run, in which it keeps how far it has come; None keeps nothing.
        state_every_s: Seconds between two writes of that; 0 writes after each batch.

    Raises:
        TrainingError: Unknown scheme, leaking split, too few labels, missing audio or missing
            answers.
        ConfigError: This machine has no such device.
    """
    tell = say or _say_nothing
    lesson = _prepare(config, manifest, incumbent, cold_start or {})
    watch = _Stopwatch()
    encoder = encoder or load_encoder(config.encoder, compute=compute)
    watch.lap("load")
    features = _encode_parts(lesson, encoder, cache_dir=cache_dir, say=tell)
    watch.lap("features")
    keeper = None
    if state_dir is not None:
        identity = _identify_fit(lesson, encoder, compute)
        keeper = StateKeeper(state_dir, identity=identity, every_s=state_every_s, say=tell)
    fit = _fit(lesson, features, device=open_device(compute), keeper=keeper, say=tell)
    watch.lap("train")
    answers = predict(fit.head, features[Split.TEST].rows)
    verdict = _judge(lesson, fit, features, answers)
    watch.lap("judge")

    seconds = _add_up(watch, features)
    return Outcome(
        result=_make_result(lesson, encoder, fit, verdict, seconds),
        fit=fit,
        predictions=_name_answers(lesson, answers),
        checkpoint=_make_checkpoint(lesson, encoder, fit, features[Split.TRAIN]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """What is to be learnt, from which examples, and against which answers; checked."""

    config: TrainingConfig
    manifest: Manifest
    labels: tuple[str, ...]
    parts: Mapping[Split, list[Example]]
    incumbent: Answers
    cold_start: Answers


class _Stopwatch:
    """Seconds of each lap."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._lap_began = monotonic()

    def lap(self, name: str) -> None:
        """End a lap; the next one begins."""
        now = monotonic()
        self.laps[name] = now - self._lap_began
        self._lap_began = now


def _prepare(
    config: TrainingConfig, manifest: Manifest, incumbent: Answers, cold_start: Answers
) -> _Lesson:
    lesson = _Lesson(
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


def _say_nothing(_line: str) -> None:
    return None


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


def _check_labels(lesson: _Lesson) -> None:
    scheme = lesson.config.scheme
    for example in chain.from_iterable(lesson.parts.values()):
        gold = example.gold[scheme]
        strange = {gold.label, *gold.distribution} - set(lesson.labels)
        if strange:
            raise TrainingError(
                f"example {example.utterance_id}: {sorted(strange)} is not in scheme {scheme!r}; "
                "release again"
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


def _check_incumbent(lesson: _Lesson) -> None:
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


def _encode_parts(
    lesson: _Lesson, encoder: Backbone, *, cache_dir: Path, say: Say
) -> dict[Split, FeatureSet]:
    """Features of every split; a split without examples has none, of the same shape."""
    guard = AudioGuard(lesson.manifest.audio)
    features: dict[Split, FeatureSet] = {}
    for split, examples in lesson.parts.items():
        if examples:
            features[split] = load_features(
                encoder,
                examples,
                audio_root=lesson.manifest.audio_root,
                cache_dir=cache_dir,
                guard=guard,
                pooling=lesson.config.audio.pooling,
                progress=_say_of(split, say),
            )
        else:
            features[split] = _no_features(like=features[Split.TRAIN])
    return features


def _no_features(*, like: FeatureSet) -> FeatureSet:
    clip_shape = like.rows.shape[1:]
    return FeatureSet(
        rows=np.zeros((0, *clip_shape), np.float32),
        computed_seconds=0.0,
        num_cached=0,
    )


def _say_of(split: Split, say: Say) -> Say:
    """Puts the name of a split before each line."""

    def say_with_split(line: str) -> None:
        say(f"{split}: {line}")

    return say_with_split


def _identify_fit(lesson: _Lesson, encoder: Backbone, compute: Compute) -> str:
    """All that the weights of a head depend on, as a digest."""
    parts = {
        "config": encode_config(lesson.config),
        "labels": lesson.labels,
        "version": lesson.manifest.version_id,
        "encoder": encoder.revision,
        "arithmetic": encoder.arithmetic,
        "device": compute.device,
        "padding": PADDING_POLICY,
        "torch": torch.__version__,
    }
    return digest(canonical_json(parts))


def _fit(
    lesson: _Lesson,
    features: Mapping[Split, FeatureSet],
    *,
    device: torch.device,
    keeper: StateKeeper | None,
    say: Say,
) -> Fit:
    def say_epoch(row: Epoch, num_epochs: int) -> None:
        validation = ""
        if row.validation_uar is not None:
            validation = f", validation UAR {row.validation_uar:.3f}"
        say(f"epoch {row.epoch}/{num_epochs}: loss {row.train_loss:.4f}{validation}")

    return fit_head(
        features[Split.TRAIN].rows,
        _targets(lesson, Split.TRAIN),
        validation_features=features[Split.VALIDATION].rows,
        validation_targets=_targets(lesson, Split.VALIDATION),
        config=lesson.config,
        device=device,
        keeper=keeper,
        progress=say_epoch,
    )


def _targets(lesson: _Lesson, split: Split) -> Floats:
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


def _judge(
    lesson: _Lesson, fit: Fit, features: Mapping[Split, FeatureSet], answers: Floats
) -> Verdict:
    """The verdict on the test set, and what stands beside it.

    Args:
        answers: (num_examples, num_labels) probabilities of the new model.
    """
    labels, tested = lesson.labels, lesson.parts[Split.TEST]
    before = [_in_order(lesson.incumbent[example.utterance_id], labels) for example in tested]
    gate = lesson.config.gate
    gold = _gold(lesson, Split.TEST)
    verdict = reach_verdict(
        gold,
        before=np.array(before),
        after=answers,
        voices=[example.voice for example in tested],
        languages=[example.language for example in tested],
        labels=labels,
        rules=Rules(
            min_gain=gate.min_gain,
            max_group_loss=gate.max_group_loss,
            max_ece_rise=gate.max_ece_rise,
        ),
    )
    return replace(
        verdict,
        baselines=measure_baselines(_lesson_of_baselines(lesson, features)),
        calibration=calibrate(
            validation_gold=_gold(lesson, Split.VALIDATION),
            validation=predict(fit.head, features[Split.VALIDATION].rows),
            gold=gold,
            answers=answers,
        ),
    )


def _gold(lesson: _Lesson, split: Split) -> Ints:
    """(num_examples,) label indices."""
    scheme, labels = lesson.config.scheme, lesson.labels
    indices = [labels.index(example.gold[scheme].label) for example in lesson.parts[split]]
    return np.array(indices, dtype=np.int64)


def _lesson_of_baselines(lesson: _Lesson, features: Mapping[Split, FeatureSet]) -> BaselineLesson:
    return BaselineLesson(
        scheme=lesson.config.scheme,
        labels=lesson.labels,
        train=lesson.parts[Split.TRAIN],
        test=lesson.parts[Split.TEST],
        train_features=features[Split.TRAIN].rows,
        test_features=features[Split.TEST].rows,
        train_gold=_gold(lesson, Split.TRAIN),
        gold=_gold(lesson, Split.TEST),
        cold_start=lesson.cold_start,
        read=partial(
            _read_example,
            audio_root=lesson.manifest.audio_root,
            guard=AudioGuard(lesson.manifest.audio),
        ),
    )


def _read_example(example: Example, *, audio_root: Path, guard: AudioGuard) -> Samples:
    return read_samples(example, audio_root, guard)


def _in_order(distribution: Distribution, labels: Sequence[str]) -> list[float]:
    """Probabilities in the order of the labels; 0 for a label the incumbent does not know."""
    return [float(distribution.get(label, 0.0)) for label in labels]


def _add_up(watch: _Stopwatch, features: Mapping[Split, FeatureSet]) -> Seconds:
    return Seconds(
        load=watch.laps["load"],
        features=watch.laps["features"],
        train=watch.laps["train"],
        judge=watch.laps["judge"],
        audio_encoded=sum(part.computed_seconds for part in features.values()),
    )


def _make_result(
    lesson: _Lesson, encoder: Backbone, fit: Fit, verdict: Verdict, seconds: Seconds
) -> TrainingResult:
    counts: dict[str, int] = {}
    voices: dict[str, int] = {}
    for split, examples in lesson.parts.items():
        counts[split.value] = len(examples)
        voices[split.value] = len({example.voice for example in examples})
    return TrainingResult(
        task=lesson.config.scheme,
        labels=lesson.labels,
        version_id=lesson.manifest.version_id,
        config=encode_config(lesson.config),
        counts=counts,
        voices=voices,
        verdict=verdict,
        curves=fit.curves,
        best_epoch=fit.best_epoch,
        note=fit.note,
        encoder=EncoderCard(
            name=encoder.name,
            revision=encoder.revision,
            padding_policy=PADDING_POLICY,
        ),
        seconds=seconds,
    )


def _name_answers(lesson: _Lesson, answers: Floats) -> dict[str, dict[str, float]]:
    """Utterance id -> label -> probability, for the test examples."""
    named: dict[str, dict[str, float]] = {}
    examples = lesson.parts[Split.TEST]
    for example, row in zip(examples, answers.tolist(), strict=True):
        named[example.utterance_id] = dict(zip(lesson.labels, row, strict=True))
    return named


def _make_checkpoint(
    lesson: _Lesson, encoder: Backbone, fit: Fit, features: FeatureSet
) -> Checkpoint:
    _, num_layers, dim = features.rows.shape
    return Checkpoint(
        head=fit.head,
        config=lesson.config,
        labels=lesson.labels,
        encoder_revision=encoder.revision,
        padding_policy=PADDING_POLICY,
        version_id=lesson.manifest.version_id,
        versions={name: version(name) for name in LIBRARIES},
        shape=(num_layers, dim),
        feature_dtype=DTYPE,
    )


def write_outcome(output: Path, outcome: Outcome) -> ModelRef:
    """Write checkpoint/, predictions.jsonl, curves.csv, TensorBoard events and, last, result.json.

    The state that the run has kept goes then.

    Raises:
        MachineError: They cannot be written.
    """
    with writing(output):
        model = save_checkpoint(output / "checkpoint", outcome.checkpoint)
        _write_predictions(output / "predictions.jsonl", outcome.predictions)
        _write_curves(output / "curves.csv", outcome.fit.curves)
        _write_events(output / "tensorboard", outcome.fit.curves)
        result = replace(outcome.result, model=model_card(model))
        row = encode_result(result)
        content = json.dumps(row, ensure_ascii=False, indent=2) + "\n"
        write_file(output / "result.json", content.encode())
        remove_state(output)
    return model


def _write_predictions(path: Path, predictions: Mapping[str, Mapping[str, float]]) -> None:
    lines: list[str] = []
    for utterance_id, shares in sorted(predictions.items()):
        row = {"utterance_id": utterance_id, "label": top_label(shares), "distribution": shares}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_file(path, "".join(lines).encode())


def _write_curves(path: Path, curves: Sequence[Epoch]) -> None:
    epochs = [asdict(epoch) for epoch in curves]
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(epochs[0]))
    writer.writeheader()
    writer.writerows(epochs)
    write_file(path, table.getvalue().encode())


def _write_events(folder: Path, curves: Sequence[Epoch]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    for row in curves:
        for name, value in asdict(row).items():
            if name != "epoch" and value is not None:
                writer.add_scalar(name, value, row.epoch)
    writer.close()
