from __future__ import annotations

import html
import itertools
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.cli.main import app
from flows.exchange.export import open_bundle
from flows.exchange.ours import import_export
from flows.place import FILE_NAME
from flows.release.flow import preview_version, release_version
from flows.release.recipes import choose_recipe
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from voxdata.canonical import write_canonical
from voxdata.consent import Consent, read_consent, why_not
from voxdata.dataset import Example, Split
from voxdata.errors import ConfigError, DropReason, NotFoundError, WarehouseError
from voxdata.label import Annotation
from voxdata.phrases import Separated, phrase_of, separate_phrases
from voxdata.recording import canonical_file
from voxdata.segment import Segment
from voxdata.testing import make_recording
from voxdata.utterance import Utterance
from warehouse.annotations import add_annotations, current_annotations
from warehouse.exchange.bundle import HEADER, write_header, write_rows
from warehouse.exchange.read import read_export
from warehouse.ledger import list_drops
from warehouse.metadata import store_metadata
from warehouse.recordings import add_recording
from warehouse.stages import record_stage
from warehouse.utterances import store_utterances
from warehouse.verify import verify_all
from warehouse.versions import list_versions, load_examples

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TODAY = date(2026, 6, 1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Ten recordings of one utterance each: Chinese the odd ones, two people vote, both schemes."""
    (tmp_path / FILE_NAME).write_text(template())
    made = open_workspace(tmp_path)
    with made.warehouse() as con:
        for i in range(10):
            recording = make_recording(i)
            utterance = Utterance(
                recording_id=recording.recording_id,
                channel=0,
                speaker="S0",
                segment=Segment(start_ms=0, end_ms=1000 * (i + 1)),
                text=f"please cancel order number {i}",
                language="zh" if i % 2 else "en",
            )
            add_recording(
                con,
                recording,
                audio_file=canonical_file(recording.recording_id),
                run_id="t",
            )
            store_utterances(con, [utterance], key="c", run_id="t")
            for stage in ("diarize", "cut"):
                record_stage(
                    con,
                    recording_id=recording.recording_id,
                    stage=stage,
                    key="c",
                    model_key=None,
                    num_rows=1,
                    audio_ms=1,
                    seconds=1.0,
                    run_id="t",
                )
            votes = [
                Annotation(
                    annotation_id=2 * i + n,
                    project_id=1,
                    utterance_id=utterance.utterance_id,
                    annotator=f"a{n}",
                    updated_at=NOON,
                    labels={
                        "intent": ("question",),
                        "emotion": (("sad", "happy")[n if i == 9 else 0],),
                    },
                )
                for n in range(2)
            ]
            add_annotations(con, votes, run_id="t")
    return made


def released(
    workspace: Workspace,
    text: str = "",
    where: str = "",
) -> list[Example]:
    path = workspace.root / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    summary = release_version(
        workspace,
        "calls",
        say=lambda line: None,
        recipe=choose_recipe(workspace, path=path, where=where),
        accept_losses=True,
    )
    with workspace.warehouse() as con:
        return load_examples(con, summary.version.version_id)


def lengths(examples: list[Example]) -> list[int]:
    return sorted(e.segment.end_ms // 1000 for e in examples)


def test_release_warns_when_most_labelled_clips_are_left_out_and_says_why(
    workspace: Workspace,
) -> None:
    with workspace.warehouse() as con:
        for i in range(6):
            store_metadata(
                con,
                make_recording(i).recording_id,
                {"consent": "no"},
                manifest="m",
                run_id="t",
            )
    told: list[str] = []
    summary = release_version(workspace, "calls", say=told.append)
    assert summary.warnings == (
        "6 of 10 labelled clips are left out: 6 by consent (consent was refused 6)",
    )
    assert f"release: warning: {summary.warnings[0]}" in told
    assert preview_version(workspace, "calls", workspace.settings.release.recipe)[
        "warnings"
    ] == list(summary.warnings)


def test_release_says_in_the_version_and_its_export_who_was_simulated(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("export")
    with workspace.warehouse() as con:
        said = [
            replace(a, updated_at=NOON + timedelta(days=1), simulated=0.1)
            for a in current_annotations(con)
            if a.annotator == "a1"
        ]
        add_annotations(con, said, run_id="t")
    version = release_version(workspace, "calls", say=lambda line: None).version
    assert version.recipe["simulated_annotators"] == {"a1": 0.1}
    bundle = open_bundle(workspace, version.ref)
    assert "1 of its annotators were simulated" in bundle.description
    write_rows(bundle, tmp_path)
    write_header(bundle, tmp_path, format_name="jsonl")
    text = (tmp_path / HEADER).read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["recipe"]["simulated_annotators"] == {"a1": 0.1}
    for i in range(10):
        path = workspace.audio_dir / canonical_file(make_recording(i).recording_id)
        samples = np.zeros((16_000 * 10, 1), np.float32)
        write_canonical(path, samples)
    copy, _ = import_export(
        workspace,
        read_export(tmp_path),
        name="copy",
        say=lambda line: None,
    )
    assert copy.recipe["simulated_annotators"] == {"a1": 0.1}


def test_release_does_not_warn_when_half_is_left_out(workspace: Workspace) -> None:
    with workspace.warehouse() as con:
        for i in range(5):
            store_metadata(
                con,
                make_recording(i).recording_id,
                {"consent": "no"},
                manifest="m",
                run_id="t",
            )
    assert release_version(workspace, "calls", say=lambda line: None).warnings == ()


def test_release_that_takes_nothing_says_what_consent_it_lacks(workspace: Workspace) -> None:
    with pytest.raises(
        NotFoundError, match=r"10 by consent \(nobody said that consent was given 10\); widen it"
    ):
        released(workspace, 'consent = "required"')


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('languages = ["zh"]', [2, 4, 6, 8, 10]),
        ("where = \"duration_ms > 3000 and language <> 'zh'\"", [5, 7, 9]),
        ("where = \"text like '%number 7' or emotion_share < 1\"", [8, 10]),
        ('schemes = ["intent"]', list(range(1, 11))),
        ("min_votes = 2", list(range(1, 11))),
        ("until = 2020-01-01", []),
        ("since = 2020-01-01", list(range(1, 11))),
    ],
)
def test_release_follows_its_recipe(
    workspace: Workspace,
    text: str,
    wanted: list[int],
) -> None:
    if not wanted:
        with pytest.raises(NotFoundError, match="10 by date"):
            released(workspace, text)
        return
    examples = released(workspace, text)
    assert lengths(examples) == wanted
    assert set(itertools.chain.from_iterable(e.gold for e in examples)) == (
        {"intent"} if "schemes" in text else {"intent", "emotion"}
    )
    with workspace.warehouse() as con:
        recipe = list_versions(con)[0].recipe
    assert sum(recipe["left_out"].values()) == 10 - len(wanted)  # type: ignore[attr-defined]
    assert verify(workspace)


def verify(workspace: Workspace) -> bool:
    with workspace.warehouse() as con:
        return all(one.ok for one in verify_all(con))


def test_release_takes_the_date_that_a_manifest_gives(workspace: Workspace) -> None:
    with workspace.warehouse() as con:
        store_metadata(
            con,
            make_recording(3).recording_id,
            {"recorded_at": "2024-05-06T10:00:00"},
            manifest="m",
            run_id="t",
        )
        store_metadata(
            con,
            make_recording(4).recording_id,
            {"recorded_at": "sometime"},
            manifest="m",
            run_id="t",
        )
    assert lengths(released(workspace, "since = 2024-05-06\nuntil = 2024-05-06")) == [4]


def test_release_keeps_out_what_consent_does_not_cover(workspace: Workspace) -> None:
    said = {
        0: {"consent": "yes", "purposes": "training; evaluation"},
        1: {"consent": "no"},
        2: {"consent": "yes", "purposes": "evaluation"},
        3: {"consent": "yes", "consent_until": "2020-01-01"},
        4: {"consent": "perhaps"},
        5: {"Consent": "YES", "consent_until": "2999-01-01"},
    }
    with workspace.warehouse() as con:
        for i, values in said.items():
            store_metadata(
                con,
                make_recording(i).recording_id,
                values,
                manifest="m",
                run_id="t",
            )
    assert lengths(released(workspace)) == [1, 6, 7, 8, 9, 10]
    with workspace.warehouse() as con:
        drops = {
            row.recording_id: row.detail
            for row in list_drops(con)
            if row.reason is DropReason.NO_CONSENT
        }
    assert {key: drops[make_recording(key).recording_id] for key in (1, 2, 3, 4)} == {
        1: "consent was refused",
        2: "consent is for evaluation, not for training",
        3: "consent ended on 2020-01-01",
        4: "consent 'perhaps' is neither yes nor no",
    }
    assert lengths(released(workspace, 'consent = "required"')) == [1, 6]
    assert lengths(released(workspace, 'purpose = "evaluation"')) == [1, 3, 6, 7, 8, 9, 10]


def test_why_not_reads_what_people_write() -> None:
    refusal = why_not(
        Consent(),
        purpose="training",
        today=TODAY,
        policy="required",
    )
    assert refusal != ""
    refusal = why_not(
        Consent(),
        purpose="training",
        today=TODAY,
        policy="unless_refused",
    )
    assert refusal == ""
    assert read_consent({"purpose": '["Training", "x y"]'}).purposes == {"training", "x y"}
    assert read_consent({"purposes": "训练，评测"}).purposes == {"训练", "评测"}
    refusal = why_not(
        read_consent({"consent_until": "2026-06-01"}),
        purpose="",
        today=TODAY,
        policy="unless_refused",
    )
    assert refusal == ""
    assert "no date" in why_not(
        read_consent({"consent_until": "soon"}),
        purpose="",
        today=TODAY,
        policy="unless_refused",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("languages = 5", "languages"),
        ("nonsense = 1", "nonsense"),
        ('schemes = ["mood"]', "mood"),
        ('phrases = ["mood"]', "mood"),
        ("since = 2026-02-01\nuntil = 2026-01-01", "later than"),
        ("limits = { loudness = 3 }", "loudness"),
        ("= 3", "not valid TOML"),
        ('consent = "maybe"', "consent"),
        ("ratios = { train = 1.0 }", "add up"),
    ],
)
def test_choose_recipe_names_what_is_wrong(workspace: Workspace, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        released(workspace, text)
    with pytest.raises(ConfigError, match="cannot be read"):
        choose_recipe(workspace, path=workspace.root / "absent.toml")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("loudness > 3", "there is no loudness"),
        ("(select 1) = 1", "one utterance at a time"),
        ("1; drop table example", "no SQL condition"),
        ("duration_ms >", "no SQL condition"),
        ("count(*) > 1", "looks at one at a time"),
        ("read_text('/etc/passwd') <> ''", "no function"),
        ("text = ?", r"\? is no part"),
        ("duration_ms > 'long'", "cannot be used"),
        ("example.text = 'a'", "there is no example"),
        ("utterance_id in (select utterance_id from example)", "one utterance at a time"),
        ("", ""),
    ],
)
def test_release_refuses_a_condition_that_is_none(
    workspace: Workspace, where: str, message: str
) -> None:
    if not where:
        assert len(released(workspace, where=where)) == 10
        return
    with pytest.raises(ConfigError, match=message):
        released(workspace, where=where)
    with workspace.warehouse() as con:
        assert list_versions(con) == []


def test_release_by_the_same_recipe_gives_the_same_version(workspace: Workspace) -> None:
    first = released(workspace, "where = \"language='zh'\"")
    again = released(workspace, "where = \"language  =  'zh'\"")
    assert again == first
    with workspace.warehouse() as con:
        refs = [v.ref for v in list_versions(con)]
        assert refs == ["calls@1"]


def test_preview_version_writes_nothing_and_tells_what_would_be(workspace: Workspace) -> None:
    recipe = choose_recipe(workspace, where="language = 'zh'")
    before = preview_version(workspace, "calls", recipe)
    assert before["new"] is True
    assert before["examples"] == 5
    assert before["minutes"] == 0.5
    assert before["left out"] == {"where": 5}
    labels: Any = before["labels"]
    assert labels["intent=question"]["examples"] == 5
    with workspace.warehouse() as con:
        assert list_versions(con) == []
    release_version(workspace, "calls", say=lambda line: None, recipe=recipe)
    assert preview_version(workspace, "calls", recipe)["new"] is False


def test_commands_about_versions(workspace: Workspace, tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["--dir", str(workspace.root), *arguments])

    release_version(workspace, "calls", say=lambda line: None)
    released(workspace, 'languages = ["en"]')
    content = json.loads(run("release", "calls", "--dry-run", "--json").stdout)
    assert content["examples"] == 10
    assert run("tag", "calls@1", "金标").exit_code == 0
    assert isinstance(run("tag", "calls@2", "金标").exception, WarehouseError)
    assert isinstance(run("tag", "calls@2", "calls").exception, WarehouseError)
    assert isinstance(run("tag", "calls@2", "abcdef12").exception, WarehouseError)
    content = json.loads(run("versions", "--json").stdout)
    assert content[0]["tags"] == "金标"
    shown = json.loads(run("show", "金标", "--json").stdout)
    assert shown["examples"] == 10
    assert shown["leaks"] == []
    assert shown["labels"][0]["label"] == "all"
    page = tmp_path / "diff.html"
    tables = json.loads(run("diff", "金标", "calls", "--html", str(page), "--json").stdout)
    assert tables["changes"][1] == {"change": "removed", "examples": 5}
    text = page.read_text(encoding="utf-8")
    assert "<svg" in text
    assert "<script" not in text
    shown_by_split = text[text.index("Examples by split") :]
    with workspace.warehouse() as con:
        gone = [
            e for e in load_examples(con, list_versions(con)[0].version_id) if e.language != "en"
        ]
    for example in gone:
        assert f"<h3>{example.split.value}</h3>" in shown_by_split
        assert example.text in html.unescape(shown_by_split)
        assert f"intent={example.gold['intent'].label}" in shown_by_split
    assert shown_by_split.count("<td>removed</td>") == len(gone)
    content = json.loads(run("rollback", "金标", "--json").stdout)
    assert content["version"] == "calls@3"
    verdicts = [row["verdict"] for row in json.loads(run("verify", "--json").stdout)["versions"]]
    assert verdicts == ["as it was cut"] * 3
    key = released(workspace)[0].utterance_id
    story = json.loads(run("why", key, "--json").stdout)
    annotators = [row["annotator"] for row in story["annotations"]]
    assert annotators == ["a0", "a1"]
    assert "calls@1" in {row["version"] for row in story["versions"]}
    assert isinstance(run("why", "nothing").exception, NotFoundError)
    content = json.loads(run("query", "select count(*) as n from utterances", "--json").stdout)
    assert content == [{"n": 10}]
    assert (
        run("query", "from agreement", "--csv")
        .stdout.splitlines()[0]
        .startswith("scheme,annotator_a")
    )
    for bad in (
        "delete from manifest",
        "select 1; select 2",
        "from nowhere",
        "attach 'x.db'",
        "copy utterance to 'x.csv'",
    ):
        assert isinstance(run("query", bad).exception, ConfigError), bad
    assert Path(run("snapshot").stdout.strip()).is_file()
    assert run("repair").exit_code == 0
    lines = (workspace.root / ".voxdata" / "lineage.jsonl").read_text().splitlines()
    content = json.loads(lines[0])
    assert content["outputs"][0]["facets"]["version"]["datasetVersion"] == shown["root"]


DRAFT_COLUMNS = (
    "utterance_id",
    "text",
    "split",
    "label/emotion",
    "gold/emotion",
    "label/intent",
    "gold/intent",
)

golds = st.sampled_from(["question", "answer"])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["please cancel my order now", "我想取消订单", "yes", "where is it now"]
            ),
            st.sampled_from(list(Split)),
            golds,
        ),
        max_size=30,
    ),
    st.integers(0, 3),
)
def test_separate_phrases_labels_each_phrase_in_one_split(
    rows: list[tuple[str, Split, str]], seed: int
) -> None:
    frame = pl.DataFrame(
        [
            {
                "utterance_id": f"u{i}",
                "text": text,
                "split": split.value,
                "label/emotion": "sad" if i % 2 else None,
                "gold/emotion": "{}" if i % 2 else None,
                "label/intent": label,
                "gold/intent": "{}",
            }
            for i, (text, split, label) in enumerate(rows)
        ],
        schema=dict.fromkeys(DRAFT_COLUMNS, pl.String),
    )

    def separate(
        rows: pl.DataFrame,
        fixed: dict[str, Split],
        seed: int,
    ) -> Separated:
        ratios = dict.fromkeys(Split, 1.0)
        return separate_phrases(
            rows,
            scheme="intent",
            fixed=fixed,
            ratios=ratios,
            seed=seed,
        )

    separated = separate(frame, {}, seed)
    sides: dict[str, set[str]] = {}
    for row in separated.rows.drop_nulls("label/intent").iter_rows(named=True):
        if phrase_of(row["text"]):
            sides.setdefault(phrase_of(row["text"]), set()).add(row["split"])
    assert all(len(splits) == 1 for splits in sides.values())
    assert separated.rows["gold/emotion"].count() == frame["gold/emotion"].count()
    assert separated.num_taken == frame.height - separated.rows["label/intent"].count()
    assert separated.rows["label/intent"].count() == separated.rows["gold/intent"].count()
    places = {name: Split(split) for name, split in separated.places.iter_rows()}
    assert separate(separated.rows, places, 9).num_taken == 0
    assert "yes" not in sides
