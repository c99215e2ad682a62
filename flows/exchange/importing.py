"""Import: an exported version brought into a workspace, root and all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection
from fsspec.core import url_to_fs  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from flows.exchange.admission import check_schemes, check_voices, count_labels
from flows.exchange.bundle import FORMAT, HEADER, ROWS, canonical_path, file_hashes, header_hash
from flows.exchange.clips import find_clips
from flows.exchange.read_rows import read_rows
from flows.exchange.staging import stage_audio
from flows.sources import explain_store
from flows.workspace import Say, Workspace
from voxdata.audio_digest import AudioDigest, read_digest
from voxdata.canonical import open_canonical, write_canonical
from voxdata.confine import find_link, why_outside
from voxdata.dataset import Example, fingerprint
from voxdata.errors import ConfigError, ManifestError
from voxdata.malformed import FAULTS, Readers, as_list, as_mapping, in_words, name_fault, parse_json
from voxdata.ports import MODEL_RATE_HZ, Samples
from warehouse.audio_digests import add_audio_digests, list_audio_digests
from warehouse.gate import forgotten_among
from warehouse.leaves import adopt_salts
from warehouse.versions import NAME, DatasetVersion, check_name_form, create_version

TOLERANCE_MS = 100
"""An example may end so much after its recording: times are rounded, and decoders pad."""

AGAIN = "export the version again"
HEADER_FIELDS: Readers = {
    "format": (str, "text"),
    "files": (as_mapping, "SHA-256 by file"),
    "erased": (as_list, "a list"),
    "root": (str, "text"),
}
"""What the header must say before anything else can be checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """An export that was read back.

    Attributes:
        header: What voxdata.json says.
        examples: Sorted by utterance id; they give the root together with the leaves of rows that
            were erased.
        folder: Where it lies.
        origin: What the user called it: a folder, or the URL that it was fetched from.
    """

    header: Mapping[str, object]
    examples: tuple[Example, ...]
    folder: Path
    origin: str

    @property
    def root(self) -> str:
        """The Merkle root it was checked against."""
        return str(self.header["root"])

    @property
    def ref(self) -> str:
        """What the version was called where it comes from: "name@number"."""
        return f"{self.header['name']}@{self.header['number']}"


def read_export(folder: Path, *, origin: str = "") -> Export:
    """Read an export of any format back, and verify every file, the root, and that no name in it
    leads elsewhere.

    Args:
        origin: What to call it in messages, when that is not `folder`.

    Raises:
        ManifestError: It is no export, a file was changed, its rows do not give its root, it holds
            a link, or a row's ids or file are none that voxdata would give.
        WarehouseError: A voice is in two splits.
    """
    origin = origin or str(folder)
    try:
        link = find_link(folder)
        if link is not None:
            raise ManifestError(
                f"{origin}: {link.relative_to(folder).as_posix()!r} is a link or no file, which no export has; do not import it"
            )
        header = _read_header(folder, origin)
        expected, erased = header["files"], [str(leaf) for leaf in header["erased"]]
        examples = read_rows(folder / ROWS, origin=origin)
        root = fingerprint(examples, erased=erased)
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise ManifestError(f"{origin}: is no export, since {missing} is missing; name the folder that `voxdata export` wrote") from error
    except (OSError, *FAULTS) as error:
        raise ManifestError(f"{origin}: is malformed: {in_words(error)}; {AGAIN}") from error
    if header.get("sha256") != header_hash(header):
        raise ManifestError(f"{origin}: {HEADER} is not as it was exported; export the version again")
    _check_header(header, expected, origin)
    there = file_hashes(folder)
    changed = sorted(name for name, sha in {**expected, **there}.items() if expected.get(name) != sha)
    missing_files = sorted(set(expected) - set(there))
    if changed or missing_files:
        named = ", ".join(repr(name) for name in (*missing_files, *changed)[:5])
        raise ManifestError(f"{origin}: {named} is not as it was exported; export the version again")
    if root != header["root"]:
        raise ManifestError(
            f"{origin}: its rows give root {root[:12]}, its header says {str(header['root'])[:12]}; export the version again"
        )
    check_voices(((example.voice, example.split) for example in examples), origin=origin)
    return Export(header=header, examples=examples, folder=folder, origin=origin)


def _read_header(folder: Path, origin: str) -> dict[str, Any]:
    header: Any = None
    try:
        header = parse_json((folder / HEADER).read_text(encoding="utf-8"))
        if header["format"] != FORMAT:
            raise ManifestError(f"{origin}: {HEADER} says format {header['format']!r}, this release reads {FORMAT!r}")
        for name, (read, _) in HEADER_FIELDS.items():
            read(header[name])
    except FAULTS as error:
        why = in_words(error) if header is None else name_fault(header, HEADER_FIELDS, error)
        raise ManifestError(f"{origin}: {HEADER}: {why}; {AGAIN}") from error
    found: dict[str, Any] = header
    return found


def _check_header(header: Mapping[str, object], files: Iterable[str], origin: str) -> None:
    named = NAME.fullmatch(str(header.get("name"))) and isinstance(header.get("number"), int)
    if not named:
        raise ManifestError(f"{origin}: {HEADER} gives the version no proper name and number; export the version again")
    for name in files:
        if why := why_outside(name):
            raise ManifestError(f"{origin}: {HEADER} lists {name!r}, which {why}; do not import it")


def fetch_export(url: str, folder: Path) -> Path:
    """Copy an export from a store that fsspec reaches into an empty folder; returns the folder, or
    the place itself on this machine.

    Raises:
        ConfigError: There is no export, it lists a name that leads elsewhere, or the store is
            unknown or refuses access.
        TransientError: The store cannot be reached.
    """
    try:
        filesystem, root = url_to_fs(url.rstrip("/"))
        if isinstance(filesystem, LocalFileSystem):
            return Path(root)
        listed = [str(path) for path in filesystem.find(root)] if filesystem.exists(f"{root}/{HEADER}") else []
    except Exception as error:  # every store raises exceptions of its own
        raise explain_store(url, error) from error
    if not listed:
        raise ConfigError(f"{url}: holds no {HEADER}; name the place that `voxdata export --output` printed")
    names = {path: path.removeprefix(f"{root}/") for path in listed}
    for path, name in names.items():
        why = why_outside(name) or ("" if path.startswith(f"{root}/") else "lies elsewhere")
        if why:
            raise ConfigError(f"{url}: the store lists {path!r}, which {why}; do not import it")
    try:
        for path, name in names.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            filesystem.get_file(path, str(folder / name))
    except Exception as error:  # every store raises exceptions of its own
        raise explain_store(url, error) from error
    return folder


def import_export(workspace: Workspace, export: Export, *, name: str, say: Say) -> tuple[DatasetVersion, bool]:
    """Bring an exported version into a workspace: the same examples under the same root, and their
    audio.

    Everything is checked first; rows and audio come together or not at all. Recordings that the
    workspace lacks are made of the clips, silent where there are none. Rows that were erased before
    the export do not come along, nor those of recordings that were forgotten here; the version has
    another root then.

    Raises:
        ConfigError: The export has no clips, and the workspace not the recordings; or a recording
            is longer than [sources] max_hours.
        AudioError: A clip cannot be read.
        ManifestError: An archive of the export holds a link or a stray file, or everybody in it was
            forgotten here.
        SchemeError: A scheme of the workspace lacks one of the labels.
        WarehouseError: The name will not do.
    """
    check_name_form(name)
    for remark in check_schemes(count_labels(export.examples), workspace.schemes, origin=export.origin):
        say(f"import: {remark}")
    by_recording: defaultdict[str, list[Example]] = defaultdict(list)
    for example in export.examples:
        by_recording[example.recording_id].append(example)
    _check_lengths(export, max_ms=round(workspace.settings.sources.max_hours * 3_600_000))
    recipe: dict[str, object] = {"imported": {"ref": export.ref, "root": export.root}}
    cut_by = export.header.get("recipe")
    if isinstance(cut_by, Mapping) and cut_by.get("simulated_annotators"):
        recipe["simulated_annotators"] = cut_by["simulated_annotators"]
    needed = _missing_recordings(workspace, by_recording, origin=export.origin)
    with stage_audio(workspace, say=say) as staging:
        made: list[AudioDigest] = []
        clips = find_clips(export.folder, _file_names(export), origin=export.origin) if needed else None
        for number, key in enumerate(needed, start=1):
            if clips is not None:
                place = staging.place(key)
                write_canonical(place, _compose(by_recording[key], clips.read))
                made.append(read_digest(place, key))
            if number % 100 == 0 or number == len(needed):
                say(f"import: {number}/{len(needed)} recordings")
        with workspace.warehouse() as con:
            examples = admit(con, export.examples, say=say)
            if not examples:
                raise ManifestError(f"{export.origin}: everybody in it was forgotten here; `voxdata forget --renew` lets them in")
            admitted = {example.recording_id for example in examples}

            def bring_along() -> None:
                adopt_salts(con, examples, run_id=workspace.run_id)
                add_audio_digests(con, [one for one in made if one.recording_id in admitted], run_id=workspace.run_id)
                staging.publish([key for key in needed if key in admitted])

            return create_version(
                con,
                name,
                examples,
                recipe=recipe,
                run_id=workspace.run_id,
                along=bring_along,
            )


def admit(con: DuckDBPyConnection, examples: Sequence[Example], *, say: Say) -> list[Example]:
    """Those of some examples whose recordings may come in; says how many may not."""
    forgotten = forgotten_among(con, {example.recording_id for example in examples})
    kept = [example for example in examples if example.recording_id not in forgotten]
    if len(kept) < len(examples):
        say(f"import: {len(examples) - len(kept)} examples of people who were forgotten here are left out")
    return kept


def _missing_recordings(workspace: Workspace, by_recording: Mapping[str, Sequence[Example]], *, origin: str) -> list[str]:
    """Recordings without canonical audio here, sorted; those that are here must hold every segment."""
    missing = []
    with workspace.warehouse() as con:
        digests = list_audio_digests(con, by_recording)
    for recording_id, examples in sorted(by_recording.items()):
        path = canonical_path(workspace.audio_dir, recording_id)
        if not path.exists():
            missing.append(recording_id)
            continue
        channels = open_canonical(path, expected=digests.get(recording_id))
        length_ms = channels[0].num_samples * 1000 // MODEL_RATE_HZ
        for example in examples:
            if example.channel >= len(channels) or example.segment.end_ms > length_ms + TOLERANCE_MS:
                raise ManifestError(
                    f"{origin}: utterance {example.utterance_id} is on channel "
                    f"{example.channel} up to {example.segment.end_ms} ms, and "
                    f"recording {recording_id} has {len(channels)} channel(s) of {length_ms} ms "
                    "here; do not import it"
                )
    return missing


def _file_names(export: Export) -> list[str]:
    files = export.header["files"]
    return [str(name) for name in files] if isinstance(files, Mapping) else []


def _check_lengths(export: Export, *, max_ms: int) -> None:
    for example in export.examples:
        if example.segment.end_ms > max_ms:
            raise ConfigError(
                f"{export.origin}: utterance {example.utterance_id} ends at "
                f"{example.segment.end_ms} ms, and [sources] max_hours "
                f"allows recordings of {max_ms} ms; raise it, or leave the utterance out"
            )


def _compose(examples: Sequence[Example], clip: Callable[[Example], Samples]) -> Samples:
    """A recording made of its clips: (num_samples, num_channels) float32, silent elsewhere."""
    channels = max(e.channel for e in examples) + 1
    length = max(e.segment.end_ms for e in examples) * MODEL_RATE_HZ // 1000
    samples = np.zeros((length, channels), dtype=np.float32)
    for example in examples:
        start = example.segment.start_ms * MODEL_RATE_HZ // 1000
        heard = clip(example)[: length - start]
        samples[start : start + len(heard), example.channel] = heard
    return samples
