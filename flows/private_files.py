"""What a workspace holds is speech of people: its files are for their owner alone."""

from __future__ import annotations

import os

PRIVATE_UMASK = 0o077


def keep_files_private() -> None:
    """Let this process and its children make files that their owner alone can read, whatever the shell's umask says.

    Called once, at the entry of every process that voxdata starts.
    """
    os.umask(PRIVATE_UMASK)
