"""What forgetting finds among the files: what goes, what stays, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NOT_OURS = "was not written by voxdata, as far as it knows; look whether it holds anything of them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """A file that goes.

    Attributes:
        kind: For people, such as "exports".
        sha256: What it must still be; "" for files that are known by their names.
    """

    path: Path
    kind: str
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Something that stays.

    Attributes:
        place: A path or URL.
        why: And what to do about it.
        ours: It holds something of the recordings, and could not be deleted.
    """

    place: str
    why: str
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFiles:
    """What is to be done about the files of a workspace.

    Attributes:
        emptied: Folders that go once nothing is in them.
    """

    doomed: tuple[Doomed, ...] = ()
    left: tuple[Left, ...] = ()
    emptied: tuple[Path, ...] = ()

    def __add__(self, other: FoundFiles) -> FoundFiles:
        """Both."""
        return FoundFiles(
            doomed=self.doomed + other.doomed,
            left=self.left + other.left,
            emptied=self.emptied + other.emptied,
        )
