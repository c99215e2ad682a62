"""Exports and reports: which of the files that lie there are voxdata's, by the register and, for
those from before it, by their headers.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from flows.folders.known import is_mark
from flows.forget.found import NOT_OURS, Doomed, FoundFiles, Left
from flows.workspace import Workspace
from voxdata.register import Written
from warehouse.erase import ErasurePlan
from warehouse.exchange.bundle import HEADER, hash_file
from warehouse.exchange.own_files import Header, other_files, read_header, walk_files
from warehouse.versions import list_versions

EARLIER = (
    "if an earlier release wrote it, which recorded nothing: "
    "delete it by hand, or write it again with the same command first"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Versions:
    """Ids of dataset versions.

    Attributes:
        known: All that are in the warehouse.
        spared: Those that hold nothing of what is erased; an export of any other may.
    """

    known: frozenset[str]
    spared: frozenset[str]


def find_written(workspace: Workspace, plan: ErasurePlan) -> FoundFiles:
    """What goes of the exports and reports, wherever they were written to, and what else lies in
    their folders. Deletes nothing.
    """
    with workspace.warehouse() as con:
        versions = list_versions(con)
    ids = _Versions(
        known=frozenset(version.version_id for version in versions),
        spared=frozenset(
            version.version_id for version in versions if version.ref not in plan.versions
        ),
    )
    noted: defaultdict[str, list[Written]] = defaultdict(list)
    for written in workspace.written.read():
        noted[written.path].append(written)
    found, known = FoundFiles(), set()
    for lines in noted.values():
        written = _in_force(lines)
        known.add(Path(written.path))
        found += _judge(written, ids)
    places = [folder.resolve() for folder in (workspace.exports_dir, workspace.reports_dir)]
    for folder, header in _unnoted_exports(places, known, ids):
        known.add(folder)
        found += _judge_folder(folder, header, hash_file(folder / HEADER), ids)
    named = {doomed.path for doomed in found.doomed} | {Path(left.place) for left in found.left}
    unknown = chain.from_iterable(_unknown(place, known) for place in places)
    others = [path for path in unknown if path not in named]
    return found + FoundFiles(
        left=tuple(Left(place=str(path), why=f"{NOT_OURS}, or {EARLIER}") for path in others)
    )


def _in_force(lines: Sequence[Written]) -> Written:
    """Of several lines for one place, as a death between note and file leaves them, the one that
    the file agrees with.
    """
    if len(lines) == 1:
        return lines[0]
    path = Path(lines[-1].path)
    digested = path / HEADER if lines[-1].kind == "folder" else path
    sha256 = hash_file(digested) if digested.is_file() else ""
    return next((line for line in reversed(lines) if line.sha256 == sha256), lines[-1])


def _judge(written: Written, ids: _Versions) -> FoundFiles:
    if written.kind == "published":
        if written.version in ids.spared:
            return FoundFiles()
        why = (
            "is a copy that voxdata sent there, with what they said and their voices; "
            "delete it there, and inform whoever fetched it"
        )
        return FoundFiles(left=(Left(place=written.path, why=why),))
    path = Path(written.path)
    if written.version in ids.spared:
        return FoundFiles()
    if not os.path.lexists(path):
        return _judge_absent(path)
    if written.kind == "unfinished":
        doomed = tuple(Doomed(path=file, kind="unfinished exports") for file in walk_files(path))
        return FoundFiles(doomed=doomed, emptied=(path,))
    if written.kind == "folder":
        header = read_header(path)
        if header is None or hash_file(path / HEADER) != written.sha256:
            why = (
                f"was an export, and its {HEADER} is gone or changed, "
                "so nobody knows what in it is voxdata's; delete it by hand"
            )
            return FoundFiles(left=(Left(place=str(path), why=why),))
        return _judge_folder(path, header, written.sha256, ids)
    kind = "reports" if written.kind == "page" else "exports"
    return FoundFiles(doomed=(Doomed(path=path, kind=kind, sha256=written.sha256),))


def _judge_absent(path: Path) -> FoundFiles:
    """Nothing is there: somebody deleted it, or the disk it lies on is away."""
    if path.parent.is_dir():
        return FoundFiles()
    why = (
        "cannot be looked for, since its folder is not there; "
        "if it lies on a disk that is away, bring it back and delete it by hand"
    )
    return FoundFiles(left=(Left(place=str(path), why=why),))


def _judge_folder(folder: Path, header: Header, sha256: str, ids: _Versions) -> FoundFiles:
    """An export's folder: its own files go, the header last, so that a second try still
    knows them.
    """
    if header.version_id in ids.spared:
        return FoundFiles()
    own = [
        Doomed(path=folder / name, kind="exports", sha256=digest)
        for name, digest in sorted(header.files.items())
    ]
    own = [doomed for doomed in own if os.path.lexists(doomed.path)]
    left = tuple(Left(place=str(path), why=NOT_OURS) for path in other_files(folder, header))
    return FoundFiles(
        doomed=(*own, Doomed(path=folder / HEADER, kind="exports", sha256=sha256)),
        left=left,
        emptied=(folder,),
    )


def _unnoted_exports(
    places: Sequence[Path], known: Set[Path], ids: _Versions
) -> Iterator[tuple[Path, Header]]:
    """Exports from before there was a register: folders whose header is of a version of this
    warehouse.
    """
    unknown = chain.from_iterable(_unknown(place, known) for place in places)
    for path in (path for path in unknown if path.name == HEADER):
        header = read_header(path.parent)
        if header is not None and header.is_sound and header.version_id in ids.known:
            yield path.parent, header


def _unknown(place: Path, known: Set[Path]) -> Iterator[Path]:
    """Files below a folder that are neither known nor in a known folder."""
    files = (path for path in walk_files(place) if not is_mark(path))
    return (path for path in files if known.isdisjoint((path, *path.parents)))
