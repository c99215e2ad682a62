"""Hugging Face datasets: Parquet with the sound inside, for `datasets.load_dataset(FOLDER)`."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from voxdata.dataset import Example
from voxdata.ports import MODEL_RATE_HZ
from warehouse.exchange.bundle import Bundle, FolderFormat, one_line

ROWS_AT_ONCE = 100
_PLAIN = ("utterance_id", "recording_id", "voice", "group", "text", "language")


def write_huggingface(bundle: Bundle, folder: Path) -> None:
    """`data/<split>.parquet` with columns audio (FLAC), the plain ones, and one of class labels for
    each scheme; and a dataset card.
    """
    (folder / "data").mkdir()
    schema = _schema(bundle)
    for split, examples in bundle.splits():
        with pq.ParquetWriter(
            folder / "data" / f"{split.value}.parquet", schema, compression="zstd"
        ) as writer:
            for start in range(0, len(examples), ROWS_AT_ONCE):
                rows = [_row(bundle, example) for example in examples[start : start + ROWS_AT_ONCE]]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    (folder / "README.md").write_text(_card(bundle), encoding="utf-8")


def _row(bundle: Bundle, example: Example) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(example, name) for name in _PLAIN}
    row |= {
        "audio": {"bytes": bundle.clip(example), "path": f"{example.utterance_id}.flac"},
        "start_ms": example.segment.start_ms,
        "end_ms": example.segment.end_ms,
    }
    for scheme in bundle.schemes:
        gold = example.gold.get(scheme.name)
        row[scheme.name] = None if gold is None else scheme.label_names.index(gold.label)
    return row


def _schema(bundle: Bundle) -> pa.Schema:
    """The Arrow schema with the features that `datasets` reads from its metadata."""
    string, integer = {"dtype": "string", "_type": "Value"}, {"dtype": "int64", "_type": "Value"}
    features: dict[str, object] = {"audio": {"sampling_rate": MODEL_RATE_HZ, "_type": "Audio"}}
    fields = [pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    for name in _PLAIN:
        features[name] = string
        fields.append(pa.field(name, pa.string()))
    for name in ("start_ms", "end_ms"):
        features[name] = integer
        fields.append(pa.field(name, pa.int64()))
    for scheme in bundle.schemes:
        features[scheme.name] = {"names": list(scheme.label_names), "_type": "ClassLabel"}
        fields.append(pa.field(scheme.name, pa.int64()))
    info = {"info": {"features": features}}
    metadata = {
        "huggingface": json.dumps(info, ensure_ascii=False),
        "voxdata_version_id": bundle.version.version_id,
    }
    return pa.schema(fields, metadata=metadata)


def _card(bundle: Bundle) -> str:
    files = "\n".join(
        f"      - split: {split.value}\n        path: data/{split.value}.parquet"
        for split, _ in bundle.splits()
    )
    labels = "\n".join(
        f"- {s.name} (version {s.version}): {', '.join(s.label_names)}" for s in bundle.schemes
    )
    spoken = sorted({e.language for e in bundle.examples if e.language})
    quoted = [json.dumps(one_line(language), ensure_ascii=False) for language in spoken]
    languages = "\n".join(f"  - {language}" for language in quoted)
    terms = _licence_lines(bundle.terms.licence)
    return f"""---
pretty_name: {json.dumps(bundle.version.ref, ensure_ascii=False)}
{terms}language:
{languages or "  - und"}
task_categories:
  - audio-classification
configs:
  - config_name: default
    data_files:
{files}
---

# {bundle.version.ref}

{" ".join(part for part in (bundle.terms.description, bundle.description) if part)}

{labels}

{bundle.terms.consent_sentence}

Splits share no voice, no call and no near-duplicate recording. \
The recipe of the version is in `voxdata.json`.
"""


def _licence_lines(licence: str) -> str:
    """The lines of a dataset card about the licence: an SPDX id, or a URL."""
    if not licence:
        return ""
    if "://" in licence:
        return f"license: other\nlicense_link: {licence}\n"
    return f"license: {licence.lower()}\n"


HUGGINGFACE = FolderFormat(write=write_huggingface, taken=frozenset({"audio"}))
