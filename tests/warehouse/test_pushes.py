from __future__ import annotations

from dataclasses import replace

from duckdb import DuckDBPyConnection

from warehouse.pushes import GONE, PushedClip, list_projects, list_pushed, record_missing, record_project, record_pushes

CLIP = PushedClip(utterance_id="u1", key="a", hidden=(("phone", "555"),), arm="random", blind=True, votes_wanted=3, proposal="intent:m@1")


def test_record_pushes_notes_changes_and_returns_to_an_earlier_key(con: DuckDBPyConnection) -> None:
    pushes = [{"u1": "a", "u2": "a"}, {"u1": "a", "u2": "a"}, {"u1": "b"}, {"u1": "a"}, {"u1": "a"}]
    clips = [[PushedClip(utterance_id=u, key=key) for u, key in push.items()] for push in pushes]
    assert [record_pushes(con, push, project_id=1, run_id="t") for push in clips] == [2, 0, 1, 1, 0]
    assert {key: clip.key for key, clip in list_pushed(con, project_id=1).items()} == {"u1": "a", "u2": "a"}
    assert list_pushed(con, project_id=2) == {}


def test_list_pushed_gives_back_how_a_clip_was_given_out(con: DuckDBPyConnection) -> None:
    record_pushes(con, [CLIP], project_id=1, run_id="t")
    assert list_pushed(con, project_id=1) == {"u1": CLIP}


def test_record_missing_keeps_the_arm_and_lets_the_clip_be_pushed_again(con: DuckDBPyConnection) -> None:
    record_pushes(con, [CLIP, replace(CLIP, utterance_id="u2")], project_id=1, run_id="t")
    record_missing(con, ["u1"], project_id=1, run_id="t")
    gone = list_pushed(con, project_id=1)["u1"]
    assert (gone.key, gone.arm, gone.blind, gone.votes_wanted) == (GONE, "random", True, 3)
    assert record_pushes(con, [CLIP], project_id=1, run_id="t") == 1
    assert list_pushed(con, project_id=1) == {"u1": CLIP, "u2": replace(CLIP, utterance_id="u2")}


def test_record_project_keeps_the_newest_purpose(con: DuckDBPyConnection) -> None:
    for purpose in ("label", "label", "adjudicate"):
        record_project(con, project_id=4, purpose=purpose, title="t", run_id="t")
    record_project(con, project_id=3, purpose="label", title="s", run_id="t")
    assert list_projects(con) == {3: "label", 4: "adjudicate"}
