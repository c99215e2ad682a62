"""What a workspace knows of its warehouse and of its storage folders.

So a disk that is away is not taken for an empty one. The file moves and is copied with the
workspace. A storage folder holds a mark, a small file named after the warehouse: where a folder
was marked and the mark is not there, it is not the folder that it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

from flows.folders.storage_folders import FOLDERS
from voxdata.durable import write_file
from voxdata.errors import MachineError, WarehouseError
from warehouse.beside import read_beside
from warehouse.identity import KnownWarehouse

FILE = "warehouse.json"
MARK = ".voxdata-"
_LARGEST = 1 << 20
_SAYS = (
    b"A voxdata workspace keeps files here. By this one it knows that the disk is there: "
    b"leave it.\n"
)
_REMEDY = "`voxdata repair --accept warehouse` looks at the warehouse and writes it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known.

    Attributes:
        warehouse: Its id, and how far it had come.
        place: Where the settings said that it lies.
        folders: Storage folders that were marked.
    """

    warehouse: KnownWarehouse
    place: str
    folders: tuple[str, ...] = ()


def read_known(state_dir: Path) -> Known | None:
    """What a workspace knows; None before it had a warehouse, and after an earlier release made it.

    Raises:
        WarehouseError: The file is there and cannot be read.
    """
    path = state_dir / FILE
    try:
        status = path.stat()
    except FileNotFoundError:
        if not path.is_symlink():
            return None
        return _parse(path, 0, 0, 0)
    return _parse(path, status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _parse(path: Path, *_which: int) -> Known | None:
    content = read_beside(path, at_most=_LARGEST, remedy=_REMEDY)
    if content is None:
        return None
    try:
        fields = json.loads(content)
        warehouse = fields["warehouse"]
        return Known(
            warehouse=KnownWarehouse(
                warehouse_id=_text(warehouse["warehouse_id"]),
                commits=int(warehouse["commits"]),
                former=tuple(_text(one) for one in warehouse["former"]),
            ),
            place=_text(fields["place"]),
            folders=tuple(name for name in FOLDERS if name in fields["folders"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WarehouseError(f"{path}: not readable ({error!r}); {_REMEDY}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def write_known(state_dir: Path, known: Known) -> None:
    """Write down what is known, for the owner alone.

    Raises:
        MachineError: It cannot be written.
    """
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_file(state_dir / FILE, (json.dumps(asdict(known), indent=2) + "\n").encode(), mode=0o600)


def mark_folders(known: Known, folders: Mapping[str, Path], *, again: Iterable[str] = ()) -> Known:
    """Mark the storage folders that are there and have no mark yet.

    One that cannot be written stays as it is.

    Args:
        folders: Name -> where the folder lies.
        again: Folders that are marked though they were before.
    """
    marked = set(known.folders) - set(again)
    for name, folder in folders.items():
        if name not in marked and folder.is_dir():
            with suppress(MachineError):
                write_file(folder / f"{MARK}{known.warehouse.warehouse_id}", _SAYS, mode=0o600)
                marked.add(name)
    return replace(known, folders=tuple(name for name in FOLDERS if name in marked))


def is_mark(path: Path) -> bool:
    """Whether a file is such a mark, which is nobody's content."""
    return path.name.startswith(MARK)


def require_folder(known: Known | None, name: str, folder: Path) -> None:
    """See that a storage folder is the one that it was.

    Raises:
        MachineError: It is away.
    """
    if known is None or name not in known.folders:
        return
    ids = (known.warehouse.warehouse_id, *known.warehouse.former)
    if not any((folder / f"{MARK}{one}").exists() for one in ids):
        raise MachineError(
            f"{folder}: this is not the folder that [storage] {name} was, or its disk is away: "
            f"mount it, or put the folder back. Nothing was recorded about what it holds. If it is "
            f"gone for good, `voxdata repair --accept {name}` starts a new one"
        )


def require_unused(path: Path, state_dir: Path, folders: Mapping[str, Path]) -> None:
    """See that a workspace never had a warehouse before one is made.

    Where an earlier release made it, or what is known is lost, other files tell.

    Raises:
        WarehouseError: It had one.
    """
    traces = {
        "snapshots": (state_dir / "snapshots").glob("warehouse-*.duckdb"),
        "merged batches": (state_dir / "batches" / "merged").glob("*"),
        "canonical audio": folders["audio"].glob("??/*.flac"),
        "clips": (folders["media"] / "clips").glob("*/*.wav"),
        "marks of a warehouse": chain.from_iterable(
            folder.glob(f"{MARK}*") for folder in folders.values()
        ),
    }
    for name, paths in traces.items():
        first = next(iter(paths), None)
        if first is not None:
            raise WarehouseError(
                f"{path}: the warehouse is not there, and no new one is made, since there are "
                f"{name} ({first}), so this workspace had one: mount its disk, or put the file "
                f"back. If it is gone for good, `voxdata repair` rebuilds it from a snapshot "
                f"and the batches"
            )
