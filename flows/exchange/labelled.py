"""Import: somebody's labelled clips as a dataset version."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flows.decode_work import Refused, audio_file_of, decode_file
from flows.exchange.foreign import Foreign, read_foreign
from flows.manifests import BadRow, ManifestRow
from flows.workspace import Say, Workspace
from voxdata.canonicalise import Canonical
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.durable import scratch_folder
from voxdata.errors import ConfigError, DropReason
from voxdata.identity import digest
from voxdata.recording import Recording
from voxdata.segment import Segment
from voxdata.split import group_voices
from warehouse.connection import transaction
from warehouse.erase import is_forgotten
from warehouse.ledger import record_drop
from warehouse.recordings import add_recording
from warehouse.versions import DatasetVersion, create_version

SPLITS: Mapping[str, Split] = {
    "train": Split.TRAIN, "training": Split.TRAIN, "validation": Split.VALIDATION, "valid": Split.VALIDATION, "val": Split.VALIDATION,
    "dev": Split.VALIDATION, "development": Split.VALIDATION, "test": Split.TEST, "eval": Split.TEST, "evaluation": Split.TEST,
}  # fmt: skip


TOLERANCE_MS = 100
"""A row may end so much after its recording: times are rounded, and decoders pad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a manifest gave.

    Attributes:
        examples: One for each row that could be used.
        dropped: (row, why) of the others; they are in the ledger.
    """

    examples: tuple[Example, ...]
    dropped: tuple[tuple[int, str], ...] = field(default_factory=tuple)


def import_manifest(
    workspace: Workspace, path: Path, *, name: str, scheme: str, label: str = "label", kind: Foreign = "manifest", say: Say
) -> tuple[DatasetVersion, bool, Imported]:
    """Make a version of labelled clips: columns audio, `label`, speaker and split; text, language, channel, start and end if there are any.

    Args:
        path: What `flows.exchange.foreign.read_foreign` reads as a `kind`.
        scheme: Under which the labels stand.
        label: The column that holds them.

    Raises:
        ConfigError: The manifest cannot be read, lacks a column, or gives no example.
        WarehouseError: A speaker is in two splits; `voxdata audit` shows who.
    """
    with scratch_folder() as scratch:
        rows, bad = read_foreign(path, kind=kind, scratch=scratch)
        return _import_rows(workspace, rows, bad, path=path, name=name, scheme=scheme, label=label, say=say)


def _import_rows(
    workspace: Workspace, rows: Sequence[ManifestRow], bad: Sequence[BadRow], *, path: Path, name: str, scheme: str, label: str, say: Say
) -> tuple[DatasetVersion, bool, Imported]:
    for column in (label, "split"):
        if rows and not any(column in row.metadata for row in rows):
            raise ConfigError(f"{path}: has no column {column!r}; there are {', '.join(sorted(rows[0].metadata)) or 'none'}")
    dropped = [(row.number, row.problem) for row in bad]
    drafts: list[tuple[int, Example]] = []
    decoded: dict[str, Canonical] = {}
    for number, row in enumerate(rows, start=1):
        split = SPLITS.get(row.metadata.get("split", "").casefold())
        why = "" if split else f"its split is {row.metadata.get('split')!r}; write train, validation or test"
        why = why or ("" if row.metadata.get(label) else f"it has no {label}")
        found = Refused(reason=DropReason.BAD_ROW, detail=why) if why else decoded.get(row.uri) or _decode(workspace, row.uri)
        if isinstance(found, Refused) or split is None:
            dropped.append((row.number, found.detail if isinstance(found, Refused) else why))
            continue
        decoded[row.uri] = found
        recording = found.recording
        place = _place(row, recording)
        if isinstance(place, str):
            dropped.append((row.number, place))
            continue
        channel, segment = place
        with workspace.warehouse() as con, transaction(con):
            if is_forgotten(con, recording.recording_id):
                (workspace.audio_dir / audio_file_of(recording)).unlink(missing_ok=True)
                dropped.append((row.number, "it was forgotten; `voxdata forget --renew` lets it in"))
                continue
            add_recording(con, recording, audio_file=audio_file_of(recording), run_id=workspace.run_id)
        known = row.metadata
        gold = GoldLabel(label=known[label], distribution={known[label]: 1.0}, num_votes=1)
        example = Example(
            utterance_id=digest(recording.recording_id, channel, segment.start_ms, segment.end_ms),
            recording_id=recording.recording_id,
            channel=channel,
            segment=segment,
            voice=f"{name}:{known.get('speaker') or recording.recording_id}",
            group="",
            audio_file=audio_file_of(recording),
            text=known.get("text") or known.get("transcript") or "",
            language=known.get("language", ""),
            split=split,
            gold={scheme: gold},
        )
        drafts.append((row.number, example))
        if number % 100 == 0 or number == len(rows):
            say(f"import: {number}/{len(rows)} clips")
    examples, twice = _once(drafts)
    dropped += twice
    with workspace.warehouse() as con, transaction(con):
        for at, why in dropped:
            record_drop(
                con, stage="import", subject=f"{path.absolute()}:{at}", reason=DropReason.BAD_ROW, detail=why, run_id=workspace.run_id
            )
    if not examples:
        raise ConfigError(f"{path}: no row gives an example ({dropped[0][1] if dropped else 'it is empty'})")
    groups = group_voices((f"voice {e.voice}", e.voice) for e in examples)
    final = [replace(example, group=groups[example.voice]) for example in examples]
    with workspace.warehouse() as con:
        version, new = create_version(
            con, name, final, recipe={"imported": {"manifest": path.name, "scheme": scheme}}, run_id=workspace.run_id
        )
    return version, new, Imported(examples=tuple(final), dropped=tuple(dropped))


def _decode(workspace: Workspace, uri: str) -> Canonical | Refused:
    if "://" in uri:
        return Refused(reason=DropReason.OUTSIDE, detail=f"{uri} is a URL; copy the clips here first")
    return decode_file(Path(uri), workspace.audio_dir, round(workspace.settings.sources.max_hours * 3_600_000))


def _once(drafts: Sequence[tuple[int, Example]]) -> tuple[list[Example], list[tuple[int, str]]]:
    """The first example of each utterance, and why the rows of the others were dropped."""
    first: dict[str, tuple[int, Example]] = {}
    twice: list[tuple[int, str]] = []
    for number, example in drafts:
        before, same = first.setdefault(example.utterance_id, (number, example))
        if before != number:
            other = "" if replace(example, split=same.split) == same else ", with other values"
            twice.append((number, f"it has the same sound as row {before}{other}"))
    return [example for _, example in first.values()], twice


def _place(row: ManifestRow, recording: Recording) -> tuple[int, Segment] | str:
    """Channel and segment that a row means, or what is wrong with them; without start and end it is the whole recording."""
    length_ms = max(1, recording.duration_ms)
    try:
        start = float(row.metadata.get("start", 0))
        end = float(row.metadata.get("end", length_ms / 1000))
        channel = int(row.metadata.get("channel", 0))
    except ValueError as error:
        return f"its start, end or channel is no number ({error}); write seconds, and channels from 0"
    if not (math.isfinite(start) and math.isfinite(end)) or start < 0 or round(start * 1000) >= round(end * 1000):
        return f"it starts at {start} s and ends at {end} s; give seconds, the start before the end"
    if round(end * 1000) > length_ms + TOLERANCE_MS:
        return f"it ends at {end} s, and the recording at {length_ms / 1000} s"
    if not 0 <= channel < recording.canonical_channels:
        return f"its channel is {channel}; the recording has {recording.canonical_channels} that differ, counted from 0"
    start_ms, end_ms = round(start * 1000), min(round(end * 1000), length_ms)
    if start_ms >= end_ms:
        return f"it starts at {start} s, and the recording ends at {length_ms / 1000} s"
    return channel, Segment(start_ms=start_ms, end_ms=end_ms)
