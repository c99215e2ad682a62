"""audformat: the database format of the emotion community, read by
`audformat.Database.load(FOLDER)`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voxdata.dataset import Example, Split
from voxdata.errors import ConfigError
from warehouse.exchange.bundle import Bundle, FolderFormat


def write_audformat(bundle: Bundle, folder: Path) -> None:
    """`db.yaml`, a table `files.<split>` for each split with text, language, speaker and a column a
    scheme, and WAV clips.

    Raises:
        ConfigError: The package audformat is not there.
    """
    try:
        audformat: Any = importlib.import_module("audformat")
    except ImportError as error:
        raise ConfigError(
            "this format needs the package audformat; pip install 'voxdata[exchange]'"
        ) from error
    db = _describe(audformat, bundle)
    (folder / "wav").mkdir()
    for split, examples in bundle.splits():
        for example in examples:
            clip = bundle.clip(example, container="WAV")
            (folder / _clip_name(example)).write_bytes(clip)
        _add_split(audformat, db, bundle, split, examples)
    db.save(str(folder), storage_format="csv", update_other_formats=False)


def _describe(audformat: Any, bundle: Bundle) -> Any:
    """A database without rows: what it is, and its schemes."""
    parts = (bundle.terms.description, bundle.description)
    db = audformat.Database(
        name=bundle.version.name,
        description=" ".join(filter(None, parts)),
        organization=bundle.terms.creator or None,
        license=bundle.terms.licence or None,
        license_url=bundle.terms.licence_url if bundle.terms.licence else None,
        usage="other",
        languages=[],
        meta={"voxdata_version_id": bundle.version.version_id, "voxdata_root": bundle.version.root},
    )
    for name in ("text", "language", "utterance_id"):
        db.schemes[name] = audformat.Scheme("str")
    db.schemes["speaker"] = audformat.Scheme(
        labels=sorted({example.voice for example in bundle.examples})
    )
    for scheme in bundle.schemes:
        db.schemes[scheme.name] = audformat.Scheme(
            labels=list(scheme.label_names), description=scheme.title
        )
    return db


def _add_split(
    audformat: Any, db: Any, bundle: Bundle, split: Split, examples: Sequence[Example]
) -> None:
    db.splits[split.value] = audformat.Split({"validation": "dev"}.get(split.value, split.value))
    index = audformat.filewise_index([_clip_name(example) for example in examples])
    table = audformat.Table(index, split_id=split.value)
    db[f"files.{split.value}"] = table
    columns: dict[str, list[object]] = {
        "text": [e.text for e in examples],
        "language": [e.language for e in examples],
        "utterance_id": [e.utterance_id for e in examples],
        "speaker": [e.voice for e in examples],
    }
    for scheme in bundle.schemes:
        columns[scheme.name] = [bundle.labels(e).get(scheme.name) for e in examples]
    for name, values in columns.items():
        table[name] = audformat.Column(scheme_id=name)
        table[name].set(values)


def _clip_name(example: Example) -> str:
    return f"wav/{example.utterance_id}.wav"


AUDFORMAT = FolderFormat(write=write_audformat, taken=frozenset({"speaker"}))
