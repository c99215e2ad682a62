"""Names that somebody else wrote, kept inside the folder that they are relative to."""

from __future__ import annotations

from pathlib import Path


def why_outside(name: str) -> str:
    """What is wrong with a name as that of a file inside a folder; "" when nothing is.

    >>> why_outside("wav/a.flac")
    ''
    >>> why_outside("../a.flac")
    'climbs out of its folder with ..'
    >>> why_outside("/etc/passwd")
    'is an absolute path'
    """
    if not name or "\0" in name:
        return "is empty or has a NUL character"
    if name[0] in "/\\~" or name[1:2] == ":":
        return "is an absolute path"
    if ".." in name and ".." in name.replace("\\", "/").split("/"):
        return "climbs out of its folder with .."
    return ""


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a path, with every link on its way followed, ends outside a folder."""
    return not path.resolve().is_relative_to(folder.resolve())


def find_link(folder: Path) -> Path | None:
    """The first link, pipe, socket or device below a folder; None when there are only files and
    folders.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            return path
    return None
