"""Files that hung, were killed or swelled: when they are tried again, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from duckdb import DuckDBPyConnection

from flows.ingest.listed import Listing, Source, list_all
from flows.ingest.sources import list_file
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


def find_tries(con: DuckDBPyConnection, listing: Listing) -> dict[str, Tries]:
    """URI of a file -> how often it was tried in vain as it is now."""
    in_vain = list_tries(con, stage=INGEST)
    tried = listing.only(pl.col("uri").is_in([subject for _, subject, _ in in_vain]))
    keys = {source.uri: (INGEST, source.uri, version_of(source)) for source in tried}
    return {uri: in_vain[key] for uri, key in keys.items() if key in in_vain}


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


def list_refused(retry: Retry, *, say: Say) -> Listing:
    """The files of a retry that are still there; of the others it is said that they are not."""
    refused = []
    for uri in sorted(retry.uris):
        try:
            refused.append(list_file(uri))
        except (ConfigError, TransientError) as error:
            say(f"ingest: not tried again: {error}")
    return list_all(refused)
