"""Names that are nearly the same: labels that look like slips, people who may be one person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from voxdata.audit.findings import Finding, Severity, limit_evidence
from voxdata.label_names import describe_near_labels, find_near_labels
from voxdata.name_key import find_near_names


def find_alike_labels(frame: pl.DataFrame) -> Finding | None:
    """Labels that differ by case, by space or by one letter."""
    counts = Counter(frame["label"].to_list())
    near = find_near_labels(counts)
    if not near:
        return None
    evidence: list[Mapping[str, object]] = []
    for group in near:
        row = {
            "labels": ", ".join(map(repr, group.labels)),
            "differ by": group.difference,
            "rows": ", ".join(str(counts[label]) for label in group.labels),
        }
        evidence.append(row)
    return Finding(
        check="label_names",
        severity=Severity.WARNING,
        title=f"labels that look like slips of each other: {describe_near_labels(near[:3])}",
        remedy=(
            "write one name for one label; "
            "--rename OLD=NEW takes one for the other, here and in `voxdata import`"
        ),
        evidence=limit_evidence(evidence),
        count=len(near),
    )


def find_alike_people(
    frame: pl.DataFrame,
    column: str,
    *,
    what: str,
) -> Finding | None:
    """Names of a column that are in different splits and may be meant for one.

    They differ only by case, leading zeros or spaces, as `007` and `7` do.

    Args:
        what: What the values are called, such as "speakers".
    """
    filled = frame.filter(pl.col(column).is_not_null())
    by_name = filled.group_by(column).agg("split")
    splits = {str(name): set(in_splits) for name, in_splits in by_name.iter_rows()}
    near = find_near_names(splits)
    if not near:
        return None
    evidence: list[Mapping[str, object]] = []
    for group in near:
        together: set[str] = set().union(*(splits[name] for name in group))
        row = {
            "names": ", ".join(map(repr, group)),
            "splits": ", ".join(sorted(together)),
        }
        evidence.append(row)
    first = " and ".join(map(repr, near[0]))
    return Finding(
        check=f"{what}_alike",
        severity=Severity.NOTE,
        title=f"{len(near)} {what} in different splits have nearly the same name, such as {first}",
        remedy="if they are one, write one name and keep their rows in one split",
        evidence=limit_evidence(evidence),
        count=len(near),
    )
