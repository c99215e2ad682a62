"""The chain: what people said, and who must stay out, sealed entry by entry, so that nothing of
either goes or changes unnoticed.

Each seal holds the hash of the seal before it and of the entry's content, so an entry that is
changed, removed or slipped in breaks the chain from there on. Annotations and bans draw their
numbers from one sequence and are links of one chain: whoever takes the newest bans away has to take
away the annotations that came after them, too, and the versions whose recipes name the chain's
head.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from duckdb import DuckDBPyConnection

from voxdata.identity import canonical_json
from warehouse.plain import read_rows, write_past_the_gate

ANNOTATION = (
    "annotation_id, project_id, utterance_id, annotator, labels, ratings, flags, text, skipped, "
    "deleted, lead_time_ms, updated_at, author, proposal, scheme_versions, simulated"
)
"""What of an annotation is sealed."""

BAN = "kind, subject, receipt_id, renewed, reason"
"""What of a ban is sealed."""

CONTENT: Mapping[str, str] = {"annotation": ANNOTATION, "forgotten": BAN}
"""Table -> the columns of its entries that are sealed, beside their number and run."""

_SINCE = ("simulated",)
"""Content that rows from before it do not have; where it is null it is no part of the seal, so that
their seals hold.
"""

_FIRST = "0" * 64
"""What stands for the hash before the first."""


def seal_entries(con: DuckDBPyConnection, *, run_id: str) -> int:
    """Seal what is not sealed yet, also what was there before there were seals; call it in the
    transaction that adds entries.

    Returns:
        How many entries were sealed.
    """
    previous = chain_head(con) or _FIRST
    seals: list[dict[str, object]] = []
    waiting = _entries(con, only="where seq not in (select annotation_seq from annotation_seal)")
    for number, (_, row) in sorted(waiting.items()):
        sealed = _hash(previous, row)
        seals.append(
            {"annotation_seq": number, "previous": previous, "hash": sealed, "run_id": run_id}
        )
        previous = sealed
    write_past_the_gate(con, "annotation_seal", seals)
    return len(seals)


def seal_earlier_entries(con: DuckDBPyConnection) -> None:
    """What migration 12 cannot say in SQL: a seal for each entry from before, of who was forgotten
    as of annotations.
    """
    seal_entries(con, run_id="migration-12")


def check_chain(con: DuckDBPyConnection) -> list[str]:
    """Recompute the chain over all annotations and bans; of annotations that were erased on record
    only the seals are left.

    Returns:
        What is wrong, a line for each entry; empty when every entry is as it was written.
    """
    wrong: list[str] = []
    entries = _entries(con)
    erased = {
        int(str(row["annotation_seq"]))
        for row in read_rows(con, "select annotation_seq from erased_annotation")
    }
    previous, sealed = _FIRST, set()
    for seal in read_rows(
        con, "select annotation_seq, previous, hash from annotation_seal order by seq"
    ):
        number = int(str(seal["annotation_seq"]))
        sealed.add(number)
        if seal["previous"] != previous:
            wrong.append(
                f"ledger entry {number}: the entry before it is not the one it was chained to"
            )
        if number not in entries:
            if number not in erased:
                wrong.append(f"ledger entry {number} is gone")
        elif _hash(str(seal["previous"]), entries[number][1]) != seal["hash"]:
            wrong.append(
                f"ledger entry {number} ({_name(*entries[number])}) is not as it was written"
            )
        previous = str(seal["hash"])
    for number in sorted(set(entries) - sealed):
        wrong.append(f"ledger entry {number} ({_name(*entries[number])}) was never sealed")
    return wrong


def chain_head(con: DuckDBPyConnection) -> str:
    """The hash of the newest entry, which stands for the whole ledger up to it; "" when there is
    none.
    """
    rows = read_rows(con, "select hash from annotation_seal order by seq desc limit 1")
    return str(rows[0]["hash"]) if rows else ""


def _entries(
    con: DuckDBPyConnection, *, only: str = ""
) -> dict[int, tuple[str, dict[str, object]]]:
    """Number -> the table of an entry, and what of it is sealed."""
    entries: dict[int, tuple[str, dict[str, object]]] = {}
    for table, content in CONTENT.items():
        query = f"select seq, run_id, {content} from {table} {only} order by seq"
        for row in read_rows(con, query):
            entries[int(str(row["seq"]))] = (table, row)
    return entries


def _name(table: str, row: Mapping[str, object]) -> str:
    if table == "annotation":
        return f"annotation {row['annotation_id']}"
    return f"who is to stay out under receipt {str(row['receipt_id'])[:12]}"


def _hash(previous: str, row: Mapping[str, object]) -> str:
    sealed = {name: value for name, value in row.items() if value is not None or name not in _SINCE}
    content = canonical_json({name: str(value) for name, value in sealed.items()})
    return hashlib.sha256(f"{previous}\n{content}".encode()).hexdigest()
