from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxdata.errors import SchemeError
from voxdata.label import Annotation
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.scheme_history import SchemeChange, SchemeHistory, Undecided, find_orphans, migrate

NOW = Scheme(
    name="intent",
    version=3,
    choice="many",
    labels=tuple(SchemeLabel(name=n) for n in ("退款", "price", "time", "other")),
)
TO_2 = SchemeChange(
    to_version=2,
    rename={"refund": "money"},
    merge={"other": ("chat", "noise")},
)
TO_3 = SchemeChange(
    to_version=3,
    rename={"money": "退款"},
    split={"question": ("price", "time")},
    remove=("test",),
)
HISTORY = SchemeHistory(scheme=NOW, changes=(TO_2, TO_3))


def said(*labels: str, version: int = 1, key: str = "u") -> Annotation:
    return Annotation(
        annotation_id=1,
        project_id=1,
        utterance_id=key,
        annotator="ann",
        labels={"intent": labels},
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
        scheme_versions={"intent": version},
    )


@pytest.mark.parametrize(
    ("label", "version", "now"),
    [
        ("refund", 1, ("退款",)),
        ("money", 2, ("退款",)),
        ("退款", 3, ("退款",)),
        ("chat", 1, ("other",)),
        ("other", 1, ("other",)),
        ("question", 1, ("price", "time")),
        ("question", 2, ("price", "time")),
        ("test", 2, ()),
    ],
)
def test_translate_follows_every_change_since(label, version, now):
    assert HISTORY.translate(label, version=version) == now


def test_migrate_keeps_what_is_certain_and_lists_what_is_not():
    migrated = migrate(
        [
            said("refund", "chat", "noise"),
            said("question", key="v"),
            said("test", version=2, key="w"),
        ],
        {"intent": HISTORY},
    )
    assert [dict(a.labels) for a in migrated.annotations] == [{"intent": ("退款", "other")}, {}, {}]
    assert migrated.undecided == (
        Undecided(
            utterance_id="v",
            annotator="ann",
            scheme="intent",
            label="question",
            candidates=("price", "time"),
        ),
        Undecided(
            utterance_id="w",
            annotator="ann",
            scheme="intent",
            label="test",
            candidates=(),
        ),
    )


@given(
    st.lists(
        st.sampled_from(["refund", "chat", "noise", "question", "test", "other"]),
        min_size=1,
        unique=True,
    ),
    st.integers(1, 3),
)
def test_migrate_never_gives_a_label_that_the_scheme_lacks(labels, version):
    known = [label for label in labels if version == 1 or label in {"question", "test", "other"}]
    before = said(*known, version=version)
    (after,) = migrate([before], {"intent": HISTORY}).annotations
    if version < 3:
        assert set(after.labels.get("intent", ())) <= set(NOW.label_names)
    assert before.labels["intent"] == tuple(known)


@given(st.sampled_from(["refund", "chat", "question", "test", "other"]))
def test_translate_of_two_changes_is_that_of_one_after_the_other(label):
    middle = TO_2.successors().get(label, (label,))
    stepwise = tuple(
        dict.fromkeys(
            itertools.chain.from_iterable(TO_3.successors().get(old, (old,)) for old in middle)
        )
    )
    assert HISTORY.translate(label, version=1) == stepwise


def test_migrate_changes_nothing_without_a_history():
    assert migrate([said("anything")], {}).annotations == (said("anything"),)


def test_find_orphans_counts_labels_that_would_silently_vanish():
    bare = SchemeHistory(scheme=NOW)
    orphans = find_orphans(
        [said("refund"), said("refund", "other"), said("退款", version=3)],
        {"intent": bare},
    )
    assert orphans == {("intent", "refund"): 2}
    orphans = find_orphans([said("refund", "question", "test")], {"intent": HISTORY})
    assert orphans == {}


def test_former_labels_are_known_with_the_last_version_that_had_them():
    assert HISTORY.former_labels() == {
        "refund": 1,
        "chat": 1,
        "noise": 1,
        "money": 2,
        "question": 2,
        "test": 2,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            (SchemeChange(to_version=4, rename={"a": "other"}),),
            "must rise, from 2 to its version 3",
        ),
        ((TO_3, TO_2), "must rise"),
        (
            (SchemeChange(to_version=2, rename={"a": "b"}),),
            "leads from 'a' to b, which the scheme does not have",
        ),
        (
            (
                SchemeChange(
                    to_version=2,
                    rename={"a": "other"},
                    remove=("a",),
                ),
            ),
            "two entries about a",
        ),
        (
            (SchemeChange(to_version=2, split={"price": ("price", "time")}),),
            "price changed in version 2 and is still a label",
        ),
    ],
)
def test_scheme_history_refuses_changes_that_lead_nowhere(changes, message):
    with pytest.raises(SchemeError, match=message):
        SchemeHistory(scheme=NOW, changes=changes)
