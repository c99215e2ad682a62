"""Pictures for the report: inline SVG by matplotlib, the same bytes for the same content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.turn import Turn

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")
"""Okabe and Ito's palette, told apart by colour-blind readers."""

GREY = "#667085"
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "voxdata",
    "font.family": ["DejaVu Sans", "Noto Sans CJK SC", "sans-serif"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def draw_recording(samples: Samples, turns: Sequence[Turn]) -> str:
    """The peak envelope of one channel with a coloured bar for every turn beneath.

    Args:
        samples: (num_samples,) float32.
        turns: Of the recording; other channels are drawn too.
    """
    with matplotlib.rc_context(_STYLE):
        speakers = sorted({turn.speaker for turn in turns})
        figure = Figure(figsize=(10, 1.5 + 0.22 * len(speakers)))
        axes = figure.subplots(2, 1, sharex=True, height_ratios=[3, 0.3 + 0.5 * max(len(speakers), 1)])
        points = min(1200, max(1, len(samples)))
        edges = np.linspace(0, len(samples), points + 1).astype(int)[:-1]
        peaks = np.maximum.reduceat(np.abs(samples), edges) if len(samples) else np.zeros(1)
        times = edges / MODEL_RATE_HZ if len(samples) else np.zeros(1)
        axes[0].fill_between(times, -peaks, peaks, color=COLOURS[4], linewidth=0)
        axes[0].set_yticks([])
        axes[0].spines["left"].set_visible(False)
        for turn in turns:
            row = speakers.index(turn.speaker)
            start, width = turn.segment.start_ms / 1000, turn.segment.duration_ms / 1000
            axes[1].broken_barh([(start, width)], (row - 0.35, 0.7), color=COLOURS[row % len(COLOURS)])
        axes[1].set_yticks(range(len(speakers)), speakers)
        axes[1].set_xlabel("seconds")
        axes[1].set_xlim(0, max(len(samples) / MODEL_RATE_HZ, 0.1))
        return _svg(figure)


def draw_balance(counts: Mapping[str, Mapping[str, int]], *, title: str) -> str:
    """Examples of each label, stacked by split.

    Args:
        counts: Split -> label -> examples.
        title: Of the picture.
    """
    with matplotlib.rc_context(_STYLE):
        labels = list(dict.fromkeys(label for found in counts.values() for label in found))
        figure = Figure(figsize=(5, 0.8 + 0.32 * max(len(labels), 1)))
        axes = figure.subplots()
        left = np.zeros(len(labels))
        for i, (split, found) in enumerate(counts.items()):
            width = np.array([found.get(label, 0) for label in labels], dtype=float)
            axes.barh(range(len(labels)), width, left=left, label=split, color=COLOURS[i])
            left += width
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.set_title(title, loc="left")
        axes.legend(frameon=False, fontsize=8)
        return _svg(figure)


def draw_before_after(runs: Sequence[Mapping[str, Any]]) -> str:
    """UAR before and after for each run, with its interval over voices where there is one.

    Args:
        runs: Each with "name", "before" and "after" as in result.json.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7, 0.9 + 0.55 * len(runs)))
        axes = figure.subplots()
        for row, run in enumerate(runs):
            for offset, key, colour in ((-0.14, "before", COLOURS[7]), (0.14, "after", COLOURS[0])):
                scores = run[key]
                if not scores:
                    continue
                if scores.get("uar_interval"):
                    axes.plot(scores["uar_interval"], [row + offset] * 2, color=colour, linewidth=2)
                axes.plot([scores["uar"]], [row + offset], "o", color=colour, label=key if row == 0 else None)
        axes.set_yticks(range(len(runs)), [run["name"] for run in runs])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("UAR on held-out voices")
        axes.legend(frameon=False, fontsize=8)
        return _svg(figure)


def draw_curves(curves: Sequence[Mapping[str, Any]], *, best_epoch: int | None) -> str:
    """Training and validation loss, and validation UAR, over epochs."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.6, 2.4))
        axes = figure.subplots()
        epochs = [row["epoch"] for row in curves]
        for key, colour in (("train_loss", COLOURS[0]), ("validation_loss", COLOURS[1]), ("validation_uar", COLOURS[2])):
            points = [(e, row[key]) for e, row in zip(epochs, curves, strict=True) if row.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), color=colour, label=key.replace("_", " "))
        if best_epoch is not None:
            axes.axvline(best_epoch, color=GREY, linewidth=0.8, linestyle=":")
        axes.set_xlabel("epoch")
        axes.legend(frameon=False, fontsize=8)
        return _svg(figure)


def draw_confusion(confusion: Sequence[Sequence[int]], labels: Sequence[str], *, title: str) -> str:
    """A confusion matrix: rows are gold, columns predicted, shaded by the share of the row."""
    with matplotlib.rc_context(_STYLE):
        table = np.array(confusion, dtype=float)
        shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        size = 1.6 + 0.42 * len(labels)
        figure = Figure(figsize=(size + 0.6, size))
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(*table.shape):
            colour = "white" if shares[row, column] > 0.6 else "#344054"
            axes.text(column, row, f"{table[row, column]:.0f}", ha="center", va="center", color=colour)
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.set_title(title, loc="left")
        axes.set_xlabel("predicted")
        axes.set_ylabel("gold")
        return _svg(figure)


def _svg(figure: Figure) -> str:
    figure.set_layout_engine("constrained")
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    out = StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
