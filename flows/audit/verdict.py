"""Audit a split: every check on one table, with a verdict. Needs no workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from flows.audit.listening import check_audio
from flows.audit.result import CheckResult
from flows.audit.same_bytes import CorpusFiles, hash_files
from flows.audit.table_checks import TABLE_CHECKS, Corpus
from voxdata.audit.audit_table import AuditTable
from voxdata.audit.findings import Audit, Finding, Statistic, sort_findings
from voxdata.dataset import Split
from voxdata.progress import Progress

MAX_CLIPS = 2_000
MAX_PICTURED = 30
NOT_HEARD = CheckResult(
    outcomes={
        "audio": "not checked: --no-audio leaves out copies, voices, channel, label noise, "
        "silence and clipping"
    },
    limit=(
        "no clip was listened to (--no-audio): copies, voices, channel, "
        "wrong labels and bad sound were not looked for"
    ),
)
Say = Callable[[str], None]


def audit_table(
    table: AuditTable,
    *,
    audio_root: Path,
    with_audio: bool = True,
    max_clips: int = MAX_CLIPS,
    seed: int = 0,
    say: Say,
) -> Audit:
    """Run every check.

    Args:
        table: From `read_table` or `check_rows`.
        audio_root: What relative audio paths are relative to.
        with_audio: False leaves out what must listen.
        max_clips: At most so many clips are listened to, drawn by `seed`.
        say: Told the progress.

    Raises:
        ConfigError: Audio is to be heard and none of it can be read.
    """
    frame = table.frame
    say(Progress(f"audit: {frame.height} rows of {table.name}"))
    files = CorpusFiles()
    if with_audio:
        audio = frame["audio"].unique(maintain_order=True).to_list()
        files = hash_files(audio, audio_root=audio_root, say=say)
    corpus = Corpus(frame=frame, files=files, seed=seed)
    remarks = {f"manifest {number}": text for number, text in enumerate(table.remarks, start=1)}
    results = [CheckResult(outcomes=remarks)]
    results += [check(corpus) for check in TABLE_CHECKS]
    if with_audio:
        results += check_audio(corpus, audio_root=audio_root, max_clips=max_clips, say=say)
    else:
        results.append(NOT_HEARD)
    outcomes: dict[str, str] = {}
    findings: list[Finding] = []
    statistics: list[Statistic] = []
    for result in results:
        outcomes |= result.outcomes
        findings += result.findings
        statistics += result.statistics
    return Audit(
        name=table.name,
        num_rows=_count_rows(frame),
        findings=sort_findings(findings),
        checks=outcomes,
        shared=_by_speaker(frame),
        statistics=statistics,
        limit="; ".join(result.limit for result in results if result.limit),
    )


def _count_rows(frame: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Split -> label -> rows; splits without rows are left out."""
    counts: dict[str, dict[str, int]] = {}
    for split in Split:
        labels = frame.filter(pl.col("split") == split.value)["label"].value_counts()
        if labels.height:
            counts[split.value] = {str(label): count for label, count in sorted(labels.iter_rows())}
    return counts


def _by_speaker(frame: pl.DataFrame) -> Mapping[str, Mapping[str, int]]:
    """Speaker -> split -> rows, of those who speak most."""
    named = frame.filter(pl.col("speaker").is_not_null())
    by_count = (
        named["speaker"]
        .value_counts(sort=True)
        .sort(["count", "speaker"], descending=[True, False])
    )
    largest = by_count["speaker"].head(MAX_PICTURED)
    table: dict[str, dict[str, int]] = {name: {} for name in largest.to_list()}
    pictured = named.filter(pl.col("speaker").is_in(largest.implode()))
    rows = pictured.group_by(["speaker", "split"]).len().sort(["speaker", "split"])
    for speaker, split, count in rows.iter_rows():
        table[speaker][split] = count
    return table
