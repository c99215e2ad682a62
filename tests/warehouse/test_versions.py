from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from duckdb import DuckDBPyConnection

import warehouse.versions
from tests.warehouse.conftest import create_calls
from voxdata.dataset import Example, Split
from voxdata.errors import NotFoundError, WarehouseError
from voxdata.root import fingerprint
from warehouse.connection import open_warehouse
from warehouse.diffs import diff_versions
from warehouse.guards import sidecar_path
from warehouse.outbox import list_outbox, mark_sent
from warehouse.rows import read_rows
from warehouse.verify import verify_all
from warehouse.versions import (
    create_version,
    find_version,
    list_versions,
    load_examples,
    split_assignments,
)

Make = Callable[..., Example]


def test_create_version_makes_nothing_when_nothing_changed(
    con: DuckDBPyConnection, path: Path, example: Make
) -> None:
    examples = [example(2, split=Split.TEST), example(1)]
    first, new = create_version(
        con,
        "calls",
        examples,
        recipe={"min_votes": 1},
        run_id="t",
    )
    assert new is True
    assert first.ref == "calls@1"
    assert first.version_id == fingerprint(load_examples(con, first.version_id))
    assert first.parent is None
    assert first.recipe == {"min_votes": 1}
    assert not path.with_name(path.name + ".wal").exists()
    created = create_version(
        con,
        "calls",
        examples[::-1],
        recipe={"other": 2},
        run_id="t2",
    )
    assert created == (
        first,
        False,
    )
    assert load_examples(con, first.version_id) == examples[::-1]
    assert len(list_versions(con)) == 1
    assert len(list_outbox(con)) == 1
    text = sidecar_path(path).read_text()
    assert len(text.splitlines()) == 1


def test_create_version_stores_each_row_once(con: DuckDBPyConnection, example: Make) -> None:
    first, _ = create_calls(con, [example(1), example(2)])
    second, _ = create_calls(con, [example(1), example(2, label="tell"), example(3)])
    third, new = create_calls(con, [example(1), example(2)])
    other, _ = create_version(
        con,
        "other",
        [example(1), example(2)],
        recipe={},
        run_id="t",
    )
    assert read_rows(con, "select count(*) as n from example") == [{"n": 4}]
    assert read_rows(con, "select count(*) as n from manifest") == [{"n": 5}]
    assert second.number == 2
    assert second.parent == first.version_id
    assert third.number == 3
    assert new is True
    assert third.version_id == first.version_id == other.version_id
    problems = [check.problems for check in verify_all(con)]
    assert problems == [()] * 4


def test_create_version_leaves_nothing_when_it_dies_half_way(
    con: DuckDBPyConnection, example: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(warehouse.versions, "insert_new", die)
        with pytest.raises(KeyboardInterrupt):
            create_calls(con, [example()])
    for table in (
        "example",
        "example_leaf",
        "row_salt",
        "manifest",
        "dataset_version",
        "version_summary",
        "split_assignment",
        "outbox",
    ):
        assert read_rows(con, f"select * from {table}") == []
    created = create_calls(con, [example()])
    assert created[1]


def test_create_version_survives_a_killed_process(path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from warehouse.connection import open_warehouse
from warehouse.versions import create_version
from voxdata.dataset import Example, Split
from voxdata.segment import Segment
e = Example(utterance_id="u", recording_id="r", channel=0, segment=Segment(start_ms=0, end_ms=1),
            voice="v", group="g", audio_file="f", text="", language="en", gold={{}},
            split=Split.TRAIN)
with open_warehouse(Path({str(path)!r})) as con:
    create_version(con, "calls", [e], recipe={{}}, run_id="t")
    con.execute("begin"); con.execute("insert into manifest values (9, 9)")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    with open_warehouse(path) as con:
        assert verify_all(con)[0].ok
        assert read_rows(con, "select count(*) as n from manifest") == [{"n": 1}]


@pytest.mark.parametrize(
    ("numbers", "change", "message"),
    [
        ((), {}, "empty"),
        ((1, 1), {}, "twice"),
        ((1, 2), {"voice": "v1", "split": Split.TEST}, "two splits"),
        ((1, 2), {"voice": "v\x1f2"}, r"U\+001F"),
    ],
)
def test_create_version_refuses_what_is_no_dataset(
    con: DuckDBPyConnection,
    example: Make,
    numbers: tuple[int, ...],
    change: dict[str, object],
    message: str,
) -> None:
    examples = [example(n) for n in numbers]
    with pytest.raises(WarehouseError, match=message):
        create_calls(con, [*examples[:-1], *(replace(e, **change) for e in examples[-1:])])
    with pytest.raises(WarehouseError, match="'@'"):
        create_version(
            con,
            "a@1",
            [example()],
            recipe={},
            run_id="t",
        )


def test_find_version_knows_names_numbers_and_prefixes(
    con: DuckDBPyConnection, example: Make
) -> None:
    first, _ = create_calls(con, [example(1)])
    second, _ = create_calls(con, [example(2)])
    assert [find_version(con, ref) for ref in ("calls", "calls@1", second.version_id[:6])] == [
        second,
        first,
        second,
    ]
    for ref in ("calls@9", first.version_id[:5], "nope"):
        with pytest.raises(NotFoundError, match=r"calls@1.*calls@2"):
            find_version(con, ref)
    with pytest.raises(NotFoundError, match="no dataset version has the id"):
        load_examples(con, "nope")


@pytest.mark.parametrize(
    "statement",
    [
        "update example set text = ''",
        "delete from manifest",
        "truncate dataset_version",
        "update outbox set event = ''",
        "delete from example_leaf",
    ],
)
def test_version_tables_refuse_changes(
    con: DuckDBPyConnection, example: Make, statement: str
) -> None:
    create_calls(con, [example()])
    with pytest.raises(duckdb.Error, match="immutable"):
        con.execute(statement)
    assert verify_all(con)[0].ok


def test_verify_version_notices_a_row_that_was_changed(
    con: DuckDBPyConnection, example: Make
) -> None:
    create_calls(con, [example()])
    con.execute("drop trigger example_no_update on example")
    con.execute("update example set text = 'forged'")
    assert verify_all(con)[0].problems == (
        "utterance u001 is not as it was when the version was cut",
    )


def test_diff_versions_tells_changes_apart(con: DuckDBPyConnection, example: Make) -> None:
    a, _ = create_calls(con, [example(n) for n in (1, 2, 3, 4, 5)])
    changed = [
        example(2, label="tell"),
        example(3, split=Split.TEST),
        example(4, text="new"),
        example(5),
        example(6),
    ]
    b, _ = create_calls(con, changed)
    diff = diff_versions(con, a.version_id, b.version_id)
    assert diff.added == ("u006",)
    assert diff.removed == ("u001",)
    assert diff.changed == ("u004",)
    assert diff.relabelled == (("u002", "intent", "ask", "tell"),)
    assert diff.resplit == (("u003", Split.TRAIN, Split.TEST),)
    assert diff.counts == {"intent=ask": (5, 4), "intent=tell": (0, 1)}
    assert diff.minutes == {"intent=ask": (5.0, 4.0), "intent=tell": (0.0, 1.0)}
    assert diff_versions(con, b.version_id, b.version_id).is_empty


def test_split_assignments_keep_the_first_place_of_a_voice(
    con: DuckDBPyConnection, example: Make
) -> None:
    create_calls(con, [example(1), example(2, split=Split.TEST)])
    create_calls(
        con,
        [
            example(1, split=Split.TEST),
            example(3, split=Split.VALIDATION),
        ],
    )
    assert split_assignments(con) == {"v1": Split.TRAIN, "v2": Split.TEST, "v3": Split.VALIDATION}


def test_mark_sent_notes_an_event_once(con: DuckDBPyConnection, example: Make) -> None:
    version, _ = create_calls(con, [example()])
    (event,) = list_outbox(con)
    assert event.event == "voxdata.dataset.version.created"
    assert event.sent_at is None
    assert event.payload == {
        "name": "calls",
        "number": 1,
        "version_id": version.version_id,
        "num_examples": 1,
    }
    assert [mark_sent(con, event.event_id, run_id="t") for _ in range(2)] == [True, False]
    assert list_outbox(con)[0].sent_at is not None
    with pytest.raises(NotFoundError, match="nope"):
        mark_sent(con, "nope", run_id="t")
