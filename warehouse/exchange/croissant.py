"""Croissant: metadata of an export that dataset search engines and mlcroissant understand."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

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
    formats = {
        "jsonl": "application/jsonlines",
        "csv": "text/csv",
        "parquet": "application/x-parquet",
    }
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (output, "voxdata.json")
    )
    distribution = [
        mlc.FileObject(
            ctx=context,
            id=path.relative_to(folder).as_posix(),
            name=path.relative_to(folder).as_posix(),
            content_url=path.relative_to(folder).as_posix(),
            encoding_formats=[formats[kind] if path.name == table else _encoding(path)],
            sha256=hash_file(path),
        )
        for path in files
        if path.relative_to(folder).as_posix() == table or path.suffix not in (".wav",)
    ]
    columns = list(flat_rows(bundle.examples)[0]) if bundle.examples else []
    fields = [
        mlc.Field(
            ctx=context,
            id=f"utterances/{name}",
            name=name,
            description=_SAYS.get(name, f"{name.replace('_', ' ')} of the utterance."),
            data_types=[
                mlc.DataType.INTEGER
                if _TYPES.get(name) == "int" or name.endswith("_votes")
                else mlc.DataType.TEXT
            ],
            source=mlc.Source(
                ctx=context, file_object=table, extract=mlc.Extract(ctx=context, column=name)
            ),
        )
        for name in columns
    ]
    schemes = [
        f"{s.name} (version {s.version}): {', '.join(s.label_names)}" for s in bundle.schemes
    ]
    votes = [gold.num_votes for example in bundle.examples for gold in example.gold.values()]
    created = bundle.version.created_at
    metadata = mlc.Metadata(
        ctx=context,
        name=bundle.version.name,
        description=" ".join(
            part for part in (bundle.terms.description, bundle.description) if part
        ),
        version=f"{bundle.version.number}.0.0",
        url=f"urn:voxdata:{bundle.version.root}",
        license=[bundle.terms.licence_url],
        creators=[mlc.Organization(ctx=context, name=bundle.terms.creator)]
        if bundle.terms.creator
        else [],
        cite_as=f"voxdata {bundle.version.ref}, Merkle root {bundle.version.root}",
        date_published=datetime(created.year, created.month, created.day),
        in_language=sorted({example.language for example in bundle.examples if example.language}),
        distribution=distribution,
        record_sets=[
            mlc.RecordSet(
                ctx=context,
                id="utterances",
                name="utterances",
                key=["utterances/utterance_id"],
                fields=fields,
            )
        ],
        data_annotation_protocol=[
            f"Consensus: {bundle.version.recipe.get('consensus', 'unknown')}. Schemes: "
            f"{'; '.join(schemes)}"
        ],
        data_annotation_platform=["Label Studio"],
        annotations_per_item=f"{min(votes)} to {max(votes)}" if votes else "none",
        personal_sensitive_information=[
            "Human voices and what they say; a person may ask to be forgotten.",
            bundle.terms.consent_sentence,
        ],
        data_use_cases=_use_cases(bundle),
    )
    (folder / output).write_text(
        json.dumps(metadata.to_json(), ensure_ascii=False, indent=1, default=str) + "\n",
        encoding="utf-8",
    )


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
