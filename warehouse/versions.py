"""Dataset versions: created, never updated. The same content has the same id for ever."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.dataset import Example, Split, canonical_row, fingerprint
from voxdata.diff import VersionDiff, diff_examples
from voxdata.errors import NotFoundError, WarehouseError
from voxdata.identity import canonical_json, digest
from voxdata.manifest import decode_example, encode_example
from warehouse.connection import transaction
from warehouse.guards import warehouse_path, write_sidecar
from warehouse.rows import insert_new, read_rows, utc_aware

CREATED_EVENT = "voxdata.dataset.version.created"
MIN_PREFIX = 6
_FIELDS = 'utterance_id, recording_id, channel, start_ms, end_ms, voice, "group", audio_file, text, language, split, gold'
_SELECT = "select version_id, name, number, recipe, num_examples, created_at, parent from dataset_version"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """One version of a dataset.

    Attributes:
        version_id: Fingerprint of the examples, 64 hex characters. Equal content under two names has one id.
        name: What people call the dataset.
        number: 1, 2, ... within the name.
        recipe: How it was chosen; JSON values only.
        parent: The version_id before it under this name, None for the first.
        created_at: UTC.
    """

    version_id: str
    name: str
    number: int
    recipe: Mapping[str, object]
    num_examples: int
    created_at: datetime
    parent: str | None

    @property
    def ref(self) -> str:
        """What people type: "name@number"."""
        return f"{self.name}@{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEvent:
    """Something to be told to the outside, written in the transaction that made it true.

    Attributes:
        event: Such as "voxdata.dataset.version.created".
        payload: JSON values only.
        sent_at: When it was first sent, UTC; None while it waits.
    """

    event_id: str
    event: str
    payload: Mapping[str, object]
    created_at: datetime
    sent_at: datetime | None


def create_version(
    con: DuckDBPyConnection,
    name: str,
    examples: Sequence[Example],
    *,
    recipe: Mapping[str, object],
    run_id: str,
    places: Mapping[str, Split] | None = None,
) -> tuple[DatasetVersion, bool]:
    """Create the next version of a dataset, unless nothing changed since its newest one.

    Rows, manifest, split assignments and the outbox event are one transaction; a checkpoint and the sidecar file follow.
    Call it outside `transaction`.

    Args:
        name: Of letters, digits, ".", "_" and "-", say; no "@".
        examples: In any order; each utterance once, each voice in one split.
        recipe: Stored beside the version; takes no part in its identity.
        places: Other names that voices have, or will have when they are told apart, and where they stay from now on.

    Returns:
        The version, and whether it is new.

    Raises:
        WarehouseError: No examples, a name with "@", an utterance twice, or a voice in two splits.
    """
    _check(name, examples)
    version_id = fingerprint(examples)
    with transaction(con):
        newest = [version for version in list_versions(con) if version.name == name][-1:]
        new = not newest or newest[0].version_id != version_id
        if new:
            number, parent = (newest[0].number + 1, newest[0].version_id) if newest else (1, None)
            key = _store_manifest(con, version_id, examples, run_id=run_id)
            version_row: dict[str, object] = {
                "version_id": version_id, "name": name, "number": number, "manifest_key": key, "num_examples": len(examples),
                "recipe": canonical_json(dict(recipe)), "parent": parent, "run_id": run_id,
            }  # fmt: skip
            insert_new(con, "dataset_version", [version_row], key=("name", "number"))
            _store_splits(con, {**(places or {}), **{example.voice: example.split for example in examples}}, run_id=run_id)
            payload = {"version_id": version_id, "name": name, "number": number, "num_examples": len(examples)}
            event: dict[str, object] = {
                "event_id": digest(CREATED_EVENT, version_id, name, number), "event": CREATED_EVENT,
                "payload": canonical_json(payload), "run_id": run_id,
            }  # fmt: skip
            insert_new(con, "outbox", [event], key=("event_id",))
    if new:
        con.execute("checkpoint")
    path = warehouse_path(con)
    if path is not None:
        write_sidecar(con, path)
    return find_version(con, name), new


def list_versions(con: DuckDBPyConnection) -> list[DatasetVersion]:
    """All versions, oldest first."""
    rows: list[dict[str, Any]] = read_rows(con, f"{_SELECT} order by seq")
    return [DatasetVersion(**{**row, "recipe": json.loads(row["recipe"]), "created_at": utc_aware(row["created_at"])}) for row in rows]


def find_version(con: DuckDBPyConnection, ref: str) -> DatasetVersion:
    """The version people mean: "name" (its newest), "name@2", or the first 6 or more characters of a version_id.

    Raises:
        NotFoundError: None, or several contents, match; the message lists what there is.
    """
    versions = list_versions(con)
    found = [version for version in versions if ref in (version.name, version.ref)]
    if not found and len(ref) >= MIN_PREFIX:
        found = [version for version in versions if version.version_id.startswith(ref.lower())]
        if len({version.version_id for version in found}) > 1:
            raise NotFoundError(
                f"{ref!r} is the beginning of several version ids: {', '.join(v.version_id for v in found)}; give more of it"
            )
    if not found:
        there = (
            ", ".join(f"{version.ref} ({version.version_id[:12]})" for version in versions) or "none yet; `voxdata release NAME` makes one"
        )
        raise NotFoundError(f"no dataset version {ref!r}; there are: {there}")
    return found[-1]


def load_examples(con: DuckDBPyConnection, version_id: str) -> list[Example]:
    """The examples of a version, sorted by utterance id.

    Raises:
        NotFoundError: No version has this id.
    """
    rows: list[dict[str, Any]] = read_rows(
        con,
        f"select {_FIELDS} from example semi join (from manifest where manifest_key = ?) using (row_id) order by utterance_id",
        [_manifest_key(con, version_id)],
    )
    return [decode_example({**row, "gold": json.loads(row["gold"])}) for row in rows]


def verify_version(con: DuckDBPyConnection, version_id: str) -> bool:
    """Whether the stored rows still give the version's fingerprint and number of examples.

    Raises:
        NotFoundError: No version has this id.
    """
    examples = load_examples(con, version_id)
    counts = read_rows(con, "select num_examples from dataset_version where version_id = ?", [version_id])
    return fingerprint(examples) == version_id and all(row["num_examples"] == len(examples) for row in counts)


def diff_versions(con: DuckDBPyConnection, a_id: str, b_id: str) -> VersionDiff:
    """What leads from version `a_id` to version `b_id`.

    Raises:
        NotFoundError: No version has one of the ids.
    """
    return diff_examples(load_examples(con, a_id), load_examples(con, b_id))


def split_assignments(con: DuckDBPyConnection) -> dict[str, Split]:
    """Voice -> the split it was first put into."""
    return {str(row["voice"]): Split(str(row["split"])) for row in read_rows(con, "select voice, split from split_assignment order by seq")}


def list_outbox(con: DuckDBPyConnection) -> list[OutboxEvent]:
    """All events, oldest first, sent or not."""
    rows: list[dict[str, Any]] = read_rows(
        con,
        """select event_id, event, payload, o.created_at,
            (select min(s.created_at) from outbox_send s where s.event_id = o.event_id) as sent_at
        from outbox o order by o.seq""",
    )
    return [
        OutboxEvent(
            **{
                **row,
                "payload": json.loads(row["payload"]),
                "created_at": utc_aware(row["created_at"]),
                "sent_at": None if row["sent_at"] is None else utc_aware(row["sent_at"]),
            }
        )
        for row in rows
    ]


def mark_sent(con: DuckDBPyConnection, event_id: str, *, run_id: str) -> bool:
    """Note that an event was sent.

    Returns:
        True when that was not known yet.

    Raises:
        NotFoundError: No event has this id.
    """
    if not read_rows(con, "select 1 from outbox where event_id = ?", [event_id]):
        raise NotFoundError(f"no event {event_id!r} in the outbox of the warehouse")
    return insert_new(con, "outbox_send", [{"event_id": event_id, "run_id": run_id}], key=("event_id",)) == 1


def _check(name: str, examples: Sequence[Example]) -> None:
    if not name.strip() or "@" in name:
        raise WarehouseError(f"a dataset cannot be called {name!r}; choose a name without '@'")
    if not examples:
        raise WarehouseError(f"dataset {name!r} would be empty: no utterance has a gold label yet; annotate and pull first")
    seen: set[str] = set()
    splits: dict[str, Split] = {}
    for example in examples:
        if example.utterance_id in seen:
            raise WarehouseError(f"dataset {name!r} holds utterance {example.utterance_id} twice")
        seen.add(example.utterance_id)
        if splits.setdefault(example.voice, example.split) is not example.split:
            raise WarehouseError(f"dataset {name!r} has voice {example.voice!r} in two splits; assign splits by group")


def _manifest_key(con: DuckDBPyConnection, version_id: str) -> int:
    rows: list[dict[str, Any]] = read_rows(con, "select manifest_key from dataset_version where version_id = ? limit 1", [version_id])
    if not rows:
        raise NotFoundError(f"no dataset version has the id {version_id!r}; `voxdata versions` lists them")
    return int(rows[0]["manifest_key"])


def _store_manifest(con: DuckDBPyConnection, version_id: str, examples: Sequence[Example], *, run_id: str) -> int:
    """Intern the rows and list them under a new key, or return the key this content has already."""
    known: list[dict[str, Any]] = read_rows(con, "select manifest_key from dataset_version where version_id = ? limit 1", [version_id])
    if known:
        return int(known[0]["manifest_key"])
    counters: dict[str, Any] = read_rows(
        con, "select (select coalesce(max(row_id), 0) from example) as row_id, (select coalesce(max(manifest_key), 0) from manifest) as key"
    )[0]
    ordered = sorted(examples, key=lambda e: (e.recording_id, e.segment, e.channel, e.utterance_id))
    shas = [hashlib.sha256(canonical_row(example).encode()).hexdigest() for example in ordered]
    rows: list[dict[str, object]] = []
    for offset, (example, sha) in enumerate(zip(ordered, shas, strict=True), start=1):
        row = encode_example(example)
        rows.append({**row, "gold": canonical_json(row["gold"]), "sha": sha, "row_id": counters["row_id"] + offset, "run_id": run_id})
    insert_new(con, "example", rows, key=("sha",))
    # Ids of the rows in this version: the new ones, and those that earlier versions brought.
    con.execute(
        "insert into manifest select ?, row_id from example semi join (select unnest(?::varchar[]) as sha) using (sha) order by row_id",
        [counters["key"] + 1, shas],
    ).fetchall()
    return int(counters["key"]) + 1


def _store_splits(con: DuckDBPyConnection, places: Mapping[str, Split], *, run_id: str) -> None:
    rows: list[dict[str, object]] = [{"voice": name, "split": split.value, "run_id": run_id} for name, split in sorted(places.items())]
    insert_new(con, "split_assignment", rows, key=("voice",))
