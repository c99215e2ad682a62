"""Import: somebody's labelled clips as a dataset version."""

from __future__ import annotations

import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.decode_work import Refused, audio_file_of, decode_to
from flows.exchange.admission import check_schemes, check_voices
from flows.exchange.foreign import Foreign, read_foreign
from flows.exchange.inside import refuse_what_leads_out, rows_inside
from flows.exchange.staging import Staging, stage_audio
from flows.manifests import BadRow, ManifestRow
from flows.workspace import Say, Workspace
from voxdata.canonicalise import Canonical
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.errors import ConfigError, DropReason
from voxdata.identity import digest
from voxdata.recording import Recording
from voxdata.segment import Segment
from voxdata.split import group_voices
from warehouse.erase import forgotten_digest, forgotten_receipts
from warehouse.ledger import record_drops
from warehouse.recordings import add_recordings
from warehouse.versions import DatasetVersion, check_name_form, create_version

SPLITS: Mapping[str, Split] = {
    "train": Split.TRAIN, "training": Split.TRAIN, "validation": Split.VALIDATION, "valid": Split.VALIDATION, "val": Split.VALIDATION,
    "dev": Split.VALIDATION, "development": Split.VALIDATION, "test": Split.TEST, "eval": Split.TEST, "evaluation": Split.TEST,
}  # fmt: skip


TOLERANCE_MS = 100
"""A row may end so much after its recording: times are rounded, and decoders pad."""

FORGOTTEN = "it was forgotten; `voxdata forget --renew` lets it in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a manifest gave.

    Attributes:
        examples: One for each row that could be used.
        dropped: (row, why) of the others; they are in the ledger.
    """

    examples: tuple[Example, ...]
    dropped: tuple[tuple[int, str], ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRow:
    """A row that says what it is labelled and where it belongs; nobody has listened to it yet."""

    row: ManifestRow
    label: str
    split: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A row with its recording: what its example is made of.

    Attributes:
        number: Of the row.
    """

    number: int
    example: Example
    recording: Recording


def import_manifest(
    workspace: Workspace,
    path: Path,
    *,
    name: str,
    scheme: str,
    label: str = "label",
    kind: Foreign = "manifest",
    audio_root: Path | None = None,
    rename: Mapping[str, str] | None = None,
    say: Say,
) -> tuple[DatasetVersion, bool, Imported]:
    """Make a version of labelled clips: columns audio, `label`, speaker and split; text, language,
    channel, start and end if there are any.

    Labels, splits and voices are checked before anything is decoded; rows and audio come together
    or not at all.

    Args:
        path: What `flows.exchange.foreign.read_foreign` reads as a `kind`.
        scheme: Under which the labels stand.
        label: The column that holds them.
        audio_root: A second folder in which sound may lie, beside the dataset's own.
        rename: Label in the column -> label of the scheme.

    Raises:
        ConfigError: The manifest cannot be read, lacks a column, leads out of its folder, or gives
            no example.
        SchemeError: The workspace's scheme lacks a label.
        WarehouseError: A speaker is in two splits; `voxdata audit` shows who.
    """
    check_name_form(name)
    roots = [path, *([] if audio_root is None else [audio_root])]
    with tempfile.TemporaryDirectory(prefix="voxdata-") as scratch:
        refuse_what_leads_out(path, kind=kind, roots=roots)
        rows, bad = read_foreign(path, kind=kind, scratch=Path(scratch))
        rows, outside = rows_inside(rows, kind=kind, roots=[*roots, Path(scratch)])
        table = Table(
            path=path,
            scratch=Path(scratch),
            rows=tuple(rows),
            bad=(*bad, *outside),
            label=label,
            rename=rename or {},
        )
        return _import_table(workspace, table, name=name, scheme=scheme, say=say)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Somebody's rows as they were read.

    Attributes:
        scratch: Where sound lies that is no file of theirs.
        label: The column that holds the labels.
        rename: Label in the column -> label of the scheme.
    """

    path: Path
    scratch: Path
    rows: tuple[ManifestRow, ...]
    bad: tuple[BadRow, ...]
    label: str
    rename: Mapping[str, str]


def _import_table(workspace: Workspace, table: Table, *, name: str, scheme: str, say: Say) -> tuple[DatasetVersion, bool, Imported]:
    labelled, dropped = label_rows(table)
    dropped = [*((row.number, row.problem) for row in table.bad), *dropped]
    used = {scheme: Counter(row.label for row in labelled)}
    for remark in check_schemes(used, workspace.schemes, origin=str(table.path)):
        say(f"import: {remark}")
    speakers = ((speaker, row.split) for row in labelled if (speaker := row.row.metadata.get("speaker")))
    check_voices(speakers, origin=str(table.path))
    with stage_audio(workspace, say=say) as staging:
        drafts, unheard = _decode_rows(workspace, table, labelled, staging, name=name, scheme=scheme, say=say)
        drafts, twice = _once(drafts)
        dropped = [*dropped, *unheard, *twice]
        with workspace.warehouse() as con:
            drafts, forgotten = _without_forgotten(con, drafts)
            dropped += forgotten
            if not drafts:
                raise ConfigError(f"{table.path}: no row gives an example ({_reasons(dropped)}); nothing was imported")
            examples = _grouped(draft.example for draft in drafts)
            check_voices(((example.voice, example.split) for example in examples), origin=str(table.path))
            recordings = {audio_file_of(draft.recording): draft.recording for draft in drafts}

            def bring_along() -> None:
                add_recordings(con, recordings, run_id=workspace.run_id)
                subjects = {f"{table.path.absolute()}:{number}": why for number, why in dropped}
                record_drops(
                    con,
                    subjects,
                    stage="import",
                    reason=DropReason.BAD_ROW,
                    run_id=workspace.run_id,
                )
                staging.publish([recording.recording_id for recording in recordings.values()])

            recipe = {"imported": {"manifest": table.path.name, "scheme": scheme}}
            version, new = create_version(con, name, examples, recipe=recipe, run_id=workspace.run_id, along=bring_along)
    return version, new, Imported(examples=tuple(examples), dropped=tuple(dropped))


def label_rows(table: Table) -> tuple[list[LabelledRow], list[tuple[int, str]]]:
    """The rows that have a label and a split, and why the others are dropped.

    Raises:
        ConfigError: No row has the column of the labels or of the splits.
    """
    for column in (table.label, "split"):
        if table.rows and not any(column in row.metadata for row in table.rows):
            there = ", ".join(sorted(table.rows[0].metadata)) or "none"
            raise ConfigError(f"{table.path}: has no column {column!r}; there are {there}")
    good: list[LabelledRow] = []
    dropped: list[tuple[int, str]] = []
    for row in table.rows:
        split = SPLITS.get(row.metadata.get("split", "").casefold())
        label = row.metadata.get(table.label)
        if split is None:
            dropped.append(
                (
                    row.number,
                    f"its split is {row.metadata.get('split')!r}; write train, validation or test",
                )
            )
        elif not label:
            dropped.append((row.number, f"it has no {table.label}"))
        else:
            good.append(LabelledRow(row=row, label=table.rename.get(label, label), split=split))
    return good, dropped


def _decode_rows(
    workspace: Workspace,
    table: Table,
    labelled: Sequence[LabelledRow],
    staging: Staging,
    *,
    name: str,
    scheme: str,
    say: Say,
) -> tuple[list[Draft], list[tuple[int, str]]]:
    """Decode the sound of every row once; give the drafts, and why rows gave none."""
    decoded: dict[str, Canonical | Refused] = {}
    drafts: list[Draft] = []
    dropped: list[tuple[int, str]] = []
    for count, row in enumerate(labelled, start=1):
        uri = row.row.uri
        if uri not in decoded:
            decoded[uri] = _decode(workspace, uri, staging)
        heard = decoded[uri]
        if isinstance(heard, Refused):
            dropped.append((row.row.number, _in_their_words(heard.detail, row.row, table)))
            continue
        place = _place(row.row, heard.recording)
        if isinstance(place, str):
            dropped.append((row.row.number, place))
            continue
        example = _example(row, heard.recording, place, name=name, scheme=scheme)
        drafts.append(Draft(number=row.row.number, example=example, recording=heard.recording))
        if count % 100 == 0 or count == len(labelled):
            say(f"import: {count}/{len(labelled)} clips")
    return drafts, dropped


def _in_their_words(detail: str, row: ManifestRow, table: Table) -> str:
    """What is wrong, without the name of a file of ours that is gone when somebody reads it."""
    if Path(row.uri).is_relative_to(table.scratch):
        return detail.replace(row.uri, f"the sound of row {row.number} of {table.path}")
    return detail


def _example(row: LabelledRow, recording: Recording, place: tuple[int, Segment], *, name: str, scheme: str) -> Example:
    channel, segment = place
    known = row.row.metadata
    return Example(
        utterance_id=digest(recording.recording_id, channel, segment.start_ms, segment.end_ms),
        recording_id=recording.recording_id,
        channel=channel,
        segment=segment,
        voice=f"{name}:{known.get('speaker') or recording.recording_id}",
        group="",
        audio_file=audio_file_of(recording),
        text=known.get("text") or known.get("transcript") or "",
        language=known.get("language", ""),
        split=row.split,
        gold={scheme: GoldLabel(label=row.label, distribution={row.label: 1.0}, num_votes=1)},
    )


def _without_forgotten(con: DuckDBPyConnection, drafts: Sequence[Draft]) -> tuple[list[Draft], list[tuple[int, str]]]:
    forgotten = forgotten_receipts(con)
    kept: list[Draft] = []
    dropped: list[tuple[int, str]] = []
    for draft in drafts:
        if forgotten_digest(draft.recording.recording_id) in forgotten:
            dropped.append((draft.number, FORGOTTEN))
        else:
            kept.append(draft)
    return kept, dropped


def _grouped(examples: Iterable[Example]) -> list[Example]:
    drafts = list(examples)
    groups = group_voices((f"voice {e.voice}", e.voice) for e in drafts)
    return [replace(example, group=groups[example.voice]) for example in drafts]


def _reasons(dropped: Sequence[tuple[int, str]]) -> str:
    """Why rows were dropped, the commonest reasons first, each with its first row."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for number, why in dropped:
        rows[why].append(number)
    commonest = sorted(rows.items(), key=lambda reason: -len(reason[1]))[:3]
    return "; ".join(f"{len(numbers)} rows, such as {numbers[0]}: {why}" for why, numbers in commonest) or "it is empty"


def _decode(workspace: Workspace, uri: str, staging: Staging) -> Canonical | Refused:
    if "://" in uri:
        return Refused(reason=DropReason.OUTSIDE, detail=f"{uri} is a URL; copy the clips here first")
    longest_ms = round(workspace.settings.sources.max_hours * 3_600_000)
    return decode_to(Path(uri), lambda recording: staging.place(recording.recording_id), longest_ms)


def _once(drafts: Sequence[Draft]) -> tuple[list[Draft], list[tuple[int, str]]]:
    """The first draft of each utterance, and why the rows of the others were dropped."""
    first: dict[str, Draft] = {}
    twice: list[tuple[int, str]] = []
    for draft in drafts:
        before = first.setdefault(draft.example.utterance_id, draft)
        if before is not draft:
            same = replace(draft.example, split=before.example.split) == before.example
            other = "" if same else ", with other values"
            twice.append((draft.number, f"it has the same sound as row {before.number}{other}"))
    return list(first.values()), twice


def _place(row: ManifestRow, recording: Recording) -> tuple[int, Segment] | str:
    """Channel and segment that a row means, or what is wrong with them; without start and end it is
    the whole recording.
    """
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
