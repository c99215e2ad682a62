"""The values of a configuration, in sections, and the key that they make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from training.config.flat import flatten
from voxdata.errors import TrainingError
from voxdata.identity import canonical_json, digest

SCHEMA = 2
"""The number of the defaults below.

A new field or section with a default changes no key and needs no new number. A changed default
does: raise the number, and have `parse_config` fill in the former default for files of the former
number.
"""

MOST_COLUMNS = 2**22
"""Of a text head: 16 MB of weights a label."""

POOLINGS = ("mean+deviation", "mean")


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioConfig:
    """How what the encoder hears reaches the head.

    Attributes:
        enabled: Whether the sound is listened to at all.
        layers: "all" (side by side), "weighted" (all, with one learned weight each), or the layers
            to take, side by side; 0 is the input embedding.
        pooling: What is kept of each layer over time: "mean+deviation" or "mean".
    """

    enabled: bool = True
    layers: str | tuple[int, ...] = "all"
    pooling: str = "mean+deviation"

    def __post_init__(self) -> None:
        if isinstance(self.layers, str):
            sound = self.layers in ("all", "weighted")
        else:
            sound = _ascend_from_zero(self.layers)
        if not sound:
            raise TrainingError(
                f"training configuration: audio.layers is {self.layers!r}; "
                'use "all", "weighted" or a list of layers in order, such as [2, 3, 4]'
            )
        if self.pooling not in POOLINGS:
            raise TrainingError(
                f"training configuration: audio.pooling is {self.pooling!r}; "
                f"use one of {', '.join(POOLINGS)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """How the machine's transcript is read, by a linear head of its own.

    Attributes:
        enabled: Whether the text is read at all.
        shortest, longest: Characters of an n-gram; none crosses the edge of a word.
        num_columns: The n-grams are hashed into so many columns.
        penalty: L2 penalty on the head's weights; a smaller one follows the training texts closer.
        sentence_model: Read the packaged sentence model's vector too, where the text is English.
        share: How much the text counts beside the audio, 0..1, where no validation voices can tell.
    """

    enabled: bool = False
    shortest: int = 1
    longest: int = 4
    num_columns: int = 65_536
    penalty: float = 0.01
    sentence_model: bool = True
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest:
            raise TrainingError(
                f"training configuration: text.shortest is {self.shortest} and text.longest "
                f"{self.longest}; an n-gram has at least 1 character"
            )
        if not 2 <= self.num_columns <= MOST_COLUMNS:
            raise TrainingError(
                f"training configuration: text.num_columns must be from 2 to {MOST_COLUMNS}"
            )
        if not 0 < self.penalty < math.inf:
            raise TrainingError("training configuration: text.penalty must be positive and finite")
        if not 0 <= self.share <= 1:
            raise TrainingError(
                f"training configuration: text.share is {self.share}; it must be in [0, 1]"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadConfig:
    """What classifies.

    Attributes:
        hidden_units: Width of the hidden layer; 0 makes the head linear.
        dropout: On its input and hidden layer.
        seeds: Heads that are trained side by side from other weights; their probabilities are
            averaged.
    """

    hidden_units: int = 0
    dropout: float = 0.3
    seeds: int = 1

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise TrainingError("training configuration: head.seeds must be at least 1")
        _check_not_negative("head", hidden_units=self.hidden_units)
        _check_shares("head", dropout=self.dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """How it learns.

    Attributes:
        learning_rate: Peak of the warm-up and cosine schedule.
        weight_decay: AdamW's, on weight matrices only.
        warmup_share: Part of all steps spent warming up.
        max_epochs: Upper bound, with validation.
        fixed_epochs: Epochs when no validation is possible.
        patience: Epochs without a better validation UAR before stopping.
        batch_size: Clips.
        soft_targets: Learn the share of the votes instead of the winning label alone.
        class_weights: Weigh classes by inverse frequency.
        mixup: Each clip is mixed with another of its batch by a share drawn from
            Beta(mixup, mixup), and so are their targets; 0 mixes none.
        label_smoothing: Part of every target that is spread over all labels.
        feature_noise: Deviation of the Gaussian noise on the features, in their own deviations.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup_share: float = 0.1
    max_epochs: int = 60
    fixed_epochs: int = 30
    patience: int = 15
    batch_size: int = 32
    soft_targets: bool = True
    class_weights: bool = True
    mixup: float = 0.0
    label_smoothing: float = 0.0
    feature_noise: float = 0.0

    def __post_init__(self) -> None:
        for name in ("max_epochs", "fixed_epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise TrainingError(f"training configuration: fit.{name} must be at least 1")
        if not 0 < self.learning_rate < math.inf:
            raise TrainingError("training configuration: fit.learning_rate must be positive")
        _check_not_negative(
            "fit",
            weight_decay=self.weight_decay,
            mixup=self.mixup,
            feature_noise=self.feature_noise,
        )
        _check_shares("fit", warmup_share=self.warmup_share, label_smoothing=self.label_smoothing)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """What a model must show to be promoted.

    Attributes:
        min_gain: The lower bound of its gain in UAR must be above it.
        max_group_loss: Right answers, as a share, by which no voice and no language may surely have
            become worse.
        max_ece_rise: By which its overconfidence may be larger: the part of its calibration
            error in which it is surer than right.
        folds: Where the test set is too small to decide, the voices of the whole version are dealt
            into so many folds, and each is judged by a model that heard none of it; at least 3, or
            0 for never.
    """

    min_gain: float = 0.0
    max_group_loss: float = 0.1
    max_ece_rise: float = 0.1
    folds: int = 5

    def __post_init__(self) -> None:
        if self.folds != 0 and self.folds < 3:
            raise TrainingError(
                f"training configuration: gate.folds is {self.folds}; it must be at least 3, "
                "or 0 for never"
            )
        _check_not_negative(
            "gate",
            min_gain=self.min_gain,
            max_group_loss=self.max_group_loss,
            max_ece_rise=self.max_ece_rise,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Everything that decides a run besides its examples.

    Attributes:
        scheme: Which labels to learn, such as "emotion".
        encoder: A name for `training.encoder.load_encoder`; it stays frozen.
        seed: The seed of weights, order and dropout.
    """

    scheme: str
    encoder: str = "whisper-base"
    seed: int = 0
    audio: AudioConfig = field(default_factory=AudioConfig)
    text: TextConfig = field(default_factory=TextConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    gate: GateConfig = field(default_factory=GateConfig)

    def __post_init__(self) -> None:
        if not self.audio.enabled and not self.text.enabled:
            raise TrainingError(
                "training configuration: audio.enabled and text.enabled are both false; "
                "a model needs one of them"
            )

    @property
    def key(self) -> str:
        """The identity of the recipe: a hash over what differs from the defaults.

        What the first schema could express keeps the key that it had there, a hash over all of its
        sixteen values, so that runs which were finished under it stay finished.
        """
        changed = find_changes(self, TrainingConfig(scheme=""))
        flat = flatten(plain_values(self), changed)
        if flat is not None:
            return digest(canonical_json(flat))
        return digest(canonical_json({"schema": SCHEMA, **changed}))


def plain_values(section: Any) -> dict[str, Any]:
    """A section as values that JSON and TOML have: tables, lists, texts, numbers, booleans."""
    values: dict[str, Any] = {}
    for each in fields(section):
        value = getattr(section, each.name)
        if is_dataclass(value):
            value = plain_values(value)
        elif isinstance(value, tuple):
            value = list(value)
        values[each.name] = value
    return values


def find_changes(section: Any, default: Any) -> dict[str, Any]:
    """What of a section differs from another of its kind, as plain values; equal parts are left
    out.
    """
    return _find_changes(plain_values(section), plain_values(default))


def _find_changes(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for name, value in values.items():
        if value == defaults[name]:
            continue
        if isinstance(value, Mapping):
            value = _find_changes(value, defaults[name])
        changed[name] = value
    return changed


def _ascend_from_zero(layers: tuple[int, ...]) -> bool:
    """Whether there are layers, none before the embedding, and each once and in order."""
    if not layers or layers[0] < 0:
        return False
    in_order = sorted(set(layers))
    return list(layers) == in_order


def _check_not_negative(section: str, **values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise TrainingError(
                f"training configuration: {section}.{name} is {value}; it must not be negative, "
                "nor infinite"
            )


def _check_shares(section: str, **values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < 1:
            raise TrainingError(
                f"training configuration: {section}.{name} is {value}; it must be in [0, 1)"
            )
