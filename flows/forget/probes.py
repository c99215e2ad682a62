"""What to look for to prove that nothing of somebody is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from ahocorasick_rs import BytesAhoCorasick
from duckdb import DuckDBPyConnection

from flows.place import FILE_NAME
from flows.workspace import Workspace
from warehouse.erase import ErasurePlan
from warehouse.places import keep_place
from warehouse.recordings import list_uris

MIN_PROBE = 8
"""Texts that are shorter, in bytes, occur by chance and prove nothing."""

_SAID = """
select text from utterance
union select text from example
union select text from annotation where text is not null
union select value from recording_metadata
"""


def make_probes(workspace: Workspace, plan: ErasurePlan) -> list[str]:
    """What to look for: what was said, where it came from, and the ids of it, unless others have
    the same.
    """
    with workspace.warehouse() as con:
        kept = _said_by_others(con)
        others = set(chain.from_iterable(list_uris(con).values()))
        uris = [uri for uri in plan.uris if uri not in others]
        stored = [keep_place(con, uri) for uri in uris]
    kept.append((workspace.root / FILE_NAME).read_text(encoding="utf-8"))
    texts = [*_not_in(plan.texts, kept), *uris, *stored, *plan.recording_ids, *plan.utterance_ids]
    return sorted({text for text in texts if _size(text) >= MIN_PROBE})


def _said_by_others(con: DuckDBPyConnection) -> list[str]:
    return [str(text) for (text,) in con.execute(_SAID).fetchall()]


def _not_in(texts: Sequence[str], others: Iterable[str]) -> list[str]:
    """Those that are no part of any other; one pass, however many there are."""
    long_enough = [text for text in texts if _size(text) >= MIN_PROBE]
    if not long_enough:
        return []
    machine = BytesAhoCorasick([_encode(text) for text in long_enough])
    shared: set[int] = set()
    for other in others:
        matches = machine.find_matches_as_indexes(_encode(other), overlapping=True)
        shared |= {which for which, _, _ in matches}
    return [text for which, text in enumerate(long_enough) if which not in shared]


def _size(text: str) -> int:
    return len(_encode(text))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
