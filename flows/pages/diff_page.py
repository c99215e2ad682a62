"""What separates two dataset versions, as a page with pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    return render_page(
        "diff",
        before=before,
        after=after,
        found=found,
        tables={title: [_shown(row) for row in rows] for title, rows in diff_tables(found).items()},
        examples=examples,
        minutes={
            scheme: picture(
                plot_shifts(
                    {
                        label.partition("=")[2]: pair
                        for label, pair in found.minutes.items()
                        if label.startswith(f"{scheme}=")
                    },
                    unit="minutes",
                    salt=f"minutes-{scheme}",
                )
            )
            for scheme in schemes
        },
        flips={
            scheme: picture(_plot_flips(found, scheme))
            for scheme in sorted({c.scheme for c in found.relabelled})
        },
    )


def _shown(row: Row) -> Row:
    return {
        name: shown_number(value) if isinstance(value, float) else value
        for name, value in row.items()
    }


def _plot_flips(found: VersionDiff, scheme: str) -> str:
    changes = [(c.before or "–", c.after or "–") for c in found.relabelled if c.scheme == scheme]
    labels = sorted({label for change in changes for label in change})
    counts = [[changes.count((a, b)) for b in labels] for a in labels]
    return plot_confusions(
        [(scheme, counts)], labels=labels, salt=f"flips-{scheme}", rows="before", columns="after"
    )
