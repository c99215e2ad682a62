import pytest

from voxdata.columns import choose_columns, unused_times
from voxdata.stretch import read_stretch


@pytest.mark.parametrize(
    ("row", "start_s", "end_s"),
    [
        ({"start": "1", "end": "2"}, 1.0, 2.0),
        ({"start": "1", "duration": "2"}, 1.0, 3.0),
        ({"offset": "1", "duration_ms": "500"}, 1.0, 1.5),
        ({"onset": "1", "offset": "2"}, 1.0, 2.0),
        ({"start": "1"}, 1.0, None),
        ({"end": "2"}, None, 2.0),
        ({"text": "x"}, None, None),
    ],
)
def test_read_stretch_takes_what_a_row_says(
    row: dict[str, str],
    start_s: float | None,
    end_s: float | None,
) -> None:
    stretch = read_stretch(row, choose_columns(list(row), origin="t"))
    assert stretch.start_s == start_s
    assert stretch.end_s == end_s
    assert stretch.problem == ""


@pytest.mark.parametrize(
    "row",
    [
        {"start": "2", "end": "1"},
        {"start": "x"},
        {"start": "-1", "end": "1"},
        {"end": "1_0"},
    ],
)
def test_read_stretch_says_what_is_wrong(row: dict[str, str]) -> None:
    assert read_stretch(row, choose_columns(list(row), origin="t")).problem


def test_read_stretch_wants_a_start_where_the_table_has_one() -> None:
    assert (
        "no start"
        in read_stretch({"end": "1"}, choose_columns(["start", "end"], origin="t")).problem
    )


def test_unused_times_names_columns_that_sound_like_times() -> None:
    columns = choose_columns(
        ["audio", "start", "speechEnd", "t0", "recorded_at", "bartender"],
        origin="t",
    )
    assert unused_times(columns, ["start"]) == ["speechEnd", "t0"]
