import pytest

from voxdata.errors import SchemeError
from voxdata.scheme import Scheme, SchemeLabel, find_scheme


def scheme(*names):
    return Scheme(name="intent", version=1, labels=tuple(SchemeLabel(name=name) for name in names))


@pytest.mark.parametrize(
    ("names", "says"), [(["a"], "two labels"), (["a", "a"], "twice"), (["a", " "], "blank"), (["a", "b\nc"], "line break")]
)
def test_scheme_refuses_malformed_labels(names, says):
    with pytest.raises(SchemeError, match=says):
        scheme(*names)


def test_scheme_require_lists_the_labels_there_are():
    assert scheme("退款", "投诉").require("退款") == "退款"
    with pytest.raises(SchemeError, match="退款, 投诉"):
        scheme("退款", "投诉").require("refund")


def test_find_scheme_lists_the_schemes_there_are():
    made = scheme("a", "b")
    assert find_scheme([made], "intent") is made
    with pytest.raises(SchemeError, match="intent"):
        find_scheme([made], "emotion")
