"""What lies beside a warehouse file: small files of ours that somebody may have emptied, replaced
or taken away.
"""

from __future__ import annotations

import stat
from pathlib import Path

from voxdata.errors import WarehouseError


def read_beside(path: Path, *, at_most: int, remedy: str) -> bytes | None:
    """Read a file beside a warehouse; None when there is none.

    Args:
        at_most: No such file of ours is larger, in bytes.
        remedy: What to do when it cannot be read.

    Raises:
        WarehouseError: A link that leads nowhere, no file, too large, or not to be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise WarehouseError(f"{path}: is no file; {remedy}")
        with path.open("rb") as file:
            content = file.read(at_most + 1)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise WarehouseError(
                f"{path}: this link leads nowhere: mount the disk that it leads to; or {remedy}"
            ) from error
        return None
    except OSError as error:
        raise WarehouseError(
            f"{path}: cannot be read ({error.strerror}): let this user read it; or {remedy}"
        ) from error
    if len(content) > at_most:
        raise WarehouseError(f"{path}: is larger than any of ours ({at_most:,} bytes); {remedy}")
    return content
