"""Between voxdata's values and Label Studio's JSON, both ways."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.decode import decode_annotation, decode_time
from annotation.encode import encode_entry, encode_labels, model_version
from voxdata.errors import AnnotationError
from voxdata.identity import ModelRef
from voxdata.label import Annotation
from voxdata.testing.queue import QUEUE_SCHEMES, make_entry, make_prediction

INTENT, EMOTION = QUEUE_SCHEMES


def raw(result: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "result": result or [],
        "was_cancelled": False,
        "lead_time": 1.5,
        "updated_at": "2026-05-06T07:08:09.123456Z",
        **fields,
    }


def decode(row: dict[str, Any], *, proposed_text: str = "hello there") -> Annotation:
    return decode_annotation(
        row, project_id=3, utterance_id="u0", proposed_text=proposed_text, annotator="a@voxdata.local", schemes=QUEUE_SCHEMES
    )


@given(
    intent=st.sampled_from(INTENT.label_names),
    emotion=st.sampled_from(EMOTION.label_names),
    text=st.text(min_size=1).filter(lambda t: t.strip() and t.strip() != "hello there"),
)
def test_decode_annotation_gives_back_what_was_encoded(intent: str, emotion: str, text: str) -> None:
    labels = {"intent": (intent,), "emotion": (emotion,)}
    found = decode(raw(encode_labels(labels, text=text)))
    assert dict(found.labels) == labels
    assert found.text == text.strip()


def test_decode_annotation_keeps_who_when_and_how_long() -> None:
    assert decode(raw()) == Annotation(
        annotation_id=7,
        project_id=3,
        utterance_id="u0",
        annotator="a@voxdata.local",
        labels={},
        lead_time_ms=1_500,
        updated_at=datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=UTC),
    )


def test_decode_annotation_has_no_text_when_it_was_left_alone() -> None:
    assert decode(raw(encode_labels({}, text=" hello there ")), proposed_text="hello there\n").text is None


def test_decode_annotation_reads_a_transcript_sent_as_one_string() -> None:
    result = encode_labels({}, text="x")
    result[0]["value"]["text"] = "one string"
    assert decode(raw(result)).text == "one string"


def test_decode_annotation_drops_labels_of_a_skip() -> None:
    found = decode(raw(encode_labels({"emotion": ("angry",)}, text="other"), was_cancelled=True))
    assert (found.skipped, dict(found.labels), found.text) == (True, {}, None)


def test_decode_annotation_passes_over_controls_it_does_not_know() -> None:
    other = {"from_name": "rating", "to_name": "audio", "type": "rating", "value": {"rating": 3}}
    assert dict(decode(raw([other, *encode_labels({"emotion": ("angry",)})])).labels) == {"emotion": ("angry",)}


@pytest.mark.parametrize(
    "row",
    [
        raw(encode_labels({"emotion": ("bored",)})),
        raw([{"from_name": "emotion", "value": {"choices": []}}]),
        raw([{"from_name": "emotion", "value": {"choices": ["angry", "neutral"]}}]),
        raw([{"from_name": "emotion", "value": {}}]),
        raw(updated_at="yesterday"),
        raw(lead_time="long"),
    ],
    ids=["unknown label", "no choice", "two choices", "no value", "bad time", "bad lead time"],
)
def test_decode_annotation_raises_and_names_clip_and_annotation(row: dict[str, Any]) -> None:
    with pytest.raises(AnnotationError, match=r"annotation 7 of clip u0"):
        decode(row)


@pytest.mark.parametrize(
    "value",
    [
        "2026-05-06T07:08:09Z",
        "2026-05-06T09:08:09+02:00",
        datetime(2026, 5, 6, 7, 8, 9),
        datetime(2026, 5, 6, 9, 8, 9, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_decode_time_gives_utc(value: str | datetime) -> None:
    assert decode_time(value) == datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert decode_time(value).utcoffset() == timedelta(0)


@given(name=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1))
def test_encode_entry_quotes_the_file_so_that_the_server_reads_it_back(name: str) -> None:
    address = encode_entry(make_entry("u0", audio_file=f"clips/{name}.wav"))["data"]["audio"]
    parts = urlsplit(address)
    assert (parts.scheme, parts.netloc, parts.path) == ("", "", "/data/local-files/")
    assert parse_qs(parts.query, keep_blank_values=True) == {"d": [f"clips/{name}.wav"]}


def test_encode_entry_carries_key_note_and_one_prediction() -> None:
    encoded = encode_entry(make_entry("u0", audio_file="clips/a.wav"))
    assert encoded["data"]["vox_id"] == "u0"
    assert encoded["data"]["note"] == "call <1> & 电话.wav · S0 · u0"
    (prediction,) = encoded["predictions"]
    assert prediction["score"] == pytest.approx(0.7)
    assert dict(decode(raw(prediction["result"])).labels) == {"intent": ("查询余额",), "emotion": ("angry",)}


def test_encode_entry_scores_by_the_least_certain_proposal() -> None:
    sure = replace(make_prediction("u0", "intent", "greet"), distribution={"greet": 1.0})
    entry = replace(make_entry("u0", audio_file="clips/a.wav"), predictions=(sure, make_prediction("u0", "emotion", "angry")))
    assert encode_entry(entry)["predictions"][0]["score"] == pytest.approx(0.7)


def test_encode_entry_has_no_prediction_when_nothing_is_proposed() -> None:
    assert encode_entry(replace(make_entry("u0", audio_file="clips/a.wav"), predictions=()))["predictions"] == []


def test_model_version_is_the_same_in_any_order_and_names_the_models() -> None:
    predictions = make_entry("u0", audio_file="a").predictions
    assert model_version(predictions) == model_version(predictions[::-1])
    assert "intent:test-intent@" in model_version(predictions)
    assert "emotion:test-emotion@" in model_version(predictions)


@pytest.mark.parametrize(
    "other",
    [
        ModelRef(name="test-emotion", revision="r2"),
        ModelRef(name="another", revision="r1"),
        ModelRef(name="test-emotion", revision="r1", params={"beam": 5}),
        ModelRef(name="test-emotion", revision="r1", weak=True),
    ],
    ids=["revision", "name", "params", "weak"],
)
def test_model_version_differs_when_a_model_does(other: ModelRef) -> None:
    prediction = make_prediction("u0")
    assert model_version([replace(prediction, model=other)]) != model_version([prediction])
