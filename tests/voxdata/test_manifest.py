import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.dataset import GoldLabel, Split
from voxdata.errors import ManifestError
from voxdata.manifest import (
    Manifest,
    decode_example,
    encode_example,
    read_examples,
    read_manifest,
    read_manifest_header,
    select,
    write_manifest,
)
from voxdata.root import fingerprint
from voxdata.testing import make_example

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
gold_labels = st.builds(
    lambda share, votes: GoldLabel(
        label="a", distribution={"a": share / 1e6, "情": (10**6 - share) / 1e6}, num_votes=votes
    ),
    st.integers(0, 10**6),
    st.integers(1, 9),
)
golds = st.dictionaries(text, gold_labels, max_size=2)
examples = st.builds(
    lambda number, words, voice, split, gold: make_example(
        number, text=words, voice=voice, split=split, gold=gold
    ),
    st.integers(0, 10**6),
    text,
    text,
    st.sampled_from(Split),
    golds,
)


def manifest(made, root="/audio") -> Manifest:
    ordered = tuple(sorted(made, key=lambda e: e.utterance_id))
    return Manifest(
        version_id=fingerprint(ordered),
        name="v1 名",
        audio_root=Path(root),
        schemes={"intent": ("greet", "退款")},
        examples=ordered,
    )


@given(examples)
def test_decode_example_inverts_encode_example(example):
    assert decode_example(json.loads(json.dumps(encode_example(example)))) == example


@given(st.lists(examples, max_size=6, unique_by=lambda e: e.utterance_id))
@settings(max_examples=40, deadline=None)
def test_read_manifest_returns_what_write_manifest_wrote(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("manifest") / "sub" / "m.jsonl"
    write_manifest(path, manifest(made))
    assert read_manifest(path) == manifest(made)
    names = [file.name for file in path.parent.iterdir()]
    assert names == ["m.jsonl"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda lines: [], "line 1 is malformed"),
        (lambda lines: [lines[0].replace("voxdata-manifest/2", "other/9"), *lines[1:]], "other/9"),
        (lambda lines: [lines[0], lines[1][:-3], *lines[2:]], "line 2 is malformed"),
        (
            lambda lines: [
                lines[0],
                lines[1],
                lines[2].replace('"train"', '"practice"'),
                *lines[3:],
            ],
            "line 3 is malformed",
        ),
        (lambda lines: lines[:-1], "its header says"),
        (
            lambda lines: [lines[0], lines[1].replace("hello", "hallo"), *lines[2:]],
            "its header says",
        ),
        (lambda lines: ["[1]", *lines[1:]], "line 1 is malformed"),
        (
            lambda lines: ['{"format": "voxdata-manifest/2"}', *lines[1:]],
            "line 1 is malformed: field 'version_id' is missing",
        ),
        (
            lambda lines: [*lines[:2], lines[2].replace('"voice"', '"who"'), *lines[3:]],
            "line 3 is malformed: field 'voice' is missing",
        ),
        (lambda lines: [lines[0], "{", *lines[2:]], "line 2 is malformed: it is no JSON: "),
    ],
)
def test_read_manifest_names_file_and_line_when_it_is_spoilt(tmp_path, spoil, says):
    path = tmp_path / "m.jsonl"
    write_manifest(path, manifest([make_example(number) for number in range(3)]))
    path.write_text("\n".join(spoil(path.read_text().splitlines())))
    with pytest.raises(ManifestError, match=says) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


def test_read_manifest_names_a_missing_file(tmp_path):
    with pytest.raises(ManifestError, match=r"gone\.jsonl"):
        read_manifest(tmp_path / "gone.jsonl")


def test_read_manifest_names_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match=r"m\.jsonl: cannot be read .*export the version again"):
        read_manifest(path)


def test_read_examples_gives_what_comes_before_a_malformed_line(tmp_path):
    path = tmp_path / "m.jsonl"
    write_manifest(path, manifest([make_example(number) for number in range(3)]))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "{"]))
    reading = read_examples(path)
    assert [next(reading), next(reading)] == sorted(
        [make_example(number) for number in range(3)], key=lambda e: e.utterance_id
    )[:2]
    with pytest.raises(ManifestError, match="line 4 is malformed"):
        next(reading)


def test_read_manifest_header_needs_no_other_line(tmp_path):
    path = tmp_path / "m.jsonl"
    whole = manifest([make_example(number) for number in range(3)])
    write_manifest(path, whole)
    path.write_text(path.read_text().splitlines()[0])
    assert read_manifest_header(path) == replace(whole, examples=())


def test_select_takes_one_split_and_only_labelled_examples():
    train = make_example(1)
    unlabelled = make_example(2, intent=None)
    test = make_example(3, split=Split.TEST)
    assert select(manifest([train, unlabelled, test]), Split.TRAIN, scheme="intent") == [train]
