"""What one check of an audit returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from voxdata.audit.findings import Finding, Statistic


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What came of a check.

    Attributes:
        outcomes: What it looked for -> what came of it in one sentence, also when nothing did or it
            could not be judged.
        findings: Empty when all is well.
        statistics: Figures with their null intervals.
        limit: What it did not look at and what can therefore hide; "" when it looked at everything.
    """

    outcomes: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    statistics: tuple[Statistic, ...] = ()
    limit: str = ""


def one_check(name: str, findings: Sequence[Finding | None], nothing: str) -> CheckResult:
    """The result of a check that only finds, or does not.

    Args:
        name: What it looked for.
        findings: None stands for no finding.
        nothing: What to say when it found nothing.
    """
    real = tuple(finding for finding in findings if finding is not None)
    return CheckResult(outcomes={name: outcome_of(real, nothing)}, findings=real)


def outcome_of(findings: Sequence[Finding], nothing: str) -> str:
    """The titles of the findings in one line."""
    return "; ".join(finding.title for finding in findings) or nothing
