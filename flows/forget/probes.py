"""What to look for in the bytes to prove that nothing of somebody is left."""

from __future__ import annotations

from flows.workspace import Workspace
from warehouse.erase import ErasurePlan
from warehouse.places import keep_place
from warehouse.recordings import list_uris

MIN_PROBE = 8
"""Texts that are shorter, in bytes, occur by chance and prove nothing."""


def make_probes(workspace: Workspace, plan: ErasurePlan) -> list[str]:
    """What to look for in the bytes: what was said, where it came from, and the ids of it, unless others have the same."""
    with workspace.warehouse() as con:
        kept = {str(text) for (text,) in con.execute("select text from utterance union select value from recording_metadata").fetchall()}
        others = {uri for uris in list_uris(con).values() for uri in uris}
        uris = [uri for uri in plan.uris if uri not in others]
        stored = [keep_place(con, uri) for uri in uris]
    texts = [text for text in plan.texts if not any(text in other for other in kept)]
    found = [*texts, *uris, *stored, *plan.recording_ids, *plan.utterance_ids]
    return sorted({text for text in found if len(text.encode()) >= MIN_PROBE})
