"""The split auditor's values: findings with their evidence, and the verdict over them.

A leak is something that lets a model score well on the test set without having learned the task. A
warning is something that makes scores hard to trust though the split itself is clean. A note is
worth knowing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import polars as pl

from voxdata.dataset import Split

SPLIT_NAMES: Mapping[str, Split] = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "trn": Split.TRAIN,
    "tr": Split.TRAIN,
    "validation": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "val": Split.VALIDATION,
    "dev": Split.VALIDATION,
    "devel": Split.VALIDATION,
    "development": Split.VALIDATION,
    "cv": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
    "tst": Split.TEST,
    "eval": Split.TEST,
    "evaluation": Split.TEST,
    "heldout": Split.TEST,
    "训练": Split.TRAIN,
    "训练集": Split.TRAIN,
    "验证": Split.VALIDATION,
    "验证集": Split.VALIDATION,
    "测试": Split.TEST,
    "测试集": Split.TEST,
}
"""What people call the three splits, in small letters."""

MAX_EVIDENCE = 25
"""Evidence rows kept of a finding; the finding says how many there are."""

SCHEMA: Mapping[str, type[pl.DataType]] = {
    "row": pl.Int64,
    "audio": pl.String,
    "label": pl.String,
    "speaker": pl.String,
    "split": pl.String,
    "text": pl.String,
    "session": pl.String,
    "start_s": pl.Float64,
    "end_s": pl.Float64,
    "channel": pl.Int64,
}
"""Columns of the table that the checks read.

`row` is its place in the manifest; what is not known is null.
"""


class Severity(StrEnum):
    """How bad a finding is."""

    LEAK = "leak"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """A figure beside what it would be if there were nothing to find.

    Attributes:
        name: What was predicted by what.
        value: 0..1.
        baseline: The most common label alone.
        null_low, null_high: 95 % of the values under random permutation lie between.
        p_value: Share of permutations that reach the value, the value itself counted.
        num_rows: Rows it was measured on.
    """

    name: str
    value: float
    baseline: float
    null_low: float
    null_high: float
    p_value: float
    num_rows: int

    @property
    def gain(self) -> float:
        """How much of the way from the better of both baselines to certainty it goes, 0..1."""
        base = max(self.baseline, self.null_high)
        if base >= 1:
            return 0.0
        return (self.value - base) / (1 - base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found.

    Attributes:
        check: The check's name, such as "speakers"; the same for every corpus.
        title: One sentence with the figures.
        remedy: What to do.
        evidence: Up to MAX_EVIDENCE rows, all with the same keys.
        count: How many there are in all.
        statistics: Figures with their null intervals, when the finding rests on any.
    """

    check: str
    severity: Severity
    title: str
    remedy: str
    evidence: Sequence[Mapping[str, object]] = ()
    count: int = 0
    statistics: Sequence[Statistic] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Everything that an audit found.

    Attributes:
        name: The name of the manifest.
        num_rows: Rows audited, by split and label: split -> label -> rows.
        findings: Worst first.
        checks: Check -> what came of it in one sentence, for every check, also those that found
            nothing or did not run.
        shared: Speaker -> split -> rows; the most spoken first, for the picture.
        statistics: All figures with their null intervals.
        limit: What was not listened to and can therefore hide; "" when everything was.
    """

    name: str
    num_rows: Mapping[str, Mapping[str, int]]
    findings: Sequence[Finding]
    checks: Mapping[str, str]
    shared: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    statistics: Sequence[Statistic] = ()
    limit: str = ""

    @property
    def has_leak(self) -> bool:
        """Whether one of the findings is a leak."""
        return any(finding.severity is Severity.LEAK for finding in self.findings)

    @property
    def verdict(self) -> str:
        """The outcome in one line, with the limit of what was listened to."""
        if not self.limit:
            return self.outcome
        return f"{self.outcome}; {self.limit}"

    @property
    def outcome(self) -> str:
        """Whether there is a leak, and how many findings there are of each kind."""
        counts = Counter(finding.severity for finding in self.findings)
        num_leaks = counts[Severity.LEAK]
        words = f"leak found: {num_leaks}" if num_leaks else "clean"

        others = []
        for severity in (Severity.WARNING, Severity.NOTE):
            count = counts[severity]
            if count:
                plural = "" if count == 1 else "s"
                others.append(f"{count} {severity.value}{plural}")
        if not others:
            return words
        return f"{words}, with {', '.join(others)}"


def name_split(text: str) -> Split | None:
    """The split that somebody's name for it means; None for an unknown one.

    >>> name_split("Dev") is Split.VALIDATION
    True
    """
    return SPLIT_NAMES.get(text.strip().casefold())


def sort_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Leaks first, then warnings, then notes; within these in the order given."""
    ranks = list(Severity)
    return sorted(findings, key=lambda finding: ranks.index(finding.severity))


def limit_evidence(rows: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The first MAX_EVIDENCE rows."""
    return list(rows[:MAX_EVIDENCE])
