"""Import: an exported version brought into a workspace, root and all; or somebody's manifest of labelled clips as a new version."""

from __future__ import annotations

import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import soundfile  # type: ignore[import-untyped]

from flows.decode_work import Refused, audio_file_of, decode_file
from flows.exchange.bundle import FORMAT, HEADER, ROWS, file_hashes, header_hash
from flows.manifests import read_manifest
from flows.workspace import Say, Workspace
from voxdata.canonical import write_canonical
from voxdata.canonicalise import Canonical
from voxdata.dataset import Example, GoldLabel, Split, decode_gold, fingerprint
from voxdata.errors import AudioError, ConfigError, DropReason, ManifestError
from voxdata.identity import digest
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.segment import Segment
from voxdata.split import group_voices
from warehouse.connection import transaction
from warehouse.erase import is_forgotten
from warehouse.leaves import adopt_salts
from warehouse.ledger import record_drop
from warehouse.recordings import add_recording
from warehouse.versions import DatasetVersion, create_version

SPLITS: Mapping[str, Split] = {
    "train": Split.TRAIN, "training": Split.TRAIN, "validation": Split.VALIDATION, "valid": Split.VALIDATION, "val": Split.VALIDATION,
    "dev": Split.VALIDATION, "development": Split.VALIDATION, "test": Split.TEST, "eval": Split.TEST, "evaluation": Split.TEST,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """An export that was read back.

    Attributes:
        header: What voxdata.json says.
        examples: Sorted by utterance id; they give the root together with the leaves of rows that were erased.
        folder: Where it lies.
    """

    header: Mapping[str, object]
    examples: tuple[Example, ...]
    folder: Path

    @property
    def root(self) -> str:
        """The Merkle root it was checked against."""
        return str(self.header["root"])


def read_export(folder: Path) -> Export:
    """Read an export of any format back, and verify every file and the root.

    Raises:
        ManifestError: It is no export, a file was changed, or its rows do not give its root.
    """
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        if header["format"] != FORMAT:
            raise ManifestError(f"{folder / HEADER}: format {header['format']!r}, this release reads {FORMAT!r}")
        expected, erased = dict(header["files"]), [str(leaf) for leaf in header["erased"]]
        lines = (folder / ROWS).read_text(encoding="utf-8").removesuffix("\n").split("\n")
        examples = tuple(_example(json.loads(line)) for line in lines if line)
        root = fingerprint(examples, erased=erased)
    except FileNotFoundError as error:
        raise ManifestError(
            f"{folder}: is no export, since {error.filename} is missing; name the folder that `voxdata export` wrote"
        ) from error
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"{folder}: is malformed ({error!r}); export the version again") from error
    if header.get("sha256") != header_hash(header):
        raise ManifestError(f"{folder / HEADER}: is not as it was exported; export the version again")
    changed = sorted(name for name, sha in {**expected, **file_hashes(folder)}.items() if expected.get(name) != sha)
    missing = sorted(set(expected) - set(file_hashes(folder)))
    if changed or missing:
        raise ManifestError(f"{folder}: {', '.join((*missing, *changed)[:5])} is not as it was exported; export the version again")
    if root != header["root"]:
        raise ManifestError(
            f"{folder}: its rows give root {root[:12]}, its header says {str(header['root'])[:12]}; export the version again"
        )
    return Export(header=header, examples=examples, folder=folder)


def import_export(workspace: Workspace, export: Export, *, name: str, say: Say) -> tuple[DatasetVersion, bool]:
    """Bring an exported version into a workspace: the same examples under the same root, and their audio.

    Recordings that the workspace lacks are made of the clips, silent where there are none. Rows that were erased before the export do
    not come along; the version has another root then.

    Raises:
        ConfigError: The export has no clips, and the workspace not the recordings.
        WarehouseError: The name will not do.
    """
    needed = sorted({e.audio_file for e in export.examples if not (workspace.audio_dir / e.audio_file).exists()})
    if needed:
        clips = _clips(export)
        by_file: defaultdict[str, list[Example]] = defaultdict(list)
        for example in export.examples:
            by_file[example.audio_file].append(example)
        for number, audio_file in enumerate(needed, start=1):
            write_canonical(workspace.audio_dir / audio_file, _compose(by_file[audio_file], clips))
            if number % 100 == 0 or number == len(needed):
                say(f"import: {number}/{len(needed)} recordings")
    recipe = {"imported": {"ref": f"{export.header['name']}@{export.header['number']}", "root": export.root}}
    with workspace.warehouse() as con:
        adopt_salts(con, export.examples, run_id=workspace.run_id)
        return create_version(con, name, export.examples, recipe=recipe, run_id=workspace.run_id)


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
    workspace: Workspace, path: Path, *, name: str, scheme: str, label: str = "label", say: Say
) -> tuple[DatasetVersion, bool, Imported]:
    """Make a version of a manifest of labelled clips: columns audio, `label`, speaker and split; text and language if there are any.

    Args:
        path: CSV, TSV, JSON lines or Parquet, as for `voxdata ingest --manifest`.
        scheme: Under which the labels stand.
        label: The column that holds them.

    Raises:
        ConfigError: The manifest cannot be read, lacks a column, or gives no example.
        WarehouseError: A speaker is in two splits; `voxdata audit` shows who.
    """
    rows, bad = read_manifest(path)
    for column in (label, "split"):
        if rows and not any(column in row.metadata for row in rows):
            raise ConfigError(f"{path}: has no column {column!r}; there are {', '.join(sorted(rows[0].metadata))}")
    dropped = [(row.number, row.problem) for row in bad]
    drafts: list[Example] = []
    for number, row in enumerate(rows, start=1):
        split = SPLITS.get(row.metadata.get("split", "").casefold())
        why = "" if split else f"its split is {row.metadata.get('split')!r}; write train, validation or test"
        why = why or ("" if row.metadata.get(label) else f"it has no {label}")
        found = Refused(reason=DropReason.BAD_ROW, detail=why) if why else _decode(workspace, row.uri)
        if isinstance(found, Refused) or split is None:
            dropped.append((row.number, found.detail if isinstance(found, Refused) else why))
            continue
        recording = found.recording
        with workspace.warehouse() as con, transaction(con):
            if is_forgotten(con, recording.recording_id):
                (workspace.audio_dir / audio_file_of(recording)).unlink(missing_ok=True)
                dropped.append((row.number, "it was forgotten; `voxdata forget --renew` lets it in"))
                continue
            add_recording(con, recording, audio_file=audio_file_of(recording), run_id=workspace.run_id)
        segment = Segment(start_ms=0, end_ms=max(1, recording.duration_ms))
        voice = row.metadata.get("speaker") or recording.recording_id
        drafts.append(
            Example(
                utterance_id=digest("import", recording.recording_id, segment.end_ms), recording_id=recording.recording_id, channel=0,
                segment=segment, voice=f"{name}:{voice}", group="", audio_file=audio_file_of(recording),
                text=row.metadata.get("text") or row.metadata.get("transcript") or "", language=row.metadata.get("language", ""),
                split=split, gold={scheme: GoldLabel(label=row.metadata[label], distribution={row.metadata[label]: 1.0}, num_votes=1)},
            )
        )  # fmt: skip
        if number % 100 == 0 or number == len(rows):
            say(f"import: {number}/{len(rows)} clips")
    examples, twice = _once(drafts)
    dropped += [(0, f"{count} rows repeat a recording that another row names") for count in [twice] if count]
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


def _once(drafts: Sequence[Example]) -> tuple[list[Example], int]:
    first: dict[str, Example] = {}
    for example in drafts:
        first.setdefault(example.utterance_id, example)
    return list(first.values()), len(drafts) - len(first)


def _example(row: Mapping[str, object]) -> Example:
    gold = json.loads(str(row["gold"]))
    return Example(
        utterance_id=str(row["utterance_id"]), recording_id=str(row["recording_id"]), channel=int(str(row["channel"])),
        segment=Segment(start_ms=int(str(row["start_ms"])), end_ms=int(str(row["end_ms"]))), voice=str(row["voice"]),
        group=str(row["group"]), audio_file=str(row["audio_file"]), text=str(row["text"]), language=str(row["language"]),
        split=Split(str(row["split"])), gold=decode_gold(gold), salt=str(row["salt"]),
    )  # fmt: skip


def _clips(export: Export) -> Callable[[str], Samples]:
    """Utterance id -> its samples, wherever the format keeps them."""
    folder = export.folder
    files = {path.stem: path for place in ("audio", "wav") for path in (folder / place).glob("*")}
    members: dict[str, tuple[Path, str]] = {}
    for shard in sorted(folder.rglob("*.tar")):
        with tarfile.open(shard) as tar:
            members |= {Path(name).stem: (shard, name) for name in tar.getnames() if name.endswith(".flac")}
    inside: dict[str, bytes] = {}
    for parquet in sorted((folder / "data").glob("*.parquet")):
        for row in pq.read_table(parquet, columns=["utterance_id", "audio"]).to_pylist():
            inside[row["utterance_id"]] = row["audio"]["bytes"]

    def clip(utterance_id: str) -> Samples:
        if utterance_id in files:
            content = files[utterance_id].read_bytes()
        elif utterance_id in inside:
            content = inside[utterance_id]
        elif utterance_id in members:
            shard, name = members[utterance_id]
            with tarfile.open(shard) as tar:
                member = tar.extractfile(name)
                content = member.read() if member else b""
        else:
            raise ConfigError(f"{folder}: has no clip of utterance {utterance_id}; export with --audio clips")
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
        if rate != MODEL_RATE_HZ:
            raise AudioError(f"{utterance_id}: {rate} Hz, not {MODEL_RATE_HZ}", reason=DropReason.INVALID_FORMAT)
        return np.asarray(samples, dtype=np.float32)

    return clip


def _compose(examples: Sequence[Example], clip: Callable[[str], Samples]) -> Samples:
    """A recording made of its clips: (num_samples, num_channels) float32, silent elsewhere."""
    channels = max(e.channel for e in examples) + 1
    length = max(e.segment.end_ms for e in examples) * MODEL_RATE_HZ // 1000
    samples = np.zeros((length, channels), dtype=np.float32)
    for example in examples:
        start = example.segment.start_ms * MODEL_RATE_HZ // 1000
        found = clip(example.utterance_id)[: length - start]
        samples[start : start + len(found), example.channel] = found
    return samples
