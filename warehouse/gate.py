"""The gate: rows of whoever was forgotten are refused by every insert, so that no flow that knew
them before brings them back.

What is kept of a forgotten recording, and of each utterance and check clip of it, is a digest of
its id. Every insert of this package goes through `warehouse.rows`, which asks here; a table is
guarded by the names of its columns, so that a new one cannot forget to be.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from voxdata.errors import DropReason
from voxdata.identity import digest
from warehouse.chain import seal_entries
from warehouse.plain import Parameters, read_rows, write_past_the_gate

NAMES = "refused_names"
ASKED = "asked_names"
STAGE = "gate"
FOLLOWS = "it came later, of a recording that was forgotten"
_SALT = "voxdata-forgotten"
_DIGEST = f"left(sha256('{_SALT}' || chr(31) || name), 32)"
"""`forgotten_digest` in SQL."""

_ELSEWHERE: Mapping[str, Mapping[str, str]] = {
    "attempt": {"subject": "subject"},
    "check_clip": {"key": "key"},
    "ledger": {"subject": "subject"},
    "split_assignment": {"voice": "split_part(voice, '/', 1)"},
}
"""Table -> column -> where in it an id may stand, of columns that are not called after what they
hold.
"""


def forgotten_digest(name: str) -> str:
    """What is kept of the id of a recording, utterance or check clip, to know it again."""
    return digest(_SALT, name)


def naming_columns(table: str, columns: Collection[str]) -> dict[str, str]:
    """Column -> the SQL of the id in it, for those columns of a table that say whom a row is about.

    The id of an utterance is not asked for where its recording's is there: one follows from the
    other.
    """
    naming = [name for name in columns if name.endswith("recording_id")]
    if naming:
        naming += [name for name in columns if name == "other_id"]
    else:
        naming = [name for name in columns if name.endswith("utterance_id")]
    places = {name: f'"{name}"' for name in naming}
    for name, sql in _ELSEWHERE.get(table, {}).items():
        if name in columns:
            places[name] = sql
    return places


def forgotten_among(con: DuckDBPyConnection, names: Collection[str]) -> dict[str, str]:
    """Those of some ids, of recordings, utterances or check clips, that were forgotten -> under
    which receipt.
    """
    if not names or not anybody_forgotten(con):
        return {}
    import polars as pl

    con.register(ASKED, pl.DataFrame({"name": sorted(names)}, schema={"name": pl.String}))
    try:
        return _look_up(con, f"from {ASKED}", ())
    finally:
        con.unregister(ASKED)


def bar(
    con: DuckDBPyConnection, kind: str, names: Mapping[str, str], *, reason: str, run_id: str
) -> int:
    """Keep ids out from now on: each under its receipt, and sealed. Call it in a transaction.

    Returns:
        How many were not barred already.
    """
    barred = forgotten_among(con, names)
    rows: list[dict[str, object]] = [
        {
            "kind": kind,
            "subject": forgotten_digest(name),
            "receipt_id": receipt,
            "renewed": False,
            "reason": reason,
            "run_id": run_id,
        }
        for name, receipt in sorted(names.items())
        if name not in barred
    ]
    write_past_the_gate(con, "forgotten", rows)
    seal_entries(con, run_id=run_id)
    return len(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """An entry of who must stay out, or may come in again.

    Attributes:
        kind: "recording" or "utterance".
        subject: Digest of its id.
        renewed: Consent was given again.
        reason: On record; holds no name.
    """

    kind: str
    subject: str
    receipt_id: str
    renewed: bool
    reason: str


def count_bans(con: DuckDBPyConnection) -> int:
    """How many such entries there are."""
    return int(str(read_rows(con, "select count(*) as n from forgotten")[0]["n"]))


def list_bans(con: DuckDBPyConnection) -> list[Ban]:
    """All such entries, oldest first."""
    rows: list[dict[str, Any]] = read_rows(
        con, "select kind, subject, receipt_id, renewed, reason from forgotten order by seq"
    )
    return [Ban(**row) for row in rows]


def add_bans(con: DuckDBPyConnection, bans: Sequence[Ban], *, run_id: str) -> None:
    """Add entries that another copy of the warehouse had, and seal them."""
    if bans:
        write_past_the_gate(con, "forgotten", [{**asdict(ban), "run_id": run_id} for ban in bans])
        seal_entries(con, run_id=run_id)


def refuse(
    con: DuckDBPyConnection, table: str, query: str, parameters: Parameters, columns: Sequence[str]
) -> str:
    """Look through the gate at rows that are about to be inserted.

    Rows that name somebody who was forgotten are counted and noted in the ledger, without a name;
    what else they would have been known by, such as an utterance that was cut after its recording
    was forgotten, is barred as well. `NAMES` stays registered while the rows are inserted, if the
    answer is not empty.

    Args:
        query: Gives the rows, with `columns`.

    Returns:
        The condition that keeps these rows out; "" when there are none.
    """
    places = naming_columns(table, columns)
    if not places or not anybody_forgotten(con):
        return ""
    ids = ", ".join(places.values())
    receipts = _look_up(con, f"select distinct unnest([{ids}]) as name from ({query})", parameters)
    if not receipts:
        return ""
    import polars as pl

    frame = pl.DataFrame(
        {"name": list(receipts), "receipt": list(receipts.values())},
        schema={"name": pl.String, "receipt": pl.String},
    )
    con.register(NAMES, frame)
    run = "max(run_id)" if "run_id" in columns else "''"
    refused = read_rows(
        con,
        f"""select receipt, count(*) as n, coalesce({run}, '') as run_id
        from (
          select (select min(receipt) from {NAMES} where name in ({ids})) as receipt, *
          from ({query})
        )
        where receipt is not null
        group by receipt
        order by receipt""",
        parameters,
    )
    _bar_what_follows(con, table, query, parameters, columns)
    for row in refused:
        _note(
            con,
            table,
            int(str(row["n"])),
            receipt=str(row["receipt"]),
            run_id=str(row["run_id"]) or STAGE,
        )
    return " and ".join(
        f"coalesce({place} not in (select name from {NAMES}), true)" for place in places.values()
    )


def open_gate(con: DuckDBPyConnection) -> None:
    """Forget the names of the rows that were refused last."""
    with suppress(duckdb.Error):
        con.unregister(NAMES)


def refused_rows(con: DuckDBPyConnection) -> dict[str, int]:
    """Table -> rows that this connection has refused."""
    told = read_rows(con, "select getvariable('refused_rows') as rows")[0]["rows"]
    return {str(table): int(n) for table, n in json.loads(str(told)).items()} if told else {}


def anybody_forgotten(con: DuckDBPyConnection) -> bool:
    """Whether anybody was ever forgotten."""
    return bool(con.execute("select 1 from forgotten limit 1").fetchall())


def _look_up(con: DuckDBPyConnection, names: str, parameters: Parameters) -> dict[str, str]:
    rows = read_rows(
        con,
        f"""with asked as (select name, {_DIGEST} as subject from ({names}) where name is not null)
        select name, arg_max(f.receipt_id, f.seq) as receipt
        from asked
        join forgotten f using (subject)
        group by name
        having not arg_max(f.renewed, f.seq)
        order by name""",
        parameters,
    )
    return {str(row["name"]): str(row["receipt"]) for row in rows}


def _bar_what_follows(
    con: DuckDBPyConnection, table: str, query: str, parameters: Parameters, columns: Sequence[str]
) -> None:
    """Bar utterances that nobody knew when their recording was forgotten, and check clips of them:
    later rows name only these.
    """
    pairs = [("recording_id", "utterance_id")]
    if table == "check_clip":
        pairs.append(("utterance_id", "key"))
    for barred, follows in pairs:
        if not {barred, follows} <= set(columns):
            continue
        rows = read_rows(
            con,
            f"""select distinct "{follows}" as name, receipt
            from ({query}) q
            join {NAMES} n on n.name = q."{barred}" """,
            parameters,
        )
        receipts = {str(row["name"]): str(row["receipt"]) for row in rows}
        bar(con, "utterance", receipts, reason=FOLLOWS, run_id=STAGE)


def _note(con: DuckDBPyConnection, table: str, count: int, *, receipt: str, run_id: str) -> None:
    """Write down how many rows of a run were refused, and let the connection know."""
    subject, key = f"receipt {receipt}", f"{table} {run_id}"
    num_updated = con.execute(
        "update ledger set value = value + ? where stage = ? and subject = ? and key = ?",
        [float(count), STAGE, subject, key],
    ).fetchall()
    if not num_updated[0][0]:
        row: dict[str, object] = {
            "stage": STAGE,
            "subject": subject,
            "reason": DropReason.FORGOTTEN.value,
            "key": key,
            "value": float(count),
            "run_id": run_id,
            "detail": f"rows for {table} were about somebody who was forgotten; "
            "`voxdata forget --renew` lets them in",
        }
        write_past_the_gate(con, "ledger", [row])
    told = refused_rows(con)
    con.execute(
        "set variable refused_rows = ?", [json.dumps({**told, table: told.get(table, 0) + count})]
    )
