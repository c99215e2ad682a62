"""Which personal data is known of which utterance, and what was hidden when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duckdb import DuckDBPyConnection

from voxdata.privacy import PrivateSpan
from voxdata.segment import Segment
from warehouse.privacy import list_hidden, list_private_spans, store_private_spans
from warehouse.pushes import PushedClip, record_pushes
from warehouse.stages import record_stage

SPAN = PrivateSpan(
    kind="phone",
    start=3,
    end=8,
    segment=Segment(start_ms=100, end_ms=900),
    score=0.9,
)


def scan(
    con: DuckDBPyConnection,
    recording_id: str,
    private: dict[str, list[PrivateSpan]],
    *,
    key: str = "s",
) -> None:
    store_private_spans(con, recording_id, private, key=key, run_id="t")
    record_stage(
        con,
        recording_id=recording_id,
        stage="scan",
        key=key,
        model_key="m",
        num_rows=1,
        audio_ms=1,
        seconds=0.1,
        run_id="t",
    )


def test_list_private_spans_tells_scanned_from_not_scanned(
    con: DuckDBPyConnection, heard: Callable[..., Any]
) -> None:
    scanned = heard("r1")
    waiting = heard("r2")
    for said in (scanned, waiting):
        said.store(con)
    a, b = (u.utterance_id for u in scanned.utterances)
    other = PrivateSpan(
        kind="name",
        start=0,
        end=2,
        segment=Segment(start_ms=0, end_ms=50),
        score=0.5,
    )
    scan(con, "r1", {a: [SPAN, other], b: []})
    assert list_private_spans(con) == {a: (other, SPAN), b: ()}


def test_list_private_spans_gives_the_scan_in_force(
    con: DuckDBPyConnection, heard: Callable[..., Any]
) -> None:
    heard_voice = heard("r1")
    heard_voice.store(con)
    a, b = (u.utterance_id for u in heard_voice.utterances)
    scan(con, "r1", {a: [SPAN]}, key="old")
    scan(con, "r1", {b: [SPAN]}, key="new")
    assert list_private_spans(con) == {a: (), b: (SPAN,)}


def test_list_private_spans_is_empty_after_another_cut(
    con: DuckDBPyConnection, heard: Callable[..., Any]
) -> None:
    heard_voice = heard("r1")
    heard_voice.store(con)
    scan(con, "r1", {heard_voice.utterances[0].utterance_id: [SPAN]})
    heard("r1", text="another text").store(con, key="k2")
    assert list_private_spans(con) == {}


def test_list_hidden_gives_every_push_in_order(con: DuckDBPyConnection) -> None:
    for key, parts in (
        ("1", (("name", "Mary"),)),
        ("2", ()),
        ("3", (("phone", "电话"), ("name", 'a "b"'))),
    ):
        record_pushes(
            con,
            [PushedClip(utterance_id="u", clip_digest=key, hidden=tuple(parts))],
            project_id=7,
            run_id="t",
        )
    hidden = list_hidden(con)[7, "u"]
    assert [parts for _, parts in hidden] == [
        (("name", "Mary"),),
        (),
        (("phone", "电话"), ("name", 'a "b"')),
    ]
    times = [at for at, _ in hidden]
    assert times == sorted(times)
    assert all(at.tzinfo is not None for at in times)
