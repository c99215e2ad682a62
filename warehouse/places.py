"""Places: files that lie in the workspace are stored relative to it, as "./inbox/a.wav", so that it
can be moved or copied.

Functions of this package take and give places as they are here and now: absolute. What lies
elsewhere is stored as it is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from duckdb import DuckDBPyConnection

from warehouse.rows import read_rows

Prefix = tuple[str, str]
"""How places begin in the warehouse, and how they begin here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the folders lie that places are stored relative to.

    Attributes:
        root: The workspace.
        inboxes: Other folders, as the settings name them relative to the workspace, such as
            "../calls".
    """

    root: Path
    inboxes: Sequence[str] = ()

    def prefixes(self) -> list[Prefix]:
        """All of them, each also as a URL, in which names are written that are no UTF-8."""
        folders = [("./", self.root)]
        for name in self.inboxes:
            outside = (
                (self.root / name).resolve()
                if name.startswith("../") and not any(mark in name for mark in "*?[")
                else self.root
            )
            if outside != self.root and not outside.is_relative_to(self.root):
                folders.append((name.rstrip("/") + "/", outside))
        plain = [(kept, f"{folder}/".replace("//", "/")) for kept, folder in folders]
        return plain + [
            (f"file:{kept}", f"{folder.as_uri().rstrip('/')}/") for kept, folder in folders
        ]


def use_places(con: DuckDBPyConnection, places: Places | None) -> None:
    """Let a connection know where the workspace lies.

    Its queries may call `placed(uri)` for a place as it is here, and `kept(uri)` for one as it is
    stored; without places both are the same.
    """
    prefixes = [] if places is None else places.prefixes()
    con.execute("set variable places = ?", [json.dumps(prefixes)])
    con.execute(f"create or replace temp macro placed(uri) as {_exchanged(prefixes)}")
    turned = [(here, kept) for kept, here in prefixes]
    con.execute(f"create or replace temp macro kept(uri) as {_exchanged(turned)}")


def _exchanged(beginnings: Sequence[tuple[str, str]]) -> str:
    """An expression for `uri` with what it begins with exchanged for another beginning."""
    cases = "".join(
        f" when starts_with(uri, {_text(old)}) then {_text(new)} || uri[{len(old) + 1}:]"
        for old, new in beginnings
    )
    return f"case{cases} else uri end" if cases else "uri"


def keep_place(con: DuckDBPyConnection, uri: str) -> str:
    """A place as it is stored."""
    return _keep(uri, _prefixes(con))


def keep_places(con: DuckDBPyConnection, uris: Iterable[str]) -> list[str]:
    """Places as they are stored, in the order given."""
    prefixes = _prefixes(con)
    return [_keep(uri, prefixes) for uri in uris]


def _keep(uri: str, prefixes: Iterable[Prefix]) -> str:
    for kept, here in prefixes:
        if uri.startswith(here):
            return kept + uri.removeprefix(here)
    return uri


def place_inside(kept: str) -> str:
    """How a stored place ends wherever its workspace is.

    >>> place_inside("./inbox/a.wav"), place_inside("../calls/a.wav")
    ('/inbox/a.wav', '/calls/a.wav')
    """
    return re.sub(r"^(\.{1,2}/)+", "/", kept.removeprefix("file:"))


def is_there(place: str) -> bool:
    """Whether there is a file at a local place."""
    return os.path.lexists(
        unquote(urlsplit(place).path, errors="surrogateescape") if "://" in place else place
    )


def _prefixes(con: DuckDBPyConnection) -> list[Prefix]:
    prefixes = read_rows(con, "select getvariable('places') as places")[0]["places"]
    if not prefixes:
        return []
    return [(kept, here) for kept, here in json.loads(str(prefixes))]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
