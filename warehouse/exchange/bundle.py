"""What every format writes: a version's examples with their clips, and the header by which anybody
can verify them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import soundfile  # type: ignore[import-untyped]
from duckdb import DuckDBPyConnection

from voxdata.admission import SCHEME_NAME
from voxdata.audio_digest import AudioGuard
from voxdata.canonical import read_clip
from voxdata.confine import leads_out
from voxdata.dataset import Example, Split
from voxdata.errors import AudioError, DropReason, WarehouseError
from voxdata.identity import canonical_json, is_digest
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.recording import canonical_file
from voxdata.register import Register
from voxdata.scheme import Choice, Scheme, SchemeLabel
from warehouse.audio_digests import list_audio_digests
from warehouse.exchange.table import flat_rows
from warehouse.exchange.terms import Terms, count_consent
from warehouse.metadata import list_metadata
from warehouse.versions import DatasetVersion, erased_leaves, find_version, load_examples

HEADER, ROWS = "voxdata.json", "rows.jsonl"
UNFINISHED = "voxdata.unfinished.json"
"""On object storage, while an export is on its way: the names of its files."""

FORMAT = "voxdata-export/1"

Writer = Callable[["Bundle", Path], None]
"""Writes a bundle into an empty folder, always the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFormat:
    """A format that is a folder of clips with their labels.

    Attributes:
        write: Fills the empty folder.
        taken: Names that it has a use of its own for, beside the columns of the flat table; no
            scheme may be called so.

    A format of another package is one such value, named by an entry point of group
    `voxdata.exporter`; `warehouse/exchange/webdataset.py` is the shortest one to copy.
    """

    write: Writer
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSet:
    """A scheme as a version knows it: with every label in use, also those that the workspace's
    scheme has no more or never had.
    """

    name: str
    version: int
    labels: tuple[SchemeLabel, ...]
    title: str = ""
    choice: Choice = "one"

    @property
    def label_names(self) -> tuple[str, ...]:
        """In order."""
        return tuple(label.name for label in self.labels)


def complete_scheme(name: str, used: Iterable[str], schemes: Sequence[Scheme]) -> LabelSet:
    """The workspace's scheme of a name, with the labels in use that it lacks at its end, sorted;
    version 0 when there is no such scheme.
    """
    current = next((scheme for scheme in schemes if scheme.name == name), None)
    labels = current.labels if current else ()
    missing = sorted(set(used) - {label.name for label in labels})
    added = tuple(
        SchemeLabel(name=label, description="In use in this version; not in the scheme today.")
        for label in missing
    )
    if current is None:
        return LabelSet(name=name, version=0, labels=added, title=name)
    return LabelSet(
        name=name,
        version=current.version,
        labels=(*labels, *added),
        title=current.title,
        choice=current.choice,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A version on its way out.

    Attributes:
        examples: Sorted by utterance id.
        schemes: Those that the examples are labelled under, by name.
        audio_root: Folder of canonical audio.
        guard: Lets a recording be read when its file is what was stored.
        erased: Leaves of rows that were erased; the root needs them.
        register: Where an export of it is noted.
        terms: Under which it may be used.
        wav_root: What the paths of a Kaldi folder begin with: where it will lie, as seen from where
            somebody works in a split's folder.
        for_excel: Whether a CSV is made for spreadsheets, with an apostrophe before what these
            would take for a formula.
    """

    version: DatasetVersion
    examples: tuple[Example, ...]
    schemes: tuple[LabelSet, ...]
    audio_root: Path
    guard: AudioGuard
    erased: tuple[str, ...]
    register: Register
    terms: Terms = field(default_factory=Terms)
    wav_root: str = ".."
    for_excel: bool = False

    def of(self, split: Split) -> list[Example]:
        """The examples of one split."""
        return [example for example in self.examples if example.split is split]

    def splits(self) -> Iterator[tuple[Split, list[Example]]]:
        """Splits that have examples, in order."""
        for split in Split:
            examples = self.of(split)
            if examples:
                yield split, examples

    def samples(self, example: Example) -> Samples:
        """The sound of an example: (num_samples,) float32 at 16 kHz, sample for sample what the
        canonical recording has.

        Raises:
            AudioError: The recording is missing, damaged or another, or its id or a link leads out
                of the audio folder.
        """
        try:
            path = canonical_path(self.audio_root, example.recording_id)
            expected = self.guard.admit(path, example.recording_id)
            return read_clip(
                path, channel=example.channel, segment=example.segment, expected=expected
            )
        except AudioError as error:
            message = (
                f"utterance {example.utterance_id}: {error}; "
                "`voxdata ingest` decodes its source again"
            )
            raise AudioError(
                message, reason=error.reason, recording_id=example.recording_id
            ) from error

    def clip(self, example: Example, *, container: str = "FLAC") -> bytes:
        """The sound of an example as a file of 16 bit; raises as `samples` does."""
        buffer = io.BytesIO()
        soundfile.write(
            buffer, self.samples(example), MODEL_RATE_HZ, format=container, subtype="PCM_16"
        )
        return buffer.getvalue()

    def rows(self) -> dict[str, dict[str, object]]:
        """Utterance id -> its row of the flat table; all rows have the same columns."""
        return {
            example.utterance_id: row
            for example, row in zip(self.examples, flat_rows(self.examples), strict=True)
        }

    def labels(self, example: Example) -> dict[str, str]:
        """Scheme -> gold label; schemes without one are left out."""
        return {scheme: gold.label for scheme, gold in sorted(example.gold.items())}

    @property
    def description(self) -> str:
        """What it is and how to verify it, and whether scripts labelled it, in a few sentences."""
        scripts: Any = self.version.recipe.get("simulated_annotators") or {}
        warning = ""
        if scripts:
            warning = (
                f" {len(scripts)} of its annotators were simulated by scripts: "
                "its labels show nothing about people."
            )
        return (
            f"Dataset version {self.version.ref}: {len(self.examples)} labelled utterances. Merkle "
            f"root {self.version.root}; {ROWS} and {HEADER} are enough to compute it again "
            f"(`voxdata import --check FOLDER`).{warning}"
        )


def canonical_path(audio_root: Path, recording_id: str) -> Path:
    """Where the canonical audio of a recording lies: made of its id, whatever a row says of its
    file.

    Raises:
        AudioError: OUTSIDE: that is no id, or a link leads out of the folder.
    """
    path = audio_root / canonical_file(recording_id)
    if leads_out(path, audio_root):
        message = f"{path}: is a link that leads out of the audio folder; put the file itself there"
        raise AudioError(message, reason=DropReason.OUTSIDE)
    return path


def read_bundle(
    con: DuckDBPyConnection,
    ref: str,
    *,
    schemes: Sequence[Scheme],
    audio_root: Path,
    register: Register,
    terms: Terms,
) -> Bundle:
    """Read a version for export.

    Args:
        schemes: Those of the workspace, which know labels that the version does not use.
        terms: What the project says; the consent of the recordings is added.

    Raises:
        NotFoundError: There is no such version.
        WarehouseError: An utterance or a recording of it has no proper id, of which file names are
            made.
    """
    version = find_version(con, ref)
    examples = load_examples(con, version.version_id)
    recordings = {example.recording_id for example in examples}
    metadata = list_metadata(con)
    consent, purposes = count_consent({key: metadata.get(key, {}) for key in recordings})
    _require_ids(version, examples)
    return Bundle(
        version=version,
        examples=tuple(examples),
        schemes=tuple(
            complete_scheme(name, labels, schemes) for name, labels in _used_labels(examples)
        ),
        audio_root=audio_root,
        guard=AudioGuard(list_audio_digests(con, recordings)),
        erased=tuple(erased_leaves(con, version.version_id)),
        register=register,
        terms=replace(terms, consent=consent, purposes=purposes),
    )


def _require_ids(version: DatasetVersion, examples: Sequence[Example]) -> None:
    for example in examples:
        if not (is_digest(example.utterance_id) and is_digest(example.recording_id)):
            raise WarehouseError(
                f"{version.ref}: utterance {example.utterance_id!r} of recording "
                f"{example.recording_id!r} has no proper id, so no file can be named by it; it can "
                "only have come by an import that did not check it: `voxdata rollback` to a "
                "version before"
            )


def _used_labels(examples: Sequence[Example]) -> list[tuple[str, set[str]]]:
    """Scheme -> its labels in use, sorted by scheme."""
    used: defaultdict[str, set[str]] = defaultdict(set)
    for example in examples:
        for scheme, gold in example.gold.items():
            used[scheme] |= {gold.label, *gold.distribution, *gold.posterior}
    return sorted(used.items())


def write_rows(bundle: Bundle, folder: Path) -> None:
    """Write the flat table that every folder has, whatever else is in it."""
    lines = [json.dumps(row, ensure_ascii=False) for row in flat_rows(bundle.examples)]
    (folder / ROWS).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def write_header(bundle: Bundle, folder: Path, *, format_name: str) -> None:
    """Write the header: which version, what its labels mean, how to verify it, and the hash of
    every other file.
    """
    header: dict[str, object] = {
        "format": FORMAT,
        "written_as": format_name,
        "version_id": bundle.version.version_id,
        "root": bundle.version.root,
        "name": bundle.version.name,
        "number": bundle.version.number,
        "num_examples": bundle.version.num_examples,
        "num_erased": len(bundle.erased),
        "erased": list(bundle.erased),
        "recipe": dict(bundle.version.recipe),
        "schemes": [encode_scheme(scheme) for scheme in bundle.schemes],
        "terms": encode_terms(bundle.terms),
        "files": file_hashes(folder),
    }
    header["sha256"] = header_hash(header)
    (folder / HEADER).write_text(
        json.dumps(header, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )


def header_hash(header: Mapping[str, object]) -> str:
    """SHA-256 over everything a header says but this hash itself."""
    hashed = {name: value for name, value in header.items() if name != "sha256"}
    return hashlib.sha256(canonical_json(hashed).encode()).hexdigest()


def encode_scheme(scheme: LabelSet) -> dict[str, object]:
    """A scheme as JSON values."""
    return {
        "name": scheme.name,
        "version": scheme.version,
        "title": scheme.title,
        "choice": scheme.choice,
        "labels": [
            {"name": label.name, "description": label.description} for label in scheme.labels
        ],
    }


def encode_terms(terms: Terms) -> dict[str, object]:
    """Terms as JSON values."""
    return {
        "description": terms.description,
        "creator": terms.creator,
        "license": terms.licence,
        "consent": dict(terms.consent),
        "purposes": dict(terms.purposes),
    }


def file_hashes(folder: Path) -> Mapping[str, str]:
    """Path in a folder -> SHA-256, for every file that is part of an export, but the header."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (HEADER, UNFINISHED)
    )
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in files}


def hash_file(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def one_line(text: str) -> str:
    """Text for formats whose rows are lines: every run of white space becomes one space."""
    return " ".join(text.split())


def check_names(bundle: Bundle, format_name: str, taken: frozenset[str]) -> None:
    """Make sure that no scheme is called like something else in a format.

    Raises:
        WarehouseError: One is, or is no name that a file could have.
    """
    odd = [scheme.name for scheme in bundle.schemes if not SCHEME_NAME.fullmatch(scheme.name)]
    if odd:
        raise WarehouseError(
            f"scheme {odd[0]!r} cannot name a column or a file; import its labels under a name of "
            "letters, digits and _"
        )
    if clash := sorted({scheme.name for scheme in bundle.schemes} & taken):
        raise WarehouseError(
            f"scheme {clash[0]!r} clashes with what {format_name} calls so; rename it in "
            "voxdata.toml, or choose another --format"
        )


def check_clips(bundle: Bundle, examples: Sequence[Example]) -> None:
    """Make sure that every recording is there, whole and its own before anything is written.

    Raises:
        AudioError: One is not; the message names the utterance, the file and the remedy.
    """
    first = {example.recording_id: example for example in reversed(examples)}
    for recording_id, example in sorted(first.items()):
        path = canonical_path(bundle.audio_root, recording_id)
        with suppress(AudioError):  # the clip says it better
            bundle.guard.admit(path, recording_id)
        if recording_id in bundle.guard.refused or not path.exists():
            bundle.clip(example)
