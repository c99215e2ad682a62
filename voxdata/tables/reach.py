"""How far a table may reach: which files of this machine its rows may name."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOCAL = frozenset(
    {
        "file",
        "local",
        "asynclocal",
        "dir",
        "git",
        "jlab",
        "jupyter",
        "zip",
        "tar",
        "libarchive",
        "reference",
        "generic",
        "dask",
        "async_wrapper",
        "asyncwrapper",
        "simplecache",
        "filecache",
        "blockcache",
        "cached",
    }
)
"""Kinds of URL by which a store reads files of this machine."""

REMEDY = "name the folder of the recordings with --audio-root FOLDER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where the files of a table may lie: in its folder or in the audio root, all links resolved.

    Attributes:
        folder: The folder of the table.
        root: What the user says relative paths are relative to; None: the table's folder.
        anywhere: Whether the user allows every file that he may read himself.
        own: A folder of sound that was unpacked from the table; always allowed.
    """

    folder: Path
    root: Path | None = None
    anywhere: bool = False
    own: Path | None = None

    def locate(
        self,
        where: str,
        *,
        beside: Path | None = None,
    ) -> str:
        """The absolute path, or the URL, that a row means.

        Args:
            beside: What the path is relative to when it is not relative to the audio root.

        Raises:
            ValueError: It leads nowhere, such as into the home of somebody unknown.
        """
        if "://" in where:
            parts = urlsplit(where)
            if parts.scheme.lower() != "file":
                return where
            where = unquote(parts.path, errors="surrogateescape")
        try:
            path = Path(where).expanduser()
        except RuntimeError as error:  # "~nobody"
            raise ValueError(f"{where!r} leads nowhere ({error})") from error
        folders = [beside or self.folder]
        if self.root is not None:
            folders.insert(0, self.root)
        candidates = [(folder / path).absolute() for folder in folders]
        for candidate in candidates:
            stored = _as_stored(candidate)
            if stored is not None:
                return str(stored)
        return str(candidates[0])

    def why_not(self, uri: str) -> str:
        """Why a file must not be read; "" when it may."""
        if self.anywhere:
            return ""
        if "://" in uri:
            scheme = urlsplit(uri).scheme.lower()
            if "::" not in uri and scheme not in _LOCAL:
                return ""
            return f"{uri} reaches files of this machine through a store; write their paths"
        allowed = [folder for folder in (self.folder, self.root, self.own) if folder is not None]
        try:
            target = Path(uri).resolve()
            is_inside = any(target.is_relative_to(folder.resolve()) for folder in allowed)
        except (OSError, RuntimeError, ValueError) as error:
            return f"{uri} leads nowhere ({error})"
        if is_inside:
            return ""
        return (
            f"{uri} lies outside {self.root or self.folder}; "
            "name the folder of the recordings with --audio-root, "
            "or allow every path with --anywhere"
        )


def _as_stored(path: Path) -> Path | None:
    """The path of a file or link, as written or in another Unicode form; None for none."""
    composed = unicodedata.normalize("NFC", str(path))
    decomposed = unicodedata.normalize("NFD", str(path))
    for spelled in (path, Path(composed), Path(decomposed)):
        try:
            if spelled.exists() or spelled.is_symlink():
                return spelled
        except (OSError, ValueError):
            return None
    return None
