"""What if: how much a threshold on a stored measure would remove. Nothing is removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan, nan

from voxdata.errors import ConfigError
from voxdata.measure import LARGER_IS_WORSE, MEASURES


def parse_limits(given: Sequence[str]) -> dict[str, float]:
    """Thresholds as people type them.

    Args:
        given: "snr_db=12", ... : the least a measure may be, or the most where larger is worse.

    Raises:
        ConfigError: Not of that form, an unknown measure, no number, or one measure twice.
    """
    limits: dict[str, float] = {}
    for text in given:
        name, _, value = (part.strip() for part in text.partition("="))
        if name not in MEASURES:
            raise ConfigError(
                f"--what-if {text!r}: no measure is called {name!r}; "
                f"there are {', '.join(MEASURES)}"
            )
        if name in limits:
            raise ConfigError(f"--what-if: {name} is given twice")
        try:
            limits[name] = float(value)
        except ValueError:
            limits[name] = nan
        if isnan(limits[name]):
            raise ConfigError(f"--what-if {text!r}: write MEASURE=NUMBER, such as snr_db=12")
    return limits


def describe_limits(limits: Mapping[str, float]) -> str:
    """What would be removed, in words.

    >>> describe_limits({"snr_db": 12, "overlap_ratio": 0.3})
    'snr_db below 12 or overlap_ratio above 0.3'
    """
    parts: list[str] = []
    for name, limit in limits.items():
        side = "above" if name in LARGER_IS_WORSE else "below"
        parts.append(f"{name} {side} {limit:g}")
    return " or ".join(parts)
