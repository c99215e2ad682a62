"""What no audio is needed for: speakers, sessions, files and phrases in two splits.

Also how much each of them tells of the label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from voxdata.audit.findings import Finding, Severity, Statistic, limit_evidence
from voxdata.audit.predictors import encode_codes, group_purity, predict_across, predict_within
from voxdata.counted import counted
from voxdata.dataset import Split
from voxdata.phrases import phrase_of

SURE = 0.01
"""Largest p-value taken for more than chance."""

TELLING_GAIN = 0.5
"""Share of the way to certainty from which on labels count as given away."""

SOME_GAIN = 0.1
COMMON_SHARE = 0.05
"""Share of the rows outside training from which on shared phrases count as a leak."""

_IN_TRAINING = pl.col("split") == Split.TRAIN.value


def find_shared(
    frame: pl.DataFrame,
    column: str,
    *,
    check: str,
    what: str,
    remedy: str,
) -> Finding | None:
    """Values of a column that are in two splits and more.

    Args:
        frame: The columns of `voxdata.audit.findings.SCHEMA`.
        column: Such as "speaker"; null is nobody.
        what: What the values are called, such as "speakers".
    """
    filled = frame.filter(pl.col(column).is_not_null())
    shared = _values_in_splits(filled, column)
    if shared.is_empty():
        return None

    is_shared = pl.col(column).is_in(shared[column].implode())
    num_shared = filled.filter(~_IN_TRAINING & is_shared).height
    num_outside = frame.filter(~_IN_TRAINING).height
    share = num_shared / max(num_outside, 1)
    total = filled[column].n_unique()
    return Finding(
        check=check,
        severity=Severity.LEAK,
        title=(
            f"{shared.height} of {total} {what} are in more than one split; "
            f"{num_shared} of {num_outside} rows outside training ({share:.0%}) are of them"
        ),
        remedy=remedy,
        evidence=limit_evidence(shared.to_dicts()),
        count=shared.height,
    )


def _values_in_splits(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """Values in two splits and more, with their rows by split and in all; the most rows first."""
    counts = frame.group_by(column).agg(
        pl.col("split").n_unique().alias("splits"),
        *(_count_split(split.value) for split in Split),
        pl.len().alias("rows"),
        pl.col("row").min().alias("first row"),
    )
    shared = counts.filter(pl.col("splits") > 1).drop("splits")
    return shared.sort(["rows", column], descending=[True, False])


def _count_split(split: str) -> pl.Expr:
    """The rows of a split, as a column of its name."""
    is_in_split = pl.col("split") == split
    return is_in_split.sum().cast(pl.Int64).alias(split)


def judge_speakers(
    frame: pl.DataFrame,
    *,
    column: str,
    what: str,
    seed: int,
) -> tuple[list[Statistic], list[Finding]]:
    """Whether who speaks (or which session it is) gives the label away.

    Where a speaker is in training and elsewhere and the speaker-only predictor beats chance, that
    is a leak. Where no speaker is shared nothing leaks, but when each speaker has one label a model
    can tell neither from the other: a warning, for scores then rest on how many speakers there are,
    not how many rows.

    Args:
        frame: The columns of `voxdata.audit.findings.SCHEMA`.
        what: The singular, such as "speaker".
    """
    groups = encode_codes(frame[column].to_list())
    labels = encode_codes(frame["label"].to_list())
    train = frame.select(_IN_TRAINING).to_series().to_numpy()
    across = predict_across(
        groups,
        labels,
        train,
        name=f"label by {what} alone, across splits",
        seed=seed,
    )
    within = predict_within(
        groups,
        labels,
        name=f"label by {what} alone, within the corpus",
        seed=seed,
    )
    statistics = [statistic for statistic in (across, within) if statistic is not None]

    evidence = _purest(frame, column)
    findings: list[Finding] = []
    if across is not None and _beats_chance(across):
        findings.append(_label_across(across, what, evidence))
    elif within is not None and _beats_chance(within):
        findings.append(_label_within(within, what, evidence))
    return statistics, findings


def _beats_chance(statistic: Statistic) -> bool:
    return statistic.p_value <= SURE and statistic.gain >= SOME_GAIN


def _label_across(
    statistic: Statistic,
    what: str,
    evidence: Sequence[Mapping[str, object]],
) -> Finding:
    chance = f"{statistic.null_low:.0%} to {statistic.null_high:.0%}"
    return Finding(
        check=f"{what}_gives_label",
        severity=Severity.LEAK,
        title=(
            f"knowing only the {what} guesses {statistic.value:.0%} of the labels outside "
            f"training; the most common label guesses {statistic.baseline:.0%}, chance {chance}"
        ),
        remedy=(
            f"split by {what}, and record more labels of each {what}; "
            "scores on this split measure who speaks, not the task"
        ),
        evidence=evidence,
        count=len(evidence),
        statistics=[statistic],
    )


def _label_within(
    statistic: Statistic,
    what: str,
    evidence: Sequence[Mapping[str, object]],
) -> Finding:
    chance = f"{statistic.null_low:.0%} to {statistic.null_high:.0%}"
    title = (
        f"within the corpus the {what} alone guesses {statistic.value:.0%} of the labels "
        f"(most common label {statistic.baseline:.0%}, chance {chance})"
    )
    severity = Severity.NOTE
    if statistic.gain >= TELLING_GAIN:
        severity = Severity.WARNING
        title += f"; label and {what} can hardly be distinguished"
    return Finding(
        check=f"{what}_gives_label",
        severity=severity,
        title=title,
        remedy=(
            f"no {what} crosses the split, so nothing leaks; but count {what}s, not rows, when "
            f"you judge a score, and record several labels of each {what} where the task allows it"
        ),
        evidence=evidence,
        count=len(evidence),
        statistics=[statistic],
    )


def find_shared_phrases(frame: pl.DataFrame, *, seed: int) -> tuple[list[Statistic], list[Finding]]:
    """Phrases of four words and more (or as many ideographs) in training and elsewhere.

    A leak where they tell the label: then a model of the text, or of the sound of that sentence,
    knows it by heart. Where the same sentence is said under every label, as in acted emotion, it is
    a note.
    """
    texts = frame["text"]
    phrase_by_text: dict[str, str | None] = {}
    for text in texts.drop_nulls().unique():
        phrase_by_text[text] = phrase_of(text) or None
    phrases = [phrase_by_text.get(text) for text in texts]
    phrase_of_row = pl.Series("phrase", phrases, dtype=pl.String)
    shared = find_shared(
        frame.with_columns(phrase_of_row),
        "phrase",
        check="phrases",
        what="phrases",
        remedy="keep all rows of a phrase in one split",
    )
    if shared is None:
        return [], []

    train = frame.select(_IN_TRAINING).to_series().to_numpy()
    statistic = predict_across(
        encode_codes(phrases),
        encode_codes(frame["label"].to_list()),
        train,
        name="label by phrase alone, across splits",
        seed=seed,
        seen_only=True,
    )
    if statistic is None:
        return [], [_silent_phrases(shared)]
    if statistic.p_value > SURE or statistic.gain < TELLING_GAIN:
        return [statistic], [_silent_phrases(shared, statistic)]
    num_outside = int((~train).sum())
    are_common = statistic.num_rows >= COMMON_SHARE * num_outside
    return [statistic], [_telling_phrases(shared, statistic, are_common=are_common)]


def _silent_phrases(shared: Finding, statistic: Statistic | None = None) -> Finding:
    """The finding that shared phrases do not give the label away."""
    title = shared.title
    statistics = []
    if statistic is not None:
        share = f"{statistic.value:.0%} of their labels"
        title += f"; the phrase guesses {share}, no more than others would"
        statistics.append(statistic)
    return Finding(
        check="phrases",
        severity=Severity.NOTE,
        title=f"{title}: the words do not give the label away",
        remedy="nothing to do, unless the task is to understand the words",
        evidence=shared.evidence,
        count=shared.count,
        statistics=statistics,
    )


def _telling_phrases(
    shared: Finding,
    statistic: Statistic,
    *,
    are_common: bool,
) -> Finding:
    """The finding that shared phrases tell the label."""
    return Finding(
        check="phrases",
        severity=Severity.LEAK if are_common else Severity.WARNING,
        title=(
            f"{shared.title}; the phrase alone guesses {statistic.value:.0%} of the labels of the "
            f"{statistic.num_rows} rows outside training whose phrase is in it "
            f"(most common label {statistic.baseline:.0%}, chance up to {statistic.null_high:.0%})"
        ),
        remedy=shared.remedy,
        evidence=shared.evidence,
        count=shared.count,
        statistics=[statistic],
    )


def find_overlaps(
    frame: pl.DataFrame,
    contents: Mapping[str, str] | None = None,
) -> Finding | None:
    """Stretches of one channel of a file that overlap in time and are in two splits.

    Rows without times stand for the whole file.

    Args:
        frame: The columns of `voxdata.audit.findings.SCHEMA`.
        contents: Audio path -> what files of the same bytes have in common: stretches of two such
            files overlap too, unless they are the same stretch, which makes them copies. None takes
            every path for a file of its own.
    """
    places = frame.select("audio", "channel", "start_s", "end_s", "split", "row")
    rows = places.with_columns(
        pl.col("start_s").fill_null(0.0),
        pl.col("end_s").fill_null(float("inf")),
        pl.col("audio").replace(contents or {}).alias("content"),
    )
    count_splits = pl.col("split").n_unique().alias("splits")
    num_splits = rows.group_by("content").agg(count_splits)
    contents_in_several = num_splits.filter(pl.col("splits") > 1)["content"]
    in_several = rows.filter(pl.col("content").is_in(contents_in_several.implode()))
    ordered = in_several.sort(["content", "start_s", "row"])

    evidence: list[Mapping[str, object]] = []
    for _, part in ordered.group_by("content", "channel", maintain_order=True):
        evidence.extend(_overlaps_in(part))
    if not evidence:
        return None
    count = len(evidence)
    rows_name = counted(count, "row names", "rows name")
    return Finding(
        check="same_audio",
        severity=Severity.LEAK,
        title=f"{rows_name} the same stretch of the same file as a row of another split",
        remedy="remove one of the two rows, or move both into the same split",
        evidence=limit_evidence(evidence),
        count=count,
    )


def _overlaps_in(part: pl.DataFrame) -> Iterator[Mapping[str, object]]:
    """Each row of one channel, by start, beside what reaches into it from another split."""
    furthest: dict[str, dict[str, Any]] = {}
    for row in part.iter_rows(named=True):
        split = row["split"]
        for other_split, earlier in furthest.items():
            overlaps = earlier["end_s"] > row["start_s"]
            if other_split == split or not overlaps or _is_copy(earlier, row):
                continue
            yield {
                "row": earlier["row"],
                "audio": earlier["audio"],
                "split": other_split,
                "other row": row["row"],
                "other audio": row["audio"],
                "other split": split,
            }
        if split not in furthest or row["end_s"] > furthest[split]["end_s"]:
            furthest[split] = row


def _is_copy(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two rows name the same stretch of two files of the same bytes.

    `find_exact_copies` reports these.
    """
    if first["audio"] == second["audio"]:
        return False
    return all(first[time] == second[time] for time in ("start_s", "end_s"))


def find_imbalance(frame: pl.DataFrame) -> list[Finding]:
    """Labels that a split does not have, and labels far rarer than others."""
    table = _rows_by_label(frame)
    splits = [column for column in table.columns if column != "label"]
    empty = pl.any_horizontal(pl.col(splits) == 0)
    missing = table.filter(empty)
    findings = []
    if not missing.is_empty():
        findings.append(_missing_labels(missing, num_labels=table.height))

    table = table.with_columns(pl.sum_horizontal(splits).alias("total"))
    most = max(table["total"])
    least = min(table["total"])
    if most >= 10 * least:
        rarest_first = table.sort("total", maintain_order=True).drop("total")
        times = f"{most / least:.0f} times the rows of the rarest ({most} and {least})"
        finding = Finding(
            check="imbalance",
            severity=Severity.NOTE,
            title=f"the most common label has {times}",
            remedy=(
                "report the unweighted average recall, not accuracy, "
                "and give the intervals of rare labels"
            ),
            evidence=limit_evidence(rarest_first.to_dicts()),
            count=table.height,
        )
        findings.append(finding)
    return findings


def _rows_by_label(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns "label" and one per split that has rows, in the order of `Split`; sorted by label."""
    present = set(frame["split"].to_list())
    splits = [split.value for split in Split if split.value in present]
    counts = [_count_split(split) for split in splits]
    return frame.group_by("label").agg(counts).sort("label")


def _missing_labels(missing: pl.DataFrame, *, num_labels: int) -> Finding:
    title = f"{missing.height} of {num_labels} labels are missing from a split"
    train = Split.TRAIN.value
    if train in missing.columns:
        num_unlearned = missing.filter(pl.col(train) == 0).height
        if num_unlearned:
            title += f", {num_unlearned} of them from training"
    return Finding(
        check="missing_labels",
        severity=Severity.WARNING,
        title=title,
        remedy=(
            "a label that is not in training cannot be learned, "
            "one that is not in test is never judged; stratify by label"
        ),
        evidence=limit_evidence(missing.to_dicts()),
        count=missing.height,
    )


def find_labels_in_names(frame: pl.DataFrame, *, share: float = 0.9) -> Finding | None:
    """Paths that name their row's label, such as angry/001.wav or 001_angry.wav.

    Args:
        share: Least share of the rows of which this has to hold.
    """
    paths = frame["audio"].str.to_lowercase().to_list()
    labels = [label.casefold() for label in frame["label"].to_list()]
    count = 0
    for path, label in zip(paths, labels, strict=True):
        if len(label) > 1 and label in _tokens(path):
            count += 1
    if count < share * frame.height:
        return None
    first_rows = frame.select("row", "audio", "label").head(5)
    return Finding(
        check="names",
        severity=Severity.NOTE,
        title=f"{count} of {frame.height} paths give their label away",
        remedy=(
            "harmless as long as no model reads file names; "
            "rename the files before people label or listen blindly"
        ),
        evidence=first_rows.to_dicts(),
        count=count,
    )


def find_conflicting_copies(frame: pl.DataFrame, keys: Sequence[str | None]) -> Finding | None:
    """Rows of the same sound under different labels.

    Args:
        keys: (num_rows,) what rows of the same sound have in common; None where it is not known.
    """
    sound_of_row = pl.Series("sound", keys, dtype=pl.String)
    table = frame.with_columns(sound_of_row)
    sounds = (
        table.filter(pl.col("sound").is_not_null())
        .group_by("sound")
        .agg(pl.col("label").unique().sort(), pl.col("row").sort())
    )
    groups = sounds.filter(pl.col("label").list.len() > 1).sort("sound")
    if groups.is_empty():
        return None

    evidence = []
    for group in groups.iter_rows(named=True):
        rows = " ".join(str(row) for row in group["row"][:8])
        labels = ", ".join(group["label"])
        evidence.append({"rows": rows, "labels": labels})
    return Finding(
        check="conflicts",
        severity=Severity.WARNING,
        title=f"{groups.height} sounds have copies with different labels",
        remedy="at most one of the labels is right; listen and keep one row of each",
        evidence=limit_evidence(evidence),
        count=groups.height,
    )


def _tokens(name: str) -> set[str]:
    """The words of a path, and its folders and file name as they stand."""
    words = "".join(_letter_or_blank(c) for c in name).split()
    parts = name.replace("\\", "/").split("/")
    return {*words, *parts}


def _letter_or_blank(character: str) -> str:
    return character if character.isalpha() else " "


def _purest(frame: pl.DataFrame, column: str) -> list[Mapping[str, object]]:
    """Groups with their most common label and its share, the largest first."""
    groups = encode_codes(frame[column].to_list())
    labels = encode_codes(frame["label"].to_list())
    purity = group_purity(groups, labels)

    filled = frame.filter(pl.col(column).is_not_null())
    names = sorted(filled[column].unique().to_list())
    shares = dict(zip(names, purity.tolist(), strict=True))
    rows = filled.group_by(column).agg(
        pl.len().alias("rows"),
        pl.col("label").mode().sort().first().alias("most common label"),
    )
    largest_first = rows.sort(["rows", column], descending=[True, False])

    evidence = []
    for row in largest_first.iter_rows(named=True):
        share = float(np.nan_to_num(shares[row[column]]))
        evidence.append({**row, "share": round(share, 3)})
    return limit_evidence(evidence)
