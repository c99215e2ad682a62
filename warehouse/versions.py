"""Dataset versions: created, never updated. The same content always has the same id."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from duckdb import DuckDBPyConnection

from voxdata.dataset import Example, Split, encode_gold
from voxdata.errors import NotFoundError, WarehouseError
from voxdata.identity import canonical_json
from voxdata.manifest import decode_example, encode_example
from warehouse.connection import transaction
from warehouse.guards import note_versions, warehouse_path
from warehouse.leaves import FIELDS, add_summary, compute_root, intern_rows
from warehouse.outbox import add_event
from warehouse.rows import FRAME, insert_new, insert_query, read_rows, utc_aware

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl
    import pyarrow as pa  # type: ignore[import-untyped]

    RowIds = npt.NDArray[np.int64]
    """(num_rows,) int64, ascending."""

CREATED_EVENT = "voxdata.dataset.version.created"
MIN_PREFIX = 6
NAME = re.compile(r"[\w][\w.-]*")
_SELECT = """select version_id, root, name, number, recipe, num_examples, created_at, parent,
    coalesce(
      (select sum(e.num_rows) from manifest_erasure e where e.manifest_key = v.manifest_key), 0
    )::bigint as num_erased
  from dataset_version v"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """One version of a dataset.

    Attributes:
        version_id: Merkle root of the examples, 64 hex characters. Equal content under two names
            has one id.
        root: The same, but for versions from before there were roots, which keep the id they had.
        name: What people call the dataset.
        number: 1, 2, ... within the name.
        recipe: How it was chosen; JSON values only.
        num_examples: As it was cut.
        num_erased: How many of them were erased since, since somebody asked to be forgotten.
        parent: The version_id before it under this name, None for the first.
        created_at: UTC.
    """

    version_id: str
    root: str
    name: str
    number: int
    recipe: Mapping[str, object]
    num_examples: int
    num_erased: int
    created_at: datetime
    parent: str | None

    @property
    def ref(self) -> str:
        """What people type: "name@number"."""
        return f"{self.name}@{self.number}"


def create_version(
    con: DuckDBPyConnection,
    name: str,
    examples: Sequence[Example],
    *,
    recipe: Mapping[str, object],
    run_id: str,
    places: pl.DataFrame | None = None,
    along: Callable[[], None] | None = None,
) -> tuple[DatasetVersion, bool]:
    """Create the next version of a dataset from examples in memory; see `cut_version`."""
    import polars as pl

    rows = [
        {**encode_example(example), "gold": canonical_json(encode_gold(example.gold))}
        for example in examples
    ]
    frame = pl.DataFrame([{name: row[name] for name in FIELDS} for row in rows], schema=_types())
    return create_from_frames(
        con, name, [frame], recipe=recipe, run_id=run_id, places=places, along=along
    )


def create_from_frames(
    con: DuckDBPyConnection,
    name: str,
    frames: Iterable[pl.DataFrame],
    *,
    recipe: Mapping[str, object],
    run_id: str,
    places: pl.DataFrame | None = None,
    along: Callable[[], None] | None = None,
) -> tuple[DatasetVersion, bool]:
    """The same from frames with the columns of `warehouse.leaves.FIELDS`, one after the other in
    memory; best sorted by recording, since neighbours are compressed together.
    """
    with _candidate(con, frames) as candidate:
        return cut_version(
            con, name, candidate, recipe=recipe, run_id=run_id, places=places, along=along
        )


def holds_just(con: DuckDBPyConnection, version_id: str, frames: Iterable[pl.DataFrame]) -> bool:
    """Whether a version holds the rows of these frames and no others; they have the columns of
    `FIELDS`.
    """
    fields = ", ".join(f'"{name}"' for name in FIELDS)
    with _candidate(con, frames) as candidate:
        (found,) = read_rows(
            con,
            f"""with held as (
              select {fields} from example
              semi join (from manifest where manifest_key = ?) using (row_id))
            select (select count(*) from held) as num_held,
              (select count(*) from held semi join {candidate} using ({fields})) as num_shared,
              (select count(*) from {candidate}) as num_given""",
            [manifest_key(con, version_id)],
        )
    return found["num_held"] == found["num_shared"] == found["num_given"]


@contextmanager
def _candidate(con: DuckDBPyConnection, frames: Iterable[pl.DataFrame]) -> Iterator[str]:
    """A temporary table of rows."""
    con.register(FRAME, _stream(frames))
    try:
        con.execute(f"create or replace temp table candidate as from {FRAME}")
    finally:
        con.unregister(FRAME)
    try:
        yield "candidate"
    finally:
        con.execute("drop table candidate")


def _stream(frames: Iterable[pl.DataFrame]) -> pa.RecordBatchReader:
    """Frames, of which there is at least one, as one table that is never whole in memory."""
    import pyarrow as pa

    tables = (frame.select(FIELDS).to_arrow() for frame in frames)
    first = next(tables)
    batches = chain.from_iterable(table.to_batches() for table in chain([first], tables))
    return pa.RecordBatchReader.from_batches(first.schema, batches)


def _types() -> dict[str, pl.DataType | type[pl.DataType]]:
    import polars as pl

    numbers = ("channel", "start_ms", "end_ms")
    return {name: pl.Int64 if name in numbers else pl.String for name in FIELDS}


def cut_version(
    con: DuckDBPyConnection,
    name: str,
    candidate: str,
    *,
    recipe: Mapping[str, object],
    run_id: str,
    places: pl.DataFrame | None = None,
    along: Callable[[], None] | None = None,
) -> tuple[DatasetVersion, bool]:
    """Create the next version of a dataset, unless nothing changed since its newest one.

    Rows, manifest, split assignments and the outbox event are one transaction; a checkpoint and the
    sidecar file follow. Call it outside `transaction`.

    Args:
        name: The name of the dataset, of letters, digits, ".", "_" and "-".
        candidate: A table with the columns of `warehouse.leaves.FIELDS`: each utterance once, each
            voice in one split; best sorted by recording. `gold` is canonical JSON of
            `voxdata.dataset.encode_gold`.
        recipe: Stored beside the version; takes no part in its identity.
        places: Columns name and split: other names that voices have, or will have when they are
            told apart, and where they stay from now on.
        along: Called in the transaction, once everything was checked and before the rows are added:
            writes what they need.

    Returns:
        The version, and whether it is new.

    Raises:
        WarehouseError: No rows, a name that will not do, an utterance twice, or a voice in two
            splits.
    """
    check_name(con, name)
    _check_rows(con, name, candidate)
    voices = _voice_table(con, name, candidate)
    with transaction(con):
        if along is not None:
            along()
        members = intern_rows(con, candidate, run_id=run_id)
        new = add_version(con, name, members, recipe=recipe, run_id=run_id)
        if new:
            insert_query(
                con,
                "split_assignment",
                f"""select voice, split, ? as run_id
                from {voices}
                anti join split_assignment using (voice)
                order by voice""",
                [run_id],
            )
            if places is not None:
                _add_places(con, places, run_id=run_id)
    return publish_version(con, name, new=new), new


def _add_places(con: DuckDBPyConnection, places: pl.DataFrame, *, run_id: str) -> None:
    con.register(FRAME, places)
    try:
        insert_query(
            con,
            "split_assignment",
            f"""select name as voice, split, ? as run_id from {FRAME}
            anti join split_assignment on voice = name order by name""",
            [run_id],
        )
    finally:
        con.unregister(FRAME)


def add_version(
    con: DuckDBPyConnection, name: str, rows: str, *, recipe: Mapping[str, object], run_id: str
) -> bool:
    """List stored rows as the next version of a dataset, with its event. The caller holds a
    transaction; `publish_version` follows.

    Args:
        rows: A table, or a query in parentheses, with a column row_id.

    Returns:
        False when the newest version of the dataset holds just these rows.
    """
    root = compute_root(con, rows)
    newest: list[dict[str, Any]] = read_rows(
        con,
        """select number, version_id, root, manifest_key
        from dataset_version
        where name = ?
        order by number desc
        limit 1""",
        [name],
    )
    if newest and newest[0]["root"] == root:
        return False
    same: list[dict[str, Any]] = read_rows(
        con, "select version_id, manifest_key from dataset_version where root = ? limit 1", [root]
    )
    if same:
        version_id, key = same[0]["version_id"], same[0]["manifest_key"]
    else:
        base_key = newest[0]["manifest_key"] if newest else None
        version_id, key = root, _add_manifest(con, rows, base_key=base_key)
    number = newest[0]["number"] + 1 if newest else 1
    count = read_rows(con, f"select count(*) as n from {rows}")[0]["n"]
    version: dict[str, object] = {
        "version_id": version_id,
        "root": root,
        "name": name,
        "number": number,
        "manifest_key": key,
        "num_examples": count,
        "recipe": canonical_json(dict(recipe)),
        "parent": newest[0]["version_id"] if newest else None,
        "run_id": run_id,
    }
    insert_new(con, "dataset_version", [version], key=("name", "number"))
    payload = {
        "version_id": version_id,
        "name": name,
        "number": number,
        "num_examples": count,
    }
    add_event(con, CREATED_EVENT, payload, key=(str(version_id), name, number), run_id=run_id)
    return True


def publish_version(con: DuckDBPyConnection, name: str, *, new: bool) -> DatasetVersion:
    """Make the commit durable: checkpoint and sidecar. Returns the newest version of a dataset."""
    if new:
        con.execute("checkpoint")
    path = warehouse_path(con)
    if path is not None:
        note_versions(con, path)
    return find_version(con, name)


def list_versions(con: DuckDBPyConnection) -> list[DatasetVersion]:
    """All versions, oldest first."""
    rows: list[dict[str, Any]] = read_rows(con, f"{_SELECT} order by seq")
    return [_decode_version(row) for row in rows]


def _decode_version(row: dict[str, Any]) -> DatasetVersion:
    recipe, created_at = json.loads(row["recipe"]), utc_aware(row["created_at"])
    return DatasetVersion(**{**row, "recipe": recipe, "created_at": created_at})


def find_version(con: DuckDBPyConnection, ref: str) -> DatasetVersion:
    """The version people mean: a tag, "name" (its newest), "name@2", or the first 6 or more
    characters of a version_id.

    Raises:
        NotFoundError: None, or several contents, match; the message lists what there is.
    """
    versions = list_versions(con)
    tagged = {
        row["tag"]: f"{row['name']}@{row['number']}"
        for row in read_rows(con, "select tag, name, number from version_tag")
    }
    matching = [
        version for version in versions if tagged.get(ref, ref) in (version.name, version.ref)
    ]
    if not matching and len(ref) >= MIN_PREFIX:
        matching = [version for version in versions if version.version_id.startswith(ref.lower())]
        if len({version.version_id for version in matching}) > 1:
            raise NotFoundError(
                f"{ref!r} is the beginning of several version ids: "
                f"{', '.join(v.version_id for v in matching)}; give more of it"
            )
    if not matching:
        refs = ", ".join(f"{version.ref} ({version.version_id[:12]})" for version in versions)
        listed = refs or "none yet; `voxdata release NAME` makes one"
        raise NotFoundError(f"no dataset version {ref!r}; there are: {listed}")
    return matching[-1]


def load_examples(con: DuckDBPyConnection, version_id: str) -> list[Example]:
    """The examples of a version, sorted by utterance id; those that were erased since are not among
    them.

    Raises:
        NotFoundError: No version has this id.
        WarehouseError: A row leads out of the audio folder.
    """
    return _read_examples(con, version_id, "")


def load_some_examples(
    con: DuckDBPyConnection, version_id: str, utterance_ids: Sequence[str]
) -> dict[str, Example]:
    """Utterance id -> its example in a version; ids that are not in it, or were erased since, are
    absent.

    Raises:
        NotFoundError: No version has this id.
    """
    examples = _read_examples(
        con, version_id, "where list_contains(?, utterance_id)", list(utterance_ids)
    )
    return {example.utterance_id: example for example in examples}


def _read_examples(
    con: DuckDBPyConnection, version_id: str, condition: str, *values: object
) -> list[Example]:
    columns = ", ".join(f'"{name}"' for name in FIELDS)
    rows: list[dict[str, Any]] = read_rows(
        con,
        f"""select {columns}, salt
        from example
        semi join (from manifest where manifest_key = ?) using (row_id)
        join row_salt using (recording_id, voice) {condition}
        order by utterance_id""",
        [manifest_key(con, version_id), *values],
    )
    return [_stored_example(row) for row in rows]


def _stored_example(row: dict[str, Any]) -> Example:
    try:
        return decode_example({**row, "gold": json.loads(row["gold"])})
    except ValueError as error:
        raise WarehouseError(
            f"utterance {row['utterance_id']}: its row cannot be used ({error}), and can only have "
            "come by an import that did not check it; `voxdata rollback` to a version without it"
        ) from error


def erased_leaves(con: DuckDBPyConnection, version_id: str) -> list[str]:
    """The leaves, 32 hex characters each, of a version's rows that were erased, sorted.

    Raises:
        NotFoundError: No version has this id.
    """
    rows = read_rows(
        con,
        """select printf('%016x%016x', leaf_high, leaf_low) as leaf
        from example_leaf
        semi join (from manifest where manifest_key = ?) using (row_id)
        anti join example using (row_id)
        order by leaf""",
        [manifest_key(con, version_id)],
    )
    return [str(row["leaf"]) for row in rows]


def manifest_key(con: DuckDBPyConnection, version_id: str) -> int:
    """The key under which the rows of a version are listed.

    Raises:
        NotFoundError: No version has this id.
    """
    rows: list[dict[str, Any]] = read_rows(
        con, "select manifest_key from dataset_version where version_id = ? limit 1", [version_id]
    )
    if not rows:
        raise NotFoundError(
            f"no dataset version has the id {version_id!r}; `voxdata versions` lists them"
        )
    return int(rows[0]["manifest_key"])


def fetch_row_ids(con: DuckDBPyConnection, key: int) -> RowIds:
    """The rows listed under a key."""
    columns = con.sql(
        "select row_id from manifest where manifest_key = ? order by row_id", params=[key]
    ).fetchnumpy()
    return cast("RowIds", columns["row_id"])


def rows_only_in(one: RowIds, other: RowIds) -> RowIds:
    """What is in the first and not in the second, ascending."""
    if not len(one) or not len(other):
        return one
    import numpy as np

    in_other = np.zeros(max(int(one[-1]), int(other[-1])) + 1, dtype=bool)
    in_other[other] = True
    kept: RowIds = one[~in_other[one]]
    return kept


def check_name(con: DuckDBPyConnection, name: str) -> None:
    """Refuse a name that could be taken for something else, now or later.

    Raises:
        WarehouseError: It is empty, has other characters than letters, digits, ".", "_" and "-",
            reads like a version id, or is a tag.
    """
    check_name_form(name)
    if read_rows(con, "select 1 from version_tag where tag = ?", [name]):
        raise WarehouseError(
            f"{name!r} is the tag of a version already (`voxdata versions`); choose another name"
        )


def check_name_form(name: str) -> None:
    """The part of `check_name` that needs no warehouse.

    Raises:
        WarehouseError: It is empty, has other characters than letters, digits, ".", "_" and "-", or
            reads like a version id.
    """
    if not NAME.fullmatch(name):
        raise WarehouseError(
            f"a dataset or tag cannot be called {name!r}; choose a name of letters, digits, '.', "
            "'_' and '-' without '@'"
        )
    if re.fullmatch(f"[0-9a-fA-F]{{{MIN_PREFIX},64}}", name):
        raise WarehouseError(
            f"a dataset or tag cannot be called {name!r}, which could be the beginning of a "
            "version's id; choose another name"
        )


def split_assignments(con: DuckDBPyConnection) -> dict[str, Split]:
    """Voice -> the split it was first put into."""
    return {
        str(row["voice"]): Split(str(row["split"]))
        for row in read_rows(con, "select voice, split from split_assignment order by seq")
    }


def _check_rows(con: DuckDBPyConnection, name: str, candidate: str) -> None:
    if not read_rows(con, f"select 1 from {candidate} limit 1"):
        raise WarehouseError(
            f"dataset {name!r} would be empty: no utterance has a gold label yet; annotate and "
            "pull first"
        )
    # By hash, since ten million ids take long; what looks like a repetition is looked at again.
    hashes = con.sql(f"select hash(utterance_id) as hashed from {candidate}").fetchnumpy()["hashed"]
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():
        return
    repeated = read_rows(
        con,
        f"""select utterance_id
        from {candidate}
        group by utterance_id
        having count(*) > 1
        limit 1""",
    )
    if repeated:
        raise WarehouseError(
            f"dataset {name!r} holds utterance {repeated[0]['utterance_id']} twice"
        )


def _voice_table(con: DuckDBPyConnection, name: str, candidate: str) -> str:
    """List the voices of a candidate with their splits in a temporary table, and give its name.

    Raises:
        WarehouseError: A voice is in two splits.
    """
    con.execute(
        f"""create or replace temp table candidate_voice as
        select voice, min(split) as split, max(split) as other
        from {candidate}
        group by voice"""
    )
    divided = read_rows(con, "select voice from candidate_voice where split <> other limit 1")
    if divided:
        raise WarehouseError(
            f"dataset {name!r} has voice {divided[0]['voice']!r} in two splits; "
            "assign splits by group"
        )
    return "candidate_voice"


def _add_manifest(con: DuckDBPyConnection, rows: str, *, base_key: int | None) -> int:
    import polars as pl

    last = read_rows(con, "select coalesce(max(manifest_key), 0) as key from manifest")[0]["key"]
    key = int(str(last)) + 1
    insert_query(
        con, "manifest", f"select ? as manifest_key, row_id from {rows} order by row_id", [key]
    )
    if base_key is None:
        add_summary(con, key, f"(from manifest where manifest_key = {key})")
        return key
    old, new = fetch_row_ids(con, base_key), fetch_row_ids(con, key)
    came, gone = rows_only_in(new, old), rows_only_in(old, new)
    con.register("came_rows", pl.DataFrame({"row_id": came}))
    con.register("gone_rows", pl.DataFrame({"row_id": gone}))
    try:
        add_summary(con, key, "came_rows", base_key=base_key, less="gone_rows")
    finally:
        con.unregister("came_rows")
        con.unregister("gone_rows")
    return key
