"""Voices on the command line: linked once, corrected by people, never rewritten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from flows.place import FILE_NAME
from flows.prelabel.link_voices import link_voices, voice_rows
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import quiet, run
from voxdata.errors import NotFoundError, WarehouseError
from warehouse.rows import read_rows
from warehouse.stages import record_stage
from warehouse.voices import current_voices, store_speaker_embeddings


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / FILE_NAME).write_text(template())
    return open_workspace(tmp_path)


def hear(
    workspace: Workspace,
    recording_id: str,
    vectors: Sequence[Sequence[float]],
    *,
    speech_ms: int = 20_000,
    key: str = "k",
) -> None:
    """As a diarization of one channel would: speakers S0, S1, ..."""
    embeddings = {}
    for i, vector in enumerate(vectors):
        embeddings[f"S{i}"] = [x / float(np.linalg.norm(vector)) for x in vector]
    with workspace.warehouse() as con:
        store_speaker_embeddings(
            con,
            recording_id,
            0,
            key=key,
            embeddings=embeddings,
            speech_ms=dict.fromkeys(embeddings, speech_ms),
            model_key="m",
            run_id="t",
        )
        record_stage(
            con,
            recording_id=recording_id,
            stage="diarize",
            key=key,
            model_key="d",
            num_rows=1,
            audio_ms=1,
            seconds=1.0,
            run_id="t",
        )


def voxdata(workspace: Workspace, *words: str) -> Result:
    return run(workspace, "voices", *words)


def people(workspace: Workspace) -> list[set[str]]:
    return [set(str(row["speakers"]).split()) for row in voice_rows(workspace)]


ANNA = (1.0, 0.1, 0.0)
BEN = (0.0, 0.1, 1.0)


def test_link_voices_recognises_a_speaker_in_another_recording_and_writes_nothing_twice(
    workspace: Workspace,
) -> None:
    hear(workspace, "rec1", [ANNA, BEN])
    assert link_voices(workspace, say=quiet) == 2
    hear(workspace, "rec2", [ANNA])
    assert link_voices(workspace, say=quiet) == 1
    assert {"rec1:0:S0", "rec2:0:S0"} in people(workspace)
    assert link_voices(workspace, say=quiet) == 0
    with workspace.warehouse() as con:
        assert len(read_rows(con, "from voice_event")) == 3


def test_link_voices_leaves_a_speaker_alone_who_said_too_little(workspace: Workspace) -> None:
    hear(workspace, "rec1", [ANNA])
    hear(workspace, "rec2", [ANNA], speech_ms=900)
    link_voices(workspace, say=quiet)
    assert len(people(workspace)) == 2


def test_link_voices_links_again_after_another_diarization(workspace: Workspace) -> None:
    hear(workspace, "rec1", [ANNA])
    hear(workspace, "rec2", [BEN])
    link_voices(workspace, say=quiet)
    hear(workspace, "rec2", [ANNA], key="k2")
    assert link_voices(workspace, say=quiet) == 1
    assert people(workspace) == [{"rec1:0:S0", "rec2:0:S0"}]


def test_voices_lists_most_speech_first_and_the_nearest_other(workspace: Workspace) -> None:
    hear(workspace, "rec1", [ANNA, BEN])
    hear(workspace, "rec2", [ANNA])
    link_voices(workspace, say=quiet)
    done = voxdata(workspace, "--json")
    assert done.exit_code == 0, done.output
    first, second = json.loads(done.stdout)
    assert first["recordings"] == 2
    assert first["speech_s"] == 40.0
    assert second["speech_s"] == 20.0
    assert first["nearest"] == second["voice"]
    assert second["nearest"] == first["voice"]
    assert first["cosine"] == pytest.approx(0.01 / 1.01, abs=1e-5)
    assert (
        "rec1:0:S0 rec2:0:S0" in voxdata(workspace).stdout.replace("\n", " ")
        or first["voice"] in voxdata(workspace).stdout
    )


def test_voices_merge_and_split_correct_each_other(workspace: Workspace) -> None:
    hear(workspace, "rec1", [ANNA])
    hear(workspace, "rec2", [BEN])
    link_voices(workspace, say=quiet)
    anna, ben = (
        row["voice"] for row in sorted(voice_rows(workspace), key=lambda row: str(row["speakers"]))
    )
    done = voxdata(
        workspace,
        "merge",
        str(ben),
        str(anna),
        "--reason",
        "one person with a cold",
    )
    assert done.exit_code == 0, done.output
    assert people(workspace) == [{"rec1:0:S0", "rec2:0:S0"}]
    done = voxdata(workspace, "split", "rec2:0:S0", "--reason", "no, her brother")
    assert done.exit_code == 0, done.output
    assert sorted(map(sorted, people(workspace))) == [["rec1:0:S0"], ["rec2:0:S0"]]
    with workspace.warehouse() as con:
        events = read_rows(con, "select kind, reason from voice_event order by seq")
        assert current_voices(con)["rec2", 0, "S0"] != ben
    assert [tuple(event.values()) for event in events][2:] == [
        ("merge", "one person with a cold"),
        ("split", "no, her brother"),
    ]


def test_link_voices_gives_new_recordings_to_the_merged_voice(workspace: Workspace) -> None:
    hear(workspace, "rec1", [ANNA])
    hear(workspace, "rec2", [BEN])
    link_voices(workspace, say=quiet)
    anna, ben = (
        str(row["voice"])
        for row in sorted(voice_rows(workspace), key=lambda row: str(row["speakers"]))
    )
    voxdata(workspace, "merge", ben, anna)
    middle = [a + b for a, b in zip(ANNA, BEN, strict=True)]
    hear(workspace, "rec3", [middle])
    link_voices(workspace, say=quiet)
    assert people(workspace) == [{"rec1:0:S0", "rec2:0:S0", "rec3:0:S0"}]


@pytest.mark.parametrize(
    "words",
    [("merge", "aaaa", "bbbb"), ("split", "rec9:0:S0"), ("split", "nonsense")],
)
def test_voices_names_what_it_does_not_know(workspace: Workspace, words: tuple[str, ...]) -> None:
    hear(workspace, "rec1", [ANNA])
    link_voices(workspace, say=quiet)
    done = voxdata(workspace, *words)
    assert done.exit_code != 0
    assert isinstance(done.exception, NotFoundError)
    assert len(people(workspace)) == 1


def test_voices_says_so_when_nothing_was_ingested(workspace: Workspace) -> None:
    done = voxdata(workspace, "--json")
    assert isinstance(done.exception, WarehouseError)
    assert "ingest something first" in str(done.exception)
