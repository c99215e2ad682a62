"""The picture of an audit that reports do not have: predictors beside chance."""

from __future__ import annotations

from collections.abc import Sequence

from flows.pages.plots import PALETTE, plot_scores
from voxdata.audit.findings import Statistic


def plot_predictors(statistics: Sequence[Statistic], *, salt: str) -> str:
    """Two rows a predictor: what it guesses, and the interval of chance. Returns SVG."""
    rows: list[tuple[str, float, tuple[float, float] | None, str]] = []
    for statistic in statistics:
        rows.append((statistic.name, statistic.value, None, PALETTE[5] if statistic.p_value <= 0.01 else PALETTE[0]))
        middle = (statistic.null_low + statistic.null_high) / 2
        rows.append(("by chance", middle, (statistic.null_low, statistic.null_high), PALETTE[6]))
    return plot_scores(rows, salt=salt)
