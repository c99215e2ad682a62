"""What `import voxdata` hands out: the names that scripts and notebooks need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flows.exchange.export import open_bundle
from flows.workspace import Workspace, open_workspace
from voxdata.audit.audit_table import check_reach, read_table
from voxdata.audit.findings import Audit
from voxdata.dataset import Example, Split
from voxdata.ports import MODEL_RATE_HZ, Samples
from warehouse.exchange.table import flat_frame

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "RATE_HZ",
    "Audit",
    "Example",
    "Workspace",
    "audit_table",
    "iter_examples",
    "load_version",
    "open_workspace",
]

RATE_HZ = MODEL_RATE_HZ
"""The sample rate of all sound that voxdata gives out."""


def load_version(workspace: Workspace, version: str) -> pl.DataFrame:
    """The examples of a dataset version, a row for each, sorted by utterance id.

    Args:
        version: A name (its newest version), name@2, a tag or the start of an id.

    Returns:
        The columns of an exported table (docs/exchange.md), such as `text`, `split` and `intent`.

    Raises:
        NotFoundError: There is no such version.
    """
    return flat_frame(open_bundle(workspace, version).examples)


def iter_examples(
    workspace: Workspace, version: str, *, split: str | None = None
) -> Iterator[tuple[Example, Samples]]:
    """The examples of a dataset version with their sound, sorted by utterance id.

    They are read as they are asked for.

    Args:
        version: As for `load_version`.
        split: "train", "validation" or "test"; all when None.

    Yields:
        An example and its samples: (num_samples,) float32 at RATE_HZ, in [-1, 1].

    Raises:
        NotFoundError: There is no such version.
        ValueError: There is no such split.
        AudioError: A recording is missing, damaged or another.
    """
    bundle = open_bundle(workspace, version)
    chosen = bundle.examples if split is None else bundle.of(Split(split))
    for example in chosen:
        yield example, bundle.samples(example)


def audit_table(
    table: Path | str, *, audio_root: Path | str | None = None, with_audio: bool = True
) -> Audit:
    """Look for leaks between the splits of anybody's dataset.

    Args:
        table: CSV, TSV, JSON lines, Parquet, a Kaldi folder or a Lhotse manifest.
        audio_root: What audio paths in it are relative to; its folder when None.
        with_audio: Whether the clips are listened to.

    Raises:
        ConfigError: It cannot be read, lacks a column, names a file outside of these folders, or no
            clip of it can be read.
    """
    from flows.audit import verdict

    path = Path(table)
    root = None if audio_root is None else Path(audio_root)
    read = read_table(path)
    if with_audio:
        check_reach(read, path, audio_root=root, anywhere=False)
    return verdict.audit_table(
        read,
        audio_root=root or read.folder,
        with_audio=with_audio,
        say=lambda _line: None,
    )
