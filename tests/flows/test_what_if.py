"""Thresholds as people type them."""

from __future__ import annotations

import pytest

from flows.what_if import describe_limits, parse_limits
from voxdata.errors import ConfigError


def test_parse_limits_reads_what_people_type() -> None:
    assert parse_limits(["snr_db=12", " overlap_ratio = 0.3 ", "level_db=-40"]) == {"snr_db": 12, "overlap_ratio": 0.3, "level_db": -40}
    assert parse_limits([]) == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["loudness=3"], "snr_db"),
        (["snr_db"], "MEASURE=NUMBER"),
        (["snr_db=loud"], "MEASURE=NUMBER"),
        (["snr_db=nan"], "MEASURE=NUMBER"),
        (["=3"], "snr_db"),
        (["snr_db=1", "snr_db=2"], "twice"),
    ],
)
def test_parse_limits_says_what_is_wrong(given: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_limits(given)


def test_describe_limits_says_which_side_goes() -> None:
    assert describe_limits({"mos": 2.5, "clipping_ratio": 0.01}) == "mos below 2.5 or clipping_ratio above 0.01"
