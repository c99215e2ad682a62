"""Who must stay out, written down beside the warehouse: a copy of it from before does not know who
was forgotten since.

The file holds what the warehouse holds of it, digests, receipts and reasons, and moves with the
workspace. Nothing is taken out of it, so that a warehouse that was put back on purpose, or made
again from a snapshot, is told again whom it must refuse.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from duckdb import DuckDBPyConnection

from voxdata.durable import write_file
from voxdata.errors import WarehouseError
from warehouse.beside import read_beside
from warehouse.gate import Ban, add_bans, count_bans, list_bans

FILE = "forgotten.jsonl"
_LARGEST = 1 << 30
_REMEDY = (
    "restore it from a backup; or move it away, and any writing command writes it again from the "
    "warehouse that is there"
)


def remember_bans(state_dir: Path, con: DuckDBPyConnection) -> None:
    """Write down what the warehouse says of who must stay out, with what was written down before.

    Raises:
        MachineError: It cannot be written.
        WarehouseError: The file cannot be read.
    """
    written = _read(state_dir)
    if count_bans(con) == len(written):
        return
    bans = dict.fromkeys((*written, *list_bans(con)))
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_file(
        state_dir / FILE,
        "".join(json.dumps(asdict(ban)) + "\n" for ban in bans).encode(),
        mode=0o600,
    )


def restore_bans(state_dir: Path, con: DuckDBPyConnection, *, run_id: str) -> int:
    """Tell a warehouse what it does not know of who must stay out.

    Returns:
        How many entries were missing.

    Raises:
        WarehouseError: The file cannot be read.
    """
    held = set(list_bans(con))
    missing = [ban for ban in _read(state_dir) if ban not in held]
    add_bans(con, missing, run_id=run_id)
    return len(missing)


def _read(state_dir: Path) -> tuple[Ban, ...]:
    """What was written down, oldest first; nothing where nobody was forgotten."""
    path = state_dir / FILE
    if not path.exists():
        return ()
    status = path.stat()
    return _parse(path, status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _parse(path: Path, *_which: int) -> tuple[Ban, ...]:
    content = read_beside(path, at_most=_LARGEST, remedy=_REMEDY) or b""
    try:
        return tuple(Ban(**json.loads(line)) for line in content.splitlines())
    except (ValueError, TypeError, RecursionError) as error:
        raise WarehouseError(f"{path}: not readable ({error}); {_REMEDY}") from error
