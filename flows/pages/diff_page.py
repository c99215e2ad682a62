"""What separates two dataset versions, as a page with pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from flows.pages.page import picture, render_page
from flows.pages.plots import plot_confusions, plot_shifts
from flows.pages.shown import shown_number
from flows.pages.version_view import Row, diff_tables
from voxdata.diff import VersionDiff
from voxdata.register import Register, write_page
from warehouse.versions import DatasetVersion


def write_diff_page(
    path: Path,
    before: DatasetVersion,
    after: DatasetVersion,
    found: VersionDiff,
    *,
    examples: Mapping[str, Sequence[Row]],
    register: Register,
) -> None:
    """Write the page, and note it; only its owner may read it."""
    write_page(path, render_diff(before, after, found, examples=examples), register=register)


def render_diff(
    before: DatasetVersion,
    after: DatasetVersion,
    found: VersionDiff,
    *,
    examples: Mapping[str, Sequence[Row]],
) -> str:
    """The page: no scripts, nothing to fetch, everything escaped.

    Args:
        examples: From `flows.pages.version_view.example_tables`.
    """
    schemes = sorted({label.partition("=")[0] for label in found.counts})
    tables: dict[str, list[Row]] = {}
    for title, rows in diff_tables(found).items():
        tables[title] = [_shown(row) for row in rows]
    relabelled = sorted({change.scheme for change in found.relabelled})
    return render_page(
        "diff",
        before=before,
        after=after,
        found=found,
        tables=tables,
        examples=examples,
        minutes={scheme: picture(_plot_minutes(found, scheme)) for scheme in schemes},
        flips={scheme: picture(_plot_flips(found, scheme)) for scheme in relabelled},
    )


def _shown(row: Row) -> Row:
    return {name: _shown_cell(value) for name, value in row.items()}


def _shown_cell(value: object) -> object:
    return shown_number(value) if isinstance(value, float) else value


def _plot_flips(found: VersionDiff, scheme: str) -> str:
    changes = [(c.before or "–", c.after or "–") for c in found.relabelled if c.scheme == scheme]
    labels = sorted(set(chain.from_iterable(changes)))
    counts: list[list[int]] = []
    for before in labels:
        counts.append([changes.count((before, after)) for after in labels])
    return plot_confusions(
        [(scheme, counts)], labels=labels, salt=f"flips-{scheme}", rows="before", columns="after"
    )


def _plot_minutes(found: VersionDiff, scheme: str) -> str:
    """Minutes of each label of a scheme before and after."""
    of_scheme: dict[str, tuple[float, float]] = {}
    for name, pair in found.minutes.items():
        if name.startswith(f"{scheme}="):
            of_scheme[name.partition("=")[2]] = pair
    return plot_shifts(of_scheme, unit="minutes", salt=f"minutes-{scheme}")
