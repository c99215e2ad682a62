import pytest

from voxdata.errors import ConfigError
from voxdata.label_names import find_near_labels, map_labels, parse_renames


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"on": 3, "ON": 1}, [("on", "ON")]),
        ({"turn on": 1, "turn_on": 2, "turn-on": 1}, [("turn_on", "turn on", "turn-on")]),
        ({"off": 9, "offf": 1}, [("off", "offf")]),
        ({"angry": 9, "anger": 9}, []),
        ({"no": 1, "on": 1}, []),
        ({"bad": 5, "sad": 5}, []),
        ({"class_1": 5, "class_2": 5}, []),
        ({"打开空调": 1, "打关空调": 1}, []),
        ({"tree": 100, "three": 90}, []),
        ({"tree": 1000, "tre": 20}, [("tree", "tre")]),
    ],
)
def test_find_near_labels_names_what_looks_like_a_slip(
    counts: dict[str, int], found: list[tuple[str, ...]]
) -> None:
    assert [near.labels for near in find_near_labels(counts)] == found


def test_map_labels_takes_the_spelling_of_the_scheme() -> None:
    assert map_labels(["e\u0301"], {}, first=["\u00e9"]) == {"e\u0301": "\u00e9"}


@pytest.mark.parametrize("pair", ["ON", "=on", "ON=", "="])
def test_parse_renames_refuses_what_names_no_two_labels(pair: str) -> None:
    with pytest.raises(ConfigError, match="OLD=NEW"):
        parse_renames([pair])


def test_parse_renames_refuses_two_targets_of_a_label() -> None:
    with pytest.raises(ConfigError, match="already"):
        parse_renames(["a=b", "a=c"])
