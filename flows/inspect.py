"""Inspect: everything the models say about one file, without a warehouse."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.settings import default_settings, find_workspace, read_environment
from flows.wiring import build_cold_start, build_diarizer, build_labelers, build_transcriber
from flows.workspace import Workspace, open_workspace
from voxdata.audio import canonicalise, decode_audio
from voxdata.errors import ConfigError
from voxdata.prelabel import Prelabels
from voxdata.prelabel import prelabel as prelabel_channels
from voxdata.recording import Recording
from voxdata.rttm import encode_rttm
from voxdata.srt import encode_srt


def inspect_file(file: Path, *, output: str, directory: Path, explicit: bool) -> str:
    """Decode, diarize, transcribe and label one file.

    Args:
        file: Any recording.
        output: One of FORMATS.
        directory: Where a workspace is looked for; its models are used, else the defaults.
        explicit: The user named `directory`, so a missing workspace there is an error.

    Raises:
        AudioError: The file gives no usable audio; the message says why.
    """
    decoded = decode_audio(file)
    recording, samples = canonicalise(decoded)
    workspace = _find(directory, explicit=explicit)
    if workspace.warehouse_path.exists():
        labelers = build_labelers(workspace)
    else:
        labelers = {scheme.name: build_cold_start(workspace, scheme.name) for scheme in workspace.schemes}
    found = prelabel_channels(
        recording.recording_id,
        [samples[:, channel] for channel in range(samples.shape[1])],
        source_rate_hz=recording.sample_rate_hz,
        diarizer=build_diarizer(workspace),
        transcriber=build_transcriber(workspace),
        labelers=labelers,
        pause_ms=workspace.settings.utterance.pause_ms,
        max_ms=workspace.settings.utterance.max_ms,
    )
    return FORMATS[output](file, recording, found)


def _find(directory: Path, *, explicit: bool) -> Workspace:
    try:
        return open_workspace(find_workspace(directory, explicit=directory if explicit else None))
    except ConfigError:
        if explicit:
            raise
    return Workspace(root=directory, settings=default_settings(), secrets=read_environment(), run_id="inspect")


def _as_json(file: Path, recording: Recording, found: Prelabels) -> str:
    labels: dict[str, dict[str, object]] = {}
    for p in found.predictions:
        labels.setdefault(p.utterance_id, {})[p.scheme] = {
            "label": p.label, "distribution": dict(p.distribution),
            "model": p.model.name, "revision": p.model.revision, "weak": p.model.weak,
        }  # fmt: skip
    value = {
        "file": str(file),
        "recording": {**asdict(recording), "duration_ms": recording.duration_ms},
        "models": {stage: {"name": m.name, "revision": m.revision} for stage, m in found.models.items()},
        "turns": [
            {"channel": t.channel, "speaker": t.speaker, "start_ms": t.segment.start_ms, "end_ms": t.segment.end_ms} for t in found.turns
        ],
        "utterances": [
            {
                "utterance_id": u.utterance_id, "channel": u.channel, "speaker": u.speaker,
                "start_ms": u.segment.start_ms, "end_ms": u.segment.end_ms, "language": u.language, "text": u.text,
                "words": [
                    {"text": w.text, "start_ms": w.segment.start_ms, "end_ms": w.segment.end_ms, "probability": round(w.probability, 4)}
                    for w in u.words
                ],
                "quality": asdict(found.quality[u.utterance_id]),
                "labels": labels.get(u.utterance_id, {}),
            }
            for u in found.utterances
        ],
    }  # fmt: skip
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _as_table(file: Path, recording: Recording, found: Prelabels) -> str:
    proposals: dict[str, list[str]] = {}
    weak = False
    for p in found.predictions:
        weak = weak or p.model.weak
        proposals.setdefault(p.utterance_id, []).append(f"{p.label}{'*' if p.model.weak else ''} {p.distribution[p.label]:.2f}")
    table = Table(title=f"{file.name}: {recording.duration_ms / 1000:.1f} s, {recording.num_channels} channel(s), {recording.layout}")
    for column in ("start", "end", "speaker", "language", "text", "proposals", "level dB", "SNR dB"):
        table.add_column(column, overflow="fold")
    for u in found.utterances:
        quality = found.quality[u.utterance_id]
        table.add_row(
            f"{u.segment.start_ms / 1000:.2f}", f"{u.segment.end_ms / 1000:.2f}", u.speaker, u.language, u.text,
            "\n".join(proposals.get(u.utterance_id, [])), f"{quality.level_db:.0f}", f"{quality.snr_db:.0f}",
        )  # fmt: skip
    out = StringIO()
    console = Console(file=out, width=160)
    console.print(table)
    if weak:
        console.print("* by a cold-start rule, not by a trained model: weak")
    return out.getvalue()


FORMATS: dict[str, Callable[[Path, Recording, Prelabels], str]] = {
    "table": _as_table,
    "json": _as_json,
    "rttm": lambda file, _, found: encode_rttm(found.turns, uri=file.stem),
    "srt": lambda _file, _recording, found: encode_srt(found.utterances),
}
"""Output format -> how to write it."""
