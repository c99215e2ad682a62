"""Near-duplicates: fingerprint what was ingested and find which recordings share their sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flows.workspace import Say, Workspace
from voxdata.backends import load_backend
from voxdata.canonical import open_canonical
from voxdata.errors import AudioError, BackendError
from voxdata.fingerprint import Codes, Fingerprinter, NearDuplicate, compare
from warehouse.connection import transaction
from warehouse.duplicates import (
    duplicate_groups,
    find_hints,
    list_fingerprinted,
    list_fingerprints,
    store_fingerprint,
    store_near_duplicates,
)
from warehouse.ledger import record_drop
from warehouse.recordings import StoredRecording, list_recordings

BATCH_SIZE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateSummary:
    """What a search did.

    Attributes:
        compared: Recordings compared with all others.
        pairs: Pairs found that share sound.
        groups: Groups of near-duplicates there are now.
    """

    compared: int = 0
    pairs: int = 0
    groups: int = 0


def find_duplicates(workspace: Workspace, *, say: Say) -> DuplicateSummary:
    """Compare every recording that was not compared yet; interrupted at any point, the next search goes on where this one stopped.

    Without Chromaprint on the machine nothing is searched, which is said.
    """
    try:
        fingerprinter: Fingerprinter = load_backend("fingerprinter", "chromaprint")
    except BackendError as error:
        say(f"near-duplicates are not searched: {error}")
        return DuplicateSummary()
    key = fingerprinter.model.key
    with workspace.warehouse() as con:
        done = list_fingerprinted(con, key=key)
        waiting = [r for r in list_recordings(con) if r.recording.recording_id not in done]
    compared = pairs = 0
    for start in range(0, len(waiting), BATCH_SIZE):
        batch = waiting[start : start + BATCH_SIZE]
        pairs += len(_compare_batch(workspace, fingerprinter, batch))
        compared += len(batch)
        if len(waiting) > BATCH_SIZE:
            say(f"near-duplicates: {compared}/{len(waiting)} recordings compared, {pairs} pairs")
    with workspace.warehouse() as con:
        groups = len(set(duplicate_groups(con).values()))
    if pairs:
        say(f"near-duplicates: {pairs} new pairs share their sound; {groups} groups stay in one split each")
    return DuplicateSummary(compared=compared, pairs=pairs, groups=groups)


def _compare_batch(workspace: Workspace, fingerprinter: Fingerprinter, batch: Sequence[StoredRecording]) -> list[NearDuplicate]:
    """Fingerprint some recordings and store, in one transaction, their codes and what they share with all others."""
    key = fingerprinter.model.key
    codes: dict[str, Codes] = {}
    broken: dict[str, AudioError] = {}
    for stored in batch:
        try:
            codes[stored.recording.recording_id] = fingerprinter.fingerprint(open_canonical(workspace.audio_dir / stored.audio_file)[0])
        except AudioError as error:
            broken[stored.recording.recording_id] = error
    with workspace.warehouse() as con, transaction(con):
        for recording_id, trouble in broken.items():
            record_drop(
                con, stage="fingerprint", subject=recording_id, reason=trouble.reason, recording_id=recording_id, detail=str(trouble),
                run_id=workspace.run_id,
            )  # fmt: skip
        for recording_id, found in codes.items():
            store_fingerprint(con, recording_id, found, key=key, run_id=workspace.run_id)
        hints = find_hints(con, codes, key=key)
        known = list_fingerprints(con, {recording_id for pair in hints for recording_id in pair}, key=key)
        pairs = []
        for (one, other), shifts in hints.items():
            shared = compare(known[one], known[other], shifts)
            if shared is not None:
                shared_ms = round(fingerprinter.window_ms + (shared[1] - 1) * fingerprinter.code_ms)
                pairs.append(NearDuplicate(recording_id=one, other_id=other, score=shared[0], shared_ms=shared_ms))
        store_near_duplicates(con, pairs, key=key, run_id=workspace.run_id)
    return pairs
