"""The training configuration: one TOML file, typed and frozen; a misspelt key is an error."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from voxdata.durable import write_file
from voxdata.errors import TrainingError
from voxdata.identity import canonical_json, digest

RECIPES = Path(__file__).parent / "configs"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Everything that decides a run besides its examples.

    Attributes:
        scheme: Which labels to learn, such as "emotion".
        encoder: A name for `training.encoder.load_encoder`; it stays frozen.
        layers: "concat" (all layers side by side) or "weighted" (one learned weight per layer).
        hidden_units: Width of the head's hidden layer; 0 makes the head linear.
        dropout: On the head's input and hidden layer.
        learning_rate: Peak of the warm-up and cosine schedule.
        weight_decay: AdamW's, on weight matrices only.
        warmup_share: Part of all steps spent warming up.
        max_epochs: Upper bound, with validation.
        fixed_epochs: Epochs when no validation is possible.
        patience: Epochs without a better validation UAR before stopping.
        batch_size: Clips.
        soft_targets: Learn the share of the votes instead of the winning label alone.
        class_weights: Weigh classes by inverse frequency.
        min_gain: The lower bound of the gain in UAR must be above it for a model to be promoted.
        seed: The seed of weights, order and dropout.
    """

    scheme: str
    encoder: str = "whisper-base"
    layers: str = "concat"
    hidden_units: int = 0
    dropout: float = 0.3
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup_share: float = 0.1
    max_epochs: int = 60
    fixed_epochs: int = 30
    patience: int = 15
    batch_size: int = 32
    soft_targets: bool = True
    class_weights: bool = True
    min_gain: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.layers not in ("concat", "weighted"):
            raise TrainingError(
                f'training configuration: layers is {self.layers!r}; use "concat" or "weighted"'
            )
        for name in ("max_epochs", "fixed_epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise TrainingError(f"training configuration: {name} must be at least 1")
        for name in ("dropout", "warmup_share"):
            if not 0 <= getattr(self, name) < 1:
                raise TrainingError(f"training configuration: {name} must be in [0, 1)")
        not_negative = (self.weight_decay, self.hidden_units, self.min_gain)
        if self.learning_rate <= 0 or any(value < 0 for value in not_negative):
            raise TrainingError(
                "training configuration: learning_rate must be positive; "
                "weight_decay, hidden_units, min_gain not negative"
            )

    @property
    def key(self) -> str:
        """Hash over all values: the identity of the recipe."""
        return digest(canonical_json(asdict(self)))


_TYPES = {"str": str, "int": int, "float": float, "bool": bool}


def parse_config(values: Mapping[str, object], *, origin: str) -> TrainingConfig:
    """Build a configuration from plain values.

    Raises:
        TrainingError: Unknown keys, a missing scheme, or a value of the wrong type; the message
            names `origin` and the key.
    """
    types = {field.name: _TYPES[str(field.type)] for field in fields(TrainingConfig)}
    unknown = sorted(set(values) - set(types))
    if unknown:
        raise TrainingError(
            f"{origin}: unknown key {', '.join(unknown)}; there are {', '.join(types)}"
        )
    if "scheme" not in values:
        raise TrainingError(f"{origin}: scheme is missing")
    typed: dict[str, object] = {}
    for key, value in values.items():
        wanted = types[key]
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise TrainingError(
                f"{origin}: {key} is {value!r}; it takes a value of type {wanted.__name__}"
            )
        typed[key] = value
    return TrainingConfig(**typed)  # type: ignore[arg-type]


def read_config(path: Path) -> TrainingConfig:
    """Read a TOML file.

    Raises:
        TrainingError: Missing, not TOML, or a wrong key or value.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read as TOML ({error})") from error
    return parse_config(values, origin=str(path))


def write_config(path: Path, config: TrainingConfig) -> None:
    """Write a configuration that `read_config` reads back equal."""
    # A JSON string, number or boolean is also a TOML one; only U+007F must be escaped by hand.
    lines: list[str] = []
    for key, value in asdict(config).items():
        written = json.dumps(value, ensure_ascii=False)
        lines.append(f"{key} = {written}\n".replace("\x7f", "\\u007f"))
    write_file(path, "".join(lines).encode())


def load_recipe(scheme: str, *, overrides: Mapping[str, object] | None = None) -> TrainingConfig:
    """The recipe shipped for a scheme, with single values replaced.

    A scheme of one's own takes the recipe of intent.

    Raises:
        TrainingError: An override is unknown or wrong.
    """
    shipped = {path.stem: path for path in RECIPES.glob("*.toml")}
    recipe = shipped.get(scheme, shipped["intent"])
    values: dict[str, object] = tomllib.loads(recipe.read_text(encoding="utf-8"))
    values |= overrides or {}
    values["scheme"] = scheme
    return parse_config(values, origin=f"recipe {scheme!r}")
