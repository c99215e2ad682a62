"""Between voxdata's values and Label Studio's JSON, both ways."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.config import build_config
from annotation.decode import decode_annotation, decode_time
from annotation.encode import (
    RIVALS,
    describe_proposal,
    describe_rival,
    encode_entry,
    encode_labels,
    encode_simulation,
    model_version,
    ticked_models,
)
from annotation.wording import FLAGS
from voxdata.errors import AnnotationError
from voxdata.identity import ModelRef
from voxdata.label import Annotation
from voxdata.ports import QueueEntry, Rival
from voxdata.scheme import Scheme
from voxdata.testing.annotation_queue import QUEUE_SCHEMES, make_entry, make_prediction
from voxdata.testing.schemes import schemes_of_every_kind

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


def decode(
    row: dict[str, Any],
    *,
    proposed_text: str = "hello there",
    schemes: tuple[Scheme, ...] = QUEUE_SCHEMES,
    **more: Any,
) -> Annotation:
    return decode_annotation(
        row,
        project_id=3,
        utterance_id="u0",
        proposed_text=proposed_text,
        annotator="a@voxdata.local",
        schemes=schemes,
        **more,
    )


def choices(name: str, *chosen: str) -> dict[str, Any]:
    return {
        "from_name": name,
        "to_name": "audio",
        "type": "choices",
        "value": {"choices": list(chosen)},
    }


def rated(name: str, value: int) -> dict[str, Any]:
    return {"from_name": name, "to_name": "audio", "type": "rating", "value": {"rating": value}}


@st.composite
def answers(
    draw: st.DrawFn,
) -> tuple[tuple[Scheme, ...], dict[str, tuple[str, ...]], dict[str, int], tuple[str, ...]]:
    """Schemes of every kind, and what one person may say under them."""
    schemes = draw(schemes_of_every_kind())
    most = {"one": 1, "many": 4, "ranked": 2}
    labels = {
        s.name: s.arrange(
            draw(
                st.lists(
                    st.sampled_from(s.label_names), min_size=1, max_size=most[s.choice], unique=True
                )
            )
        )
        for s in schemes
    }
    scales = []
    for s in schemes:
        scales += [f"{s.name}.{scale}" for scale in s.scales]
    ratings = {name: draw(st.integers(1, 5)) for name in scales if draw(st.booleans())}
    flags = draw(st.sets(st.sampled_from(FLAGS)))
    return schemes, labels, ratings, tuple(flag for flag in FLAGS if flag in flags)


@given(
    answer=answers(),
    text=st.text(min_size=1).filter(lambda t: t.strip() and t.strip() != "hello there"),
)
def test_decode_annotation_gives_back_what_was_encoded(answer: Any, text: str) -> None:
    schemes, labels, ratings, flags = answer
    decoded = decode(
        raw(encode_labels(labels, schemes=schemes, ratings=ratings, flags=flags, text=text)),
        schemes=schemes,
    )
    assert dict(decoded.labels) == labels
    assert dict(decoded.ratings) == ratings
    assert decoded.flags == flags
    assert decoded.text == text.strip()


@settings(max_examples=40, deadline=None)
@given(answer=answers())
def test_encode_labels_fits_the_labelling_screen(answer: Any) -> None:
    label_interface: Any = pytest.importorskip("label_studio_sdk.label_interface")
    schemes, labels, ratings, flags = answer
    for language in ("en", "zh"):
        screen = label_interface.LabelInterface(build_config(schemes, language=language))
        result = encode_labels(
            labels,
            schemes=schemes,
            ratings=ratings,
            flags=flags,
            text="x",
        )
        assert (
            screen.validate_prediction(
                {"model_version": "m", "score": 0.5, "result": result},
                return_errors=True,
            )
            == []
        )


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
    decoded = decode(raw(encode_labels({}, text=" hello there ")), proposed_text="hello there\n")
    assert decoded.text is None


def test_decode_annotation_reads_a_transcript_sent_as_one_string() -> None:
    result = encode_labels({}, text="x")
    result[0]["value"]["text"] = "one string"
    assert decode(raw(result)).text == "one string"


def test_decode_annotation_drops_labels_of_a_skip() -> None:
    decoded = decode(raw(encode_labels({"emotion": ("angry",)}, text="other"), was_cancelled=True))
    assert decoded.skipped is True
    assert dict(decoded.labels) == {}
    assert decoded.text is None


def test_decode_annotation_drops_ratings_and_flags_of_a_skip() -> None:
    decoded = decode(
        raw(
            encode_labels({}, ratings={"emotion.intensity": 3}, flags=["noisy"]),
            was_cancelled=True,
        )
    )
    assert dict(decoded.ratings) == {}
    assert decoded.flags == ()


def test_decode_annotation_reads_that_a_script_answered() -> None:
    mark = encode_simulation("a@voxdata.local", 0.05)
    decoded = decode(raw([*encode_labels({"emotion": ("angry",)}), mark]))
    assert decoded.simulated == 0.05
    decoded = decode(raw([mark], was_cancelled=True))
    assert decoded.simulated == 0.05
    decoded = decode(raw(encode_labels({"emotion": ("angry",)})))
    assert decoded.simulated is None


def test_decode_annotation_takes_a_copied_mark_of_somebody_else_for_none() -> None:
    decoded = decode(raw([encode_simulation("annotator-1@voxdata.local", 0.05)]))
    assert decoded.simulated is None


def test_decode_annotation_passes_over_controls_it_does_not_know() -> None:
    decoded = decode(raw([rated("stars", 3), *encode_labels({"emotion": ("angry",)})]))
    assert dict(decoded.labels) == {"emotion": ("angry",)}


def test_decode_annotation_sorts_several_labels_as_the_scheme_does_and_keeps_the_rank() -> None:
    row = raw(
        [
            choices("intent", "查询余额", "greet"),
            choices("emotion.second", "angry"),
            choices("emotion", "高兴"),
        ]
    )
    assert dict(decode(row).labels) == {
        "intent": ("greet", "查询余额"),
        "emotion": ("高兴", "angry"),
    }


def test_decode_annotation_takes_a_second_choice_that_repeats_the_first_for_none() -> None:
    decoded = decode(
        raw(
            [
                choices("emotion", "angry"),
                choices("emotion.second", "angry"),
            ]
        )
    )
    assert dict(decoded.labels) == {"emotion": ("angry",)}


def test_decode_annotation_passes_over_a_second_choice_of_a_scheme_that_is_not_ranked() -> None:
    plain = (replace(EMOTION, choice="one"),)
    row = raw([choices("emotion", "angry"), choices("emotion.second", "neutral")])
    decoded = decode(row, schemes=plain)
    assert dict(decoded.labels) == {"emotion": ("angry",)}


def test_decode_annotation_names_the_author_only_when_it_is_somebody_else() -> None:
    assert decode(raw(), author="a@voxdata.local").author == ""
    assert decode(raw(), author="admin@voxdata.local").author == "admin@voxdata.local"


def test_decode_annotation_names_the_proposal_it_began_with() -> None:
    versions = {5: "emotion:m@1"}
    decoded = decode(raw(parent_prediction=5), model_versions=versions)
    assert decoded.proposal == "emotion:m@1"
    decoded = decode(raw(parent_prediction=6), model_versions=versions)
    assert decoded.proposal == ""
    decoded = decode(raw(parent_prediction=None), model_versions=versions)
    assert decoded.proposal == ""


@pytest.mark.parametrize(
    "row",
    [
        raw(encode_labels({"emotion": ("bored",)})),
        raw([{"from_name": "emotion", "value": {"choices": []}}]),
        raw([choices("emotion", "angry", "neutral")]),
        raw([choices("emotion", "angry"), choices("emotion.second", "neutral", "高兴")]),
        raw([choices("emotion.second", "angry")]),
        raw([{"from_name": "emotion", "value": {}}]),
        raw([{"from_name": "emotion", "value": {"choices": "angry"}}]),
        raw([rated("emotion.intensity", 0)]),
        raw([rated("emotion.intensity", 6)]),
        raw([choices("flags", "noisy", "boring")]),
        raw(updated_at="yesterday"),
        raw(lead_time="long"),
    ],
    ids=[
        "unknown label",
        "no choice",
        "two first choices",
        "two second choices",
        "second without first",
        "no value",
        "a string",
        "rating too small",
        "rating too large",
        "unknown flag",
        "bad time",
        "bad lead time",
    ],
)
def test_decode_annotation_raises_and_names_clip_and_annotation(row: dict[str, Any]) -> None:
    with pytest.raises(AnnotationError, match=r"annotation 7 of clip u0"):
        decode(row)


def test_decode_annotation_refuses_two_labels_where_one_is_asked_for() -> None:
    with pytest.raises(AnnotationError, match=r"at most 1 label.*angry, neutral"):
        decode(
            raw([choices("emotion", "angry", "neutral")]),
            schemes=(replace(EMOTION, choice="one"),),
        )


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


@given(
    name=st.text(
        alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"),
        min_size=1,
    )
)
def test_encode_entry_quotes_the_file_so_that_the_server_reads_it_back(name: str) -> None:
    address = encode_entry(make_entry("u0", audio_file=f"clips/{name}.wav"))["data"]["audio"]
    parts = urlsplit(address)
    assert parts.scheme == ""
    assert parts.netloc == ""
    assert parts.path == "/data/local-files/"
    assert parse_qs(parts.query, keep_blank_values=True) == {"d": [f"clips/{name}.wav"]}


def test_encode_entry_carries_key_note_and_one_prediction() -> None:
    encoded = encode_entry(make_entry("u0", audio_file="clips/a.wav"))
    assert encoded["data"]["vox_id"] == "u0"
    assert encoded["data"]["note"] == "call <1> & 电话.wav · S0 · u0"
    (prediction,) = encoded["predictions"]
    assert prediction["score"] == pytest.approx(0.5)
    decoded = decode(raw(prediction["result"]))
    assert dict(decoded.labels) == {
        "intent": ("查询余额",),
        "emotion": ("angry",),
    }


def test_encode_entry_is_served_in_the_order_of_its_priority() -> None:
    entry = replace(make_entry("u0", audio_file="clips/a.wav"), priority=0.25)
    assert encode_entry(entry)["predictions"][0]["score"] == 0.25
    encoded = encode_entry(replace(entry, blind=True))
    assert encoded["predictions"][0]["score"] == 0.25


def test_encode_entry_has_no_prediction_when_nothing_is_proposed() -> None:
    encoded = encode_entry(replace(make_entry("u0", audio_file="clips/a.wav"), predictions=()))
    assert encoded["predictions"] == []


def proposal_line(entry: QueueEntry, **more: Any) -> list[str]:
    (prediction,) = encode_entry(entry, schemes=QUEUE_SCHEMES, **more)["predictions"]
    lines = []
    for result in prediction["result"]:
        if result["from_name"] == "proposal":
            lines += result["value"]["text"]
    return lines


def test_encode_entry_shows_the_proposal_and_how_sure_it_is() -> None:
    entry = make_entry("u0", audio_file="clips/a.wav")
    assert proposal_line(entry) == [
        "Model's guess: balance 70%, or greet 15%  ·  angry 70%, or neutral 15%"
    ]
    assert proposal_line(entry, language="zh") == [
        "模型猜测：查询余额 70%，或问候 15%  ·  愤怒 70%，或neutral 15%"
    ]


def test_encode_entry_leaves_the_transcript_to_the_clip() -> None:
    encoded = encode_entry(make_entry("u0", audio_file="clips/a.wav", text="hello there"))
    assert encoded["data"]["text"] == "hello there"
    assert "transcript" not in [
        result["from_name"] for result in encoded["predictions"][0]["result"]
    ]


def test_encode_entry_of_a_blind_clip_proposes_nothing_but_the_transcript_and_keeps_its_place() -> (
    None
):
    entry = make_entry("u0", audio_file="clips/a.wav")
    seeing = encode_entry(entry)
    blind = encode_entry(replace(entry, blind=True))
    assert blind["data"] == seeing["data"]
    assert blind["predictions"] == [{**seeing["predictions"][0], "result": []}]


def test_describe_proposal_keeps_silent_about_what_is_next_to_impossible() -> None:
    sure = replace(
        make_prediction("u0"),
        distribution={"angry": 0.995, "neutral": 0.004, "高兴": 0.001},
    )
    assert describe_proposal([sure]) == "Model's guess: angry 100%"


def unsure_entry(**more: Any) -> QueueEntry:
    """A clip about whose intent the model says nothing, and whose emotion is angry by 70 %."""
    entry = make_entry("u0", audio_file="clips/a.wav")
    intent, emotion = entry.predictions
    nothing = replace(intent, distribution=dict.fromkeys(intent.distribution, 1 / 3))
    return replace(entry, predictions=(nothing, emotion), **more)


def ticked(entry: QueueEntry) -> dict[str, tuple[str, ...]]:
    (prediction,) = encode_entry(entry, schemes=QUEUE_SCHEMES)["predictions"]
    return dict(decode(raw(prediction["result"])).labels)


def test_encode_entry_ticks_nothing_where_the_model_abstains() -> None:
    assert ticked(unsure_entry()) == {"emotion": ("angry",)}


def test_encode_entry_ticks_nothing_where_two_labels_lead() -> None:
    entry = make_entry("u0", audio_file="clips/a.wav")
    tied = replace(entry.predictions[1], distribution={"angry": 0.45, "neutral": 0.45, "高兴": 0.1})
    assert ticked(replace(entry, predictions=(tied,))) == {}


def test_encode_entry_ticks_nothing_that_is_less_sure_than_asked() -> None:
    assert ticked(unsure_entry(min_confidence=0.71)) == {}
    assert ticked(unsure_entry(min_confidence=0.7)) == {"emotion": ("angry",)}


@pytest.mark.parametrize(
    ("language", "line"),
    [
        (
            "en",
            (
                'Model\'s guess: none for “What do they want? <"intent"> & 意图”, so nothing is '
                "ticked there  ·  angry 70%, or neutral 15%"
            ),
        ),
        (
            "zh",
            '模型猜测：“What do they want? <"intent"> & 意图”没有猜测，所以没有预选'
            "  ·  愤怒 70%，或neutral 15%",
        ),
    ],
)
def test_encode_entry_says_where_the_model_has_no_guess(language: str, line: str) -> None:
    assert proposal_line(unsure_entry(), language=language) == [line]


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "The model has no guess, so nothing is ticked."),
        ("zh", "模型没有猜测，所以没有预选任何标签。"),
    ],
)
def test_encode_entry_says_that_the_model_has_no_guess_at_all(language: str, line: str) -> None:
    entry = unsure_entry()
    assert proposal_line(replace(entry, predictions=entry.predictions[:1]), language=language) == [
        line
    ]


@pytest.mark.parametrize(
    ("language", "end"),
    [
        ("en", "angry 70%, or neutral 15% (too unsure, so nothing is ticked)"),
        ("zh", "愤怒 70%，或neutral 15%（把握不足，所以没有预选）"),
    ],
)
def test_encode_entry_says_that_a_guess_is_too_unsure_to_be_ticked(language: str, end: str) -> None:
    (line,) = proposal_line(unsure_entry(min_confidence=0.8), language=language)
    assert line.endswith(end)


def test_ticked_models_names_the_models_whose_label_was_ticked() -> None:
    (prediction,) = encode_entry(unsure_entry(), schemes=QUEUE_SCHEMES)["predictions"]
    assert ticked_models(prediction["model_version"], prediction["result"]).startswith(
        "emotion:test-emotion@"
    )
    assert "intent" not in ticked_models(prediction["model_version"], prediction["result"])


def test_ticked_models_gives_the_name_of_a_rival_back() -> None:
    assert ticked_models("Listener A", [choices("emotion", "angry")]) == "Listener A"
    assert ticked_models(RIVALS, []) == RIVALS


RIVAL_ENTRY = QueueEntry(
    utterance_id="u0",
    audio_file="clips/a.wav",
    text="hello",
    note="",
    predictions=(),
    rivals=(
        Rival(
            pseudonym="Listener A",
            labels={"emotion": ("angry", "neutral")},
            ratings={"emotion.intensity": 4},
            text="hello",
        ),
        Rival(
            pseudonym="Listener B",
            labels={"intent": ("greet", "查询余额"), "emotion": ("高兴",)},
            text="hallo",
        ),
    ),
)


def test_encode_entry_gives_each_rival_a_prediction_under_a_pseudonym() -> None:
    *tabs, both = encode_entry(RIVAL_ENTRY, schemes=QUEUE_SCHEMES)["predictions"]
    model_versions = [tab["model_version"] for tab in tabs]
    assert model_versions == ["Listener A", "Listener B"]
    decoded = [decode(raw(tab["result"]), proposed_text="") for tab in tabs]
    assert [(dict(f.labels), dict(f.ratings), f.text) for f in decoded] == [
        (dict(r.labels), dict(r.ratings), r.text) for r in RIVAL_ENTRY.rivals
    ]
    assert both["model_version"] == RIVALS
    assert dict(decode(raw(both["result"])).labels) == {}


def test_encode_entry_lists_the_rivals_for_the_label_stream() -> None:
    (line,) = encode_entry(RIVAL_ENTRY, schemes=QUEUE_SCHEMES, language="zh")["predictions"][-1][
        "result"
    ]
    assert line["value"]["text"] == [
        "Listener A: 愤怒, neutral · 强度 4 · “hello”",
        "Listener B: 问候, 查询余额 · 高兴 · “hallo”",
    ]


def test_describe_rival_names_a_scale_that_has_no_words_by_itself() -> None:
    line = describe_rival(
        Rival(
            pseudonym="B",
            labels={},
            ratings={"mood.warmth": 2},
        )
    )
    assert line == "B: warmth 2"


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
