"""The first schema: sixteen values in one flat table.

Stored `config.toml` files, the `model.json` of checkpoints, and `recipe` in voxdata.toml have that
form, and the training runs of a warehouse have its keys. Nothing here ever changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PLACES = {
    "layers": "audio",
    "hidden_units": "head",
    "dropout": "head",
    "learning_rate": "fit",
    "weight_decay": "fit",
    "warmup_share": "fit",
    "max_epochs": "fit",
    "fixed_epochs": "fit",
    "patience": "fit",
    "batch_size": "fit",
    "soft_targets": "fit",
    "class_weights": "fit",
    "min_gain": "gate",
}
"""The section in which each value of the flat table is now; the others are where they were."""

TOP = ("scheme", "encoder", "seed")
LAYERS = {"concat": "all", "weighted": "weighted"}
"""What was said of the layers -> what is said of them now."""


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Put the values of a flat table into their sections; tables and other keys stay.

    A flat value replaces the one in a table beside it.
    """
    nested: dict[str, Any] = {}
    for name, value in values.items():
        if name not in PLACES:
            nested[name] = dict(value) if isinstance(value, Mapping) else value
    for name, value in values.items():
        if name not in PLACES:
            continue
        if name == "layers" and isinstance(value, str):
            value = LAYERS.get(value, value)
        section = nested.setdefault(PLACES[name], {})
        if isinstance(section, dict):
            section[name] = value
    return nested


def flatten(values: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any] | None:
    """The flat table of a configuration.

    Args:
        values: All of it, in sections.
        changed: What of it differs from the defaults, in sections.

    Returns:
        The sixteen values; None when it says anything that the first schema had no word for.
    """
    if any(map(_is_new, changed.items())):
        return None
    flat = {name: values[name] for name in TOP}
    for name, section in PLACES.items():
        flat[name] = values[section][name]
    old_words = {now: before for before, now in LAYERS.items()}
    if not isinstance(flat["layers"], str):
        return None
    flat["layers"] = old_words[flat["layers"]]
    return flat


def _is_new(change: tuple[str, Any]) -> bool:
    """Whether a changed value, or one in a changed section, was not in the first schema."""
    name, value = change
    if not isinstance(value, Mapping):
        return name not in TOP
    return any(PLACES.get(inner) != name for inner in value)
