"""The folders of [storage] must not lie in each other: what one part deletes or sweeps would be
another part's, or somebody else's.
"""

from __future__ import annotations

import os
from itertools import permutations
from pathlib import Path

from flows.place import FILE_NAME
from flows.settings import StorageSettings
from voxdata.errors import ConfigError

STATE_DIR = ".voxdata"
FOLDERS = ("audio", "media", "models", "exports", "reports")
REMEDY = f"give each a folder of its own under [storage] in {FILE_NAME}, and move what lies there"


def require_separate(root: Path, storage: StorageSettings) -> None:
    """Make sure that every folder is voxdata's alone: none is the workspace or holds it, and none
    holds another.

    The default layout has no folder in another, so no such nesting is allowed. The warehouse is a
    file: it may lie beside the folders, and in none of them. Links and `..` are followed, and
    folders are compared by what they are, not by how they are spelled.

    Args:
        root: The workspace, absolute.

    Raises:
        ConfigError: Two places clash; the message names both settings and the remedy.
    """
    places = {name: (root / getattr(storage, name)).resolve() for name in FOLDERS}
    for name, place in places.items():
        told = f"[storage] {name} = {getattr(storage, name)!r}"
        _refuse_if(
            _holds(place, root), f"{told} is the workspace {root}, or a folder that holds it"
        )
        _refuse_if(
            _holds(place, _home()),
            f"{told} is the home folder {_home()}, or a folder that holds it",
        )
    own = {**places, STATE_DIR: (root / STATE_DIR).resolve()}
    for (name, place), (other, outer) in permutations(own.items(), 2):
        _refuse_if(
            _holds(outer, place),
            f"{_told(name, storage)} lies in {_told(other, storage)} ({outer}), "
            "or is the same folder",
        )
    warehouse = (root / storage.warehouse).resolve()
    for name, place in own.items():
        _refuse_if(
            _holds(place, warehouse),
            f"{_told('warehouse', storage)} lies in {_told(name, storage)} ({place}), "
            "or is that folder",
        )
        _refuse_if(
            _holds(warehouse, place),
            f"{_told(name, storage)} lies in {_told('warehouse', storage)}, which is a file",
        )


def _refuse_if(wrong: bool, trouble: str) -> None:
    if wrong:
        raise ConfigError(f"{trouble}; {REMEDY}")


def _told(name: str, storage: StorageSettings) -> str:
    return (
        f"the workspace's own {STATE_DIR}"
        if name == STATE_DIR
        else f"[storage] {name} = {getattr(storage, name)!r}"
    )


def _holds(folder: Path, place: Path) -> bool:
    """Whether a place is a folder, or lies in it."""
    return any(_is_same(folder, above) for above in (place, *place.parents))


def _is_same(one: Path, other: Path) -> bool:
    """Whether two resolved paths are one: by name, or, as with another spelling or a mount, on
    disk.
    """
    if one == other:
        return True
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - both must be there, in one call
    except OSError:
        return False


def _home() -> Path:
    # Unlike Path.home() this is no error without a home.
    return Path(os.path.expanduser("~")).resolve()  # noqa: PTH111
