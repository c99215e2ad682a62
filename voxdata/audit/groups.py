"""What no audio is needed for: speakers, sessions, files and phrases in two splits, and what each of them says about the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from voxdata.audit.findings import Finding, Severity, Statistic, limit_evidence
from voxdata.audit.predictors import encode_codes, group_purity, predict_across, predict_within
from voxdata.dataset import Split
from voxdata.phrases import phrase_of

SURE = 0.01
"""Largest p-value taken for more than chance."""

TELLING_GAIN = 0.5
"""Share of the way to certainty from which on labels count as given away."""

SOME_GAIN = 0.1
COMMON_SHARE = 0.05
"""Share of the rows outside training from which on shared phrases count as a leak."""


def find_shared(
    frame: pl.DataFrame, column: str, *, check: str, what: str, remedy: str
) -> Finding | None:
    """Values of a column that are in two splits and more.

    Args:
        frame: As `voxdata.audit.findings.SCHEMA` says.
        column: Such as "speaker"; null is nobody.
        what: What the values are called, such as "speakers".
    """
    known = frame.filter(pl.col(column).is_not_null())
    shared = (
        known.group_by(column)
        .agg(
            pl.col("split").n_unique().alias("splits"),
            *((pl.col("split") == split.value).sum().alias(split.value) for split in Split),
            pl.len().alias("rows"),
            pl.col("row").min().alias("first row"),
        )
        .filter(pl.col("splits") > 1)
        .sort(["rows", column], descending=[True, False])
    )
    if shared.is_empty():
        return None
    outside = known.filter(
        (pl.col("split") != Split.TRAIN.value) & pl.col(column).is_in(shared[column].implode())
    )
    num_outside = frame.filter(pl.col("split") != Split.TRAIN.value).height
    total = known[column].n_unique()
    return Finding(
        check=check,
        severity=Severity.LEAK,
        title=(
            f"{shared.height} of {total} {what} are in more than one split; {outside.height} of {num_outside} rows outside training "
            f"({outside.height / max(num_outside, 1):.0%}) are of them"
        ),
        remedy=remedy,
        evidence=limit_evidence(
            [
                {k: v for k, v in row.items() if k != "splits"}
                for row in shared.iter_rows(named=True)
            ]
        ),
        count=shared.height,
    )


def judge_speakers(
    frame: pl.DataFrame, *, column: str, what: str, seed: int
) -> tuple[list[Statistic], list[Finding]]:
    """Whether who speaks (or which session it is) gives the label away.

    Where a speaker is in training and elsewhere and the speaker-only predictor beats chance, that
    is a leak. Where no speaker is shared nothing leaks, but when each speaker has one label a model
    can tell neither from the other: a warning, for scores then rest on how many speakers there are,
    not how many rows.

    Args:
        frame: As `voxdata.audit.findings.SCHEMA` says.
        what: The singular, such as "speaker".
    """
    groups, labels = encode_codes(frame[column].to_list()), encode_codes(frame["label"].to_list())
    train = (frame["split"] == Split.TRAIN.value).to_numpy()
    across = predict_across(
        groups, labels, train, name=f"label by {what} alone, across splits", seed=seed
    )
    within = predict_within(
        groups, labels, name=f"label by {what} alone, within the corpus", seed=seed
    )
    found = [statistic for statistic in (across, within) if statistic is not None]
    findings: list[Finding] = []
    evidence = _purest(frame, column)
    if across is not None and across.p_value <= SURE and across.gain >= SOME_GAIN:
        findings.append(
            Finding(
                check=f"{what}_gives_label",
                severity=Severity.LEAK,
                title=(
                    f"knowing only the {what} guesses {across.value:.0%} of the labels outside training; the most common label guesses "
                    f"{across.baseline:.0%}, chance {across.null_low:.0%} to {across.null_high:.0%}"
                ),
                remedy=f"split by {what}, and record more labels of each {what}; scores on this split measure who speaks, not the task",
                evidence=evidence,
                count=len(evidence),
                statistics=[across],
            )
        )
    if within is not None and within.p_value <= SURE and within.gain >= SOME_GAIN and not findings:
        telling = within.gain >= TELLING_GAIN
        findings.append(
            Finding(
                check=f"{what}_gives_label",
                severity=Severity.WARNING if telling else Severity.NOTE,
                title=(
                    f"within the corpus the {what} alone guesses {within.value:.0%} of the labels (most common label "
                    f"{within.baseline:.0%}, chance {within.null_low:.0%} to {within.null_high:.0%})"
                    + (f"; label and {what} can hardly be told apart" if telling else "")
                ),
                remedy=(
                    f"no {what} crosses the split, so nothing leaks; but count {what}s, not rows, when you judge a score, and record "
                    f"several labels of each {what} where the task allows it"
                ),
                evidence=evidence,
                count=len(evidence),
                statistics=[within],
            )
        )
    return found, findings


def find_shared_phrases(frame: pl.DataFrame, *, seed: int) -> tuple[list[Statistic], list[Finding]]:
    """Phrases of four words and more (or as many ideographs) in training and elsewhere.

    A leak where they tell the label: then a model of the text, or of the sound of that sentence,
    knows it by heart. Where the same sentence is said under every label, as in acted emotion, it is
    a note.
    """
    names = {
        text: phrase_of(text) or None for text in frame["text"].drop_nulls().unique().to_list()
    }
    phrases = [names.get(text) if text is not None else None for text in frame["text"].to_list()]
    table = frame.with_columns(pl.Series("phrase", phrases, dtype=pl.String))
    shared = find_shared(
        table,
        "phrase",
        check="phrases",
        what="phrases",
        remedy="keep all rows of a phrase in one split",
    )
    if shared is None:
        return [], []
    groups, labels = encode_codes(phrases), encode_codes(frame["label"].to_list())
    train = (frame["split"] == Split.TRAIN.value).to_numpy()
    statistic = predict_across(
        groups,
        labels,
        train,
        name="label by phrase alone, across splits",
        seed=seed,
        seen_only=True,
    )
    num_outside = int((~train).sum())
    if statistic is None or statistic.p_value > SURE or statistic.gain < TELLING_GAIN:
        said = (
            ""
            if statistic is None
            else f"; the phrase guesses {statistic.value:.0%} of their labels, no more than others would"
        )
        title = f"{shared.title}{said}: the words do not tell the label"
        note = Finding(
            check="phrases",
            severity=Severity.NOTE,
            title=title,
            remedy="nothing to do, unless the task is to understand the words",
            evidence=shared.evidence,
            count=shared.count,
            statistics=[statistic] if statistic else [],
        )
        return ([statistic] if statistic else []), [note]
    common = statistic.num_rows >= COMMON_SHARE * num_outside
    title = (
        f"{shared.title}; the phrase alone guesses {statistic.value:.0%} of the labels of the {statistic.num_rows} rows outside training "
        f"whose phrase is in it (most common label {statistic.baseline:.0%}, chance up to {statistic.null_high:.0%})"
    )
    finding = Finding(
        check="phrases",
        severity=Severity.LEAK if common else Severity.WARNING,
        title=title,
        remedy=shared.remedy,
        evidence=shared.evidence,
        count=shared.count,
        statistics=[statistic],
    )
    return [statistic], [finding]


def find_overlaps(frame: pl.DataFrame, contents: Mapping[str, str] | None = None) -> Finding | None:
    """Stretches of one channel of a file that overlap in time and are in two splits; rows without times stand for the whole file.

    Args:
        frame: As `voxdata.audit.findings.SCHEMA` says.
        contents: Audio path -> what files of the same bytes have in common: stretches of two such
            files overlap too, unless they are the same stretch, which makes them copies. None takes
            every path for a file of its own.
    """
    sorted_rows = frame.select("audio", "channel", "start_s", "end_s", "split", "row").with_columns(
        pl.col("start_s").fill_null(0.0),
        pl.col("end_s").fill_null(float("inf")),
        pl.col("audio").replace(contents or {}).alias("content"),
    )
    many = (
        sorted_rows.group_by("content")
        .agg(pl.col("split").n_unique().alias("n"))
        .filter(pl.col("n") > 1)["content"]
    )
    evidence: list[Mapping[str, object]] = []
    count = 0
    for _, part in (
        sorted_rows.filter(pl.col("content").is_in(many.implode()))
        .sort(["content", "start_s", "row"])
        .group_by("content", "channel", maintain_order=True)
    ):
        furthest: dict[str, dict[str, Any]] = {}
        for row in part.iter_rows(named=True):
            for split, other in furthest.items():
                if (
                    split != row["split"]
                    and other["end_s"] > row["start_s"]
                    and not _is_copy(other, row)
                ):
                    count += 1
                    evidence.append(
                        {
                            "row": other["row"],
                            "audio": other["audio"],
                            "split": split,
                            "other row": row["row"],
                            "other audio": row["audio"],
                            "other split": row["split"],
                        }
                    )
            if row["split"] not in furthest or row["end_s"] > furthest[row["split"]]["end_s"]:
                furthest[row["split"]] = row
    if not count:
        return None
    return Finding(
        check="same_audio",
        severity=Severity.LEAK,
        title=f"{count} rows name the same stretch of the same file as a row of another split",
        remedy="remove one of the two rows, or move both into the same split",
        evidence=limit_evidence(evidence),
        count=count,
    )


def _is_copy(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two rows name the same stretch of two files of the same bytes, which `find_exact_copies` tells."""
    times = ("start_s", "end_s")
    return one["audio"] != other["audio"] and all(one[key] == other[key] for key in times)


def find_imbalance(frame: pl.DataFrame) -> list[Finding]:
    """Labels that a split does not have, and labels far rarer than others."""
    counts = frame.group_by(["label", "split"]).len()
    table = {(row["label"], row["split"]): row["len"] for row in counts.iter_rows(named=True)}
    labels, splits = (
        sorted({label for label, _ in table}),
        [s.value for s in Split if any(at == s.value for _, at in table)],
    )
    rows = [
        {"label": label, **{split: table.get((label, split), 0) for split in splits}}
        for label in labels
    ]
    findings = []
    missing = [row for row in rows if any(row[split] == 0 for split in splits)]
    if missing:
        unlearned = [row for row in missing if row.get(Split.TRAIN.value) == 0]
        findings.append(
            Finding(
                check="missing_labels",
                severity=Severity.WARNING,
                title=f"{len(missing)} of {len(labels)} labels are missing from a split"
                + (f", {len(unlearned)} of them from training" if unlearned else ""),
                remedy="a label that is not in training cannot be learned, one that is not in test is never judged; stratify by label",
                evidence=limit_evidence(missing),
                count=len(missing),
            )
        )
    totals = {row["label"]: sum(int(str(row[split])) for split in splits) for row in rows}
    most, least = max(totals.values()), min(totals.values())
    if most >= 10 * least:
        findings.append(
            Finding(
                check="imbalance",
                severity=Severity.NOTE,
                title=f"the most common label has {most / least:.0f} times the rows of the rarest ({most} and {least})",
                remedy="report the unweighted average recall, not accuracy, and give the intervals of rare labels",
                evidence=limit_evidence(sorted(rows, key=lambda row: totals[row["label"]])),
                count=len(rows),
            )
        )
    return findings


def find_labels_in_names(frame: pl.DataFrame, *, share: float = 0.9) -> Finding | None:
    """Paths that say their row's label, such as angry/001.wav or 001_angry.wav, in at least `share` of the rows."""
    names = frame["audio"].str.to_lowercase().to_list()
    labels = [label.casefold() for label in frame["label"].to_list()]
    said = [
        len(label) > 1 and label in _tokens(name) for name, label in zip(names, labels, strict=True)
    ]
    if sum(said) < share * len(said):
        return None
    evidence = [
        {"row": row, "audio": audio, "label": label}
        for row, audio, label in frame.select("row", "audio", "label").head(5).iter_rows()
    ]
    return Finding(
        check="names",
        severity=Severity.NOTE,
        title=f"{sum(said)} of {len(said)} paths say their label",
        remedy="harmless as long as no model reads file names; rename the files before people label or listen blindly",
        evidence=evidence,
        count=sum(said),
    )


def find_conflicting_copies(frame: pl.DataFrame, keys: Sequence[str | None]) -> Finding | None:
    """Rows of the same sound under different labels.

    Args:
        keys: (num_rows,) what rows of the same sound have in common; None where it is not known.
    """
    table = frame.with_columns(pl.Series("key", keys, dtype=pl.String)).filter(
        pl.col("key").is_not_null()
    )
    groups = (
        table.group_by("key")
        .agg(pl.col("label").unique().sort(), pl.col("row").sort())
        .filter(pl.col("label").list.len() > 1)
        .sort("key")
    )
    if groups.is_empty():
        return None
    evidence = [
        {"rows": " ".join(map(str, row["row"][:8])), "labels": ", ".join(row["label"])}
        for row in groups.iter_rows(named=True)
    ]
    return Finding(
        check="conflicts",
        severity=Severity.WARNING,
        title=f"{groups.height} sounds have copies with different labels",
        remedy="at most one of the labels is right; listen and keep one row of each",
        evidence=limit_evidence(evidence),
        count=groups.height,
    )


def _tokens(name: str) -> set[str]:
    return set("".join(c if c.isalpha() else " " for c in name).split()) | set(
        name.replace("\\", "/").split("/")
    )


def _purest(frame: pl.DataFrame, column: str) -> list[Mapping[str, object]]:
    """Groups with their most common label, the largest first."""
    groups, labels = encode_codes(frame[column].to_list()), encode_codes(frame["label"].to_list())
    purity = group_purity(groups, labels)
    known = frame.filter(pl.col(column).is_not_null())
    rows = known.group_by(column).agg(
        pl.len().alias("rows"), pl.col("label").mode().sort().first().alias("most common label")
    )
    names = sorted(known[column].unique().to_list())
    share = dict(zip(names, purity.tolist(), strict=True))
    found = sorted(rows.iter_rows(named=True), key=lambda row: (-row["rows"], row[column]))
    return limit_evidence(
        [{**row, "share": round(float(np.nan_to_num(share[row[column]])), 3)} for row in found]
    )
