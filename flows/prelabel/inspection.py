"""Inspect: everything the models say about one file, without a warehouse."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from flows.models import build_models, model_specs
from flows.place import find_workspace
from flows.settings import default_settings, read_environment
from flows.workspace import Workspace, open_workspace
from voxdata.canonical import open_canonical
from voxdata.canonicalise import canonicalise
from voxdata.durable import scratch_folder
from voxdata.errors import ConfigError
from voxdata.identity import ModelRef
from voxdata.prelabel import RecordingWork, run_stages
from voxdata.recording import Recording
from voxdata.remark import MIN_DOUBTFUL_MS, remark_doubt
from voxdata.rttm import encode_rttm
from voxdata.srt import encode_srt
from voxdata.utterance import Utterance
from voxdata.visible import visible, visible_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What the models say about one file.

    Attributes:
        models: Stage -> what ran.
    """

    recording: Recording
    work: RecordingWork
    models: Mapping[str, ModelRef]


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
    workspace = _find(directory, explicit=explicit)
    models = build_models(workspace, model_specs(workspace))
    specs = models.specs(scheme_versions=workspace.scheme_versions)
    with scratch_folder(near=workspace.root) as folder:
        target = folder / "canonical.flac"
        recording = canonicalise(file, lambda _: target).recording
        work = RecordingWork(
            recording_id=recording.recording_id,
            sounds=open_canonical(target),
            source_rate_hz=recording.sample_rate_hz,
            wanted=frozenset(spec.name for spec in specs),
        )
        run_stages([work], models)
    ran = {spec.name: spec.model for spec in specs if spec.model is not None}
    return FORMATS[output](file, Inspected(recording=recording, work=work, models=ran))


def _find(directory: Path, *, explicit: bool) -> Workspace:
    try:
        return open_workspace(find_workspace(directory, explicit=directory if explicit else None))
    except ConfigError:
        if explicit:
            raise
    return Workspace(
        root=directory, settings=default_settings(), secrets=read_environment(), run_id="inspect"
    )


def _as_json(file: Path, inspected: Inspected) -> str:
    recording, work = inspected.recording, inspected.work
    labels: dict[str, dict[str, object]] = {}
    for p in work.predictions:
        labels.setdefault(p.utterance_id, {})[p.scheme] = {
            "label": p.guess(),
            "distribution": dict(p.distribution),
            "model": p.model.name,
            "revision": p.model.revision,
            "weak": p.model.weak,
        }
    value = {
        "file": str(file),
        "recording": {**asdict(recording), "duration_ms": recording.duration_ms},
        "models": {
            stage: {"name": m.name, "revision": m.revision} for stage, m in inspected.models.items()
        },
        "turns": [
            {
                "channel": t.channel,
                "speaker": t.speaker,
                "start_ms": t.segment.start_ms,
                "end_ms": t.segment.end_ms,
            }
            for t in work.turns
        ],
        "utterances": [
            _utterance_row(utterance, work, labels.get(utterance.utterance_id, {}))
            for utterance in work.utterances
        ],
    }
    return visible_json(json.dumps(value, ensure_ascii=False, indent=2)) + "\n"


def _utterance_row(
    utterance: Utterance, work: RecordingWork, labels: Mapping[str, object]
) -> dict[str, object]:
    """An utterance as JSON values, with what was found out about it."""
    words = [
        {
            "text": word.text,
            "start_ms": word.segment.start_ms,
            "end_ms": word.segment.end_ms,
            "probability": round(word.probability, 4),
        }
        for word in utterance.words
    ]
    private = [
        {
            "kind": span.kind,
            "start": span.start,
            "end": span.end,
            "start_ms": span.segment.start_ms,
            "end_ms": span.segment.end_ms,
        }
        for span in work.private.get(utterance.utterance_id, ())
    ]
    return {
        "utterance_id": utterance.utterance_id,
        "channel": utterance.channel,
        "speaker": utterance.speaker,
        "start_ms": utterance.segment.start_ms,
        "end_ms": utterance.segment.end_ms,
        "language": utterance.language,
        "text": utterance.text,
        "words": words,
        "marks": list(utterance.marks),
        "private": private,
        "quality": asdict(work.quality[utterance.utterance_id]),
        "labels": labels,
    }


def _as_table(file: Path, inspected: Inspected) -> str:
    recording, work = inspected.recording, inspected.work
    proposals: dict[str, list[str]] = {}
    weak = False
    for p in work.predictions:
        weak = weak or p.model.weak
        guess = p.guess()
        proposal = (
            "no guess"
            if guess is None
            else f"{guess}{'*' if p.model.weak else ''} {p.distribution[guess]:.2f}"
        )
        proposals.setdefault(p.utterance_id, []).append(proposal)
    table = Table(
        title=f"{escape(file.name)}: {recording.duration_ms / 1000:.1f} s, "
        f"{recording.num_channels} channel(s), {recording.layout}"
    )
    for column in (
        "start",
        "end",
        "speaker",
        "language",
        "text",
        "proposals",
        "level dB",
        "SNR dB",
    ):
        table.add_column(column, overflow="fold")
    for u in work.utterances:
        quality = work.quality[u.utterance_id]
        table.add_row(
            f"{u.segment.start_ms / 1000:.2f}",
            f"{u.segment.end_ms / 1000:.2f}",
            u.speaker,
            u.language,
            Text(u.text),
            "\n".join(proposals.get(u.utterance_id, [])),
            f"{quality.level_db:.0f}",
            f"{quality.snr_db:.0f}",
        )
    out = StringIO()
    console = Console(file=out, width=160)
    console.print(table)
    doubtful_ms = max((d.doubtful_ms for d in work.diarizations), default=0)
    if not work.turns and doubtful_ms >= MIN_DOUBTFUL_MS:
        console.print(remark_doubt(doubtful_ms).detail)
    if weak:
        console.print("* by a cold-start rule, not by a trained model: weak")
    return visible(out.getvalue())


FORMATS: dict[str, Callable[[Path, Inspected], str]] = {
    "table": _as_table,
    "json": _as_json,
    "rttm": lambda file, inspected: encode_rttm(inspected.work.turns, uri=file.stem),
    "srt": lambda _, inspected: encode_srt(inspected.work.utterances),
}
"""Output format -> how to write it."""
