"""Erasing recordings for those who ask to be forgotten, so that versions stay verifiable and nothing comes in again.

What a row says goes, and the salt of its leaf; the leaf stays, and with it every root. What is left of a recording is a digest of its id,
to know it again, and a receipt of what was erased, in numbers.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import polars as pl
from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.identity import canonical_json, digest
from voxdata.phrases import phrase_of
from warehouse.connection import transaction
from warehouse.guards import IMMUTABLE_TABLES, unguarded
from warehouse.outbox import add_event
from warehouse.places import keep_place
from warehouse.rows import FRAME, insert_rows, read_rows, utc_aware

RETRAINING_EVENT = "voxdata.retraining.requested"
Kind = Literal["recording", "voice", "source"]

# Tables that stay though they name utterances or recordings: they hold digests, or are what erasing leaves behind.
_KEPT = frozenset({"annotation_seal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasurePlan:
    """What forgetting somebody means.

    Attributes:
        recording_ids: Everything that is erased hangs on these.
        utterance_ids: All there ever were of them.
        keys: Under which clips of them lie in Label Studio, check clips included.
        uris: Where the recordings came from.
        audio_files: Canonical audio, relative to the audio folder.
        texts: What was said in them, by the transcriber, the annotators and the annotators' remarks: to prove that nothing is left.
        versions: "name@number" -> rows of it that go.
        models: Ids of training runs on these versions -> whether the model was promoted.
        counts: Table -> rows that go.
        contents: Where they came from -> SHA-256 of what was there whenever it gave one of them, as far as anybody noted it.
    """

    recording_ids: tuple[str, ...]
    utterance_ids: tuple[str, ...]
    keys: tuple[str, ...]
    uris: tuple[str, ...]
    audio_files: tuple[str, ...]
    texts: tuple[str, ...]
    versions: Mapping[str, int]
    models: Mapping[str, bool]
    counts: Mapping[str, int]
    contents: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """That somebody was forgotten.

    Attributes:
        receipt_id: 32 hex characters.
        kind: What was asked for.
        subject: Digest of what was asked for.
        counts: Table or place -> how much went.
        versions: "name@number" -> rows of it that went.
        models: Training runs on these versions.
        renewed: Somebody gave consent again since, so the recordings may come in.
        proven_at: When a search through everything found nothing left; None when none did.
    """

    receipt_id: str
    kind: Kind
    subject: str
    reason: str
    counts: Mapping[str, int]
    versions: Mapping[str, int]
    models: tuple[str, ...]
    created_at: datetime
    renewed: bool
    proven_at: datetime | None = None


def forgotten_digest(recording_id: str) -> str:
    """What is kept of a recording's id, to know the recording again."""
    return digest("voxdata-forgotten", recording_id)


def is_forgotten(con: DuckDBPyConnection, recording_id: str) -> str | None:
    """The receipt under which a recording was forgotten; None when it was not, or consent was renewed."""
    return forgotten_receipts(con).get(forgotten_digest(recording_id))


def forgotten_receipts(con: DuckDBPyConnection) -> dict[str, str]:
    """Digest of a recording's id -> the receipt under which it was forgotten, where consent was not renewed."""
    rows = read_rows(
        con,
        """select subject, receipt_id from forgotten where kind = 'recording'
        qualify row_number() over (partition by subject order by seq desc) = 1 and not renewed""",
    )
    return {str(row["subject"]): str(row["receipt_id"]) for row in rows}


def plan_erasure(con: DuckDBPyConnection, recording_ids: Collection[str]) -> ErasurePlan:
    """Find everything that hangs on some recordings; writes nothing."""
    ids = sorted(recording_ids)
    utterances = _column(con, "select distinct utterance_id from utterance where list_contains(?, recording_id) order by 1", ids)
    utterances += _column(
        con,
        "select distinct utterance_id from example where list_contains(?, recording_id) and not list_contains(?, utterance_id)",
        ids,
        utterances,
    )
    checks = _column(con, "select key from check_clip where list_contains(?, utterance_id)", utterances)
    keys = [*utterances, *checks]
    uris = _column(con, "select distinct placed(uri) from source where list_contains(?, recording_id) order by 1", ids)
    texts = _texts(con, ids, keys)
    doomed = _doomed(con)
    with _named(con, ids, keys, uris, texts):
        counts = {name: count for name, where in doomed.items() if (count := _count(con, name, where))}
    return ErasurePlan(
        recording_ids=tuple(ids),
        utterance_ids=tuple(utterances),
        keys=tuple(keys),
        uris=tuple(uris),
        audio_files=tuple(_column(con, "select distinct audio_file from recording where list_contains(?, recording_id)", ids)),
        texts=texts,
        versions=_versions(con, ids),
        models=_models(con, ids),
        counts=counts,
        contents=_contents(con, ids),
    )


def begin_erasure(con: DuckDBPyConnection, plan: ErasurePlan, *, kind: Kind, subject: str, reason: str, run_id: str) -> str:
    """Bar the recordings from now on, before anything is erased.

    Args:
        subject: What was asked for; its digest is kept.

    Returns:
        The receipt's id; the same for recordings that are barred already.
    """
    known = forgotten_receipts(con)
    barred = [known[key] for key in map(forgotten_digest, plan.recording_ids) if key in known]
    receipt_id = barred[0] if barred else digest("voxdata-erasure", kind, subject, run_id)
    rows: list[dict[str, object]] = [
        {"kind": "recording", "subject": key, "receipt_id": receipt_id, "renewed": False, "reason": reason, "run_id": run_id}
        for key in map(forgotten_digest, plan.recording_ids)
        if key not in known
    ]
    insert_rows(con, "forgotten", rows)
    return receipt_id


def erase_rows(con: DuckDBPyConnection, plan: ErasurePlan, *, receipt_id: str, kind: Kind, subject: str, reason: str, run_id: str) -> None:
    """Delete every row of a plan, with a receipt, in one transaction; `warehouse.compact` then takes the bytes out of the file."""
    ids = list(plan.recording_ids)
    doomed = {name: where for name, where in _doomed(con).items() if name in plan.counts}
    with transaction(con):
        con.execute(
            """insert into erased_annotation select seq, ? from annotation where list_contains(?, utterance_id)""",
            [receipt_id, list(plan.keys)],
        )
        con.execute(
            """insert into manifest_erasure select manifest_key, ?, count(*) from manifest
            semi join (from example where list_contains(?, recording_id)) using (row_id) group by manifest_key""",
            [receipt_id, ids],
        )
        with (
            _named(con, ids, plan.keys, plan.uris, plan.texts),
            unguarded(con, *(name for name in doomed if name in IMMUTABLE_TABLES)),
        ):
            for name, where in doomed.items():
                con.execute(f'delete from "{name}" where {where}')
        receipt: dict[str, object] = {
            "receipt_id": receipt_id, "kind": kind, "subject": digest("voxdata-forgotten", subject), "reason": reason,
            "counts": canonical_json(dict(plan.counts)), "versions": canonical_json(dict(plan.versions)),
            "models": canonical_json(sorted(plan.models)), "run_id": run_id,
        }  # fmt: skip
        insert_rows(con, "erasure", [receipt])
        if plan.models:
            payload = {"receipt_id": receipt_id, "models": sorted(plan.models), "versions": dict(plan.versions)}
            add_event(con, RETRAINING_EVENT, payload, key=(receipt_id,), run_id=run_id)


def count_erasures(con: DuckDBPyConnection, receipt_id: str, *, run_id: str) -> int:
    """How often rows were erased under a receipt by one forgetting; more than once when some came in late."""
    found = read_rows(con, "select count(*) as n from erasure where receipt_id = ? and run_id = ?", [receipt_id, run_id])
    return int(str(found[0]["n"]))


def note_proof(con: DuckDBPyConnection, receipt_id: str, *, num_texts: int, num_files: int, run_id: str) -> None:
    """Write down that a search found nothing left of what a receipt is about; once for what was erased since it was last proven."""
    row: dict[str, object] = {"receipt_id": receipt_id, "num_texts": num_texts, "num_files": num_files, "run_id": run_id}
    with transaction(con):
        proven = read_rows(
            con,
            """select 1 from erasure_proof where receipt_id = $id
            and seq > (select coalesce(max(seq), 0) from erasure where receipt_id = $id)""",
            {"id": receipt_id},
        )
        if not proven:
            insert_rows(con, "erasure_proof", [row])


def renew_consent(con: DuckDBPyConnection, receipt: str, *, reason: str, run_id: str) -> int:
    """Let the recordings of a receipt come in again.

    Args:
        receipt: A receipt's id or its first characters.

    Returns:
        How many recordings.

    Raises:
        NotFoundError: No receipt, or several, begin so.
    """
    found = sorted({value for value in forgotten_receipts(con).values() if receipt and value.startswith(receipt)})
    if len(found) != 1:
        raise NotFoundError(f"{len(found)} receipts that hold begin with {receipt!r}; `voxdata forget --list` shows them")
    subjects = [key for key, value in forgotten_receipts(con).items() if value == found[0]]
    rows: list[dict[str, object]] = [
        {"kind": "recording", "subject": key, "receipt_id": found[0], "renewed": True, "reason": reason, "run_id": run_id}
        for key in sorted(subjects)
    ]
    insert_rows(con, "forgotten", rows)
    return len(rows)


def list_receipts(con: DuckDBPyConnection) -> list[Receipt]:
    """Every erasure, oldest first."""
    barring = set(forgotten_receipts(con).values())
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select e.receipt_id, e.kind, e.subject, e.reason, e.counts, e.versions, e.models, e.created_at, p.created_at as proven_at
        from erasure e left join erasure_proof p on p.receipt_id = e.receipt_id and p.seq > e.seq
        qualify row_number() over (partition by e.seq order by p.seq desc) = 1 order by e.seq""",
    )
    return [
        Receipt(
            **{
                **row,
                "counts": json.loads(row["counts"]),
                "versions": json.loads(row["versions"]),
                "models": tuple(json.loads(row["models"])),
                "created_at": utc_aware(row["created_at"]),
                "renewed": row["receipt_id"] not in barring,
                "proven_at": utc_aware(row["proven_at"]) if row["proven_at"] else None,
            }
        )
        for row in rows
    ]


def recordings_of_voice(con: DuckDBPyConnection, voice: str) -> set[str]:
    """Recordings in which a voice was ever heard, under any diarization; those of voices merged into it included."""
    rows = read_rows(
        con,
        """with recursive alias(voice) as (
          select ? union select e.voice_id from voice_event e join alias a on e.kind = 'merge' and e.other_id = a.voice)
        select distinct recording_id from voice_event semi join alias on voice_id = voice where recording_id is not null
        union select distinct recording_id from example semi join alias using (voice)""",
        [voice],
    )
    return {str(row["recording_id"]) for row in rows}


def _doomed(con: DuckDBPyConnection) -> dict[str, str]:
    """Table -> which of its rows go, as a condition over the frame of `_named`; a table that comes later is found by its columns."""
    columns: dict[str, set[str]] = {}
    for row in read_rows(
        con,
        """select table_name, column_name from duckdb_columns() where database_name = current_database() and table_name in (
          select table_name from duckdb_tables() where not internal and not temporary and database_name = current_database())""",
    ):
        columns.setdefault(str(row["table_name"]), set()).add(str(row["column_name"]))
    recordings, clips, places, phrases = (
        f"(select name from {FRAME} where kind = '{kind}')" for kind in ("recording", "clip", "uri", "phrase")
    )
    doomed: dict[str, str] = {}
    for table, names in sorted(columns.items()):
        if table in _KEPT:
            continue
        tests = [f"{name} in {recordings}" for name in ("recording_id", "other_id") if name in names and "recording_id" in names]
        tests += [f"utterance_id in {clips}"] if "utterance_id" in names else []
        if table in ("ledger", "attempt"):
            tests += [f"subject in {clips}", f"(recording_id is null and subject in {places})"]
        if table == "source":
            tests += [f"(recording_id is null and uri in {places})"]
        if table == "split_assignment":
            tests = [f"split_part(voice, '/', 1) in {recordings}", f"(voice like 'phrase/%' and split_part(voice, '/', 3) in {phrases})"]
        if table == "annotation_move":
            tests = [f"(project_id, annotation_id) in (select (project_id, annotation_id) from annotation where utterance_id in {clips})"]
        if tests:
            doomed[table] = " or ".join(tests)
    # What others are found by goes last.
    return dict(sorted(doomed.items(), key=lambda item: item[0] in ("annotation", "example", "recording")))


@contextmanager
def _named(con: DuckDBPyConnection, ids: Sequence[str], keys: Sequence[str], uris: Sequence[str], texts: Sequence[str]) -> Iterator[None]:
    """Let queries see, as rows of kind and name, what an erasure is about."""
    phrases = sorted({digest(phrase) for text in texts if (phrase := phrase_of(text))})
    kept = sorted({*uris, *(keep_place(con, uri) for uri in uris)})
    kinds = {"recording": ids, "clip": keys, "uri": kept, "phrase": phrases}
    rows = [{"kind": kind, "name": name} for kind, names in kinds.items() for name in names]
    con.register(FRAME, pl.DataFrame(rows, schema={"kind": pl.String, "name": pl.String}))
    try:
        yield
    finally:
        con.unregister(FRAME)


def _count(con: DuckDBPyConnection, table: str, where: str) -> int:
    return int(str(read_rows(con, f'select count(*) as n from "{table}" where {where}')[0]["n"]))


def _texts(con: DuckDBPyConnection, ids: Sequence[str], keys: Sequence[str]) -> tuple[str, ...]:
    rows = read_rows(
        con,
        """select text from utterance where list_contains($ids, recording_id)
        union select text from example where list_contains($ids, recording_id)
        union select text from annotation where text is not null and list_contains($keys, utterance_id)
        union select value from recording_metadata where list_contains($ids, recording_id)""",
        {"ids": list(ids), "keys": list(keys)},
    )
    return tuple(sorted(str(row["text"]) for row in rows))


def _contents(con: DuckDBPyConnection, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select placed(uri) as uri, list_sort(list(distinct content)) as contents from source
        where list_contains(?, recording_id) and content <> '' group by all order by uri""",
        [list(ids)],
    )
    return {row["uri"]: tuple(row["contents"]) for row in rows}


def _versions(con: DuckDBPyConnection, ids: Sequence[str]) -> dict[str, int]:
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select v.name || '@' || v.number as ref, count(*) as n from manifest m
        semi join (from example where list_contains(?, recording_id)) using (row_id) join dataset_version v using (manifest_key)
        group by v.name, v.number, v.seq order by v.seq""",
        [list(ids)],
    )
    return {row["ref"]: row["n"] for row in rows}


def _models(con: DuckDBPyConnection, ids: Sequence[str]) -> dict[str, bool]:
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select t.training_id, t.promoted from current_training_run t where t.state = 'done' and t.version_id in (
          select v.version_id from manifest m semi join (from example where list_contains(?, recording_id)) using (row_id)
          join dataset_version v using (manifest_key)) order by t.seq""",
        [list(ids)],
    )
    return {row["training_id"]: row["promoted"] for row in rows}


def _column(con: DuckDBPyConnection, sql: str, *parameters: Sequence[str]) -> list[str]:
    return [str(next(iter(row.values()))) for row in read_rows(con, sql, [list(part) for part in parameters])]
