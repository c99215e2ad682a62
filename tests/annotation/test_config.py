"""The labelling screen."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.config import build_config, build_instructions
from annotation.wording import FLAGS, find_wording
from voxdata.errors import AnnotationError
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.testing.annotation_queue import QUEUE_SCHEMES
from voxdata.testing.schemes import schemes_of_every_kind

INTENT, EMOTION = QUEUE_SCHEMES


def scheme(name: str, num_labels: int) -> Scheme:
    return Scheme(
        name=name,
        version=1,
        labels=tuple(SchemeLabel(name=f"{name}-{i}") for i in range(num_labels)),
    )


def parse(*schemes: Scheme, language: str = "en") -> ElementTree.Element:
    return ElementTree.fromstring(build_config(schemes, language=language))


def control(root: ElementTree.Element, name: str) -> ElementTree.Element:
    (control,) = (c for c in root.iter() if c.get("name") == name)
    return control


def headers(root: ElementTree.Element) -> list[str]:
    return [str(h.get("value")) for h in root.iter("Header")]


def stored_names(choices: ElementTree.Element) -> tuple[str | None, ...]:
    return tuple(c.get("alias") or c.get("value") for c in choices.iter("Choice"))


@given(
    schemes=schemes_of_every_kind(),
    language=st.sampled_from(["en", "zh"]),
)
def test_build_config_keeps_labels_of_any_script(
    schemes: tuple[Scheme, ...], language: str
) -> None:
    root = parse(*schemes, language=language)
    for each in schemes:
        choices = control(root, each.name)
        assert Counter(stored_names(choices)) == Counter(each.label_names)
        texts = Counter(str(c.get("value")) for c in choices.iter("Choice"))
        assert texts == Counter(x.shown_name(language) for x in each.labels)
        assert choices.get("choice") == ("multiple" if each.choice == "many" else "single")
        assert choices.get("required") == "true"


@given(schemes=schemes_of_every_kind())
def test_build_config_gives_every_choice_and_scale_a_hotkey_of_its_own(
    schemes: tuple[Scheme, ...],
) -> None:
    root = parse(*schemes)
    keys = [
        e.get("hotkey") for e in root.iter() if e.tag in {"Choice", "Rating", "Audio", "Filter"}
    ]
    assert None not in keys
    assert len(keys) == len(set(keys))


def test_build_config_shows_titles_as_written() -> None:
    assert 'What do they want? <"intent"> & 意图 (all that apply)' in headers(parse(*QUEUE_SCHEMES))


def test_build_config_shows_labels_of_a_group_under_their_heading() -> None:
    (group,) = (view for view in control(parse(*QUEUE_SCHEMES), "intent").iter("View"))
    assert headers(group) == ["Money & more <钱>"]
    assert stored_names(group) == ('refund "now" <&>', "查询余额")


def test_build_config_asks_for_a_second_choice_by_the_same_keys_with_shift() -> None:
    root = parse(*QUEUE_SCHEMES)
    first = control(root, "emotion")
    second = control(root, "emotion.second")
    assert stored_names(second) == stored_names(first)
    assert [c.get("hotkey") for c in second.iter("Choice")] == [
        f"shift+{c.get('hotkey')}" for c in first.iter("Choice")
    ]
    assert second.get("required") is None
    assert not [c for c in root.iter("Choices") if c.get("name") == "intent.second"]


def test_build_config_asks_for_the_scales_and_shows_their_keys() -> None:
    root = parse(*QUEUE_SCHEMES, replace(scheme("mood", 2), scales=("valence", "warmth")))
    scales = {str(r.get("name")): r for r in root.iter("Rating")}
    assert list(scales) == ["emotion.intensity", "mood.valence", "mood.warmth"]
    assert {r.get("maxRating") for r in scales.values()} == {"5"}
    shown = headers(root)
    assert (
        f"How strongly? 1 faint … 5 extreme [{scales['emotion.intensity'].get('hotkey')}]" in shown
    )
    assert f"warmth [{scales['mood.warmth'].get('hotkey')}]" in shown


def test_build_config_offers_the_flags() -> None:
    flags = control(parse(*QUEUE_SCHEMES), "flags")
    assert stored_names(flags) == FLAGS
    assert flags.get("choice") == "multiple"
    assert flags.get("required") is None


def test_build_config_speaks_chinese() -> None:
    root = parse(*QUEUE_SCHEMES, language="zh")
    words = find_wording("zh")
    shown = {c.get("alias") or c.get("value"): c.get("value") for c in root.iter("Choice")}
    assert shown["greet"] == "问候"
    assert shown["angry"] == "愤怒"
    assert shown["noisy"] == "噪声大"
    assert {words.second, words.flags} < set(headers(root))
    assert control(root, "emotion").get("requiredMessage") == "请选择：emotion"
    own = {
        value
        for value in headers(root)
        if value
        not in ('What do they want? <"intent"> & 意图 (可多选)', "emotion", "Money & more <钱>")
    }
    assert [value for value in own if max(value, default="") < "\u4e00"] == []


def test_build_config_points_every_control_at_the_player() -> None:
    root = parse(*QUEUE_SCHEMES)
    (player,) = root.iter("Audio")
    assert player.get("value") == "$audio"
    controls = list(
        itertools.chain.from_iterable(root.iter(tag) for tag in ("Choices", "TextArea", "Rating"))
    )
    assert len(controls) == 8
    assert {c.get("toName") for c in controls} == {player.get("name")}


def test_build_config_takes_the_transcript_from_the_clip_and_the_proposal_from_the_prediction() -> (
    None
):
    root = parse(*QUEUE_SCHEMES)
    assert control(root, "transcript").get("value") == "$text"
    assert control(root, "proposal").get("value") is None


@pytest.mark.parametrize("name", ["transcript", "flags", "proposal", "audio"])
def test_build_config_raises_when_a_scheme_has_the_name_of_a_part(name: str) -> None:
    with pytest.raises(AnnotationError, match=repr(name)):
        build_config([scheme(name, 2)])


@pytest.mark.parametrize(
    "bad",
    [
        Scheme(
            name="s",
            version=1,
            title="$title",
            labels=(SchemeLabel(name="a"), SchemeLabel(name="b")),
        ),
        Scheme(
            name="s",
            version=1,
            labels=(
                SchemeLabel(name="a"),
                SchemeLabel(name="$text"),
            ),
        ),
        Scheme(
            name="s",
            version=1,
            labels=(SchemeLabel(name="a"), SchemeLabel(name="b", group="$note")),
        ),
    ],
    ids=["title", "label", "group"],
)
def test_build_config_raises_when_the_server_would_take_a_text_for_a_field(bad: Scheme) -> None:
    with pytest.raises(AnnotationError, match=r"begins with \$"):
        build_config([bad])


def test_build_config_raises_when_there_are_more_labels_than_keys() -> None:
    with pytest.raises(AnnotationError, match="keyboard has no keys left"):
        build_config([scheme(f"s{i}", 20) for i in range(5)])


def test_build_instructions_escapes_what_people_wrote() -> None:
    html = build_instructions(QUEUE_SCHEMES, guidelines="Listen <twice> & decide")
    assert "Listen &lt;twice&gt; &amp; decide" in html
    assert "想知道账户余额" in html
    assert "&lt;fast&gt;" in html
    assert "<fast>" not in html
    ElementTree.fromstring(f"<div>{html}</div>")


def test_build_instructions_explains_the_keys_in_chinese() -> None:
    html = build_instructions(QUEUE_SCHEMES, guidelines="先听再选", language="zh")
    assert "<b>问候</b>" in html
    assert "<b>空格</b> 播放、暂停" in html
