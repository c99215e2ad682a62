"""One training run: manifest in, judged checkpoint out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from time import monotonic

import numpy as np
import torch

from training.checkpoint import AudioPart, Checkpoint, TextPart
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
from training.judge.folds import deal_folds, split_folds, wants_folds
from training.judge.gate import Rules
from training.judge.verdict import Verdict, reach_verdict
from training.lesson import Lesson, list_gold, make_targets, prepare_lesson
from training.loop import Fit, can_validate, fit_head, predict
from training.metrics import Floats
from training.models.backbone import Backbone
from training.outcome import Outcome
from training.result import (
    EncoderCard,
    Epoch,
    Seconds,
    TrainingResult,
)
from training.state import SAVE_EVERY_S, StateKeeper
from training.text.heard import MachineTexts
from training.text.join import Join, choose_join, default_join, join_parts
from training.text.normal import TEXT_POLICY
from training.text.reading import Reading, learn_from_validation, learn_to_read, read_split
from training.text.vectors import sentence_model
from voxdata.audio_digest import AudioGuard
from voxdata.dataset import Example, Split
from voxdata.errors import TrainingError
from voxdata.identity import canonical_json, digest
from voxdata.label import Distribution
from voxdata.manifest import Manifest
from voxdata.ports import Samples

LIBRARIES = ("torch", "transformers", "numpy", "voxdata")
READING_LIBRARIES = ("numpy", "scikit-learn", "voxdata")
"""Their versions are kept with a checkpoint that listens, and with one that reads."""

Say = Callable[[str], None]


def run_training(
    config: TrainingConfig,
    manifest: Manifest,
    incumbent: Answers,
    *,
    cold_start: Answers | None = None,
    cache_dir: Path,
    compute: Compute = ON_CPU,
    encoder: Backbone | None = None,
    machine_texts: MachineTexts | None = None,
    state_dir: Path | None = None,
    state_every_s: float = SAVE_EVERY_S,
    say: Say | None = None,
) -> Outcome:
    """Features, training, judgement.

    Args:
        incumbent: The answers of the model to beat for every test example; for every example where
            folds may be judged.
        cold_start: Those of the cold start; None when nobody asked it.
        cache_dir: Folder of cached features.
        compute: Where the encoder runs, unless it is loaded, and the head learns.
        encoder: Already loaded; None: `config.encoder`.
        machine_texts: What the transcriber heard; None: the text of the manifest is read instead.
        state_dir: The folder of the run, in which it keeps how far it has come; None keeps nothing.
        state_every_s: Seconds between two writes of that; 0 writes after each batch.

    Raises:
        TrainingError: Unknown scheme, leaking split, too few labels, missing audio, missing
            answers, or nothing to read.
        ConfigError: This machine has no such device.
    """
    lesson = prepare_lesson(config, manifest, incumbent, cold_start or {})
    watch = _Stopwatch()
    if config.audio.enabled:
        encoder = encoder or load_encoder(config.encoder, compute=compute)
        watch.lap("load")
    means = _Means(
        encoder=encoder if config.audio.enabled else None,
        cache_dir=cache_dir,
        compute=compute,
        machine_texts=machine_texts,
        say=say or _say_nothing,
    )
    features = means.encode(lesson)
    if features is not None:
        watch.lap("features")
    keeper = None
    if state_dir is not None and means.encoder is not None:
        identity = _identify_fit(lesson, means.encoder, compute)
        keeper = StateKeeper(state_dir, identity=identity, every_s=state_every_s, say=means.say)
    trained = _learn(lesson, means, features, keeper=keeper)
    watch.lap("train")
    folds = _plan_folds(lesson)
    if folds:
        examined = _examine_in_folds(lesson, folds, means)
    else:
        examined = _examine(lesson, trained)
    verdict = _judge(lesson, trained, examined)
    watch.lap("judge")

    seconds = _add_up(watch, trained)
    return Outcome(
        result=_make_result(lesson, trained, verdict, seconds),
        predictions=_name_answers(lesson, examined),
        checkpoint=_make_checkpoint(lesson, trained),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Means:
    """What a run learns with."""

    encoder: Backbone | None
    cache_dir: Path
    compute: Compute
    machine_texts: MachineTexts | None
    say: Say

    def encode(self, lesson: Lesson) -> dict[Split, FeatureSet] | None:
        """The features of a lesson; None where nothing is listened to."""
        if self.encoder is None:
            return None
        return _encode_parts(lesson, self.encoder, cache_dir=self.cache_dir, say=self.say)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Examined:
    """Answers to clips of voices that were not heard in training.

    Attributes:
        tested: The clips that the verdict is about.
        answers: (num_tested, num_labels) probabilities.
        validated: Other clips, by which answers are calibrated.
        on_validation: (num_validated, num_labels) probabilities.
        num_folds: 0 for the test split.
    """

    tested: Sequence[Example]
    answers: Floats
    validated: Sequence[Example]
    on_validation: Floats
    num_folds: int = 0


def _learn(
    lesson: Lesson,
    means: _Means,
    features: Mapping[Split, FeatureSet] | None,
    *,
    keeper: StateKeeper | None = None,
) -> _Trained:
    sound = reading = None
    if means.encoder is not None and features is not None:
        device = open_device(means.compute)
        fit = _fit(lesson, features, device=device, keeper=keeper, say=means.say)
        sound = _Sound(encoder=means.encoder, features=features, fit=fit)
    if lesson.config.text.enabled:
        targets = {split: make_targets(lesson, split) for split in Split}
        reading = learn_to_read(lesson.parts, targets, means.machine_texts, lesson.config)
    return _weigh(lesson, sound, reading, say=means.say)


def _examine(lesson: Lesson, trained: _Trained) -> _Examined:
    return _Examined(
        tested=lesson.parts[Split.TEST],
        answers=_answer(trained, Split.TEST),
        validated=lesson.parts[Split.VALIDATION],
        on_validation=trained.on_validation,
    )


def _plan_folds(lesson: Lesson) -> list[dict[Split, list[Example]]]:
    """The parts of each fold, where the test set is too small, the model to beat was asked about
    all examples, and every fold leaves two labels to learn; otherwise none.
    """
    num_folds = lesson.config.gate.folds
    examples = list(chain.from_iterable(lesson.parts.values()))
    asked = all(example.utterance_id in lesson.incumbent for example in examples)
    if not asked or not wants_folds(examples, num_folds=num_folds):
        return []
    folds = split_folds(deal_folds(examples, num_folds=num_folds))
    for parts in folds:
        learnt = {example.gold[lesson.config.scheme].label for example in parts[Split.TRAIN]}
        if len(learnt) < 2:
            return []
    return folds


def _examine_in_folds(
    lesson: Lesson, folds: Sequence[Mapping[Split, list[Example]]], means: _Means
) -> _Examined:
    """Have each clip of a version answered by a model that heard none of its voices."""
    means.say(f"judge: the test set is too small, so {len(folds)} folds are judged")
    quiet = replace(means, say=_say_nothing)
    examined: list[_Examined] = []
    for number, parts in enumerate(folds, start=1):
        fold = replace(lesson, parts=parts)
        examined.append(_examine(fold, _learn(fold, quiet, quiet.encode(fold))))
        means.say(f"judge: fold {number}/{len(folds)}")
    return _Examined(
        tested=list(chain.from_iterable(fold.tested for fold in examined)),
        answers=np.concatenate([fold.answers for fold in examined]),
        validated=list(chain.from_iterable(fold.validated for fold in examined)),
        on_validation=np.concatenate([fold.on_validation for fold in examined]),
        num_folds=len(folds),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sound:
    """What was learnt from the sound."""

    encoder: Backbone
    features: Mapping[Split, FeatureSet]
    fit: Fit


def _no_answers() -> Floats:
    return np.zeros((0, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """The heads of a model, and how their answers are joined when there are two.

    Attributes:
        on_validation: (num_examples, num_labels) probabilities of the validation clips, by heads
            that had not learnt from them.
    """

    sound: _Sound | None
    reading: Reading | None
    join: Join | None = None
    on_validation: Floats = field(default_factory=_no_answers)

    @property
    def note(self) -> str:
        """What the reader must know; "" when there is nothing."""
        notes: list[str] = []
        if self.sound is not None:
            notes.append(self.sound.fit.note)
        if self.reading is not None:
            notes.append(self.reading.note)
        return "; ".join(filter(None, notes))


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


def _say_nothing(_line: str) -> None:
    return None


def _encode_parts(
    lesson: Lesson, encoder: Backbone, *, cache_dir: Path, say: Say
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


def _identify_fit(lesson: Lesson, encoder: Backbone, compute: Compute) -> str:
    """All that the weights of a head depend on, as a digest."""
    parts = {
        "config": encode_config(lesson.config),
        "labels": lesson.labels,
        "version": lesson.manifest.version_id,
        "examples": _digest_examples(lesson),
        "encoder": encoder.revision,
        "arithmetic": encoder.arithmetic,
        "device": compute.device,
        "padding": PADDING_POLICY,
        "torch": torch.__version__,
    }
    return digest(canonical_json(parts))


def _digest_examples(lesson: Lesson) -> str:
    """Over the examples that are left of the version, and what is to be learnt of them."""
    content = hashlib.sha256()
    for split in (Split.TRAIN, Split.VALIDATION):
        content.update(make_targets(lesson, split).tobytes())
        for example in lesson.parts[split]:
            content.update(example.utterance_id.encode())
    return content.hexdigest()


def _fit(
    lesson: Lesson,
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
        make_targets(lesson, Split.TRAIN),
        validation_features=features[Split.VALIDATION].rows,
        validation_targets=make_targets(lesson, Split.VALIDATION),
        config=lesson.config,
        device=device,
        keeper=keeper,
        progress=say_epoch,
    )


def _weigh(lesson: Lesson, sound: _Sound | None, reading: Reading | None, *, say: Say) -> _Trained:
    """Join the heads as the validation voices would have it, where these can tell."""
    trained = _Trained(sound=sound, reading=reading)
    if reading is None or reading.head is None:
        return _answer_validation(trained)
    say(f"text: {reading.count}")
    if sound is not None:
        join = _choose_join(lesson, sound, reading)
        say(f"join: audio ** {join.audio:.2f} * text ** {join.text:.2f}")
        trained = replace(trained, join=join)
    trained = _answer_validation(trained)
    return replace(trained, reading=learn_from_validation(reading, lesson.config))


def _answer_validation(trained: _Trained) -> _Trained:
    return replace(trained, on_validation=_answer(trained, Split.VALIDATION))


def _choose_join(lesson: Lesson, sound: _Sound, reading: Reading) -> Join:
    targets = reading.targets[Split.VALIDATION]
    read = read_split(reading, Split.VALIDATION)
    if read is None or not can_validate(targets):
        return default_join(lesson.config.text)
    return choose_join(_listen(sound, Split.VALIDATION), read, targets)


def _answer(trained: _Trained, split: Split) -> Floats:
    """(num_examples, num_labels) probabilities."""
    heard = None if trained.sound is None else _listen(trained.sound, split)
    read = None if trained.reading is None else read_split(trained.reading, split)
    answers = join_parts(trained.join, heard, read)
    if not np.isfinite(answers).all():
        raise TrainingError("the model answers with no numbers; lower fit.learning_rate")
    return answers


def _listen(sound: _Sound, split: Split) -> Floats:
    return predict(sound.fit.head, sound.features[split].rows)


def _judge(lesson: Lesson, trained: _Trained, examined: _Examined) -> Verdict:
    """The verdict on what was examined, and what stands beside it."""
    labels, tested = lesson.labels, examined.tested
    before = [_in_order(lesson.incumbent[example.utterance_id], labels) for example in tested]
    gate = lesson.config.gate
    gold = list_gold(lesson, tested)
    verdict = reach_verdict(
        gold,
        before=np.array(before),
        after=examined.answers,
        voices=[example.voice for example in tested],
        languages=[example.language for example in tested],
        labels=labels,
        rules=Rules(
            min_gain=gate.min_gain,
            max_group_loss=gate.max_group_loss,
            max_ece_rise=gate.max_ece_rise,
        ),
        num_folds=examined.num_folds,
    )
    return replace(
        verdict,
        baselines=measure_baselines(_lesson_of_baselines(lesson, trained, examined)),
        calibration=calibrate(
            validation_gold=list_gold(lesson, examined.validated),
            validation=examined.on_validation,
            gold=gold,
            answers=examined.answers,
        ),
    )


def _lesson_of_baselines(lesson: Lesson, trained: _Trained, examined: _Examined) -> BaselineLesson:
    features = None if trained.sound is None else trained.sound.features
    learnt = lesson.parts[Split.TRAIN]
    return BaselineLesson(
        scheme=lesson.config.scheme,
        labels=lesson.labels,
        train=learnt,
        test=examined.tested,
        train_features=None if features is None else features[Split.TRAIN].rows,
        test_features=None if features is None else features[Split.TEST].rows,
        train_gold=list_gold(lesson, learnt),
        gold=list_gold(lesson, examined.tested),
        cold_start=lesson.cold_start,
        read=partial(
            _read_example,
            audio_root=lesson.manifest.audio_root,
            guard=AudioGuard(lesson.manifest.audio),
        ),
        in_folds=examined.num_folds > 0,
    )


def _read_example(example: Example, *, audio_root: Path, guard: AudioGuard) -> Samples:
    return read_samples(example, audio_root, guard)


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
    lesson: Lesson, trained: _Trained, verdict: Verdict, seconds: Seconds
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


def _name_answers(lesson: Lesson, examined: _Examined) -> dict[str, dict[str, float]]:
    """Utterance id -> label -> probability, for what was examined."""
    named: dict[str, dict[str, float]] = {}
    for example, row in zip(examined.tested, examined.answers.tolist(), strict=True):
        named[example.utterance_id] = dict(zip(lesson.labels, row, strict=True))
    return named


def _make_checkpoint(lesson: Lesson, trained: _Trained) -> Checkpoint:
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
    _, num_layers, dim = sound.features[Split.TRAIN].rows.shape
    return AudioPart(
        head=sound.fit.head,
        encoder_revision=sound.encoder.revision,
        padding_policy=PADDING_POLICY,
        shape=(num_layers, dim),
        feature_dtype=DTYPE,
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
