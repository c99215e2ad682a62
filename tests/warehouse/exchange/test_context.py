"""The context of a version: what enters, as it was when the version was cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from duckdb import DuckDBPyConnection

import warehouse.exchange.context
from tests.warehouse.conftest import Heard
from voxdata.context import read_context, read_context_header
from voxdata.context_row import CastVote, ContextRow, TextSource
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.errors import MachineError, NotFoundError
from voxdata.identity import digest
from voxdata.label import Annotation
from voxdata.measure import Quality
from voxdata.phrases import phrase_of
from voxdata.recording import Recording
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.scheme_history import SchemeChange, SchemeHistory
from voxdata.utterance import Utterance
from warehouse.annotations import add_annotations
from warehouse.chain import chain_head
from warehouse.exchange.context import write_version_context
from warehouse.measures import store_measures
from warehouse.recordings import add_recording
from warehouse.rows import insert_rows, read_rows
from warehouse.versions import DatasetVersion, create_version

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TODAY = date(2026, 1, 2)
SAID = "where is my order now"

Hear = Callable[..., Heard]
Record = Callable[[str], Recording]


@pytest.fixture
def calls(con: DuckDBPyConnection, heard: Hear, recording: Record) -> list[Utterance]:
    """Three utterances of each of two recordings, whose speakers are a voice each."""
    spoken: list[Utterance] = []
    for name in ("r1", "r2"):
        add_recording(con, recording(name), audio_file=f"{name}.flac", run_id="t")
        made = heard(name, starts=(0, 2_000, 4_000), text=SAID)
        made.store(con)
        spoken += made.utterances
    return spoken


def example_of(utterance: Utterance, split: Split) -> Example:
    gold = GoldLabel(label="ask", distribution={"ask": 1.0}, num_votes=1)
    voice = f"{utterance.recording_id}/{utterance.speaker}"
    return Example(
        utterance_id=utterance.utterance_id,
        recording_id=utterance.recording_id,
        channel=utterance.channel,
        segment=utterance.segment,
        voice=voice,
        group=utterance.recording_id,
        audio_file=f"{utterance.recording_id}.flac",
        text=utterance.text,
        language=utterance.language,
        split=split,
        gold={"intent": gold},
    )


def cut(con: DuckDBPyConnection, calls: Sequence[Utterance], **recipe: object) -> DatasetVersion:
    """A version of the first utterance of each recording: r1 trains, r2 tests."""
    examples = [example_of(calls[0], Split.TRAIN), example_of(calls[3], Split.TEST)]
    stored = {"schemes": {"intent": 1}, "ledger_head": chain_head(con), **recipe}
    version, _ = create_version(con, "calls", examples, recipe=stored, run_id="t")
    return version


def write(
    con: DuckDBPyConnection,
    version: DatasetVersion,
    path: Path,
    histories: Mapping[str, SchemeHistory] | None = None,
) -> dict[str, ContextRow]:
    """Write the context of a version, and read it back by utterance."""
    write_version_context(
        con,
        version.version_id,
        histories=histories or {},
        path=path,
        today=TODAY,
        run_id="t",
    )
    rows: dict[str, ContextRow] = {}
    for batch in read_context(path):
        rows |= {row.utterance_id: row for row in batch}
    return rows


def answer(number: int, utterance: Utterance, **more: Any) -> Annotation:
    fields = {"annotator": "a", "labels": {"intent": ("ask",)}, "project_id": 1, **more}
    return Annotation(
        annotation_id=number,
        utterance_id=fields.pop("utterance_id", utterance.utterance_id),
        updated_at=NOON + timedelta(seconds=number),
        **fields,
    )


def said(row: ContextRow) -> list[tuple[tuple[str, ...], bool]]:
    """What was voted, and whether it decided."""
    return [(vote.labels, vote.is_decision) for vote in row.votes]


def test_write_version_context_gives_unlabelled_utterances_the_split_of_their_recording(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    rows = write(con, cut(con, calls), tmp_path / "c.jsonl")
    assert set(rows) == {utterance.utterance_id for utterance in calls}
    for utterance in calls:
        row = rows[utterance.utterance_id]
        assert row.split is (Split.TRAIN if utterance.recording_id == "r1" else Split.TEST)
        assert row.group == utterance.recording_id
        assert row.is_labelled is (utterance.segment.start_ms == 0)
        assert row.machine_text == SAID
        assert row.measures["speech_ms"] == 1_500
        assert row.measures["word_probability"] == 0.25
        assert row.marks == ("repetition",)
        assert row.sound is not None
        assert row.sound.codec == "pcm_s16le"
        assert row.text_source is TextSource.MACHINE


def test_write_version_context_of_an_import_has_no_more_than_its_examples(
    con: DuckDBPyConnection, example: Callable[..., Example], tmp_path: Path
) -> None:
    imported = {"imported": {"manifest": "theirs.csv"}}
    version, _ = create_version(con, "theirs", [example(1)], recipe=imported, run_id="t")
    (row,) = write(con, version, tmp_path / "c.jsonl").values()
    assert row.is_labelled
    assert row.text_source is TextSource.UNKNOWN
    assert row.machine_text is None
    assert row.sound is None
    assert row.votes == ()
    assert row.measures == {}


def test_write_version_context_refuses_an_unknown_version(
    con: DuckDBPyConnection, tmp_path: Path
) -> None:
    with pytest.raises(NotFoundError, match="no dataset version has the id 'gone'"):
        write_version_context(
            con, "gone", histories={}, path=tmp_path / "c", today=TODAY, run_id="t"
        )


def test_write_version_context_leaves_out_a_voice_that_an_earlier_version_tested(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    earlier = {"voice": "r1/S0", "split": "test", "run_id": "t"}
    insert_rows(con, "split_assignment", [earlier])
    path = tmp_path / "c.jsonl"
    rows = write(con, cut(con, calls), path)
    unlabelled = {row.recording_id for row in rows.values() if not row.is_labelled}
    assert unlabelled == {"r2"}
    assert read_context_header(path).left_out == {"voice in another split": 2}


def test_write_version_context_ignores_splits_of_later_versions(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    version = cut(con, calls)
    before = write(con, version, tmp_path / "c.jsonl")
    other = example_of(calls[1], Split.TEST)
    create_version(con, "others", [other], recipe={}, run_id="t")
    later = {"voice": "r1/S0", "split": "test", "run_id": "t"}
    insert_rows(con, "split_assignment", [later])
    assert write(con, version, tmp_path / "c.jsonl") == before


def test_write_version_context_applies_the_recipe_to_unlabelled_utterances(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    levels = (10.0, 30.0, 10.0)
    measures = {}
    for utterance, snr_db in zip(calls, (*levels, *levels), strict=True):
        measures[utterance.utterance_id] = Quality(
            level_db=-20.0, snr_db=snr_db, clipping_ratio=0.0, bandwidth_hz=8_000
        )
    store_measures(con, "r1", measures, key="k", run_id="t")
    path = tmp_path / "c.jsonl"
    version = cut(con, calls, limits={"snr_db": 20.0}, where="recording_id <> 'r2'")
    rows = write(con, version, path)
    (row,) = [row for row in rows.values() if not row.is_labelled]
    assert row.utterance_id == calls[1].utterance_id
    assert row.measures["snr_db"] == 30
    assert read_context_header(path).left_out == {"snr_db": 2, "where": 1}


def test_write_version_context_takes_none_when_the_recipe_asks_for_gold(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    path = tmp_path / "c.jsonl"
    rows = write(con, cut(con, calls, where="intent_votes >= 1"), path)
    assert all(row.is_labelled for row in rows.values())
    assert read_context_header(path).left_out == {"where": 4}


def test_write_version_context_says_when_the_recipe_is_refused_today(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    path = tmp_path / "c.jsonl"
    rows = write(con, cut(con, calls, where="read_text('/etc/passwd') <> ''"), path)
    assert len(rows) == 2
    assert read_context_header(path).left_out == {"recipe cannot be applied": 4}


def test_write_version_context_leaves_out_a_phrase_of_another_split(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    phrase = f"phrase/intent/{digest(phrase_of(SAID))}"
    insert_rows(con, "split_assignment", [{"voice": phrase, "split": "test", "run_id": "t"}])
    path = tmp_path / "c.jsonl"
    rows = write(con, cut(con, calls, phrases=["intent"]), path)
    unlabelled = {row.recording_id for row in rows.values() if not row.is_labelled}
    assert unlabelled == {"r2"}
    assert read_context_header(path).left_out == {"phrase in another split": 2}


def test_write_version_context_has_the_votes_that_stood(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    first, check = calls[0], digest("check")
    insert_rows(
        con,
        "check_clip",
        [
            {
                "key": check,
                "utterance_id": first.utterance_id,
                "purpose": "gold",
                "shift_ms": 1,
                "run_id": "t",
            }
        ],
    )
    decides = {"server_id": 2, "made_at": "", "title": "", "run_id": "t"}
    insert_rows(con, "annotation_project", [{"project_id": 2, "purpose": "adjudicate", **decides}])
    tell = {"intent": ("tell",)}
    answers = [
        answer(1, first, labels=tell),
        answer(2, first),  # the newer one counts
        answer(3, first, annotator="b", skipped=True, labels={}),
        answer(4, first, annotator="c", deleted=True),
        answer(5, first, utterance_id=check, labels=tell),
        answer(6, first, project_id=2, labels=tell),
        answer(7, first, annotator="d", labels={"emotion": ("sad",)}),  # not of the version
    ]
    add_annotations(con, answers, run_id="t")
    version = cut(con, calls)
    add_annotations(con, [answer(8, first, annotator="e")], run_id="t")  # came later
    rows = write(con, version, tmp_path / "c.jsonl")
    assert said(rows[first.utterance_id]) == [(("ask",), False), (("tell",), True)]
    people = {vote.annotator for vote in rows[first.utterance_id].votes}
    assert len(people) == 1
    assert people != {"a"}


def test_write_version_context_names_labels_as_the_version_does(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    def history(version: int, *changes: SchemeChange, names: str) -> dict[str, SchemeHistory]:
        labels = tuple(SchemeLabel(name=name) for name in names.split())
        scheme = Scheme(name="intent", version=version, labels=labels)
        return {"intent": SchemeHistory(scheme=scheme, changes=changes)}

    add_annotations(con, [answer(1, calls[0], labels={"intent": ("old",)})], run_id="t")
    version = cut(con, calls, schemes={"intent": 2})
    first = SchemeChange(to_version=2, rename={"old": "ask"})
    then = write(con, version, tmp_path / "c.jsonl", history(2, first, names="ask tell"))
    second = SchemeChange(to_version=3, rename={"ask": "question"})
    later = write(
        con, version, tmp_path / "c.jsonl", history(3, first, second, names="question tell")
    )
    (vote,) = then[calls[0].utterance_id].votes
    assert vote == CastVote(
        annotator=vote.annotator, scheme="intent", labels=("ask",), proposal_shown=False
    )
    assert later == then


def test_write_version_context_tells_an_empty_correction_from_none(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    add_annotations(con, [answer(1, calls[1], text="")], run_id="t")
    rows = write(con, cut(con, calls), tmp_path / "c.jsonl")
    assert rows[calls[1].utterance_id].person_text == ""
    assert rows[calls[1].utterance_id].text_source is TextSource.PERSON
    assert rows[calls[2].utterance_id].person_text is None


def test_write_version_context_leaves_no_table_behind(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    version = cut(con, calls)
    query = """select table_name as name from duckdb_tables() where temporary
      union all select view_name from duckdb_views() where temporary and not internal order by 1"""
    before = read_rows(con, query)
    write(con, version, tmp_path / "c.jsonl")
    assert read_rows(con, query) == before


def test_write_version_context_keeps_the_salt_of_a_version(
    con: DuckDBPyConnection, calls: list[Utterance], tmp_path: Path
) -> None:
    add_annotations(con, [answer(1, calls[0])], run_id="t")
    version = cut(con, calls)
    write(con, version, tmp_path / "a")
    write(con, version, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len(read_rows(con, "from pseudonym_salt")) == 1


def test_write_version_context_names_the_fault_that_stopped_it(
    con: DuckDBPyConnection,
    calls: list[Utterance],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fill_disk(_path: Path, rows: Iterator[ContextRow], **_: object) -> None:
        next(rows)
        raise MachineError("the disk is full")

    version = cut(con, calls)
    with monkeypatch.context() as patch:
        patch.setattr(warehouse.exchange.context, "write_context", fill_disk)
        with pytest.raises(MachineError, match="the disk is full"):
            write(con, version, tmp_path / "c.jsonl")
    assert len(write(con, version, tmp_path / "c.jsonl")) == len(calls)
