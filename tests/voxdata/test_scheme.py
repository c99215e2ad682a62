from dataclasses import replace

import pytest

from voxdata.errors import SchemeError
from voxdata.scheme import Scheme, SchemeLabel, find_scheme


def scheme(*names):
    return Scheme(
        name="intent",
        version=1,
        labels=tuple(SchemeLabel(name=name) for name in names),
    )


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a"], "two labels"),
        (["a", "a"], "twice"),
        (["a", " "], "blank"),
        (["a", "b\nc"], "line break"),
    ],
)
def test_scheme_refuses_malformed_labels(names, says):
    with pytest.raises(SchemeError, match=says):
        scheme(*names)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"choice": "two"}, "choice = 'two' is none of one, many, ranked"),
        ({"scales": ("intensity", "intensity")}, "scale twice"),
        ({"scales": ("Intensity",)}, "'Intensity'"),
        ({"scales": ("second",)}, "'second'"),
        (
            {
                "labels": (
                    SchemeLabel(name="a", shown={"zh": "甲"}),
                    SchemeLabel(name="b", shown={"zh": "甲"}),
                )
            },
            "both shown as '甲' in 'zh'",
        ),
        (
            {
                "labels": (
                    SchemeLabel(name="a", shown={"zh": "b"}),
                    SchemeLabel(name="b"),
                )
            },
            "both shown as 'b'",
        ),
        (
            {
                "labels": (
                    SchemeLabel(name="a", shown={"zh": " "}),
                    SchemeLabel(name="b"),
                )
            },
            "shown blank",
        ),
    ],
)
def test_scheme_refuses_what_people_could_not_answer(changes, says):
    with pytest.raises(SchemeError, match=says):
        replace(scheme("a", "b"), **changes)


def test_scheme_groups_keep_labels_of_one_heading_together():
    labels = tuple(
        SchemeLabel(name=name, group=group)
        for name, group in [("a", "账单"), ("b", ""), ("c", "账单"), ("d", "x")]
    )
    groups = replace(scheme("a", "b"), labels=labels).groups
    names = {}
    for group, members in groups.items():
        names[group] = [label.name for label in members]
    assert names == {"账单": ["a", "c"], "": ["b"], "x": ["d"]}
    assert list(groups) == ["账单", "", "x"]


def test_scheme_label_is_shown_in_the_language_asked_for():
    label = SchemeLabel(name="refund", shown={"zh": "退款"})
    assert label.shown_name("zh") == "退款"
    assert label.shown_name("en") == "refund"


@pytest.mark.parametrize(
    ("choice", "chosen", "kept"),
    [
        ("one", ["b"], ("b",)),
        ("many", ["c", "a", "c"], ("a", "c")),
        ("ranked", ["c", "a"], ("c", "a")),
        ("ranked", ["c", "c"], ("c",)),
        ("many", [], ()),
    ],
)
def test_scheme_arrange_keeps_what_the_choice_means(choice, chosen, kept):
    assert replace(scheme("a", "b", "c"), choice=choice).arrange(chosen) == kept


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ("one", ["a", "b"]),
        ("ranked", ["a", "b", "c"]),
    ],
)
def test_scheme_arrange_refuses_more_labels_than_asked_for(choice, chosen):
    with pytest.raises(SchemeError, match="at most"):
        replace(scheme("a", "b", "c"), choice=choice).arrange(chosen)


def test_scheme_arrange_refuses_a_label_of_another_scheme():
    with pytest.raises(SchemeError, match="'x'"):
        replace(scheme("a", "b"), choice="many").arrange(["a", "x"])


def test_scheme_require_lists_the_labels_there_are():
    assert scheme("退款", "投诉").require("退款") == "退款"
    with pytest.raises(SchemeError, match="退款, 投诉"):
        scheme("退款", "投诉").require("refund")


def test_find_scheme_lists_the_schemes_there_are():
    made = scheme("a", "b")
    assert find_scheme([made], "intent") is made
    with pytest.raises(SchemeError, match="intent"):
        find_scheme([made], "emotion")
