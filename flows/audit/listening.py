"""The checks of an audit that listen to the clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from flows.audit.model_checks import judge_channel, judge_labels
from flows.audit.repeats import CopySearch, search_copies
from flows.audit.result import CheckResult, one_check, outcome_of
from flows.audit.same_bytes import CorpusFiles
from flows.audit.table_checks import Corpus
from voxdata.audit.clips import BadClip, HeardClip, listen
from voxdata.audit.findings import Finding, Severity, limit_evidence
from voxdata.audit.sound_checks import find_bad_sound, find_shared_voices
from voxdata.counted import counted
from voxdata.errors import BackendError, ConfigError
from voxdata.progress import Progress

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The clips that were listened to.

    Attributes:
        clips: In the order of their rows.
        bad: Those that cannot be read.
        voices_problem: Why voices were not looked for; "" when they were or need not be.
    """

    clips: tuple[HeardClip, ...]
    bad: tuple[BadClip, ...]
    voices_problem: str = ""


def check_audio(corpus: Corpus, *, audio_root: Path, max_clips: int, say: Say) -> list[CheckResult]:
    """Listen, and run every check that needs it.

    Args:
        audio_root: What relative audio paths are relative to.
        max_clips: At most so many clips are listened to, drawn by the seed of the corpus.

    Raises:
        ConfigError: No clip can be read.
    """
    frame, nameless = corpus.frame, corpus.lacks("speaker")
    chosen, limit = _choose(corpus, max_clips)
    heard = _listen(frame, chosen, audio_root=audio_root, with_voices=nameless, say=say)
    say(Progress(f"audit: compares {counted(len(heard.clips), 'clip')}"))
    copies = search_copies(frame, corpus.files, heard.clips, heard.bad, audio_root=audio_root)
    question = "whether the channel gives anything away, and which labels look wrong"
    say(Progress(f"audit: asks {question}"))
    groups = [str(frame["speaker"][clip.at] or frame["audio"][clip.at]) for clip in heard.clips]
    return [
        CheckResult(limit=limit),
        _check_readable(corpus, heard, copies),
        _check_copies(copies),
        _check_sound(frame, heard),
        _check_voices(frame, heard),
        *_check_channel(corpus, heard, groups, nameless=nameless),
        _check_labels(corpus, heard, groups),
    ]


def _choose(corpus: Corpus, max_clips: int) -> tuple[list[int], str]:
    """Which rows are listened to, and what that leaves out."""
    height = corpus.frame.height
    if height <= max_clips:
        return list(range(height)), ""
    draws = np.random.default_rng(corpus.seed)
    chosen = sorted(draws.choice(height, size=max_clips, replace=False).tolist())
    return chosen, (
        f"only {max_clips:,} of {height:,} clips, drawn at random, were listened to (--max-clips): "
        "exact copies were looked for among all, but near copies, voices, wrong labels and bad "
        "sound among the others are not found"
    )


def _listen(
    frame: pl.DataFrame, chosen: Sequence[int], *, audio_root: Path, with_voices: bool, say: Say
) -> Heard:
    problem = ""
    try:
        clips, bad = listen(frame, chosen, audio_root=audio_root, with_voices=with_voices, say=say)
    except BackendError as error:
        problem = f"not checked: {error}"
        clips, bad = listen(frame, chosen, audio_root=audio_root, with_voices=False, say=say)
    if not clips:
        raise ConfigError(
            f"none of the {counted(len(bad), 'clip')} can be read, the first because: "
            f"{bad[0].problem}; "
            "say with --audio-root where they lie, or leave audio out with --no-audio"
        )
    return Heard(clips=tuple(clips), bad=tuple(bad), voices_problem=problem)


def _check_readable(corpus: Corpus, heard: Heard, copies: CopySearch) -> CheckResult:
    """How many clips were heard, and which cannot be read."""
    frame = corpus.frame
    unreadable = _find_unreadable(frame, corpus.files, [*heard.bad, *copies.bad])
    outcome = f"all {len(heard.clips):,}"
    if len(heard.clips) < frame.height:
        outcome = f"{len(heard.clips):,} of {frame.height:,}"
    if unreadable is None:
        return CheckResult(outcomes={"clips heard": outcome})
    outcome += f"; {unreadable.count:,} cannot be read"
    return CheckResult(outcomes={"clips heard": outcome}, findings=(unreadable,))


def _find_unreadable(
    frame: pl.DataFrame, files: CorpusFiles, bad: Sequence[BadClip]
) -> Finding | None:
    """Rows whose audio cannot be read: those that were to be heard, and those whose file is not
    there at all.
    """
    problems = {clip.at: clip.problem for clip in bad}
    for at, audio in enumerate(frame["audio"].to_list()):
        if audio in files.problems:
            problems.setdefault(at, files.problems[audio])
    if not problems:
        return None
    evidence = [
        {"row": frame["row"][at], "audio": frame["audio"][at], "why": why}
        for at, why in sorted(problems.items())
    ]
    return Finding(
        check="unreadable",
        severity=Severity.WARNING,
        title=f"the audio of {len(problems):,} of {frame.height:,} rows cannot be read",
        remedy="fetch them again or remove the rows; they were left out of what follows",
        evidence=limit_evidence(evidence),
        count=len(problems),
    )


def _check_copies(copies: CopySearch) -> CheckResult:
    outcome = outcome_of(copies.copies, "no two clips are the same sound")
    findings = copies.copies
    if copies.conflict is not None:
        findings = (*findings, copies.conflict)
    return CheckResult(outcomes={"copies": outcome}, findings=findings)


def _check_sound(frame: pl.DataFrame, heard: Heard) -> CheckResult:
    levels = {clip.at: clip.quality.level_db for clip in heard.clips}
    clipping = {clip.at: clip.quality.clipping_ratio for clip in heard.clips}
    lengths = {clip.at: clip.duration_s for clip in heard.clips}
    bad = find_bad_sound(frame, levels, clipping, lengths)
    return one_check(
        "silence, clipping, length", bad, "nothing is silent, clipped, too short or too long"
    )


def _check_voices(frame: pl.DataFrame, heard: Heard) -> CheckResult:
    """Voices in two splits, where no column says who speaks."""
    if heard.voices_problem:
        return CheckResult(outcomes={"voices": heard.voices_problem})
    rows, vectors = [], []
    for clip in heard.clips:
        if clip.voice is not None:
            rows.append(clip.at)
            vectors.append(clip.voice)
    if not rows:
        return CheckResult()
    outcome, findings = find_shared_voices(frame, rows, np.stack(vectors))
    return CheckResult(outcomes={"voices": outcome}, findings=tuple(findings))


def _check_channel(
    corpus: Corpus, heard: Heard, groups: Sequence[str], *, nameless: bool
) -> list[CheckResult]:
    """Whether the recording condition gives the label or the split away."""
    if not nameless:
        return [
            _check_channel_of(corpus, heard, groups, "label"),
            _check_channel_of(corpus, heard, groups, "split"),
        ]
    unjudged = "not checked: without a speaker column a microphone cannot be told from a person"
    return [
        CheckResult(outcomes={"channel and split": unjudged}),
        _check_channel_of(corpus, heard, groups, "label"),
    ]


def _check_channel_of(
    corpus: Corpus, heard: Heard, groups: Sequence[str], column: str
) -> CheckResult:
    name = f"channel and {column}"
    targets = [str(corpus.frame[column][clip.at]) for clip in heard.clips]
    statistic, finding = judge_channel(heard.clips, targets, groups, of=column, seed=corpus.seed)
    findings = () if finding is None else (finding,)
    if statistic is None:
        return CheckResult(
            outcomes={name: "not checked: too few clips or speakers"}, findings=findings
        )
    chance = f"chance {statistic.null_low:.0%} to {statistic.null_high:.0%}"
    outcome = f"{statistic.value:.0%} guessed, {chance}"
    return CheckResult(outcomes={name: outcome}, findings=findings, statistics=(statistic,))


def _check_labels(corpus: Corpus, heard: Heard, groups: Sequence[str]) -> CheckResult:
    """Labels that look wrong."""
    outcome, statistic, finding = judge_labels(corpus.frame, heard.clips, groups, seed=corpus.seed)
    return CheckResult(
        outcomes={"label noise": outcome},
        findings=() if finding is None else (finding,),
        statistics=() if statistic is None else (statistic,),
    )
