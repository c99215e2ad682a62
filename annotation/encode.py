"""From voxdata's values to Label Studio's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from annotation.config import AUDIO, TRANSCRIPT
from voxdata.label import Prediction
from voxdata.ports import QueueEntry

KEY = "vox_id"
"""The field of a Label Studio task that holds our utterance id: what makes a push repeatable."""


def encode_entry(entry: QueueEntry) -> dict[str, Any]:
    """A clip as a Label Studio task, with its proposals."""
    return {
        "data": {
            KEY: entry.utterance_id,
            "audio": f"/data/local-files/?d={quote(entry.audio_file)}",
            "note": entry.note,
            "text": entry.text,
        },
        "predictions": [encode_predictions(entry)] if entry.predictions else [],
    }


def encode_predictions(entry: QueueEntry) -> dict[str, Any]:
    """All proposals for a clip as one Label Studio prediction, which carries a single model version."""
    return {
        "model_version": model_version(entry.predictions),
        "score": round(min(p.distribution[p.label] for p in entry.predictions), 6),
        "result": encode_labels({p.scheme: (p.label,) for p in entry.predictions}, text=entry.text),
    }


def encode_labels(labels: Mapping[str, Sequence[str]], *, text: str | None = None, lead: str = "r") -> list[dict[str, Any]]:
    """Labels and transcript of one clip as Label Studio results."""
    results: list[dict[str, Any]] = [
        {"id": f"{lead}-{scheme}", "from_name": scheme, "to_name": AUDIO, "type": "choices", "value": {"choices": list(chosen)}}
        for scheme, chosen in labels.items()
    ]
    if text:
        results.append(
            {"id": f"{lead}-{TRANSCRIPT}", "from_name": TRANSCRIPT, "to_name": AUDIO, "type": "textarea", "value": {"text": [text]}}
        )
    return results


def model_version(predictions: Sequence[Prediction]) -> str:
    """Which models made a set of proposals: readable, and different whenever one of them is another model."""
    parts = sorted(predictions, key=lambda p: p.scheme)
    return " ".join(f"{p.scheme}:{p.model.name}{'~weak' if p.model.weak else ''}@{p.model.key[:8]}" for p in parts)
