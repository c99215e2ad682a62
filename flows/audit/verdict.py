"""Audit a split: every check on one table, with a verdict. Needs no workspace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from flows.audit.model_checks import judge_channel, judge_labels
from flows.audit.repeats import search_copies
from flows.audit.same_bytes import CorpusFiles, hash_files
from voxdata.audit.audit_table import AuditTable
from voxdata.audit.clips import BadClip, listen
from voxdata.audit.findings import Audit, Finding, Severity, Statistic, limit_evidence, sort_findings
from voxdata.audit.groups import (
    find_imbalance,
    find_labels_in_names,
    find_overlaps,
    find_shared,
    find_shared_phrases,
    judge_speakers,
)
from voxdata.audit.names import find_alike_labels, find_alike_people
from voxdata.audit.sound_checks import (
    find_bad_sound,
    find_shared_voices,
)
from voxdata.dataset import Split
from voxdata.errors import BackendError, ConfigError

MAX_CLIPS = 2_000
MAX_PICTURED = 30
NO_AUDIO = "no clip was listened to (--no-audio): copies, voices, channel, wrong labels and bad sound were not looked for"
Say = Callable[[str], None]


def audit_table(
    table: AuditTable, *, audio_root: Path, with_audio: bool = True, max_clips: int = MAX_CLIPS, seed: int = 0, say: Say
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
    findings: list[Finding] = []
    checks: dict[str, str] = {f"manifest {number}": text for number, text in enumerate(table.remarks, start=1)}
    statistics: list[Statistic] = []
    say(f"audit: {frame.height} rows of {table.name}")
    _check_people(frame, findings, checks, statistics, seed=seed)
    _check_words(frame, findings, checks, statistics, seed=seed)
    files = CorpusFiles()
    if with_audio:
        files = hash_files(frame["audio"].unique(maintain_order=True).to_list(), audio_root=audio_root, say=say)
    overlaps = find_overlaps(frame, files.contents)
    checks["the same stretch of a file"] = _outcome([overlaps] if overlaps else [], "no stretch of a file is in two splits")
    balance, named = find_imbalance(frame), find_labels_in_names(frame)
    findings += [f for f in (overlaps, named) if f is not None] + balance
    checks["label balance"] = _outcome(balance, "every label is in every split, and none ten times rarer than another")
    slips = find_alike_labels(frame)
    findings += [slips] if slips else []
    checks["label names"] = _outcome([slips] if slips else [], "no two labels look like slips of each other")
    checks["labels in file names"] = _outcome([named] if named else [], "file names do not say the label")
    if with_audio:
        limit = _check_audio(
            frame, files, findings, checks, statistics, audio_root=audio_root, max_clips=max_clips, seed=seed, say=say
        )  # fmt: skip
    else:
        limit = NO_AUDIO
        checks["audio"] = "not checked: --no-audio leaves out copies, voices, channel, label noise, silence and clipping"
    counts = {
        split.value: {
            str(label): count for label, count in sorted(frame.filter(pl.col("split") == split.value)["label"].value_counts().iter_rows())
        }
        for split in Split
        if (frame["split"] == split.value).any()
    }
    return Audit(
        name=table.name,
        num_rows=counts,
        findings=sort_findings(findings),
        checks=checks,
        shared=_by_speaker(frame),
        statistics=statistics,
        limit=limit,
    )


def _check_people(frame: pl.DataFrame, findings: list[Finding], checks: dict[str, str], statistics: list[Statistic], *, seed: int) -> None:
    for column, what in (("speaker", "speaker"), ("session", "session")):
        if frame[column].null_count() == frame.height:
            checks[f"{what}s"] = f"not checked: there is no {what} column"
            continue
        shared = find_shared(frame, column, check=f"{what}s", what=f"{what}s", remedy=f"split by {what}: all rows of one in the same split")
        figures, found = judge_speakers(frame, column=column, what=what, seed=seed)
        alike = find_alike_people(frame, column, what=f"{what}s")
        findings += [finding for finding in (shared, alike) if finding is not None] + found
        statistics += figures
        unknown = frame[column].null_count()
        said = f"; {unknown} rows do not say theirs" if unknown else ""
        checks[f"{what}s"] = _outcome([shared] if shared else [], f"no {what} is in two splits") + said
        measured = "; ".join(f"{s.name}: {s.value:.0%}, chance {s.null_low:.0%} to {s.null_high:.0%}" for s in figures)
        checks[f"{what}-only predictor"] = measured or f"cannot be judged: each {what} has one row, or there is only one"


def _check_words(frame: pl.DataFrame, findings: list[Finding], checks: dict[str, str], statistics: list[Statistic], *, seed: int) -> None:
    if frame["text"].null_count() == frame.height:
        checks["phrases"] = "not checked: there is no text column"
        return
    figures, found = find_shared_phrases(frame, seed=seed)
    findings += found
    statistics += figures
    checks["phrases"] = _outcome(found, "no phrase of four words and more is in training and elsewhere")


def _check_audio(
    frame: pl.DataFrame,
    files: CorpusFiles,
    findings: list[Finding],
    checks: dict[str, str],
    statistics: list[Statistic],
    *,
    audio_root: Path,
    max_clips: int,
    seed: int,
    say: Say,
) -> str:
    """Run the checks that need the audio; returns what limits the verdict, or ""."""
    chosen = list(range(frame.height))
    limit = ""
    if frame.height > max_clips:
        chosen = sorted(np.random.default_rng(seed).choice(frame.height, size=max_clips, replace=False).tolist())
        limit = (
            f"only {max_clips:,} of {frame.height:,} clips, drawn at random, were listened to (--max-clips): exact copies were looked for "
            "among all, but near copies, voices, wrong labels and bad sound among the others are not found"
        )
    nameless = frame["speaker"].null_count() == frame.height
    try:
        heard, bad = listen(frame, chosen, audio_root=audio_root, with_voices=nameless, say=say)
    except BackendError as error:
        checks["voices"] = f"not checked: {error}"
        heard, bad = listen(frame, chosen, audio_root=audio_root, with_voices=False, say=say)
    if not heard:
        raise ConfigError(
            f"none of the {len(bad)} clips can be read, the first because: {bad[0].problem}; "
            "say with --audio-root where they lie, or leave audio out with --no-audio"
        )
    say(f"audit: compares {len(heard)} clips")
    rows = [clip.at for clip in heard]
    found_copies = search_copies(frame, files, heard, bad, audio_root=audio_root)
    copies = list(found_copies.copies)
    checks["copies"] = _outcome(copies, "no two clips are the same sound")
    unreadable = _find_unreadable(frame, files, [*bad, *found_copies.bad])
    findings += [unreadable] if unreadable else []
    said = f"{len(heard):,} of {frame.height:,}" if len(heard) < frame.height else f"all {len(heard):,}"
    checks["clips heard"] = said + (f"; {unreadable.count:,} cannot be read" if unreadable else "")
    sound = find_bad_sound(
        frame,
        {c.at: c.quality.level_db for c in heard},
        {c.at: c.quality.clipping_ratio for c in heard},
        {c.at: c.duration_s for c in heard},
    )
    checks["silence, clipping, length"] = _outcome(sound, "nothing is silent, clipped, too short or too long")
    findings += copies + ([found_copies.conflict] if found_copies.conflict else []) + sound
    voiced = [clip for clip in heard if clip.voice is not None]
    if voiced:
        says, found = find_shared_voices(frame, [c.at for c in voiced], np.stack([c.voice for c in voiced if c.voice is not None]))
        checks["voices"] = says
        findings += found
    groups = [str(frame["speaker"][at] or frame["audio"][at]) for at in rows]
    say("audit: asks whether the channel gives anything away, and which labels look wrong")
    if nameless:
        checks["channel and split"] = "not checked: without a speaker column a microphone cannot be told from a person"
    for of in ("label",) if nameless else ("label", "split"):
        statistic, finding = judge_channel(heard, [str(frame[of][at]) for at in rows], groups, of=of, seed=seed)
        statistics += [statistic] if statistic else []
        findings += [finding] if finding else []
        checks[f"channel and {of}"] = (
            f"{statistic.value:.0%} guessed, chance {statistic.null_low:.0%} to {statistic.null_high:.0%}"
            if statistic
            else "not checked: too few clips or speakers"
        )
    checks["label noise"], statistic, finding = judge_labels(frame, heard, groups, seed=seed)
    statistics += [statistic] if statistic else []
    findings += [finding] if finding else []
    return limit


def _find_unreadable(frame: pl.DataFrame, files: CorpusFiles, bad: Sequence[BadClip]) -> Finding | None:
    """Rows whose audio cannot be read: those that were to be heard, and those whose file is not there at all."""
    problems = {clip.at: clip.problem for clip in bad}
    for at, audio in enumerate(frame["audio"].to_list()):
        if audio in files.problems:
            problems.setdefault(at, files.problems[audio])
    if not problems:
        return None
    evidence = [{"row": frame["row"][at], "audio": frame["audio"][at], "why": why} for at, why in sorted(problems.items())]
    return Finding(
        check="unreadable",
        severity=Severity.WARNING,
        title=f"the audio of {len(problems):,} of {frame.height:,} rows cannot be read",
        remedy="fetch them again or remove the rows; they were left out of what follows",
        evidence=limit_evidence(evidence),
        count=len(problems),
    )


def _outcome(findings: list[Finding], nothing: str) -> str:
    return "; ".join(finding.title for finding in findings) or nothing


def _by_speaker(frame: pl.DataFrame) -> Mapping[str, Mapping[str, int]]:
    known = frame.filter(pl.col("speaker").is_not_null())
    largest = known["speaker"].value_counts(sort=True).sort(["count", "speaker"], descending=[True, False])["speaker"].head(MAX_PICTURED)
    table: dict[str, dict[str, int]] = {name: {} for name in largest.to_list()}
    for speaker, split, count in (
        known.filter(pl.col("speaker").is_in(largest.implode())).group_by(["speaker", "split"]).len().sort(["speaker", "split"]).iter_rows()
    ):
        table[speaker][split] = count
    return table
