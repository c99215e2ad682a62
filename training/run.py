"""One training run: manifest in, judged checkpoint out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from time import monotonic

import numpy as np
import torch

from training.checkpoint import AudioPart, Checkpoint, TextPart, save_checkpoint
from training.compute import ON_CPU, Compute
from training.config import TrainingConfig, encode_config
from training.device import open_device
from training.encoder import load_encoder
from training.feature_files import PADDING_POLICY
from training.features import FeatureSet, load_features
from training.judge import Verdict, reach_verdict
from training.loop import Fit, can_validate, fit_head, predict
from training.metrics import Floats
from training.models.backbone import Backbone
from training.result import (
    EncoderCard,
    Epoch,
    Seconds,
    TrainingResult,
    encode_result,
    model_card,
)
from training.text.heard import MachineTexts
from training.text.join import Join, choose_join, default_join, join_parts
from training.text.normal import TEXT_POLICY
from training.text.reading import Reading, learn_from_validation, learn_to_read, read_split
from training.text.vectors import sentence_model
from voxdata.audio_digest import AudioGuard
from voxdata.dataset import Example, Split
from voxdata.durable import write_file, writing
from voxdata.errors import TrainingError
from voxdata.identity import ModelRef
from voxdata.label import Distribution, top_label
from voxdata.malformed import FAULTS, Readers, in_words, name_fault, parse_json
from voxdata.manifest import Manifest, select

LIBRARIES = ("torch", "transformers", "numpy", "voxdata")
READING_LIBRARIES = ("numpy", "scikit-learn", "voxdata")
"""Their versions are kept with a checkpoint that listens, and with one that reads."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a run has made.

    Attributes:
        result: The content of result.json, but for the identity of the model.
        predictions: Test utterance id -> distribution.
        checkpoint: Ready to be saved.
    """

    result: TrainingResult
    predictions: dict[str, dict[str, float]]
    checkpoint: Checkpoint


def _read_shares(value: Mapping[str, object]) -> Distribution:
    shares: dict[str, float] = {}
    for label, share in value.items():
        shares[str(label)] = float(str(share))
    return shares


INCUMBENT: Readers = {
    "utterance_id": (str, "text"),
    "distribution": (_read_shares, "a number for each label"),
}
"""The fields of an answer of the model to beat."""


def read_incumbent(path: Path) -> dict[str, Distribution]:
    """The answers of the model to beat, by utterance id.

    Raises:
        TrainingError: Missing, or malformed in the line named.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read ({error})") from error
    answers: dict[str, Distribution] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = None
        try:
            row = parse_json(line)
            answers[str(row["utterance_id"])] = _read_shares(row["distribution"])
        except FAULTS as error:
            why = in_words(error) if row is None else name_fault(row, INCUMBENT, error)
            raise TrainingError(f"{path}: line {number} is malformed: {why}") from error
    return answers


def run_training(
    config: TrainingConfig,
    manifest: Manifest,
    incumbent: Mapping[str, Distribution],
    *,
    cache_dir: Path,
    compute: Compute = ON_CPU,
    encoder: Backbone | None = None,
    machine_texts: MachineTexts | None = None,
    say: Say | None = None,
) -> Outcome:
    """Features, training, judgement.

    Args:
        incumbent: The answers of the model to beat for every test example.
        cache_dir: Folder of cached features.
        compute: Where the encoder runs, unless it is loaded, and the head learns.
        encoder: Already loaded; None: `config.encoder`.
        machine_texts: What the transcriber heard; None: the text of the manifest is read instead.

    Raises:
        TrainingError: Unknown scheme, leaking split, too few labels, missing audio, missing
            answers, or nothing to read.
        ConfigError: This machine has no such device.
    """
    tell = say or _say_nothing
    lesson = _prepare(config, manifest, incumbent)
    watch = _Stopwatch()
    sound = reading = None
    if config.audio.enabled:
        encoder = encoder or load_encoder(config.encoder, compute=compute)
        watch.lap("load")
        features = _encode_parts(lesson, encoder, cache_dir=cache_dir, say=tell)
        watch.lap("features")
        fit = _fit(lesson, features, device=open_device(compute), say=tell)
        sound = _Sound(encoder=encoder, features=features, fit=fit)
    if config.text.enabled:
        targets = {split: _targets(lesson, split) for split in Split}
        reading = learn_to_read(lesson.parts, targets, machine_texts, config)
    trained = _weigh(lesson, sound, reading, say=tell)
    watch.lap("train")
    answers = _answer(trained, Split.TEST)
    verdict = _judge(lesson, answers)
    watch.lap("judge")

    seconds = _add_up(watch, trained)
    return Outcome(
        result=_make_result(lesson, trained, verdict, seconds),
        predictions=_name_answers(lesson, answers),
        checkpoint=_make_checkpoint(lesson, trained),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sound:
    """What was learnt from the sound."""

    encoder: Backbone
    features: Mapping[Split, FeatureSet]
    fit: Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """The heads of a model, and how their answers are joined when there are two."""

    sound: _Sound | None
    reading: Reading | None
    join: Join | None = None

    @property
    def note(self) -> str:
        """What the reader must know; "" when there is nothing."""
        notes: list[str] = []
        if self.sound is not None:
            notes.append(self.sound.fit.note)
        if self.reading is not None:
            notes.append(self.reading.note)
        return "; ".join(filter(None, notes))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """What is to be learnt, from which examples, and against which answers; checked."""

    config: TrainingConfig
    manifest: Manifest
    labels: tuple[str, ...]
    parts: Mapping[Split, list[Example]]
    incumbent: Mapping[str, Distribution]


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
    config: TrainingConfig, manifest: Manifest, incumbent: Mapping[str, Distribution]
) -> _Lesson:
    lesson = _Lesson(
        config=config,
        manifest=manifest,
        labels=_find_labels(config, manifest),
        parts={split: list(select(manifest, split, scheme=config.scheme)) for split in Split},
        incumbent=incumbent,
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
    clip_shape = like.values.shape[1:]
    return FeatureSet(
        values=np.zeros((0, *clip_shape), np.float32),
        computed_seconds=0.0,
        num_cached=0,
    )


def _say_of(split: Split, say: Say) -> Say:
    """Puts the name of a split before each line."""

    def say_with_split(line: str) -> None:
        say(f"{split}: {line}")

    return say_with_split


def _fit(
    lesson: _Lesson, features: Mapping[Split, FeatureSet], *, device: torch.device, say: Say
) -> Fit:
    def say_epoch(row: Epoch, num_epochs: int) -> None:
        validation = ""
        if row.validation_uar is not None:
            validation = f", validation UAR {row.validation_uar:.3f}"
        say(f"epoch {row.epoch}/{num_epochs}: loss {row.train_loss:.4f}{validation}")

    return fit_head(
        features[Split.TRAIN].values,
        _targets(lesson, Split.TRAIN),
        validation_features=features[Split.VALIDATION].values,
        validation_targets=_targets(lesson, Split.VALIDATION),
        config=lesson.config,
        device=device,
        progress=say_epoch,
    )


def _weigh(lesson: _Lesson, sound: _Sound | None, reading: Reading | None, *, say: Say) -> _Trained:
    """Join the heads as the validation voices would have it, where these can tell."""
    trained = _Trained(sound=sound, reading=reading)
    if reading is None or reading.head is None:
        return trained
    say(f"text: {reading.count}")
    if sound is not None:
        join = _choose_join(lesson, sound, reading)
        say(f"join: audio ** {join.audio:.2f} * text ** {join.text:.2f}")
        trained = replace(trained, join=join)
    return replace(trained, reading=learn_from_validation(reading, lesson.config))


def _choose_join(lesson: _Lesson, sound: _Sound, reading: Reading) -> Join:
    targets = reading.targets[Split.VALIDATION]
    read = read_split(reading, Split.VALIDATION)
    if read is None or not can_validate(targets):
        return default_join(lesson.config.text)
    return choose_join(_listen(sound, Split.VALIDATION), read, targets)


def _answer(trained: _Trained, split: Split) -> Floats:
    """(num_examples, num_labels) probabilities."""
    heard = None if trained.sound is None else _listen(trained.sound, split)
    read = None if trained.reading is None else read_split(trained.reading, split)
    return join_parts(trained.join, heard, read)


def _listen(sound: _Sound, split: Split) -> Floats:
    return predict(sound.fit.head, sound.features[split].values)


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


def _judge(lesson: _Lesson, answers: Floats) -> Verdict:
    """The verdict on the test set.

    Args:
        answers: (num_examples, num_labels) probabilities of the new model.
    """
    scheme, labels = lesson.config.scheme, lesson.labels
    gold: list[int] = []
    before: list[list[float]] = []
    for example in lesson.parts[Split.TEST]:
        gold.append(labels.index(example.gold[scheme].label))
        before.append(_in_order(lesson.incumbent[example.utterance_id], labels))
    return reach_verdict(
        np.array(gold, dtype=np.int64),
        before=np.array(before),
        after=answers,
        voices=[example.voice for example in lesson.parts[Split.TEST]],
        labels=labels,
        min_gain=lesson.config.gate.min_gain,
    )


def _in_order(distribution: Distribution, labels: Sequence[str]) -> list[float]:
    """Probabilities in the order of the labels; 0 for a label the incumbent does not know."""
    return [float(distribution.get(label, 0.0)) for label in labels]


def _add_up(watch: _Stopwatch, trained: _Trained) -> Seconds:
    features = {} if trained.sound is None else trained.sound.features
    return Seconds(
        load=watch.laps.get("load", 0.0),
        features=watch.laps.get("features", 0.0),
        train=watch.laps["train"],
        judge=watch.laps["judge"],
        audio_encoded=sum(part.computed_seconds for part in features.values()),
    )


def _make_result(
    lesson: _Lesson, trained: _Trained, verdict: Verdict, seconds: Seconds
) -> TrainingResult:
    sound = trained.sound
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
        curves=() if sound is None else sound.fit.curves,
        best_epoch=0 if sound is None else sound.fit.best_epoch,
        note=trained.note,
        encoder=NO_ENCODER if sound is None else _describe(sound.encoder),
        seconds=seconds,
    )


NO_ENCODER = EncoderCard(name="", revision="", padding_policy="")
"""Of a model that only reads."""


def _describe(encoder: Backbone) -> EncoderCard:
    return EncoderCard(
        name=encoder.name,
        revision=encoder.revision,
        padding_policy=PADDING_POLICY,
    )


def _name_answers(lesson: _Lesson, answers: Floats) -> dict[str, dict[str, float]]:
    """Utterance id -> label -> probability, for the test examples."""
    named: dict[str, dict[str, float]] = {}
    examples = lesson.parts[Split.TEST]
    for example, row in zip(examples, answers.tolist(), strict=True):
        named[example.utterance_id] = dict(zip(lesson.labels, row, strict=True))
    return named


def _make_checkpoint(lesson: _Lesson, trained: _Trained) -> Checkpoint:
    audio = None if trained.sound is None else _audio_part(trained.sound)
    text = None if trained.reading is None else _text_part(trained.reading)
    libraries = {
        *(LIBRARIES if audio is not None else ()),
        *(READING_LIBRARIES if text is not None else ()),
    }
    return Checkpoint(
        config=lesson.config,
        labels=lesson.labels,
        version_id=lesson.manifest.version_id,
        versions={name: version(name) for name in sorted(libraries)},
        audio=audio,
        text=text,
        join=trained.join,
    )


def _audio_part(sound: _Sound) -> AudioPart:
    _, num_layers, dim = sound.features[Split.TRAIN].values.shape
    return AudioPart(
        head=sound.fit.head,
        encoder_revision=sound.encoder.revision,
        padding_policy=PADDING_POLICY,
        shape=(num_layers, dim),
    )


def _text_part(reading: Reading) -> TextPart | None:
    head = reading.head
    if head is None:
        return None
    return TextPart(
        head=head,
        policy=TEXT_POLICY,
        sentence_model=sentence_model(head.config),
    )


def write_outcome(output: Path, outcome: Outcome) -> ModelRef:
    """Write checkpoint/, predictions.jsonl, curves.csv, TensorBoard events and, last, result.json.

    A model that only reads has no curves.

    Raises:
        MachineError: They cannot be written.
    """
    with writing(output):
        model = save_checkpoint(output / "checkpoint", outcome.checkpoint)
        _write_predictions(output / "predictions.jsonl", outcome.predictions)
        if outcome.result.curves:
            _write_curves(output / "curves.csv", outcome.result.curves)
            _write_events(output / "tensorboard", outcome.result.curves)
        result = replace(outcome.result, model=model_card(model))
        row = encode_result(result)
        content = json.dumps(row, ensure_ascii=False, indent=2) + "\n"
        write_file(output / "result.json", content.encode())
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
