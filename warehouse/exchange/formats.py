"""The formats that a version can be exported in: built-ins and a stranger's format use the same
door.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from voxdata.errors import ConfigError
from voxdata.outside import outside_parts

if TYPE_CHECKING:
    from warehouse.exchange.bundle import FolderFormat

TABLES = ("parquet", "jsonl", "csv")
"""Formats that are one table; the others are folders with clips."""

BUILT_IN = {
    "huggingface": "warehouse.exchange.huggingface:HUGGINGFACE",
    "webdataset": "warehouse.exchange.webdataset:WEBDATASET",
    "shar": "warehouse.exchange.shar:SHAR",
    "kaldi": "warehouse.exchange.kaldi:KALDI",
    "audformat": "warehouse.exchange.audformat:AUDFORMAT",
}
"""Name -> "module:VALUE", a `FolderFormat`."""

GROUP = "voxdata.exporter"
"""Entry points of this group are formats of other packages."""


def format_names() -> list[str]:
    """Every format there is, tables first."""
    others = outside_parts(GROUP).keys() - {*TABLES, *BUILT_IN}
    return [*TABLES, *BUILT_IN, *sorted(others)]


def load_format(name: str) -> FolderFormat:
    """The folder format of a name.

    Raises:
        ConfigError: There is none, or its package cannot be imported; the message says which there
            are.
    """
    # Here, since the help of a command names the formats and should import none of them.
    from warehouse.exchange.bundle import FolderFormat

    target = BUILT_IN.get(name) or outside_parts(GROUP).get(name)
    if target is None:
        raise ConfigError(
            f"no export format is called {name!r}; there are {', '.join(format_names())}"
        )
    module, _, attribute = target.partition(":")
    try:
        loaded = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the export format {name!r} cannot be imported from {target} ({error})"
        ) from error
    if not isinstance(loaded, FolderFormat):
        raise ConfigError(
            f"the export format {name!r}: {target} is no warehouse.exchange.bundle.FolderFormat"
        )
    return loaded
