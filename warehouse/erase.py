"""Erasing recordings for those who ask to be forgotten, so that versions stay verifiable and
nothing comes in again.

What a row says goes, and the salt of its leaf; the leaf stays, and with it every root. What is left
of a recording is a digest of its id, to know it again, and a receipt of what was erased, in
numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from duckdb import DuckDBPyConnection

from voxdata.errors import NotFoundError
from voxdata.identity import canonical_json, digest
from voxdata.phrases import phrase_of
from warehouse.chain import seal_entries
from warehouse.connection import transaction
from warehouse.gate import bar, forgotten_among, naming_columns
from warehouse.guards import IMMUTABLE_TABLES, unguarded
from warehouse.outbox import add_event
from warehouse.places import keep_place
from warehouse.plain import write_past_the_gate
from warehouse.rows import FRAME, insert_rows, read_rows, utc_aware

RETRAINING_EVENT = "voxdata.retraining.requested"
Kind = Literal["recording", "voice", "source"]

# Tables that stay though they name utterances or recordings: they hold digests, or are what erasing
# leaves behind.
_KEPT = frozenset({"annotation_seal", "forgotten", "erasure", "example_leaf", "schema_version"})

# Tables whose rows are hashed as they are, and which no row of somebody else's names.
_SEALED = frozenset({"annotation", "example", "utterance", "transcript", "turn"})

_ID = r"\b[0-9a-f]{32}\b"

ERASED = "[erased]"
"""What stands where an id stood, in text about something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasurePlan:
    """What forgetting somebody means.

    Attributes:
        recording_ids: Everything that is erased hangs on these.
        utterance_ids: All there ever were of them.
        keys: Under which clips of them lie in Label Studio, check clips included.
        uris: Where the recordings came from.
        audio_files: Canonical audio, relative to the audio folder.
        texts: What was said in them, by the transcriber, the annotators and the annotators'
            remarks: to prove that nothing is left.
        versions: "name@number" -> rows of it that go.
        models: Ids of training runs on these versions -> whether the model is in use.
        counts: Table -> rows that go.
        contents: Where they came from -> SHA-256 of what was there whenever it gave one of them, as
            far as anybody noted it.
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


def is_forgotten(con: DuckDBPyConnection, recording_id: str) -> str | None:
    """The receipt under which a recording was forgotten; None when it was not, or consent was
    renewed.
    """
    return forgotten_among(con, [recording_id]).get(recording_id)


def forgotten_receipts(con: DuckDBPyConnection) -> dict[str, str]:
    """Digest of a recording's id -> the receipt under which it was forgotten, where consent was not
    renewed.
    """
    rows = read_rows(con, "select subject, receipt_id from barred where kind = 'recording'")
    return {str(row["subject"]): str(row["receipt_id"]) for row in rows}


def known_recordings(con: DuckDBPyConnection) -> list[str]:
    """Every recording that any row is about, sorted: also what came by an import, and has no row of
    its own.
    """
    return _everywhere(con, "recording_id")


def known_voices(con: DuckDBPyConnection) -> list[str]:
    """Every voice that was ever heard here or came by an import, sorted."""
    return _column(
        con, "select voice_id from voice_event union select voice from example order by 1"
    )


def plan_erasure(con: DuckDBPyConnection, recording_ids: Collection[str]) -> ErasurePlan:
    """Find everything that hangs on some recordings; writes nothing."""
    ids = sorted(recording_ids)
    utterances = _everywhere(con, "utterance_id", of=ids)
    checks = _column(
        con, "select key from check_clip where list_contains(?, utterance_id)", utterances
    )
    keys = [*utterances, *checks]
    uris = _column(
        con,
        "select distinct placed(uri) from source where list_contains(?, recording_id) order by 1",
        ids,
    )
    texts = _texts(con, ids, keys)
    doomed = _doomed(con)
    with _named(con, ids, keys, uris, texts):
        counts = _counts(con, doomed)
    return ErasurePlan(
        recording_ids=tuple(ids),
        utterance_ids=tuple(utterances),
        keys=tuple(keys),
        uris=tuple(uris),
        audio_files=tuple(_audio_files(con, ids)),
        texts=texts,
        versions=_versions(con, ids),
        models=_models(con, ids),
        counts=counts,
        contents=_contents(con, ids),
    )


def _counts(con: DuckDBPyConnection, doomed: Mapping[str, str]) -> dict[str, int]:
    """Table, or table.column of a mention -> rows that an erasure takes or changes there."""
    counts: dict[str, int] = {}
    for table, where in doomed.items():
        count = _count(con, table, where)
        if count:
            counts[table] = count
    for place, rows in _mentions(con, doomed).items():
        counts[f"{place.table}.{place.column}"] = len(rows)
    return counts


def _audio_files(con: DuckDBPyConnection, ids: Sequence[str]) -> list[str]:
    return _column(
        con,
        """select audio_file
        from recording
        where list_contains(?, recording_id)
        union
        select audio_file
        from example
        where list_contains(?, recording_id)
        order by 1""",
        ids,
        ids,
    )


def begin_erasure(
    con: DuckDBPyConnection,
    plan: ErasurePlan,
    *,
    kind: Kind,
    subject: str,
    reason: str,
    run_id: str,
) -> str:
    """Bar the recordings, their utterances and the check clips of these from now on, before
    anything is erased.

    Whoever has the warehouse open from the planning of an erasure to here knows that the plan has
    everything.

    Args:
        subject: What was asked for; its digest is kept.

    Returns:
        The receipt's id; the same for recordings that are barred already.
    """
    receipts = forgotten_among(con, plan.recording_ids)
    receipt_id = digest("voxdata-erasure", kind, subject, run_id)
    if receipts:
        receipt_id = min(receipts.values())
    with transaction(con):
        bar(
            con,
            "recording",
            dict.fromkeys(plan.recording_ids, receipt_id),
            reason=reason,
            run_id=run_id,
        )
        bar(con, "utterance", dict.fromkeys(plan.keys, receipt_id), reason=reason, run_id=run_id)
    return receipt_id


def erase_rows(
    con: DuckDBPyConnection,
    plan: ErasurePlan,
    *,
    receipt_id: str,
    kind: Kind,
    subject: str,
    reason: str,
    run_id: str,
) -> None:
    """Delete every row of a plan, with a receipt, in one transaction; `warehouse.compact` then
    takes the bytes out of the file.
    """
    doomed = _doomed(con)
    guarded = [table for table in IMMUTABLE_TABLES if table not in _KEPT]
    with transaction(con):
        _note_erased(con, plan, receipt_id)
        with (
            _named(con, plan.recording_ids, plan.keys, plan.uris, plan.texts),
            unguarded(con, *guarded),
        ):
            for table, where in doomed.items():
                con.execute(f'delete from "{table}" where {where}')
            for place, rows in _mentions(con, {}).items():
                _take_out(con, place, rows)
        receipt: dict[str, object] = {
            "receipt_id": receipt_id,
            "kind": kind,
            "subject": digest("voxdata-forgotten", subject),
            "reason": reason,
            "counts": canonical_json(dict(plan.counts)),
            "versions": canonical_json(dict(plan.versions)),
            "models": canonical_json(sorted(plan.models)),
            "run_id": run_id,
        }
        insert_rows(con, "erasure", [receipt])
        if plan.models:
            payload = {
                "receipt_id": receipt_id,
                "models": sorted(plan.models),
                "versions": dict(plan.versions),
            }
            add_event(con, RETRAINING_EVENT, payload, key=(receipt_id,), run_id=run_id)


def _note_erased(con: DuckDBPyConnection, plan: ErasurePlan, receipt_id: str) -> None:
    """Note what a receipt is about while it is there: annotations, rows of versions, leaves."""
    ids = list(plan.recording_ids)
    con.execute(
        """insert into erased_annotation
        select seq, ?
        from annotation
        where list_contains(?, utterance_id)""",
        [receipt_id, list(plan.keys)],
    )
    con.execute(
        """insert into manifest_erasure
        select manifest_key, ?, count(*)
        from manifest
        semi join (from example where list_contains(?, recording_id)) using (row_id)
        group by manifest_key""",
        [receipt_id, ids],
    )
    con.execute(
        """insert into erasure_leaf
        select ?, row_id
        from example
        where list_contains(?, recording_id)""",
        [receipt_id, ids],
    )


def count_erasures(con: DuckDBPyConnection, receipt_id: str, *, run_id: str) -> int:
    """How often rows were erased under a receipt by one forgetting; more than once when some came
    in late.
    """
    rows = read_rows(
        con,
        "select count(*) as n from erasure where receipt_id = ? and run_id = ?",
        [receipt_id, run_id],
    )
    return int(str(rows[0]["n"]))


def note_proof(
    con: DuckDBPyConnection, receipt_id: str, *, num_texts: int, num_files: int, run_id: str
) -> None:
    """Write down that a search found nothing left of what a receipt is about; once for what was
    erased since it was last proven.
    """
    row: dict[str, object] = {
        "receipt_id": receipt_id,
        "num_texts": num_texts,
        "num_files": num_files,
        "run_id": run_id,
    }
    with transaction(con):
        proven = read_rows(
            con,
            """select 1 from erasure_proof where receipt_id = $id
            and seq > (select coalesce(max(seq), 0) from erasure where receipt_id = $id)""",
            {"id": receipt_id},
        )
        if not proven:
            insert_rows(con, "erasure_proof", [row])


def require_one(found: Sequence[object], ref: str, *, lists: str, which: str = "receipt") -> None:
    """Refuse a reference that names no receipt, or several.

    Args:
        found: What it names.
        lists: The command that lists what there is.
        which: What is looked for.

    Raises:
        NotFoundError: It does.
    """
    if not found:
        raise NotFoundError(f"no {which} begins with {ref!r}; `{lists}` shows what there is")
    if len(found) > 1:
        raise NotFoundError(
            f"more than one {which} begins with {ref!r}; give more of the id, which `{lists}` shows"
        )


def renew_consent(con: DuckDBPyConnection, receipt: str, *, reason: str, run_id: str) -> int:
    """Let the recordings of a receipt come in again.

    Args:
        receipt: A receipt's id or its first characters.

    Returns:
        How many recordings.

    Raises:
        NotFoundError: No receipt, or several, begin so.
    """
    barring = set(forgotten_receipts(con).values())
    matching = sorted(full_id for full_id in barring if receipt and full_id.startswith(receipt))
    require_one(
        matching, receipt, lists="voxdata forget --list", which="receipt that keeps anybody out"
    )
    barred = read_rows(
        con,
        "select kind, subject, receipt_id from barred where receipt_id = ? order by kind, subject",
        [matching[0]],
    )
    with transaction(con):
        write_past_the_gate(
            con,
            "forgotten",
            [{**row, "renewed": True, "reason": reason, "run_id": run_id} for row in barred],
        )
        seal_entries(con, run_id=run_id)
    return sum(row["kind"] == "recording" for row in barred)


def list_receipts(con: DuckDBPyConnection) -> list[Receipt]:
    """Every erasure, oldest first."""
    barring = set(forgotten_receipts(con).values())
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select e.receipt_id, e.kind, e.subject, e.reason, e.counts, e.versions, e.models,
          e.created_at, p.created_at as proven_at
        from erasure e
        left join erasure_proof p on p.receipt_id = e.receipt_id and p.seq > e.seq
        qualify row_number() over (partition by e.seq order by p.seq desc) = 1
        order by e.seq""",
    )
    return [_decode_receipt(row, barring) for row in rows]


def _decode_receipt(row: dict[str, Any], barring: Collection[str]) -> Receipt:
    return Receipt(
        receipt_id=row["receipt_id"],
        kind=row["kind"],
        subject=row["subject"],
        reason=row["reason"],
        counts=json.loads(row["counts"]),
        versions=json.loads(row["versions"]),
        models=tuple(json.loads(row["models"])),
        created_at=utc_aware(row["created_at"]),
        renewed=row["receipt_id"] not in barring,
        proven_at=utc_aware(row["proven_at"]) if row["proven_at"] else None,
    )


def recordings_of_voice(con: DuckDBPyConnection, voice: str) -> set[str]:
    """Recordings in which a voice was ever heard, under any diarization; those of voices merged
    into it included.
    """
    rows = read_rows(
        con,
        """with recursive alias(voice) as (
          select ?
          union
          select e.voice_id
          from voice_event e
          join alias a on e.kind = 'merge' and e.other_id = a.voice
        )
        select distinct recording_id
        from voice_event
        semi join alias on voice_id = voice
        where recording_id is not null
        union
        select distinct recording_id
        from example
        semi join alias using (voice)""",
        [voice],
    )
    return {str(row["recording_id"]) for row in rows}


def _columns(con: DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Table -> column -> type, of all tables that hold rows of ours."""
    columns: dict[str, dict[str, str]] = {}
    for row in read_rows(
        con,
        """select table_name, column_name, data_type
        from duckdb_columns()
        where database_name = current_database()
          and table_name in (
            select table_name
            from duckdb_tables()
            where not internal and not temporary and database_name = current_database()
          )
        order by table_name, column_index""",
    ):
        columns.setdefault(str(row["table_name"]), {})[str(row["column_name"])] = str(
            row["data_type"]
        )
    return columns


def _everywhere(
    con: DuckDBPyConnection, column: str, *, of: Sequence[str] | None = None
) -> list[str]:
    """All values of the columns of one name, in every table.

    Args:
        of: Only those in rows of these recordings.
    """
    where = "" if of is None else "where list_contains($of, recording_id)"
    wanted = {column} if of is None else {column, "recording_id"}
    tables = [table for table, names in _columns(con).items() if wanted <= set(names)]
    parts = " union ".join(f'select "{column}" as name from "{table}" {where}' for table in tables)
    rows = read_rows(
        con,
        f"select name from ({parts}) where name is not null order by name",
        {} if of is None else {"of": list(of)},
    )
    return [str(row["name"]) for row in rows]


def _named_as(*kinds: str) -> str:
    """The SQL of the names of some kinds in the frame of `_named`."""
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    return f"(select name from {FRAME} where kind in ({listed}))"


def _doomed(con: DuckDBPyConnection) -> dict[str, str]:
    """Table -> which of its rows go, as a condition over the frame of `_named`; a table that comes
    later is found by its columns.
    """
    names = _named_as("recording", "clip")
    clips = _named_as("clip")
    places = _named_as("uri")
    phrases = _named_as("phrase")
    doomed: dict[str, str] = {}
    for table, columns in _columns(con).items():
        if table in _KEPT:
            continue
        tests = [f"{place} in {names}" for place in naming_columns(table, columns).values()]
        if table in ("ledger", "attempt"):
            tests += [f"(recording_id is null and subject in {places})"]
        if table == "ledger":
            tests += [
                f"exists (select 1 from {FRAME} where kind = 'uri' and contains(detail, name))"
            ]
        if table == "source":
            tests += [f"(recording_id is null and uri in {places})"]
        if table == "split_assignment":
            tests += [f"(voice like 'phrase/%' and split_part(voice, '/', 3) in {phrases})"]
        if table == "annotation_move":
            tests = [
                f"""(project_id, annotation_id) in (
                  select (project_id, annotation_id)
                  from annotation
                  where utterance_id in {clips}
                )"""
            ]
        if tests:
            doomed[table] = " or ".join(tests)
    # What others are found by goes last.
    return dict(
        sorted(doomed.items(), key=lambda item: item[0] in ("annotation", "example", "recording"))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A column of text in which an id may stand among other words, or in JSON."""

    table: str
    column: str
    type: str


def _places(con: DuckDBPyConnection) -> list[_Place]:
    """Columns that are searched for ids, of tables that have rows.

    What is sealed or hashed stays as it is, and its rows go by the columns that name them.
    """
    filled = {
        str(row["table_name"])
        for row in read_rows(con, "select table_name from duckdb_tables() where estimated_size > 0")
    }
    places = []
    for table, columns in _columns(con).items():
        if table not in filled - _KEPT - _SEALED:
            continue
        naming = naming_columns(table, columns)
        for column, kind in columns.items():
            if kind in ("VARCHAR", "JSON") and column not in naming:
                places.append(_Place(table=table, column=column, type=kind))
    return places


def _mentions(con: DuckDBPyConnection, doomed: Mapping[str, str]) -> dict[_Place, list[int]]:
    """Column -> rows, by their place in the table, that mention an id of the frame of `_named` in
    it, and do not go anyway.
    """
    places = _places(con)
    names = _named_as("recording", "clip")
    parts = []
    for number, place in enumerate(places):
        text = f'"{place.column}"' if place.type == "VARCHAR" else f'"{place.column}"::varchar'
        stays = f"and not coalesce({doomed[place.table]}, false)" if place.table in doomed else ""
        # What is as long as an id is one or none; only what is longer has to be read.
        parts.append(
            f"""select {number} as number, rowid as place
            from "{place.table}"
            where (
              length({text}) = 32 and {text} in {names}
              or length({text}) > 32
                and regexp_matches({text}, '{_ID}')
                and list_has_any(
                  regexp_extract_all({text}, '{_ID}'),
                  (select coalesce(list(name), []) from {names})
                )
            ) {stays}"""
        )
    if not parts:
        return {}
    mentions: dict[_Place, list[int]] = {}
    for row in read_rows(con, " union all ".join(parts) + " order by number, place"):
        place = places[int(str(row["number"]))]
        mentions.setdefault(place, []).append(int(str(row["place"])))
    return mentions


def _take_out(con: DuckDBPyConnection, place: _Place, rows: Sequence[int]) -> None:
    """Replace the ids in the text of some rows."""
    named = {
        str(row["name"])
        for row in read_rows(con, f"select name from {FRAME} where kind in ('recording', 'clip')")
    }

    def hide(match: re.Match[str]) -> str:
        return ERASED if match[0] in named else match[0]

    select = f'select "{place.column}"::varchar as text from "{place.table}" where rowid = ?'
    update = f'update "{place.table}" set "{place.column}" = ?::{place.type} where rowid = ?'
    for number in rows:
        stored = str(read_rows(con, select, [number])[0]["text"])
        con.execute(update, [re.sub(_ID, hide, stored), number])


@contextmanager
def _named(
    con: DuckDBPyConnection,
    ids: Sequence[str],
    keys: Sequence[str],
    uris: Sequence[str],
    texts: Sequence[str],
) -> Iterator[None]:
    """Let queries see, as rows of kind and name, what an erasure is about."""
    import polars as pl

    phrases = filter(None, map(phrase_of, texts))
    kept_uris = [keep_place(con, uri) for uri in uris]
    names_by_kind = {
        "recording": ids,
        "clip": keys,
        "uri": sorted({*uris, *kept_uris}),
        "phrase": sorted({digest(phrase) for phrase in phrases}),
    }
    rows: list[dict[str, str]] = []
    for kind, names in names_by_kind.items():
        rows += [{"kind": kind, "name": name} for name in names]
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
        """select text
        from utterance
        where list_contains($ids, recording_id)
        union
        select text
        from example
        where list_contains($ids, recording_id)
        union
        select text
        from annotation
        where text is not null and list_contains($keys, utterance_id)
        union
        select value
        from recording_metadata
        where list_contains($ids, recording_id)""",
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
        """select v.name || '@' || v.number as ref, count(*) as n
        from manifest m
        semi join (from example where list_contains(?, recording_id)) using (row_id)
        join dataset_version v using (manifest_key)
        group by v.name, v.number, v.seq
        order by v.seq""",
        [list(ids)],
    )
    return {row["ref"]: row["n"] for row in rows}


def _models(con: DuckDBPyConnection, ids: Sequence[str]) -> dict[str, bool]:
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select t.training_id, t.training_id in (
            select p.training_id from current_promotion p
          ) as in_use
        from current_training_run t
        where t.state = 'done'
          and t.version_id in (
            select v.version_id
            from manifest m
            semi join (from example where list_contains(?, recording_id)) using (row_id)
            join dataset_version v using (manifest_key)
          )
        order by t.seq""",
        [list(ids)],
    )
    return {row["training_id"]: row["in_use"] for row in rows}


def _column(con: DuckDBPyConnection, sql: str, *parameters: Sequence[str]) -> list[str]:
    rows = read_rows(con, sql, [list(part) for part in parameters])
    return [str(next(iter(row.values()))) for row in rows]
