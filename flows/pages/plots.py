"""Pictures of a report, as SVG text. Pure: the same values give the same text."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from flows.pages.shown import shown_number
from voxdata.audit.findings import Statistic
from voxdata.turn import Turn

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
"""Okabe and Ito's colours: told apart with any colour vision."""

_INK = "#123456"
"""Stands for the colour of the page's text, which differs between light and dark."""

_HEAT, _HEAT_INK = "#123457", "#123458"
"""Stand for the colour of a full cell of a heat map, and of the text on it."""

WIDTH = 10.75
"""Inches, at 96 pixels each: the width of the page's column."""

FULL = 0.65
"""Share of a heat map's cell from which on its text is that of a full one."""

_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Serif CJK SC",
    "WenQuanYi Zen Hei",
    "Noto Sans",
)
MAX_LABEL = 28


def shorten(text: str, *, limit: int = MAX_LABEL) -> str:
    """At most `limit` characters, an ellipsis included."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


@contextmanager
def _style(salt: str) -> Iterator[None]:
    installed = set(font_manager.get_font_names())
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "text.parse_math": False,
        "font.size": 9.5,
        "font.family": [name for name in _FONTS if name in installed] or ["sans-serif"],
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.7,
        "axes.unicode_minus": False,
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from", category=UserWarning
        )  # the browser has the font
        yield


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<g id=\"[^\"]*\">", "<g>", text)
    for stand_in, color in (
        (_INK, "currentColor"),
        (_HEAT, "var(--heat, #08519c)"),
        (_HEAT_INK, "var(--heat-ink, #ffffff)"),
    ):
        text = text.replace(stand_in, color)
    return text


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def _bare(axes: Axes) -> None:
    axes.set_facecolor("none")
    axes.tick_params(length=3, width=0.7)


def plot_waveform(
    peaks: Sequence[Sequence[float]], turns: Sequence[Turn], *, duration_ms: int, salt: str
) -> str:
    """Envelopes, one a channel and each scaled to its peak, over the speakers' turns.

    Args:
        peaks: Values in [0, 1] over equal stretches of time.
        salt: Tells this picture's ids from those of others on the page.
    """
    rows = sorted({(turn.channel, turn.speaker) for turn in turns})
    seconds = max(duration_ms, 1) / 1000
    with _style(salt):
        heights = [0.75] * len(peaks) + [0.2 * max(1, len(rows))]
        figure = _figure(WIDTH, sum(heights) + 0.45)
        grid: Any = figure.subplots(
            len(heights), 1, sharex=True, squeeze=False, height_ratios=heights
        )
        for channel, (axes, values) in enumerate(zip(grid[:-1, 0], peaks, strict=True)):
            at = [(i + 0.5) * seconds / len(values) for i in range(len(values))]
            axes.fill_between(at, [-v for v in values], list(values), color="#7a8794", linewidth=0)
            top = max([*values, 0.02])
            axes.set_ylim(-top, top)
            axes.set_yticks([])
            axes.spines[["left", "bottom"]].set_visible(False)
            axes.tick_params(length=0)
            axes.set_facecolor("none")
            if len(peaks) > 1:
                axes.set_ylabel(f"ch {channel}", rotation=0, ha="right", va="center")
        axes = grid[-1, 0]
        _bare(axes)
        for row, key in enumerate(rows):
            spans = [
                (t.segment.start_ms / 1000, t.segment.duration_ms / 1000)
                for t in turns
                if (t.channel, t.speaker) == key
            ]
            axes.broken_barh(spans, (row - 0.35, 0.7), color=PALETTE[row % len(PALETTE)])
        names = [speaker for _, speaker in rows]
        if len(peaks) > 1:
            names = [f"{speaker} (ch {channel})" for channel, speaker in rows]
        names = [shorten(name, limit=16) for name in names]
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
        axes.set_xlim(0, seconds)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("seconds")
        return _svg(figure)


def plot_balance(
    counts: Mapping[str, Mapping[str, int]], *, splits: Sequence[str], salt: str
) -> str:
    """Stacked bars: label -> split -> examples."""
    labels = list(counts)
    with _style(salt):
        figure = _figure(WIDTH, 0.7 + 0.3 * max(len(labels), 1))
        axes = figure.subplots()
        _bare(axes)
        left = [0] * len(labels)
        for color, split in zip(PALETTE, splits, strict=False):
            widths = [counts[label].get(split, 0) for label in labels]
            axes.barh(range(len(labels)), widths, left=left, color=color, height=0.7, label=split)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        for row, total in enumerate(left):
            axes.annotate(
                str(total), (total, row), xytext=(4, 0), textcoords="offset points", va="center"
            )
        axes.set_yticks(range(len(labels)), [shorten(label) for label in labels])
        axes.invert_yaxis()
        axes.set_xlim(0, max([*left, 1]) * 1.08)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("examples")
        figure.legend(loc="outside right upper", frameon=False)
        return _svg(figure)


def plot_scores(
    rows: Sequence[tuple[str, float, tuple[float, float] | None, str]], *, salt: str
) -> str:
    """Dots with whiskers on a scale from 0 to 1.

    Args:
        rows: (name, score, interval or None, colour), top first.
    """
    with _style(salt):
        figure = _figure(WIDTH, 0.65 + 0.3 * max(len(rows), 1))
        axes = figure.subplots()
        _bare(axes)
        for row, (_, value, interval, color) in enumerate(rows):
            if interval is not None:
                axes.plot(interval, [row, row], color=color, linewidth=2.2, solid_capstyle="butt")
            axes.plot([value], [row], "o", color=color, markersize=7)
            axes.text(1.03, row, f"{value:.3f}", va="center")
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
        axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.02)
        axes.grid(axis="x", color="#9aa5b1", alpha=0.35, linewidth=0.6)
        return _svg(figure)


def plot_curves(curves: Sequence[Mapping[str, Any]], *, best_epoch: int | None, salt: str) -> str:
    """Losses on the left and, when there is a validation set, its UAR on the right.

    A line marks the epoch kept.
    """
    with _style(salt):
        figure = _figure(WIDTH, 2.5)
        scored = any(row.get("validation_uar") is not None for row in curves)
        grid: Any = figure.subplots(1, 2 if scored else 1, squeeze=False)
        panels: list[tuple[str, tuple[tuple[str, str, int], ...]]] = [
            ("loss", (("train_loss", "training", 0), ("validation_loss", "validation", 1)))
        ]
        panels += [("validation UAR", (("validation_uar", "validation UAR", 2),))] if scored else []
        for axes, (title, lines) in zip(grid[0], panels, strict=True):
            _bare(axes)
            for name, label, color in lines:
                points = [(row["epoch"], row[name]) for row in curves if row.get(name) is not None]
                if points:
                    axes.plot(
                        *zip(*points, strict=True),
                        color=PALETTE[color],
                        label=label,
                        marker="o" if len(points) == 1 else None,
                    )
            if best_epoch is not None:
                axes.axvline(best_epoch, color="#7a8794", linestyle="--", linewidth=1)
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if title == "loss":
                axes.legend(frameon=False)
        return _svg(figure)


def plot_confusions(
    matrices: Sequence[tuple[str, Sequence[Sequence[int]]]],
    *,
    labels: Sequence[str],
    salt: str,
    rows: str = "annotators",
    columns: str = "model",
) -> str:
    """Confusion matrices side by side; rows are gold, columns what the model said.

    Shades are shares of a row.

    A shade is the page's own colour, more or less of it, so that it follows light and dark.

    Args:
        matrices: (title, counts) with counts of shape (len(labels), len(labels)).
        rows, columns: What the axes are called.
    """
    names = [shorten(label, limit=18) for label in labels]
    margin = 0.7 + 0.075 * max([len(name) for name in names], default=0)
    cell = min(0.6, max(0.36, (WIDTH / len(matrices) - margin) / max(len(labels), 1)))
    side = margin + cell * len(labels)
    with _style(salt):
        figure = _figure(side * len(matrices) + 0.3, side)
        grid: Any = figure.subplots(1, len(matrices), squeeze=False)
        for axes, (title, counts) in zip(grid[0], matrices, strict=True):
            axes.set_facecolor("none")
            for y, row in enumerate(counts):
                for x, count in enumerate(row):
                    share = count / max(sum(row), 1)
                    axes.add_patch(
                        Rectangle(
                            (x, y),
                            1,
                            1,
                            facecolor=(_HEAT, share),
                            edgecolor="#9aa5b1",
                            linewidth=0.4,
                        )
                    )
                    if count:
                        ink = _HEAT_INK if share > FULL else _INK
                        axes.text(x + 0.5, y + 0.5, str(count), ha="center", va="center", color=ink)
            axes.set_xlim(0, len(labels))
            axes.set_ylim(0, len(labels))
            at = [i + 0.5 for i in range(len(labels))]
            axes.set_xticks(at, names, rotation=45, ha="right", rotation_mode="anchor")
            axes.set_yticks(at, names)
            axes.invert_yaxis()
            axes.set_aspect("equal")
            axes.spines[:].set_visible(False)
            axes.tick_params(length=0)
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_xlabel(columns)
        grid[0][0].set_ylabel(rows)
        return _svg(figure)


def plot_lines(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    ticks: Sequence[tuple[float, str]],
    title: str,
    salt: str,
) -> str:
    """Lines with dots over a common axis.

    Args:
        lines: Name -> (x, y).
        ticks: Where the x axis says what.
        title: The title of the y axis.
    """
    with _style(salt):
        figure = _figure(WIDTH, 2.6)
        axes = figure.subplots()
        _bare(axes)
        for color, (name, points) in zip(PALETTE, lines.items(), strict=False):
            axes.plot(
                [x for x, _ in points],
                [y for _, y in points],
                color=color,
                marker="o",
                markersize=4,
                label=shorten(name),
            )
        axes.set_xticks([at for at, _ in ticks], [text for _, text in ticks])
        axes.set_ylabel(title)
        axes.grid(axis="y", color="#9aa5b1", alpha=0.35, linewidth=0.6)
        figure.legend(loc="outside right upper", frameon=False)
        return _svg(figure)


def plot_ranges(rows: Sequence[tuple[str, float, float, float]], *, unit: str, salt: str) -> str:
    """Dots with whiskers on a free scale.

    Args:
        rows: (name, low, value, high), top first.
    """
    with _style(salt):
        figure = _figure(WIDTH, 0.75 + 0.3 * max(len(rows), 1))
        axes = figure.subplots()
        _bare(axes)
        for row, (_, low, value, high) in enumerate(rows):
            axes.plot(
                [low, high], [row, row], color=PALETTE[0], linewidth=2.2, solid_capstyle="butt"
            )
            axes.plot([value], [row], "o", color=PALETTE[0], markersize=7)
        axes.set_yticks(range(len(rows)), [shorten(name) for name, *_ in rows])
        axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
        axes.set_xlabel(unit)
        axes.grid(axis="x", color="#9aa5b1", alpha=0.35, linewidth=0.6)
        return _svg(figure)


def plot_shifts(pairs: Mapping[str, tuple[float, float]], *, unit: str, salt: str) -> str:
    """Two bars a label, before and after: label -> (before, after)."""
    labels = list(pairs)
    with _style(salt):
        figure = _figure(WIDTH, 0.8 + 0.42 * max(len(labels), 1))
        axes = figure.subplots()
        _bare(axes)
        for shift, color, name in ((-0.2, PALETTE[6], "before"), (0.2, PALETTE[0], "after")):
            side = 0 if name == "before" else 1
            values = [pairs[label][side] for label in labels]
            axes.barh(
                [row + shift for row in range(len(labels))],
                values,
                height=0.38,
                color=color,
                label=name,
            )
        for row, label in enumerate(labels):
            before, after = pairs[label]
            change = f"{'-' if after < before else '+'}{shown_number(abs(after - before))}"
            axes.annotate(
                change,
                (max(before, after), row),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
        axes.set_yticks(range(len(labels)), [shorten(label) for label in labels])
        axes.invert_yaxis()
        longest = max((max(pair) for pair in pairs.values()), default=0)
        axes.set_xlim(0, (longest or 1) * 1.12)
        axes.set_xlabel(unit)
        figure.legend(loc="outside right upper", frameon=False)
        return _svg(figure)


def plot_predictors(statistics: Sequence[Statistic], *, salt: str) -> str:
    """Two rows a predictor: what it guesses, and the interval of chance. Returns SVG."""
    rows: list[tuple[str, float, tuple[float, float] | None, str]] = []
    for statistic in statistics:
        rows.append(
            (
                statistic.name,
                statistic.value,
                None,
                PALETTE[5] if statistic.p_value <= 0.01 else PALETTE[0],
            )
        )
        middle = (statistic.null_low + statistic.null_high) / 2
        rows.append(("by chance", middle, (statistic.null_low, statistic.null_high), PALETTE[6]))
    return plot_scores(rows, salt=salt)
