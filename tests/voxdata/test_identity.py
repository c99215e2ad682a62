from hypothesis import given
from hypothesis import strategies as st

from voxdata.identity import ModelRef, canonical_json, digest


@given(
    st.lists(st.text(st.characters(exclude_characters="\x1f", exclude_categories=["Cs"]))),
    st.lists(st.text("ab")),
)
def test_digest_differs_for_different_parts(a, b):
    assert (digest("x", *a) == digest("x", *b)) == (a == b)


def test_digest_is_stable():
    assert digest("ab", 1) == digest("ab", "1") == "e188f523493b467fb20e3b0423f3cbe5"


def test_canonical_json_ignores_order_and_keeps_unicode():
    assert (
        canonical_json({"b": 1, "a": "情"})
        == canonical_json({"a": "情", "b": 1})
        == '{"a":"情","b":1}'
    )


def test_model_ref_key_changes_with_revision_and_parameters_only():
    model = ModelRef(
        name="m",
        revision="1",
        params={"beam": 1, "vad": True},
    )
    assert (
        model.key
        == ModelRef(name="m", revision="1", params={"vad": True, "beam": 1}, weak=True).key
    )
    assert (
        len(
            {
                model.key,
                ModelRef(name="m", revision="2", params=model.params).key,
                ModelRef(name="m", revision="1").key,
            }
        )
        == 3
    )
