"""Configurations as plain values and TOML files; a misspelt key is an error."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from training.config.flat import nest
from training.config.schema import SCHEMA, TrainingConfig, plain_values
from voxdata.durable import write_file
from voxdata.errors import TrainingError

RECIPES = Path(__file__).parent / "recipes"


def parse_config(values: Mapping[str, Any], *, origin: str) -> TrainingConfig:
    """Build a configuration from plain values: in sections, or in the flat form of schema 1.

    Raises:
        TrainingError: Unknown keys, a missing scheme, a value of the wrong type, or the schema of a
            later release; the message names `origin` and the key.
    """
    nested = nest(values)
    schema = nested.pop("schema", SCHEMA)
    readable = range(1, SCHEMA + 1)
    if schema not in readable:
        raise TrainingError(
            f"{origin}: schema is {schema!r}; this release reads 1 to {SCHEMA}: "
            "use the release that wrote it, or a later one"
        )
    if "scheme" not in nested:
        raise TrainingError(f"{origin}: scheme is missing")
    config: TrainingConfig = _Reader(origin).section(TrainingConfig, nested)
    return config


def encode_config(config: TrainingConfig) -> dict[str, Any]:
    """All values of a configuration and the number of the schema, as `parse_config` takes them."""
    return {"schema": SCHEMA, **plain_values(config)}


class _Reader:
    """Turns plain values into sections.

    Args:
        origin: Where the values come from, for messages.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def section(self, kind: type[Any], values: Mapping[str, Any], *, name: str = "") -> Any:
        """A section from its table."""
        prefix = f"{name}." if name else ""
        hints = get_type_hints(kind)
        types = {each.name: hints[each.name] for each in fields(kind)}
        unknown = sorted(set(values) - set(types))
        if unknown:
            told = ", ".join(prefix + key for key in unknown)
            raise TrainingError(f"{self._origin}: unknown key {told}; there are {', '.join(types)}")
        typed: dict[str, Any] = {}
        for key, value in values.items():
            typed[key] = self._value(types[key], value, name=prefix + key)
        return kind(**typed)

    def _value(self, wanted: Any, value: Any, *, name: str) -> Any:
        if is_dataclass(wanted):
            if isinstance(wanted, type) and isinstance(value, Mapping):
                return self.section(wanted, value, name=name)
            raise TrainingError(f"{self._origin}: {name} is {value!r}; it is a table, [{name}]")
        choices = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
        for choice in choices:
            if _fits(choice, value):
                return _convert(choice, value)
        told = " or ".join(map(_in_words, choices))
        raise TrainingError(f"{self._origin}: {name} is {value!r}; it takes a value of type {told}")


def _fits(wanted: Any, value: Any) -> bool:
    if get_origin(wanted) is tuple:
        inner = get_args(wanted)[0]
        return isinstance(value, list | tuple) and all(_fits(inner, each) for each in value)
    return type(value) is wanted or (wanted is float and type(value) is int)


def _convert(wanted: Any, value: Any) -> Any:
    """A value that fits, as its field holds it."""
    if get_origin(wanted) is tuple:
        inner = get_args(wanted)[0]
        return tuple(_convert(inner, each) for each in value)
    return float(value) if wanted is float else value


def _in_words(wanted: Any) -> str:
    if get_origin(wanted) is tuple:
        return f"list of {get_args(wanted)[0].__name__}"
    return str(wanted.__name__)


def read_config(path: Path) -> TrainingConfig:
    """Read a TOML file.

    Raises:
        TrainingError: Missing, not TOML, or a wrong key or value.
    """
    return parse_config(_read_toml(path), origin=str(path))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read as TOML ({error})") from error


def write_config(path: Path, config: TrainingConfig) -> None:
    """Write a configuration that `read_config` reads back equal."""
    sections: list[str] = []
    lines: list[str] = []
    for key, value in encode_config(config).items():
        if isinstance(value, Mapping):
            rows = [_toml_line(*row) for row in value.items()]
            sections.append(f"\n[{key}]\n" + "".join(rows))
        else:
            lines.append(_toml_line(key, value))
    write_file(path, "".join(lines + sections).encode())


def _toml_line(key: str, value: object) -> str:
    # What JSON writes for a text, number, boolean or list of them is also TOML; only U+007F must be
    # escaped by hand.
    written = json.dumps(value, ensure_ascii=False)
    return f"{key} = {written}\n".replace("\x7f", "\\u007f")


def load_recipe(scheme: str, *, overrides: Mapping[str, Any] | None = None) -> TrainingConfig:
    """The recipe shipped for a scheme, with single values replaced.

    A scheme of one's own takes the recipe of intent.

    Args:
        overrides: In sections, or flat as in schema 1, or both; a flat one counts more.

    Raises:
        TrainingError: An override is unknown or wrong.
    """
    shipped = {path.stem: path for path in RECIPES.glob("*.toml")}
    recipe = shipped.get(scheme, shipped["intent"])
    values = _read_toml(recipe)
    for key, value in nest(overrides or {}).items():
        before = values.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            value = {**before, **value}
        values[key] = value
    values["scheme"] = scheme
    return parse_config(values, origin=f"recipe {scheme!r}")
