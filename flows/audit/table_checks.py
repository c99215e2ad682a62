"""The checks of an audit that need the table and the bytes of its files, and no listening."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from flows.audit.result import CheckResult, one_check, outcome_of
from flows.audit.same_bytes import CorpusFiles
from voxdata.audit.findings import Statistic
from voxdata.audit.groups import (
    find_imbalance,
    find_labels_in_names,
    find_overlaps,
    find_shared,
    find_shared_phrases,
    judge_speakers,
)
from voxdata.audit.names import find_alike_labels, find_alike_people
from voxdata.counted import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What is audited.

    Attributes:
        frame: As `voxdata.audit.findings.SCHEMA` says.
        files: The bytes of its files; empty when the audio is left out.
        seed: Of every draw.
    """

    frame: pl.DataFrame
    files: CorpusFiles
    seed: int

    def lacks(self, column: str) -> bool:
        """Whether a column says nothing in any row."""
        return self.frame[column].null_count() == self.frame.height


def check_speakers(corpus: Corpus) -> CheckResult:
    """Speakers in two splits, and labels that the speaker alone gives away."""
    return _check_people(corpus, "speaker")


def check_sessions(corpus: Corpus) -> CheckResult:
    """The same of sessions."""
    return _check_people(corpus, "session")


def _check_people(corpus: Corpus, kind: str) -> CheckResult:
    plural = f"{kind}s"
    if corpus.lacks(kind):
        return CheckResult(outcomes={plural: f"not checked: there is no {kind} column"})
    frame = corpus.frame
    remedy = f"split by {kind}: all rows of one in the same split"
    shared = find_shared(frame, kind, check=plural, what=plural, remedy=remedy)
    alike = find_alike_people(frame, kind, what=plural)
    statistics, telling = judge_speakers(frame, column=kind, what=kind, seed=corpus.seed)
    outcome = outcome_of([shared] if shared else [], f"no {kind} is in two splits")
    unknown = frame[kind].null_count()
    if unknown:
        outcome += f"; {counted(unknown, 'row does not say its own', 'rows do not say theirs')}"
    measured = "; ".join(_measured(statistic) for statistic in statistics)
    unjudged = f"cannot be judged: each {kind} has one row, or there is only one"
    return CheckResult(
        outcomes={plural: outcome, f"{kind}-only predictor": measured or unjudged},
        findings=tuple(finding for finding in (shared, alike, *telling) if finding is not None),
        statistics=tuple(statistics),
    )


def _measured(statistic: Statistic) -> str:
    chance = f"chance {statistic.null_low:.0%} to {statistic.null_high:.0%}"
    return f"{statistic.name}: {statistic.value:.0%}, {chance}"


def check_phrases(corpus: Corpus) -> CheckResult:
    """Phrases in training and elsewhere."""
    if corpus.lacks("text"):
        return CheckResult(outcomes={"phrases": "not checked: there is no text column"})
    statistics, shared = find_shared_phrases(corpus.frame, seed=corpus.seed)
    nothing = "no phrase of four words and more is in training and elsewhere"
    return CheckResult(
        outcomes={"phrases": outcome_of(shared, nothing)},
        findings=tuple(shared),
        statistics=tuple(statistics),
    )


def check_stretches(corpus: Corpus) -> CheckResult:
    """The same stretch of a file in two splits."""
    overlaps = find_overlaps(corpus.frame, corpus.files.contents)
    return one_check(
        "the same stretch of a file", [overlaps], "no stretch of a file is in two splits"
    )


def check_file_names(corpus: Corpus) -> CheckResult:
    """Labels that file names give away."""
    named = find_labels_in_names(corpus.frame)
    return one_check("labels in file names", [named], "file names do not say the label")


def check_balance(corpus: Corpus) -> CheckResult:
    """Labels that a split lacks, or that are much rarer than others."""
    nothing = "every label is in every split, and none ten times rarer than another"
    return one_check("label balance", find_imbalance(corpus.frame), nothing)


def check_label_names(corpus: Corpus) -> CheckResult:
    """Labels that look like slips of each other."""
    slips = find_alike_labels(corpus.frame)
    return one_check("label names", [slips], "no two labels look like slips of each other")


TABLE_CHECKS: tuple[Callable[[Corpus], CheckResult], ...] = (
    check_speakers,
    check_sessions,
    check_phrases,
    check_stretches,
    check_file_names,
    check_balance,
    check_label_names,
)
"""In the order in which their findings are shown; a new check is a line here."""
