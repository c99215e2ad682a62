"""The labelling screen."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from annotation.config import build_config, build_instructions
from voxdata.errors import AnnotationError
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.testing.queue import QUEUE_SCHEMES


def scheme(name: str, num_labels: int) -> Scheme:
    return Scheme(name=name, version=1, labels=tuple(SchemeLabel(name=f"{name}-{i}") for i in range(num_labels)))


def parse(*schemes: Scheme) -> ElementTree.Element:
    return ElementTree.fromstring(build_config(schemes))


@pytest.mark.parametrize("scheme", QUEUE_SCHEMES, ids=lambda s: s.name)
def test_build_config_keeps_labels_of_any_script(scheme: Scheme) -> None:
    (choices,) = (c for c in parse(*QUEUE_SCHEMES).iter("Choices") if c.get("name") == scheme.name)
    assert tuple(c.get("value") for c in choices) == scheme.label_names
    assert choices.get("choice") == "single"
    assert choices.get("required") == "true"


def test_build_config_shows_titles_as_written() -> None:
    assert 'What do they want? <"intent"> & 意图' in [h.get("value") for h in parse(*QUEUE_SCHEMES).iter("Header")]


def test_build_config_points_every_control_at_the_player() -> None:
    root = parse(*QUEUE_SCHEMES)
    (player,) = root.iter("Audio")
    assert player.get("value") == "$audio"
    controls = [*root.iter("Choices"), *root.iter("TextArea")]
    assert len(controls) == 3
    assert {c.get("toName") for c in controls} == {player.get("name")}


def test_build_config_gives_no_hotkey_twice() -> None:
    root = parse(*(scheme(f"s{i}", 12) for i in range(4)))
    keys = [key for e in root.iter() if (key := e.get("hotkey"))]
    assert len(keys) == len(set(keys)) == 1 + 9 + 10 + 9 + 7


def test_build_config_raises_when_a_scheme_has_the_name_of_a_part() -> None:
    with pytest.raises(AnnotationError, match="'transcript'"):
        build_config([scheme("transcript", 2)])


def test_build_config_raises_when_there_are_too_many_schemes() -> None:
    with pytest.raises(AnnotationError, match="room for 4 schemes"):
        build_config([scheme(f"s{i}", 2) for i in range(5)])


def test_build_instructions_escapes_what_people_wrote() -> None:
    html = build_instructions(QUEUE_SCHEMES, guidelines="Listen <twice> & decide")
    assert "Listen &lt;twice&gt; &amp; decide" in html
    assert "想知道账户余额" in html
    assert "&lt;fast&gt;" in html
    assert "<fast>" not in html
    ElementTree.fromstring(f"<div>{html}</div>")
