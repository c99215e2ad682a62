"""Files that hung, were killed or took too much memory: when they are tried again, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from flows.ingest.sources import Source, list_file
from flows.workers import days
from flows.workspace import Say, Workspace
from voxdata.audio import decoder_version
from voxdata.errors import ConfigError, DropReason, TransientError
from warehouse.attempts import TRIES, Tries, list_tries, record_attempt, refused_files

INGEST = "ingest"
ANOTHER_DAY = f"another day's ingest tries it again, on {TRIES} days in all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Files that somebody wants tried now.

    Attributes:
        reason: For which they were refused; None for no wish.
        uris: All of these.
    """

    reason: DropReason | None = None
    uris: frozenset[str] = frozenset()


def version_of(source: Source) -> str:
    """Tells a file and its decoder from what they were before: then its days begin anew."""
    return f"{source.size_bytes} {source.modified_ns} {decoder_version()}"


def find_tries(con: DuckDBPyConnection, sources: Sequence[Source]) -> dict[str, Tries]:
    """URI of a file -> how often it was tried in vain as it is now."""
    known = list_tries(con)
    keys = {source.uri: (INGEST, source.uri, version_of(source)) for source in sources}
    return {uri: known[key] for uri, key in keys.items() if key in known}


def note_try(
    con: DuckDBPyConnection, source: Source, *, reason: DropReason, detail: str, run_id: str
) -> Tries:
    """Note that a file was tried in vain today; see `record_attempt`."""
    return record_attempt(
        con,
        stage=INGEST,
        subject=source.uri,
        key=version_of(source),
        reason=reason,
        day=days.today(),
        detail=detail,
        run_id=run_id,
    )


def describe_tries(tries: Tries) -> str:
    """How a file stands that was tried in vain.

    >>> from datetime import date
    >>> describe_tries(Tries(days=1, last_day=date(2026, 1, 31), reason=DropReason.TIMED_OUT))
    'timed_out, tried on 1 of 3 days, last on 2026-01-31'
    """
    return f"{tries.reason}, tried on {tries.days} of {TRIES} days, last on {tries.last_day}"


def find_retry(workspace: Workspace, reason: DropReason | None) -> Retry:
    """The files that were refused for a reason."""
    if reason is None:
        return Retry()
    with workspace.warehouse() as con:
        return Retry(reason=reason, uris=frozenset(refused_files(con, reason)))


def list_refused(retry: Retry, *, say: Say) -> list[Source]:
    """The files of a retry that are still there, sorted; of the others it is said that they are not."""
    found = []
    for uri in sorted(retry.uris):
        try:
            found.append(list_file(uri))
        except (ConfigError, TransientError) as error:
            say(f"ingest: not tried again: {error}")
    return found
