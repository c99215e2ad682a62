from __future__ import annotations

from dataclasses import replace

from duckdb import DuckDBPyConnection

from warehouse.pushes import (
    GONE,
    PushedClip,
    list_projects,
    list_pushed,
    note_project,
    record_missing,
    record_pushes,
)

CLIP = PushedClip(
    utterance_id="u1",
    clip_digest="a",
    hidden=(("phone", "555"),),
    arm="random",
    blind=True,
    votes_wanted=3,
    proposal="intent:m@1",
)


def test_record_pushes_notes_changes_and_returns_to_an_earlier_key(con: DuckDBPyConnection) -> None:
    pushes = [
        {"u1": "a", "u2": "a"},
        {"u1": "a", "u2": "a"},
        {"u1": "b"},
        {"u1": "a"},
        {"u1": "a"},
    ]
    clips = []
    for push in pushes:
        clips.append([PushedClip(utterance_id=u, clip_digest=key) for u, key in push.items()])
    assert [record_pushes(con, push, project_id=1, run_id="t") for push in clips] == [2, 0, 1, 1, 0]
    clip_digests = {key: clip.clip_digest for key, clip in list_pushed(con, project_id=1).items()}
    assert clip_digests == {
        "u1": "a",
        "u2": "a",
    }
    assert list_pushed(con, project_id=2) == {}


def test_list_pushed_gives_back_how_a_clip_was_given_out(con: DuckDBPyConnection) -> None:
    record_pushes(con, [CLIP], project_id=1, run_id="t")
    assert list_pushed(con, project_id=1) == {"u1": CLIP}


def test_record_missing_keeps_the_arm_and_lets_the_clip_be_pushed_again(
    con: DuckDBPyConnection,
) -> None:
    record_pushes(
        con,
        [CLIP, replace(CLIP, utterance_id="u2")],
        project_id=1,
        run_id="t",
    )
    record_missing(con, ["u1"], project_id=1, run_id="t")
    gone = list_pushed(con, project_id=1)["u1"]
    assert gone.clip_digest == GONE
    assert gone.arm == "random"
    assert gone.blind is True
    assert gone.votes_wanted == 3
    recorded = record_pushes(con, [CLIP], project_id=1, run_id="t")
    assert recorded == 1
    assert list_pushed(con, project_id=1) == {"u1": CLIP, "u2": replace(CLIP, utterance_id="u2")}


def test_note_project_gives_a_server_that_was_set_up_anew_another_number(
    con: DuckDBPyConnection,
) -> None:
    def note(server_id: int, made_at: str, purpose: str = "label") -> int:
        return note_project(
            con,
            server_id=server_id,
            made_at=made_at,
            purpose=purpose,
            title="t",
            run_id="t",
        )

    first = note(1, "monday")
    other = note(2, "monday", "adjudicate")
    assert first == 1
    assert other == 2
    assert note(1, "monday") == 1
    anew = note(1, "friday")
    assert anew not in {1, 2}
    assert note(1, "friday") == anew
    projects = {(p.project_id, p.purpose, p.current) for p in list_projects(con)}
    assert projects == {
        (1, "label", False),
        (2, "adjudicate", True),
        (anew, "label", True),
    }
