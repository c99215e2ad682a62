"""Croissant: metadata of an export that dataset search engines and mlcroissant understand."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from warehouse.exchange.bundle import Bundle, hash_file
from warehouse.exchange.table import flat_rows

NAME = "croissant.json"
_TYPES = {"channel": "int", "start_ms": "int", "end_ms": "int"}
_SAYS = {
    "utterance_id": "Identity of the utterance: digest of recording, channel, start and end.",
    "recording_id": "Identity of the recording: digest of its samples.",
    "start_ms": "Start in the recording, in ms.",
    "end_ms": "End in the recording, exclusive, in ms.",
    "voice": "The speaker across recordings; no voice is in two splits.",
    "group": "What a split may not divide.",
    "audio_file": "The canonical recording, relative to the audio folder.",
    "text": "What is said, corrected by people where they did.",
    "split": "train, validation or test.",
    "salt": "Enters the leaf of the row in the version's Merkle root.",
    "gold": "Gold labels of all schemes as canonical JSON, shares of the votes in millionths.",
}


_TABLE_ENCODINGS = {
    "jsonl": "application/jsonlines",
    "csv": "text/csv",
    "parquet": "application/x-parquet",
}


def write_croissant(
    bundle: Bundle, folder: Path, *, table: str, kind: str, output: str = NAME
) -> None:
    """Write the metadata of an export.

    Args:
        table: The file, in `folder`, that holds the flat table.
        kind: Its format: "jsonl", "csv" or "parquet".
        output: What the metadata file is called.
    """
    import mlcroissant as mlc  # type: ignore[import-untyped]

    context = mlc.Context()
    terms, version = bundle.terms, bundle.version
    creators = [mlc.Organization(ctx=context, name=terms.creator)] if terms.creator else []
    records = mlc.RecordSet(
        ctx=context,
        id="utterances",
        name="utterances",
        key=["utterances/utterance_id"],
        fields=_fields(mlc, context, bundle, table),
    )
    created = version.created_at
    metadata = mlc.Metadata(
        ctx=context,
        name=version.name,
        description=" ".join(filter(None, (terms.description, bundle.description))),
        version=f"{version.number}.0.0",
        url=f"urn:voxdata:{version.root}",
        license=[terms.licence_url],
        creators=creators,
        cite_as=f"voxdata {version.ref}, Merkle root {version.root}",
        date_published=datetime(created.year, created.month, created.day),
        in_language=sorted({example.language for example in bundle.examples if example.language}),
        distribution=_distribution(mlc, context, folder, table=table, kind=kind, output=output),
        record_sets=[records],
        data_annotation_protocol=[_protocol(bundle)],
        data_annotation_platform=["Label Studio"],
        annotations_per_item=_votes(bundle),
        personal_sensitive_information=[
            "Human voices and what they say; a person may ask to be forgotten.",
            terms.consent_sentence,
        ],
        data_use_cases=_use_cases(bundle),
    )
    (folder / output).write_text(
        json.dumps(metadata.to_json(), ensure_ascii=False, indent=1, default=str) + "\n",
        encoding="utf-8",
    )


def _distribution(
    mlc: Any, context: Any, folder: Path, *, table: str, kind: str, output: str
) -> list[Any]:
    """The files of an export; clips in WAV are left out, since there is one for each utterance."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (output, "voxdata.json")
    )
    objects = []
    for path in files:
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".wav" and name != table:
            continue
        encoding = _TABLE_ENCODINGS[kind] if path.name == table else _encoding(path)
        file_object = mlc.FileObject(
            ctx=context,
            id=name,
            name=name,
            content_url=name,
            encoding_formats=[encoding],
            sha256=hash_file(path),
        )
        objects.append(file_object)
    return objects


def _fields(mlc: Any, context: Any, bundle: Bundle, table: str) -> list[Any]:
    """The columns of the flat table."""
    columns = list(flat_rows(bundle.examples)[0]) if bundle.examples else []
    fields = []
    for name in columns:
        counted = _TYPES.get(name) == "int" or name.endswith("_votes")
        field = mlc.Field(
            ctx=context,
            id=f"utterances/{name}",
            name=name,
            description=_SAYS.get(name, f"{name.replace('_', ' ')} of the utterance."),
            data_types=[mlc.DataType.INTEGER if counted else mlc.DataType.TEXT],
            source=mlc.Source(
                ctx=context, file_object=table, extract=mlc.Extract(ctx=context, column=name)
            ),
        )
        fields.append(field)
    return fields


def _protocol(bundle: Bundle) -> str:
    consensus = bundle.version.recipe.get("consensus", "unknown")
    schemes = [
        f"{s.name} (version {s.version}): {', '.join(s.label_names)}" for s in bundle.schemes
    ]
    return f"Consensus: {consensus}. Schemes: {'; '.join(schemes)}"


def _votes(bundle: Bundle) -> str:
    """The fewest and the most votes of a label."""
    votes: list[int] = []
    for example in bundle.examples:
        votes += [gold.num_votes for gold in example.gold.values()]
    return f"{min(votes)} to {max(votes)}" if votes else "none"


def _use_cases(bundle: Bundle) -> list[str]:
    """What the version was cut for, as its recipe says."""
    purpose, policy = bundle.version.recipe.get("purpose"), bundle.version.recipe.get("consent")
    if not purpose:
        return []
    return [f"Cut for the purpose {purpose!r}; consent was asked for under the policy {policy!r}."]


def _encoding(path: Path) -> str:
    kinds = {
        ".tar": "application/x-tar",
        ".parquet": "application/x-parquet",
        ".gz": "application/gzip",
        ".md": "text/markdown",
        ".yaml": "application/yaml",
        ".csv": "text/csv",
        ".jsonl": "application/jsonlines",
        ".flac": "audio/flac",
    }
    return kinds.get(path.suffix, "text/plain")
