"""Thresholds as people type them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from flows.cli.what_if import describe_limits, parse_limits
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import open_workspace
from voxdata.errors import ConfigError
from voxdata.measure import Quality
from voxdata.testing import make_recording, make_utterance
from warehouse.measures import store_measures
from warehouse.recordings import add_recording
from warehouse.stages import record_stage
from warehouse.utterances import store_utterances


def test_parse_limits_reads_what_people_type() -> None:
    assert parse_limits(["snr_db=12", " overlap_ratio = 0.3 ", "level_db=-40"]) == {
        "snr_db": 12,
        "overlap_ratio": 0.3,
        "level_db": -40,
    }
    assert parse_limits([]) == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["loudness=3"], "snr_db"),
        (["snr_db"], "MEASURE=NUMBER"),
        (["snr_db=loud"], "MEASURE=NUMBER"),
        (["snr_db=nan"], "MEASURE=NUMBER"),
        (["=3"], "snr_db"),
        (["snr_db=1", "snr_db=2"], "twice"),
    ],
)
def test_parse_limits_says_what_is_wrong(given: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_limits(given)


def test_describe_limits_says_which_side_goes() -> None:
    assert (
        describe_limits({"mos": 2.5, "clipping_ratio": 0.01})
        == "mos below 2.5 or clipping_ratio above 0.01"
    )


def test_ledger_what_if_counts_and_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(template())
    workspace = open_workspace(tmp_path)
    recording = make_recording()
    quiet = make_utterance(0, 3_000)
    loud = make_utterance(3_000, 9_000)
    good = Quality(
        level_db=-20,
        snr_db=30,
        clipping_ratio=0,
        bandwidth_hz=8_000,
    )
    with workspace.warehouse() as con:
        add_recording(con, recording, audio_file="a.flac", run_id="t")
        store_utterances(con, [quiet, loud], key="c", run_id="t")
        measures = {quiet.utterance_id: replace(good, snr_db=5), loud.utterance_id: good}
        store_measures(con, recording.recording_id, measures, key="m", run_id="t")
        for stage, key in (("cut", "c"), ("measure", "m")):
            record_stage(
                con,
                recording_id=recording.recording_id,
                stage=stage,
                key=key,
                model_key=None,
                num_rows=2,
                audio_ms=1,
                seconds=1,
                run_id="t",
            )
    command = ["--dir", str(tmp_path), "ledger", "--json"]
    for limits, removed in (
        (["--what-if", "snr_db=12"], 1),
        (["--what-if", "snr_db=12", "--what-if", "level_db=-10"], 2),
    ):
        done = CliRunner().invoke(app, [*command, *limits])
        assert done.exit_code == 0, done.output
        content = json.loads(done.stdout)
        assert content[-1]["utterances_removed"] == removed
    content = json.loads(CliRunner().invoke(app, command).stdout)
    assert content == []
    wrong = CliRunner().invoke(app, [*command, "--what-if", "loudness=3"])
    assert isinstance(wrong.exception, ConfigError)
