"""Import: somebody's labelled clips as a dataset version.

Everything is checked before anything is written.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from duckdb import DuckDBPyConnection

from flows.exchange.inside import refuse_what_leads_out
from flows.exchange.staging import Staging, stage_audio
from flows.exchange.their_rows import LabelledRow, LabelledRows, read_labelled
from flows.ingest.worker import Refused, audio_file_of, decode_to
from flows.workspace import Say, Workspace
from voxdata.admission import check_schemes, check_voices
from voxdata.audio_digest import AudioDigest
from voxdata.canonicalise import Canonical
from voxdata.counted import counted
from voxdata.dataset import Example, GoldLabel
from voxdata.durable import scratch_folder
from voxdata.errors import DropReason, ManifestError
from voxdata.identity import digest
from voxdata.progress import Progress
from voxdata.recording import Recording
from voxdata.segment import Segment
from voxdata.split import group_voices
from voxdata.tables.reach import REMEDY
from voxdata.tables.read import Format
from warehouse.audio_digests import add_audio_digests
from warehouse.gate import forgotten_among
from warehouse.ledger import Drop, record_drops
from warehouse.recordings import add_recordings
from warehouse.versions import DatasetVersion, check_name_form, create_version

TOLERANCE_MS = 100
"""A row may end so much after its recording: times are rounded, and decoders pad."""

FORGOTTEN = "it was forgotten; `voxdata forget --renew` lets it in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a table gave.

    Attributes:
        examples: One for each row that could be used.
        dropped: (row, why) of the others; they are in the ledger.
    """

    examples: tuple[Example, ...]
    dropped: tuple[tuple[int, str], ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A row with its recording: what its example is made of.

    Attributes:
        number: The number of the row.
        digest: The digest of its canonical audio.
    """

    number: int
    example: Example
    recording: Recording
    digest: AudioDigest


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is imported, and as what.

    Attributes:
        path: As the user named it.
        scratch: Where sound lies that is no file of theirs.
        name: The dataset it becomes a version of.
        scheme: Under which the labels stand.
    """

    path: Path
    scratch: Path
    name: str
    scheme: str


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
    """Make a version of labelled clips: columns audio, label, speaker and split; text, language,
    channel and times if there are any.

    Labels, splits and voices are checked before anything is decoded; rows and audio come together
    or not at all.

    Args:
        path: What `voxdata.tables.read.read_dataset` reads as a `kind`.
        scheme: Under which the labels stand.
        label: The column that holds them.
        audio_root: What paths are relative to; else the table's folder.
        anywhere: Whether rows may name files outside both.
        rename: Label as written -> the label it is taken for.

    Raises:
        ConfigError: The table cannot be read, lacks a column, or leads out of its folder; or a
            renamed label is in no row.
        ManifestError: No row gives an example; nothing is written then.
        SchemeError: The workspace's scheme lacks a label.
        WarehouseError: A speaker is in two splits; `voxdata audit` shows who.
    """
    check_name_form(name)
    labels = next((s.label_names for s in workspace.schemes if s.name == scheme), ())
    with scratch_folder(near=workspace.root) as scratch:
        roots = [path, *([] if audio_root is None else [audio_root])]
        refuse_what_leads_out(path, kind=kind, roots=roots, anywhere=anywhere)
        labelled = read_labelled(
            path,
            kind=kind,
            scratch=scratch,
            label=label,
            audio_root=audio_root,
            anywhere=anywhere,
            rename=rename,
            known=labels,
        )
        for remark in labelled.remarks:
            say(f"import: {remark}")
        source = Source(path=path, scratch=scratch, name=name, scheme=scheme)
        return _import_rows(workspace, source, labelled, say=say)


def _import_rows(
    workspace: Workspace, source: Source, found: LabelledRows, *, say: Say
) -> tuple[DatasetVersion, bool, Imported]:
    path = source.path
    dropped = [(row.number, row.problem) for row in found.bad]
    if not found.rows:
        raise _nothing_given(path, dropped)
    used = {source.scheme: Counter(row.label for row in found.rows)}
    for remark in check_schemes(used, workspace.schemes, origin=str(path)):
        say(f"import: {remark}")
    speakers = ((row.speaker, row.split) for row in found.rows if row.speaker)
    check_voices(speakers, origin=str(path))
    with stage_audio(workspace, say=say) as staging:
        drafts, unheard = _decode_rows(workspace, source, found.rows, staging, say=say)
        dropped += unheard
        drafts, twice = _once(drafts)
        dropped += twice
        with workspace.warehouse() as con:
            drafts, forgotten = _without_forgotten(con, drafts)
            dropped = sorted([*dropped, *forgotten])
            if not drafts:
                raise _nothing_given(path, dropped)
            examples = _grouped(draft.example for draft in drafts)
            places = ((example.voice, example.split) for example in examples)
            check_voices(places, origin=str(path))
            recordings = {audio_file_of(draft.recording): draft.recording for draft in drafts}

            def bring_along() -> None:
                add_recordings(con, recordings, run_id=workspace.run_id)
                add_audio_digests(
                    con,
                    {draft.digest.recording_id: draft.digest for draft in drafts}.values(),
                    run_id=workspace.run_id,
                )
                record_drops(
                    con,
                    [
                        Drop(
                            subject=f"{path.absolute()}:{number}",
                            reason=DropReason.BAD_ROW,
                            detail=why,
                        )
                        for number, why in dropped
                    ],
                    stage="import",
                    run_id=workspace.run_id,
                )
                staging.publish([recording.recording_id for recording in recordings.values()])

            recipe = {"imported": {"manifest": path.name, "scheme": source.scheme}}
            version, new = create_version(
                con,
                source.name,
                examples,
                recipe=recipe,
                run_id=workspace.run_id,
                along=bring_along,
            )
    return version, new, Imported(examples=tuple(examples), dropped=tuple(dropped))


def _nothing_given(path: Path, dropped: Sequence[tuple[int, str]]) -> ManifestError:
    none = (
        f"{path}: none of its {counted(len(dropped), 'row')} gives an example ({_reasons(dropped)})"
    )
    return ManifestError(f"{none}. Nothing was written; {REMEDY}")


def _decode_rows(
    workspace: Workspace,
    source: Source,
    rows: Sequence[LabelledRow],
    staging: Staging,
    *,
    say: Say,
) -> tuple[list[Draft], list[tuple[int, str]]]:
    """Decode the sound of every row once; give the drafts, and why rows gave none."""
    decoded: dict[str, Canonical | Refused] = {}
    drafts: list[Draft] = []
    dropped: list[tuple[int, str]] = []
    longest_ms = round(workspace.settings.sources.max_hours * 3_600_000)
    for count, row in enumerate(rows, start=1):
        if row.uri not in decoded:
            decoded[row.uri] = decode_to(
                Path(row.uri), lambda recording: staging.place(recording.recording_id), longest_ms
            )
        heard = decoded[row.uri]
        if count % 100 == 0 or count == len(rows):
            line = f"import: {count}/{len(rows)} clips"
            say(Progress(line, done=count, total=len(rows)))
        if isinstance(heard, Refused):
            dropped.append((row.number, _in_their_words(heard.detail, row, source)))
            continue
        place = _place(row, heard.recording)
        if isinstance(place, str):
            dropped.append((row.number, place))
            continue
        example = _example(row, heard.recording, place, source)
        drafts.append(
            Draft(
                number=row.number, example=example, recording=heard.recording, digest=heard.digest
            )
        )
    return drafts, dropped


def _in_their_words(detail: str, row: LabelledRow, source: Source) -> str:
    """What is wrong, without the name of a file of ours that is gone when somebody reads it."""
    if Path(row.uri).is_relative_to(source.scratch):
        return detail.replace(row.uri, f"the sound of row {row.number} of {source.path}")
    return detail


def _example(
    row: LabelledRow, recording: Recording, place: tuple[int, Segment], source: Source
) -> Example:
    channel, segment = place
    gold = GoldLabel(label=row.label, distribution={row.label: 1.0}, num_votes=1)
    return Example(
        utterance_id=digest(recording.recording_id, channel, segment.start_ms, segment.end_ms),
        recording_id=recording.recording_id,
        channel=channel,
        segment=segment,
        voice=f"{source.name}:{row.speaker or recording.recording_id}",
        group="",
        audio_file=audio_file_of(recording),
        text=row.text,
        language=row.language,
        split=row.split,
        gold={source.scheme: gold},
    )


def _without_forgotten(
    con: DuckDBPyConnection, drafts: Sequence[Draft]
) -> tuple[list[Draft], list[tuple[int, str]]]:
    forgotten = forgotten_among(con, [draft.recording.recording_id for draft in drafts])
    kept = [draft for draft in drafts if draft.recording.recording_id not in forgotten]
    return kept, [
        (draft.number, FORGOTTEN) for draft in drafts if draft.recording.recording_id in forgotten
    ]


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
    return (
        "; ".join(
            f"{counted(len(numbers), 'row')}, such as {numbers[0]}: {why}"
            for why, numbers in commonest
        )
        or "it is empty"
    )


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


def _place(row: LabelledRow, recording: Recording) -> tuple[int, Segment] | str:
    """Channel and segment that a row means, or what is wrong with them.

    Without times it is the whole recording.
    """
    length_ms = max(1, recording.duration_ms)
    if row.channel and not row.channel.isdecimal():
        return f"its channel is {row.channel!r}, which is no number; channels count from 0"
    channel = int(row.channel or 0)
    if channel >= recording.canonical_channels:
        return (
            f"its channel is {channel}; the recording has {recording.canonical_channels} that "
            "differ, counted from 0"
        )
    stretch = row.stretch
    start_ms = round((stretch.start_s or 0.0) * 1000)
    end_ms = length_ms if stretch.end_s is None else round(stretch.end_s * 1000)
    if stretch.by_duration and end_ms > length_ms - TOLERANCE_MS:
        # A duration alone is how long the recording is, as rounded by somebody.
        end_ms = length_ms
    if end_ms > length_ms + TOLERANCE_MS:
        hint = (
            "; call columns that are in milliseconds start_ms and end_ms"
            if end_ms / 1000 <= length_ms + TOLERANCE_MS
            else ""
        )
        return f"it ends at {end_ms / 1000} s, and the recording at {length_ms / 1000} s{hint}"
    if start_ms >= min(end_ms, length_ms):
        return f"it starts at {start_ms / 1000} s, and ends at {min(end_ms, length_ms) / 1000} s"
    return channel, Segment(start_ms=start_ms, end_ms=min(end_ms, length_ms))
