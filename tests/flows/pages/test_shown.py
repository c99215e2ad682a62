import pytest

from flows.pages.shown import shown_duration, shown_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (1234.567, "1234.57"),
        (0.1, "0.10"),
        (0.05, "0.050"),
        (0.0123, "0.012"),
        (0.00001, "0.000010"),
        (-0.0123, "-0.012"),
    ],
)
def test_shown_number_keeps_two_digits_that_mean_something(value: float, text: str) -> None:
    assert shown_number(value) == text


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(0.0, "0.0 s"), (0.005, "0.30 s"), (0.5, "30.0 s"), (1.0, "1.0 min"), (83.25, "83.2 min")],
)
def test_shown_duration_speaks_in_seconds_below_a_minute(minutes: float, text: str) -> None:
    assert shown_duration(minutes) == text
