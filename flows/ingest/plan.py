"""What an ingestion would do, and why, decoding nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from flows.ingest.listed import Listing
from flows.ingest.listing import list_manifest, list_wanted, tell_odd_consents
from flows.ingest.manifests import describe_times
from flows.ingest.standing import Standing, read_standing
from flows.ingest.tries import Retry, describe_tries, find_retry
from flows.workspace import Say, Workspace
from voxdata.audio import decoder_version
from voxdata.counted import counted
from voxdata.errors import DropReason
from warehouse.listed_files import find_seen


def plan_ingest(
    workspace: Workspace, patterns: Sequence[str], *, say: Say, retry: DropReason | None = None
) -> list[dict[str, object]]:
    """What an ingestion would do with each file that is not known.

    Returns:
        Rows with uri, standing, size and why. The standing is "new", "changed", "retry", or "waits"
        for a file that was tried today in vain and has days left.
    """
    wanted = find_retry(workspace, retry)
    return _plan_listed(workspace, list_wanted(workspace, patterns, wanted, say=say), wanted)


def plan_manifest(
    workspace: Workspace,
    manifest: Path,
    *,
    say: Say,
    audio_root: Path | None = None,
    anywhere: bool = False,
    retry: DropReason | None = None,
) -> list[dict[str, object]]:
    """What ingesting a manifest would do, as `plan_ingest`; rows that cannot be used are said.

    Raises:
        ConfigError: The manifest cannot be read.
        ManifestError: No row names a recording that can be read.
    """
    named = list_manifest(manifest, audio_root=audio_root, anywhere=anywhere)
    for remark in (*named.table.remarks, *describe_times(named.table)):
        say(f"manifest: {manifest}: {remark}")
    for trouble in named.bad:
        say(f"manifest: {manifest}, row {trouble.number}: {trouble.problem}")
    if named.unreachable:
        waiting = counted(len(named.unreachable), "row")
        say(f"manifest: {manifest}: {waiting} cannot be reached now; {named.unreachable[0]}")
    tell_odd_consents(named.rows, say=say)
    return _plan_listed(workspace, named.listing, find_retry(workspace, retry))


def _plan_listed(workspace: Workspace, listing: Listing, retry: Retry) -> list[dict[str, object]]:
    standing = read_standing(workspace, listing, retry)
    with workspace.warehouse(read_only=True) as con:
        seen = find_seen(con, standing.unknown.files)
    on_record = {
        uri: (recording_id, decoder)
        for uri, recording_id, decoder in standing.on_record.iter_rows()
    }
    rows: list[dict[str, object]] = []
    for source in standing.unknown:
        how, why = _plan_source(source.uri, standing, on_record, seen)
        rows.append(
            {"uri": source.uri, "standing": how, "size_bytes": source.size_bytes, "why": why}
        )
    return rows


def _plan_source(
    uri: str,
    standing: Standing,
    on_record: Mapping[str, tuple[str | None, str]],
    seen: Collection[str],
) -> tuple[str, str]:
    """How a file stands that is not known, and why."""
    tries = standing.tries.get(uri)
    if uri in standing.waiting and tries is not None:
        later = f"again on another day, or now with --retry {tries.reason}"
        return "waits", f"{describe_tries(tries)}; {later}"
    if tries is not None:
        return "retry", describe_tries(tries)
    if uri not in on_record:
        return ("changed", "its size or time is another") if uri in seen else ("new", "")
    recording_id, decoder = on_record[uri]
    if recording_id is not None:
        return "retry", "its canonical audio is missing or damaged"
    changed = decoder != decoder_version()
    return "retry", "the decoder changed" if changed else "it was asked for"
