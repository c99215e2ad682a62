"""The context of a version: written and read row by row, and every spoilt line named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.context import context_path, read_context, read_context_header, write_context
from voxdata.context_row import (
    CastVote,
    ContextRow,
    OriginalSound,
    TextSource,
    decode_row,
    encode_row,
)
from voxdata.dataset import Split
from voxdata.errors import ManifestError
from voxdata.measure import MEASURES
from voxdata.segment import Segment
from voxdata.stated import Stated

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
votes = st.builds(
    CastVote,
    annotator=names,
    scheme=names,
    labels=st.lists(text, min_size=1, max_size=3).map(tuple),
    proposal_shown=st.booleans(),
    is_decision=st.booleans(),
)
sounds = st.builds(
    OriginalSound,
    codec=names,
    sample_rate_hz=st.integers(8_000, 192_000),
    num_channels=st.integers(1, 8),
)
segments = st.builds(
    lambda start_ms, length_ms: Segment(start_ms=start_ms, end_ms=start_ms + length_ms),
    st.integers(0, 10**7),
    st.integers(1, 10**5),
)
rows = st.builds(
    ContextRow,
    utterance_id=names,
    recording_id=names,
    channel=st.integers(0, 7),
    segment=segments,
    voice=text,
    group=text,
    audio_file=names,
    split=st.sampled_from(Split),
    is_labelled=st.booleans(),
    language=text,
    text_source=st.sampled_from(TextSource),
    machine_text=st.none() | text,
    transcriber=text,
    marks=st.lists(names, max_size=2).map(tuple),
    person_text=st.none() | text,
    votes=st.lists(votes, max_size=3).map(tuple),
    measures=st.dictionaries(st.sampled_from(MEASURES), st.floats(-100, 8_000), max_size=3),
    num_voices=st.integers(0, 9),
    stated=st.builds(Stated, sex=text, age_band=text, dialect=text, language=text),
    sound=st.none() | sounds,
)


def make_row(number: int) -> ContextRow:
    return ContextRow(
        utterance_id=f"{number:032x}",
        recording_id="r",
        channel=0,
        segment=Segment(start_ms=0, end_ms=1_000),
        voice="v",
        group="g",
        audio_file="r.flac",
        split=Split.TRAIN,
        is_labelled=number % 2 == 0,
        language="en",
        text_source=TextSource.MACHINE,
        machine_text="one\u2028two",
    )


def write_rows(path: Path, number: int) -> None:
    made = map(make_row, range(number))
    write_context(path, made, version_id="v", left_out={"consent": 2})


@given(rows)
def test_decode_row_inverts_encode_row(row: ContextRow) -> None:
    assert decode_row(json.loads(json.dumps(encode_row(row)))) == row


@given(st.lists(rows, max_size=7), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_read_context_gives_in_batches_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, made: list[ContextRow], size: int
) -> None:
    path = tmp_path_factory.mktemp("context") / "c.jsonl"
    header = write_context(path, made, version_id="v 名", left_out={"voice": 3})
    assert read_context_header(path) == header
    assert header.num_rows == len(made)
    assert header.num_unlabelled == sum(not row.is_labelled for row in made)
    batches = list(read_context(path, batch_size=size))
    assert {len(batch) for batch in batches[:-1]} <= {size}
    read: list[ContextRow] = []
    for batch in batches:
        read += batch
    assert read == made
    names = [file.name for file in path.parent.iterdir()]
    assert names == ["c.jsonl"]


def test_write_context_gives_equal_bytes_for_equal_rows(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_rows(tmp_path / name, 3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_write_context_leaves_the_file_before_when_a_row_fails(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    write_rows(path, 2)
    before = path.read_bytes()
    made = (make_row(number) if number < 5 else 1 // 0 for number in range(9))
    with pytest.raises(ZeroDivisionError):
        write_context(path, made, version_id="v", left_out={})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["c.jsonl"]


def test_read_context_holds_one_batch_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    write_rows(path, 10)
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join([*lines[:6], "{", *lines[7:]]), encoding="utf-8")
    reading = read_context(path, batch_size=5)
    assert next(reading) == tuple(map(make_row, range(5)))
    with pytest.raises(ManifestError, match="line 7 is malformed"):
        next(reading)


Spoil = Callable[[list[str]], list[str]]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda lines: [], "line 1 is malformed"),
        (lambda lines: [lines[0].replace("context/1", "context/9"), *lines[1:]], "context/9"),
        (lambda lines: ["[1]", *lines[1:]], "line 1 is malformed: it is"),
        (
            lambda lines: [lines[0].replace('"left_out"', '"kept"'), *lines[1:]],
            "line 1 is malformed: field 'left_out' is missing",
        ),
        (lambda lines: [lines[0], lines[1][:-3], *lines[2:]], "line 2 is malformed: it is no JSON"),
        (
            lambda lines: [*lines[:2], lines[2].replace('"train"', '"practice"'), *lines[3:]],
            "line 3 is malformed: field 'split' is 'practice'",
        ),
        (
            lambda lines: [*lines[:2], lines[2].replace('"machine"', '"nobody"'), *lines[3:]],
            "line 3 is malformed: field 'text_source' is 'nobody'",
        ),
        (
            lambda lines: [lines[0], lines[1].replace("r.flac", "../r.flac"), *lines[2:]],
            "line 2 is malformed: audio_file '../r.flac' climbs out",
        ),
        (
            lambda lines: [lines[0], lines[1].replace('"marks": []', '"marks": 3'), *lines[2:]],
            "line 2 is malformed: field 'marks' is 3",
        ),
        (
            lambda lines: [lines[0], lines[1].replace("one", "two"), *lines[2:]],
            "its header says 3",
        ),
        (lambda lines: lines[:-1], "its 2 rows give"),
        (lambda lines: [*lines, lines[1]], "its 4 rows give"),
        (
            lambda lines: [lines[0].replace('"consent": 2', '"consent": 0'), *lines[1:]],
            "its header says",
        ),
    ],
)
def test_read_context_names_file_and_line_when_it_is_spoilt(
    tmp_path: Path, spoil: Spoil, says: str
) -> None:
    path = tmp_path / "c.jsonl"
    write_rows(path, 3)
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    path.write_text("\n".join(spoil(lines)), encoding="utf-8")
    with pytest.raises(ManifestError, match=says) as caught:
        list(read_context(path))
    assert str(path) in str(caught.value)


other_lines = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1)


@given(st.integers(2, 6), other_lines)
@settings(max_examples=60, deadline=None)
def test_read_context_refuses_whatever_stands_in_place_of_a_line(
    tmp_path_factory: pytest.TempPathFactory, number: int, line: str
) -> None:
    path = tmp_path_factory.mktemp("context") / "c.jsonl"
    write_rows(path, 5)
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    lines[number - 1] = line
    path.write_text("\n".join(lines), encoding="utf-8", newline="\n")
    with pytest.raises(ManifestError) as caught:
        list(read_context(path))
    assert f"{path}: line {number} is malformed" in str(caught.value)


@given(st.integers(1, 5), st.sampled_from(sorted(encode_row(make_row(0)))), st.integers(-2, -1))
@settings(max_examples=60, deadline=None)
def test_read_context_notices_any_field_that_was_changed(
    tmp_path_factory: pytest.TempPathFactory, number: int, name: str, value: int
) -> None:
    path = tmp_path_factory.mktemp("context") / "c.jsonl"
    write_rows(path, 5)
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    row = json.loads(lines[number])
    lines[number] = json.dumps({**row, name: value}, ensure_ascii=False)
    path.write_text("\n".join(lines), encoding="utf-8", newline="\n")
    with pytest.raises(ManifestError, match=str(path)):
        list(read_context(path))


def test_read_context_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"gone\.jsonl: cannot be read"):
        list(read_context(tmp_path / "gone.jsonl"))


def test_context_path_lies_beside_the_manifest() -> None:
    assert context_path(Path("run/manifest.jsonl")) == Path("run/context.jsonl")
