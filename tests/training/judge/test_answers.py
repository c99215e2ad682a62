"""The answers that a new model is judged beside, as they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.judge.answers import read_opponents
from voxdata.errors import TrainingError

OLD = '{"utterance_id": "u1", "distribution": {"a": 0.25, "b": 0.75}}\n'
NEW = '{"utterance_id": "u2", "distribution": {"a": 1}, "cold_start": {"b": 1}}\n'


def test_read_opponents_takes_lines_with_and_without_a_cold_start(tmp_path: Path) -> None:
    path = tmp_path / "incumbent.jsonl"
    path.write_text(OLD + NEW + "\n", encoding="utf-8")
    opponents = read_opponents(path)
    assert opponents.incumbent == {"u1": {"a": 0.25, "b": 0.75}, "u2": {"a": 1.0}}
    assert opponents.cold_start == {"u2": {"b": 1.0}}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"utterance_id": "u1"}', "line 2 is malformed: field 'distribution' is missing"),
        ('{"utterance_id": "u1", "distribution": 1}', "line 2 is malformed: field 'distribution'"),
        ("no json", "line 2 is malformed"),
    ],
)
def test_read_opponents_names_the_malformed_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "incumbent.jsonl"
    path.write_text(OLD + line + "\n", encoding="utf-8")
    with pytest.raises(TrainingError, match=told):
        read_opponents(path)


def test_read_opponents_names_the_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nothing\.jsonl: cannot be read"):
        read_opponents(tmp_path / "nothing.jsonl")
