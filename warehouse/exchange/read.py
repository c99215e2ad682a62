"""Read an export back: every file, the root, and that no name in it leads elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from voxdata.admission import check_voices
from voxdata.confine import find_link, why_outside
from voxdata.dataset import Example
from voxdata.errors import ConfigError, ManifestError
from voxdata.malformed import FAULTS, Readers, as_list, as_mapping, in_words, name_fault, parse_json
from voxdata.root import fingerprint
from voxdata.stores import explain_store
from warehouse.exchange.bundle import FORMAT, HEADER, ROWS, file_hashes, header_hash
from warehouse.exchange.read_rows import read_rows
from warehouse.versions import NAME

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
                f"{origin}: {link.relative_to(folder).as_posix()!r} is a link or no file, which no "
                "export has; do not import it"
            )
        header = _read_header(folder, origin)
        expected, erased = header["files"], [str(leaf) for leaf in header["erased"]]
        examples = read_rows(folder / ROWS, origin=origin)
        root = fingerprint(examples, erased=erased)
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise ManifestError(
            f"{origin}: is no export, since {missing} is missing; name the folder that `voxdata "
            "export` wrote"
        ) from error
    except (OSError, *FAULTS) as error:
        raise ManifestError(f"{origin}: is malformed: {in_words(error)}; {AGAIN}") from error
    if header.get("sha256") != header_hash(header):
        raise ManifestError(
            f"{origin}: {HEADER} is not as it was exported; export the version again"
        )
    _check_header(header, expected, origin)
    present = file_hashes(folder)
    changed = sorted(
        name for name, sha in {**expected, **present}.items() if expected.get(name) != sha
    )
    missing_files = sorted(set(expected) - set(present))
    if changed or missing_files:
        named = ", ".join(repr(name) for name in (*missing_files, *changed)[:5])
        raise ManifestError(
            f"{origin}: {named} is not as it was exported; export the version again"
        )
    if root != header["root"]:
        raise ManifestError(
            f"{origin}: its rows give root {root[:12]}, its header says "
            f"{str(header['root'])[:12]}; export the version again"
        )
    check_voices(((example.voice, example.split) for example in examples), origin=origin)
    return Export(header=header, examples=examples, folder=folder, origin=origin)


def _read_header(folder: Path, origin: str) -> dict[str, Any]:
    header: Any = None
    try:
        header = parse_json((folder / HEADER).read_text(encoding="utf-8"))
        if header["format"] != FORMAT:
            raise ManifestError(
                f"{origin}: {HEADER} says format {header['format']!r}, this release reads "
                f"{FORMAT!r}"
            )
        for name, (read, _) in HEADER_FIELDS.items():
            read(header[name])
    except FAULTS as error:
        why = in_words(error) if header is None else name_fault(header, HEADER_FIELDS, error)
        raise ManifestError(f"{origin}: {HEADER}: {why}; {AGAIN}") from error
    checked: dict[str, Any] = header
    return checked


def _check_header(header: Mapping[str, object], files: Iterable[str], origin: str) -> None:
    named = NAME.fullmatch(str(header.get("name"))) and isinstance(header.get("number"), int)
    if not named:
        raise ManifestError(
            f"{origin}: {HEADER} gives the version no proper name and number; export the version "
            "again"
        )
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
        listed = (
            [str(path) for path in filesystem.find(root)]
            if filesystem.exists(f"{root}/{HEADER}")
            else []
        )
    except Exception as error:  # every store raises exceptions of its own
        raise explain_store(url, error) from error
    if not listed:
        raise ConfigError(
            f"{url}: holds no {HEADER}; name the place that `voxdata export --output` printed"
        )
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


def export_files(export: Export) -> list[str]:
    """Paths in the folder of an export that its header lists."""
    files = export.header["files"]
    return [str(name) for name in files] if isinstance(files, Mapping) else []


def check_lengths(export: Export, *, max_ms: int) -> None:
    """Make sure that no recording is longer than this workspace takes.

    Raises:
        ConfigError: One is; the message names it and the setting.
    """
    for example in export.examples:
        if example.segment.end_ms > max_ms:
            raise ConfigError(
                f"{export.origin}: utterance {example.utterance_id} ends at "
                f"{example.segment.end_ms} ms, and [sources] max_hours "
                f"allows recordings of {max_ms} ms; raise it, or leave the utterance out"
            )
