"""What commands that list something show: numbers that people read, and what to do when there is
nothing.
"""

from __future__ import annotations

import json

import pytest

from flows.cli.console import show_result
from flows.settings import template
from flows.workspace import Workspace
from tests.flows.conftest import run, workspace_with

LISTS = (
    ["recordings"],
    ["ledger"],
    ["ledger", "--what-if", "snr_db=12"],
    ["versions"],
    ["models"],
    ["voices"],
    ["receipts"],
    ["forget", "--list"],
    ["push", "--plan"],
    ["prelabel", "--plan"],
    ["annotation", "people"],
    ["annotation", "checks"],
    ["annotation", "adjudicate", "--plan"],
    ["query", "select * from utterances"],
)
ROW = {"alpha": {"intent": 0.69921714, "emotion": None}, "minutes": 2 / 3, "tags": ["a", "b"]}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with nothing in it."""
    root = tmp_path_factory.mktemp("w")
    workspace = workspace_with(root, template())
    with workspace.warehouse():
        pass
    return workspace


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_an_empty_list_says_what_to_do_next(workspace: Workspace, words: list[str]) -> None:
    done = run(workspace, *words)
    assert done.exit_code == 0, done.output
    if "--what-if" in words:
        assert "all" in done.stdout  # a row of sums
        return
    assert "none; " in done.stderr
    assert done.stdout == ""


def test_show_result_rounds_for_people_and_not_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_result("figures", ROW, as_json=False)
    table = capsys.readouterr().out
    assert "intent 0.70, emotion" in table
    assert "0.67" in table
    assert "a, b" in table
    assert "0.6992" not in table
    show_result("figures", ROW, as_json=True)
    assert json.loads(capsys.readouterr().out) == ROW


def test_show_result_gives_programs_what_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    show_result("runs", [{"UAR": "0.71"}], as_json=True, exact=[{"uar": 0.7142857}])
    assert json.loads(capsys.readouterr().out) == [{"uar": 0.7142857}]
