"""What `voxdata query` answers from the views of gold labels and of imported examples."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import run
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.segment import Segment
from warehouse.versions import create_version

MINUTES = (
    "select scheme, label, split, round(sum(minutes), 4) as minutes, count(*) as examples "
    "from gold "
    "where version = 'calls@{number}' group by all order by all"
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "w").mkdir()
    settings_file = tmp_path / "w" / FILE_NAME
    settings_file.write_text(template(), encoding="utf-8")
    return open_workspace(tmp_path / "w")


def example(
    number: int,
    *,
    intent: str,
    emotion: str = "",
    split: Split = Split.TRAIN,
    duration_ms: int = 30_000,
) -> Example:
    labels = {"intent": intent, "emotion": emotion}
    return Example(
        utterance_id=f"u{number:06}",
        recording_id=f"r{number:06}",
        channel=0,
        segment=Segment(start_ms=1_000, end_ms=1_000 + duration_ms),
        voice=f"v{number}",
        group=f"g{number}",
        audio_file=f"{number}.flac",
        text="你好",
        language="zh",
        gold={
            scheme: GoldLabel(
                label=label,
                distribution={label: 0.75, "other": 0.25},
                num_votes=4,
                standing="clear",
            )
            for scheme, label in labels.items()
            if label
        },
        split=split,
    )


def cut(
    workspace: Workspace,
    *examples: Example,
    name: str = "calls",
    recipe: dict[str, object] | None = None,
) -> None:
    with workspace.warehouse() as con:
        create_version(
            con,
            name,
            examples,
            recipe=recipe or {},
            run_id="t",
        )


def query(workspace: Workspace, sql: str) -> list[list[str]]:
    answer = run(workspace, "query", sql, "--csv")
    assert answer.exit_code == 0, answer.output
    return list(csv.reader(answer.stdout.splitlines()))[1:]


def test_query_gold_gives_minutes_by_label_of_several_schemes(workspace: Workspace) -> None:
    cut(
        workspace,
        example(1, intent="ask", emotion="sad"),
        example(
            2,
            intent="ask",
            emotion="calm",
            duration_ms=90_000,
        ),
        example(
            3,
            intent="tell 'it'",
            split=Split.TEST,
            duration_ms=15_000,
        ),
    )
    rows = query(workspace, MINUTES.format(number=1))
    assert rows == [
        ["emotion", "calm", "train", "1.5", "1"],
        ["emotion", "sad", "train", "0.5", "1"],
        ["intent", "ask", "train", "2.0", "2"],
        ["intent", "tell 'it'", "test", "0.25", "1"],
    ]


def test_query_gold_gives_each_version_its_own_labels_after_relabelling(
    workspace: Workspace,
) -> None:
    cut(workspace, example(1, intent="ask"), example(2, intent="ask"))
    cut(workspace, example(1, intent="tell"), example(2, intent="ask"))
    rows = query(workspace, MINUTES.format(number=1))
    assert rows == [["intent", "ask", "train", "1.0", "2"]]
    rows = query(workspace, MINUTES.format(number=2))
    assert rows == [
        ["intent", "ask", "train", "0.5", "1"],
        ["intent", "tell", "train", "0.5", "1"],
    ]
    assert query(workspace, "select distinct version from gold where newest") == [["calls@2"]]


def test_query_gold_counts_a_large_version_right(workspace: Workspace) -> None:
    cut(
        workspace,
        *(
            example(
                i,
                intent=f"label{i % 3}",
                emotion="sad",
                duration_ms=6_000,
            )
            for i in range(3_000)
        ),
    )
    rows = query(workspace, MINUTES.format(number=1))
    assert rows == [
        ["emotion", "sad", "train", "300.0", "3000"],
        *(["intent", f"label{i}", "train", "100.0", "1000"] for i in range(3)),
    ]


def test_query_gold_tells_where_a_label_comes_from(workspace: Workspace) -> None:
    cut(workspace, example(7, intent="ask"))
    sql = (
        "select utterance_id, recording_id, start_ms, end_ms, duration_ms, voice, language, "
        "text, num_votes, share, standing from gold"
    )
    assert query(workspace, sql) == [
        ["u000007", "r000007", "1000", "31000", "30000", "v7", "zh", "你好", "4", "0.75", "clear"]
    ]


def test_query_imported_gives_the_examples_of_imports_alone(workspace: Workspace) -> None:
    cut(workspace, example(1, intent="ask"))
    cut(
        workspace,
        example(2, intent="tell"),
        name="corpus",
        recipe={"imported": {"manifest": "train.csv", "scheme": "intent"}},
    )
    sql = "select version, source, scheme, label, utterance_id, split, minutes from imported"
    assert query(workspace, sql) == [
        ["corpus@1", "train.csv", "intent", "tell", "u000002", "train", "0.5"]
    ]


def test_query_imported_names_the_export_that_was_brought_in(
    workspace: Workspace, tmp_path: Path
) -> None:
    recipe = {"imported": {"ref": "calls@4", "root": "ab" * 32}}
    cut(
        workspace,
        example(2, intent="tell"),
        name="copy",
        recipe=recipe,
    )
    assert query(workspace, "select source, source_root from imported") == [["calls@4", "ab" * 32]]


def test_docs_describe_every_view(workspace: Workspace) -> None:
    page = (Path(__file__).parents[3] / "docs/warehouse.md").read_text(encoding="utf-8")
    with workspace.warehouse():
        pass
    views = query(workspace, "select view_name from duckdb_views() where not internal order by all")
    shown = {"utterances", "labels", "agreement", "versions", "gold", "imported"}
    assert {name for (name,) in views} >= shown
    assert [name for name in sorted(shown) if f"| `{name}` |" not in page] == []
