"""Import: somebody's labelled clips as a dataset version. Everything is checked before anything is written."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flows.decode_work import Refused, audio_file_of, decode_file
from flows.exchange.labelled_rows import LabelledRow, LabelledRows, read_labelled
from flows.tables.reach import REMEDY
from flows.tables.read import Format
from flows.workspace import Say, Workspace
from voxdata.canonicalise import Canonical
from voxdata.dataset import Example, GoldLabel
from voxdata.errors import DropReason, ManifestError, NotFoundError
from voxdata.identity import digest
from voxdata.recording import Recording
from voxdata.segment import Segment
from voxdata.split import group_voices
from warehouse.erase import is_forgotten
from warehouse.ledger import record_drop
from warehouse.recordings import add_recording, get_recording
from warehouse.versions import DatasetVersion, create_version

TOLERANCE_MS = 100
"""A row may end so much after its recording: times are rounded, and decoders pad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a table gave.

    Attributes:
        examples: One for each row that could be used.
        dropped: (row, why) of the others; they are in the ledger.
    """

    examples: tuple[Example, ...]
    dropped: tuple[tuple[int, str], ...] = field(default_factory=tuple)


def import_manifest(
    workspace: Workspace,
    path: Path,
    *,
    name: str,
    scheme: str,
    label: str = "label",
    kind: Format = "manifest",
    say: Say,
    audio_root: Path | None = None,
    anywhere: bool = False,
    rename: Mapping[str, str] | None = None,
) -> tuple[DatasetVersion, bool, Imported]:
    """Make a version of labelled clips: columns audio, label, speaker and split; text, language, channel and times if there are any.

    Args:
        path: What `flows.tables.read.read_dataset` reads as a `kind`.
        scheme: Under which the labels stand.
        label: The column that holds them.
        audio_root: What paths are relative to; else the table's folder.
        anywhere: Whether rows may name files outside both.
        rename: Label as written -> the label it is taken for.

    Raises:
        ConfigError: The table cannot be read or lacks a column, or a renamed label is in no row.
        ManifestError: No row gives an example; nothing is written then.
        WarehouseError: A speaker is in two splits; `voxdata audit` shows who.
    """
    with tempfile.TemporaryDirectory(prefix="voxdata-") as scratch:
        known = next((s.label_names for s in workspace.schemes if s.name == scheme), ())
        found = read_labelled(
            path, kind=kind, scratch=Path(scratch), label=label, audio_root=audio_root, anywhere=anywhere, rename=rename,
            known=known,
        )  # fmt: skip
        for remark in found.remarks:
            say(f"import: {remark}")
        return _import_rows(workspace, found, path=path, name=name, scheme=scheme, say=say)


def _import_rows(
    workspace: Workspace, found: LabelledRows, *, path: Path, name: str, scheme: str, say: Say
) -> tuple[DatasetVersion, bool, Imported]:
    fresh: set[Path] = set()
    try:
        heard, unheard = _hear(workspace, found.rows, fresh, say=say)
        drafts, unplaced = _draft(heard, name=name, scheme=scheme)
        examples, twice = _once(drafts)
        with workspace.warehouse() as con:
            forgotten = {e.recording_id for e in examples if is_forgotten(con, e.recording_id)}
        kept = [example for example in examples if example.recording_id not in forgotten]
        gone = [
            (number, "it was forgotten; `voxdata forget --renew` lets it in")
            for number, example in drafts
            if example.recording_id in forgotten
        ]
        dropped = sorted([*((row.number, row.problem) for row in found.bad), *unheard, *unplaced, *twice, *gone])
        if not kept:
            said = f"row {dropped[0][0]}: {dropped[0][1]}" if dropped else "it has no rows"
            raise ManifestError(f"{path}: none of its {len(dropped)} rows gives an example; {said}. Nothing was written; {REMEDY}")
        groups = group_voices((f"voice {e.voice}", e.voice) for e in kept)
        final = [replace(example, group=groups[example.voice]) for example in kept]
        recordings = {canonical.recording.recording_id: canonical.recording for _, canonical in heard}
        used = [recordings[key] for key in sorted({example.recording_id for example in final})]
        with workspace.warehouse() as con:

            def along() -> None:
                for recording in used:
                    add_recording(con, recording, audio_file=audio_file_of(recording), run_id=workspace.run_id)
                for at, why in dropped:
                    record_drop(
                        con, stage="import", subject=f"{path.absolute()}:{at}", reason=DropReason.BAD_ROW, detail=why,
                        run_id=workspace.run_id,
                    )  # fmt: skip

            recipe = {"imported": {"manifest": path.name, "scheme": scheme}}
            version, new = create_version(con, name, final, recipe=recipe, run_id=workspace.run_id, along=along)
        fresh -= {workspace.audio_dir / audio_file_of(recording) for recording in used}
        return version, new, Imported(examples=tuple(final), dropped=tuple(dropped))
    finally:
        _remove_unused(workspace, fresh)


def _hear(
    workspace: Workspace, rows: Sequence[LabelledRow], fresh: set[Path], *, say: Say
) -> tuple[list[tuple[LabelledRow, Canonical]], list[tuple[int, str]]]:
    """Decode each file once; notes in `fresh` what canonical audio there is of it."""
    limit_ms = round(workspace.settings.sources.max_hours * 3_600_000)
    decoded: dict[str, Canonical | Refused] = {}
    heard: list[tuple[LabelledRow, Canonical]] = []
    unheard: list[tuple[int, str]] = []
    for at, row in enumerate(rows, start=1):
        if row.uri not in decoded:
            decoded[row.uri] = decode_file(Path(row.uri), workspace.audio_dir, limit_ms)
        found = decoded[row.uri]
        if isinstance(found, Refused):
            unheard.append((row.number, found.detail))
        else:
            fresh.add(workspace.audio_dir / audio_file_of(found.recording))
            heard.append((row, found))
        if at % 100 == 0 or at == len(rows):
            say(f"import: {at}/{len(rows)} clips")
    return heard, unheard


def _remove_unused(workspace: Workspace, files: set[Path]) -> None:
    """Delete canonical audio that no recording of the warehouse has: an import that is refused leaves nothing."""
    if not files:
        return
    with workspace.warehouse() as con:
        for file in sorted(files):
            try:
                get_recording(con, file.stem)
            except NotFoundError:
                file.unlink(missing_ok=True)


def _draft(
    heard: Sequence[tuple[LabelledRow, Canonical]], *, name: str, scheme: str
) -> tuple[list[tuple[int, Example]], list[tuple[int, str]]]:
    drafts: list[tuple[int, Example]] = []
    dropped: list[tuple[int, str]] = []
    for row, canonical in heard:
        recording = canonical.recording
        place = _place(row, recording)
        if isinstance(place, str):
            dropped.append((row.number, place))
            continue
        channel, segment = place
        example = Example(
            utterance_id=digest(recording.recording_id, channel, segment.start_ms, segment.end_ms),
            recording_id=recording.recording_id,
            channel=channel,
            segment=segment,
            voice=f"{name}:{row.speaker or recording.recording_id}",
            group="",
            audio_file=audio_file_of(recording),
            text=row.text,
            language=row.language,
            split=row.split,
            gold={scheme: GoldLabel(label=row.label, distribution={row.label: 1.0}, num_votes=1)},
        )
        drafts.append((row.number, example))
    return drafts, dropped


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


def _place(row: LabelledRow, recording: Recording) -> tuple[int, Segment] | str:
    """Channel and segment that a row means, or what is wrong with them; without times it is the whole recording."""
    length_ms = max(1, recording.duration_ms)
    if row.channel and not row.channel.isdecimal():
        return f"its channel is {row.channel!r}, which is no number; channels count from 0"
    channel = int(row.channel or 0)
    if channel >= recording.canonical_channels:
        return f"its channel is {channel}; the recording has {recording.canonical_channels} that differ, counted from 0"
    stretch = row.stretch
    start_ms = round((stretch.start_s or 0.0) * 1000)
    end_ms = length_ms if stretch.end_s is None else round(stretch.end_s * 1000)
    if stretch.by_duration and end_ms > length_ms - TOLERANCE_MS:
        # A duration alone is how long the recording is, as rounded by somebody.
        end_ms = length_ms
    if end_ms > length_ms + TOLERANCE_MS:
        hint = "; call columns that are in milliseconds start_ms and end_ms" if end_ms / 1000 <= length_ms + TOLERANCE_MS else ""
        return f"it ends at {end_ms / 1000} s, and the recording at {length_ms / 1000} s{hint}"
    if start_ms >= min(end_ms, length_ms):
        return f"it starts at {start_ms / 1000} s, and ends at {min(end_ms, length_ms) / 1000} s"
    return channel, Segment(start_ms=start_ms, end_ms=min(end_ms, length_ms))
