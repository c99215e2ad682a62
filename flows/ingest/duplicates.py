"""Near-duplicates: fingerprint what was ingested and find which recordings share their sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.stored_audio import open_guard
from flows.workspace import Say, Workspace
from voxdata.backends import load_backend
from voxdata.canonical import open_canonical
from voxdata.counted import counted
from voxdata.errors import AudioError, BackendError
from voxdata.fingerprint import Codes, Fingerprinter, NearDuplicate, find_shared, is_heard
from voxdata.progress import Progress
from voxdata.sound import MODEL_RATE_HZ
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
    """Compare every recording that was not compared yet.

    Interrupted at any point, the next search goes on where this one stopped.

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
            line = (
                f"near-duplicates: {compared}/{len(waiting)} recordings compared, "
                f"{counted(pairs, 'pair')}"
            )
            say(Progress(line, done=compared, total=len(waiting)))
    with workspace.warehouse() as con:
        groups = len(set(duplicate_groups(con).values()))
    if pairs:
        shared = counted(pairs, "new pair shares its sound", "new pairs share their sound")
        say(
            f"near-duplicates: {shared}; "
            f"{counted(groups, 'group stays in one split', 'groups stay in one split each')}"
        )
    return DuplicateSummary(compared=compared, pairs=pairs, groups=groups)


def _compare_batch(
    workspace: Workspace, fingerprinter: Fingerprinter, batch: Sequence[StoredRecording]
) -> list[NearDuplicate]:
    """Fingerprint some recordings.

    Their codes, and what they share with all others, are stored in one transaction.
    """
    key = fingerprinter.model.key
    codes: dict[str, Codes] = {}
    broken: dict[str, AudioError] = {}
    guard = open_guard(workspace, [stored.recording.recording_id for stored in batch])
    for stored in batch:
        path, recording_id = workspace.audio_dir / stored.audio_file, stored.recording.recording_id
        try:
            first = open_canonical(path, expected=guard.admit(path, recording_id))[0]
            codes[recording_id] = fingerprinter.fingerprint(first)
        except AudioError as error:
            broken[recording_id] = error
    with workspace.warehouse() as con, transaction(con):
        for recording_id, trouble in broken.items():
            record_drop(
                con,
                stage="fingerprint",
                subject=recording_id,
                reason=trouble.reason,
                recording_id=recording_id,
                detail=str(trouble),
                run_id=workspace.run_id,
            )
        for recording_id, found in codes.items():
            store_fingerprint(con, recording_id, found, key=key, run_id=workspace.run_id)
        hints = find_hints(con, codes, key=key)
        known = list_fingerprints(
            con, {recording_id for pair in hints for recording_id in pair}, key=key
        )
        files = {
            stored.recording.recording_id: stored.audio_file for stored in list_recordings(con)
        }
        pairs = []
        for (one, other), shifts in hints.items():
            shared = find_shared(known[one], known[other], shifts)
            if shared is None:
                continue
            length_ms = fingerprinter.window_ms + (shared.size - 1) * fingerprinter.code_ms
            starts_ms = [place * fingerprinter.code_ms for place in (shared.first, shared.second)]
            paths = [workspace.audio_dir / files[recording_id] for recording_id in (one, other)]
            if not _is_heard(paths, starts_ms, length_ms):
                continue
            pairs.append(
                NearDuplicate(
                    recording_id=one,
                    other_id=other,
                    score=shared.score,
                    shared_ms=round(length_ms),
                )
            )
        store_near_duplicates(con, pairs, key=key, run_id=workspace.run_id)
    return pairs


def _is_heard(paths: Sequence[Path], starts_ms: Sequence[float], length_ms: float) -> bool:
    """Whether the stretch is heard in both recordings.

    Where one cannot be read its codes alone decide, and both stay in one split.
    """
    rate = MODEL_RATE_HZ / 1000
    try:
        first, second = (
            open_canonical(path)[0].read(
                round(start_ms * rate), round((start_ms + length_ms) * rate)
            )
            for path, start_ms in zip(paths, starts_ms, strict=True)
        )
    except AudioError:
        return True
    return is_heard(first, second)
