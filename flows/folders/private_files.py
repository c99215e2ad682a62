"""What a workspace holds is speech of people: its files are for their owner alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

PRIVATE_UMASK = 0o077


def keep_files_private() -> None:
    """Let this process and its children make files that their owner alone can read, whatever the
    shell's umask says.

    Called once, at the entry of every process that voxdata starts.
    """
    os.umask(PRIVATE_UMASK)


def make_private_folder(folder: Path, *, say: Callable[[str], None]) -> None:
    """Make a folder for its owner alone, or close one that is there.

    Its content cannot be reached then, whatever rights that has.

    Args:
        folder: A workspace.
        say: Told when a folder was open and is closed now, or cannot be closed.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not is_open(folder):
        return
    try:
        folder.chmod(folder.stat().st_mode & 0o700)
        say(f"{folder.absolute()}: closed to other accounts (it will hold speech of people)")
    except OSError as error:
        say(
            f"{folder.absolute()}: stays open to other accounts ({error.strerror}); "
            "let its owner run `chmod go-rwx`"
        )


def is_open(path: Path) -> bool:
    """Whether accounts other than the owner have any right on a file or folder."""
    return bool(path.stat().st_mode & 0o077)
