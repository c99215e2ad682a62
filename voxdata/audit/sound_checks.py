"""What the sound of a corpus tells: copies and voices across splits, silence, clipping, lengths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import polars as pl

from voxdata.audit.copies import Copy
from voxdata.audit.findings import Finding, Severity, limit_evidence
from voxdata.dataset import Split

SILENT_DB = -75.0
CLIPPED = 0.01
TOO_SHORT_S = 0.2
TOO_LONG_S = 30.0
SAME_VOICE = 0.75
"""Least cosine of two clips of one voice.

The nearest clip of another person reaches it in 1 % of the clips of RAVDESS (docs/audit.md).
"""

SHARED_VOICES = 0.05
"""Share of the clips outside training from which on a probable shared voice is a leak."""

_FEW_VOICES = 3
_BATCH = 512

Vectors = npt.NDArray[np.float32]
Pair = tuple[int, int, float]
"""(row, row, how alike they are), rows from 0."""


def find_exact_copies(frame: pl.DataFrame, sounds: Mapping[int, str]) -> list[Finding]:
    """Rows that are the same sound, byte for byte or sample by sample.

    Args:
        frame: The columns of `voxdata.audit.findings.SCHEMA`.
        sounds: Row number, from 0 -> what rows of one sound have in common, such as from
            `join_sounds`; rows of which nothing is known are absent.
    """
    by_sound: defaultdict[str, list[int]] = defaultdict(list)
    for at, sound in sorted(sounds.items()):
        by_sound[sound].append(at)

    splits = frame["split"]
    across: list[list[int]] = []
    within: list[list[int]] = []
    for rows in by_sound.values():
        if len(rows) < 2:
            continue
        if len({splits[at] for at in rows}) > 1:
            across.append(rows)
        else:
            within.append(rows)

    findings = []
    if across:
        title = "sounds are in more than one split, byte for byte or sample by sample the same"
        finding = Finding(
            check="copies",
            severity=Severity.LEAK,
            title=f"{len(across)} {title}",
            remedy="remove the copies, or move all of a sound into the same split",
            evidence=limit_evidence([_copy_row(frame, rows) for rows in across]),
            count=len(across),
        )
        findings.append(finding)
    if within:
        finding = Finding(
            check="copies_within",
            severity=Severity.NOTE,
            title=f"{len(within)} sounds are more than once in the same split",
            remedy="remove the copies: they count double in training and in scores",
            evidence=limit_evidence([_copy_row(frame, rows) for rows in within]),
            count=len(within),
        )
        findings.append(finding)
    return findings


def find_near_copies(frame: pl.DataFrame, pairs: Sequence[Pair]) -> list[Finding]:
    """Pairs that share their sound though not their samples.

    Args:
        pairs: (row, row, correlation), rows from 0; those that are equal sample by sample left out.
    """
    splits = frame["split"]
    across: list[Pair] = []
    within: list[Pair] = []
    for pair in pairs:
        first, second, _ = pair
        if splits[first] != splits[second]:
            across.append(pair)
        else:
            within.append(pair)

    findings = []
    if across:
        finding = _near_copies(
            frame,
            across,
            check="near_copies",
            severity=Severity.LEAK,
            where="in different splits",
        )
        findings.append(finding)
    if within:
        finding = _near_copies(
            frame,
            within,
            check="near_copies_within",
            severity=Severity.NOTE,
            where="within a split",
        )
        findings.append(finding)
    return findings


def _near_copies(
    frame: pl.DataFrame,
    pairs: Sequence[Pair],
    *,
    check: str,
    severity: Severity,
    where: str,
) -> Finding:
    evidence = []
    for first, second, correlation in _most_alike_first(pairs):
        row = _beside(frame, first, second)
        evidence.append({**row, "correlation": round(correlation, 3)})
    how = "re-encoded, louder, noisier or cut differently"
    return Finding(
        check=check,
        severity=severity,
        title=f"{len(pairs)} pairs of clips {where} are copies of each other: {how}",
        remedy="keep one of each pair, or move both into the same split",
        evidence=limit_evidence(evidence),
        count=len(pairs),
    )


def _most_alike_first(pairs: Sequence[Pair]) -> list[Pair]:
    return sorted(pairs, key=lambda pair: -pair[2])


def _beside(
    frame: pl.DataFrame,
    first: int,
    second: int,
) -> dict[str, object]:
    """Two rows as one row of evidence."""
    return {
        "row": frame["row"][first],
        "audio": frame["audio"][first],
        "split": frame["split"][first],
        "other row": frame["row"][second],
        "other audio": frame["audio"][second],
        "other split": frame["split"][second],
    }


def find_shared_voices(
    frame: pl.DataFrame,
    rows: Sequence[int],
    vectors: Vectors,
) -> tuple[str, list[Finding]]:
    """Voices that are probably in training and elsewhere, for corpora that do not say who speaks.

    A clip outside training counts when the clip most like it of all, in whatever split, is in
    training and as like as clips of one voice are. A voice with other clips in its own split is
    mostly nearest to those.

    Args:
        rows: Row numbers, from 0, one a vector.
        vectors: (num_rows, dimension) float32 of unit length.

    Returns:
        What came of it in a sentence, and findings.
    """
    splits = np.array([frame["split"][at] for at in rows])
    outside = np.flatnonzero(splits != Split.TRAIN.value)
    if not len(outside) or len(outside) == len(rows):
        return "not checked: no voice could be heard on both sides of the split", []

    hits: list[Pair] = []
    for vector, nearest, cosine in _nearest_vectors(vectors, outside):
        if cosine >= SAME_VOICE and splits[nearest] == Split.TRAIN.value:
            hits.append((rows[vector], rows[nearest], cosine))
    outcome = (
        f"{len(hits)} of {len(outside)} clips outside training are most like a clip in training, "
        f"with a cosine of {SAME_VOICE} and more"
    )
    if len(hits) < _FEW_VOICES:
        return outcome, []
    are_many = len(hits) / len(outside) >= SHARED_VOICES
    return outcome, [_shared_voices(frame, hits, outcome, are_many=are_many)]


def _nearest_vectors(
    vectors: Vectors, chosen: npt.NDArray[np.intp]
) -> Iterator[tuple[int, int, float]]:
    """(vector, the vector most like it, their cosine) for the chosen ones."""
    for start in range(0, len(chosen), _BATCH):
        batch = chosen[start : start + _BATCH]
        # shape: (batch, num_vectors)
        alike = vectors[batch] @ vectors.T
        lines = np.arange(len(batch))
        alike[lines, batch] = -1.0
        nearest = alike.argmax(axis=1)
        cosines = alike[lines, nearest]
        for vector, other, cosine in zip(batch, nearest, cosines, strict=True):
            yield int(vector), int(other), float(cosine)


def _shared_voices(
    frame: pl.DataFrame,
    pairs: Sequence[Pair],
    outcome: str,
    *,
    are_many: bool,
) -> Finding:
    if are_many:
        severity = Severity.LEAK
        remedy = "find out who speaks, add a speaker column and split by it"
    else:
        severity = Severity.NOTE
        remedy = "listen to the pairs; a few are mistaken"

    evidence = []
    for outside, training, cosine in _most_alike_first(pairs):
        row = {
            "row": frame["row"][outside],
            "audio": frame["audio"][outside],
            "split": frame["split"][outside],
            "training row": frame["row"][training],
            "training audio": frame["audio"][training],
            "cosine": round(cosine, 3),
        }
        evidence.append(row)
    return Finding(
        check="voices",
        severity=severity,
        title=f"the same voices are probably in training and elsewhere: {outcome}",
        remedy=remedy,
        evidence=limit_evidence(evidence),
        count=len(pairs),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """A way in which clips sound bad.

    Attributes:
        values: Row number, from 0 -> the measured value, of the clips that have the fault.
        meaning: Follows "clips heard are".
        unit: The column of the value.
    """

    check: str
    values: Mapping[int, float]
    meaning: str
    unit: str
    remedy: str
    severity: Severity = Severity.NOTE


def find_bad_sound(
    frame: pl.DataFrame,
    levels: Mapping[int, float],
    clipping: Mapping[int, float],
    durations: Mapping[int, float],
) -> list[Finding]:
    """Silent, clipped, very short and very long clips.

    Args:
        levels: Row number, from 0 -> dBFS.
        clipping: -> share of clipped samples.
        durations: -> seconds.
    """
    silent = {at: level for at, level in levels.items() if level < SILENT_DB}
    clipped = {at: share for at, share in clipping.items() if share > CLIPPED}
    short = {at: length for at, length in durations.items() if length < TOO_SHORT_S}
    long = {at: length for at, length in durations.items() if length > TOO_LONG_S}
    faults = (
        _Fault(
            check="silence",
            severity=Severity.WARNING,
            values=silent,
            meaning=f"below {SILENT_DB:g} dBFS: silent",
            unit="level_db",
            remedy="remove them, or fetch the audio again: a label of silence teaches nothing",
        ),
        _Fault(
            check="clipping",
            values=clipped,
            meaning=f"clipped in more than {CLIPPED:.0%} of samples",
            unit="clipping_ratio",
            remedy=(
                "record them again with less gain; or check that clipping does not go with a label"
            ),
        ),
        _Fault(
            check="too_short",
            values=short,
            meaning=f"shorter than {TOO_SHORT_S:g} s",
            unit="seconds",
            remedy="check where they were cut; hardly a word fits",
        ),
        _Fault(
            check="too_long",
            values=long,
            meaning=f"longer than {TOO_LONG_S:g} s",
            unit="seconds",
            remedy="cut them into utterances: one label rarely holds that long",
        ),
    )
    return [_report(fault, frame, num_heard=len(levels)) for fault in faults if fault.values]


def _report(fault: _Fault, frame: pl.DataFrame, *, num_heard: int) -> Finding:
    evidence = []
    for at, value in sorted(fault.values.items()):
        row = {
            "row": frame["row"][at],
            "audio": frame["audio"][at],
            "label": frame["label"][at],
            fault.unit: round(value, 3),
        }
        evidence.append(row)
    return Finding(
        check=fault.check,
        severity=fault.severity,
        title=f"{len(fault.values)} of {num_heard} clips heard are {fault.meaning}",
        remedy=fault.remedy,
        evidence=limit_evidence(evidence),
        count=len(fault.values),
    )


def join_sounds(*names: Mapping[int, str]) -> dict[int, str]:
    """One name for all rows that any of several ways of naming holds for the same sound.

    Args:
        names: Each a way: row number, from 0 -> its name for the sound, such as a hash of the
            file's bytes or of the decoded samples.

    Returns:
        Row number -> name of the sound; rows of which nothing is known are absent.

    >>> join_sounds({0: "a", 1: "a", 2: "b"}, {2: "x", 3: "x"})
    {0: '0', 1: '0', 2: '2', 3: '2'}
    """
    first_row: dict[tuple[int, str], int] = {}
    links: list[tuple[int, int]] = []
    for way, sounds in enumerate(names):
        for at, name in sorted(sounds.items()):
            first = first_row.setdefault((way, name), at)
            links.append((first, at))
    return {at: str(root) for at, root in _join(links).items()}


def name_copies(
    num_rows: int,
    sounds: Mapping[int, str],
    near: Sequence[Pair],
) -> list[str | None]:
    """What rows of the same sound have in common, near copies included.

    Args:
        sounds: As for `find_exact_copies`.
        near: (row, row, correlation), rows from 0.

    Returns:
        (num_rows,); None for rows of which nothing is known.
    """
    first_row: dict[str, int] = {}
    for at, sound in sorted(sounds.items()):
        first_row.setdefault(sound, at)

    links: list[tuple[int, int]] = []
    for first, second, _ in near:
        link = (first_row[sounds[first]], first_row[sounds[second]])
        links.append(link)
    roots = _join(links)
    names: list[str | None] = [None] * num_rows
    for at, sound in sounds.items():
        first = first_row[sound]
        names[at] = sounds[roots.get(first, first)]
    return names


def _join(links: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Number -> the least number it is linked to, over any chain of links; sorted."""
    parents: dict[int, int] = {}

    def find_root(number: int) -> int:
        while parents.setdefault(number, number) != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    for first, second in links:
        low, high = sorted((find_root(first), find_root(second)))
        parents[high] = low
    return {number: find_root(number) for number in sorted(parents)}


def leave_out_equal(
    rows: Sequence[int],
    copies: Sequence[Copy],
    digests: Mapping[int, str],
) -> list[Pair]:
    """Pairs as (row, row, correlation) without those that are the same sound exactly."""
    pairs = []
    for copy in copies:
        first = rows[copy.first]
        second = rows[copy.second]
        if digests[first] != digests[second]:
            pairs.append((first, second, copy.correlation))
    return pairs


def _copy_row(frame: pl.DataFrame, rows: Sequence[int]) -> dict[str, object]:
    """Evidence of one sound: two of its rows, of different splits where there are any."""
    first, second = _rows_apart(frame["split"], rows)
    return {**_beside(frame, first, second), "copies": len(rows)}


def _rows_apart(splits: pl.Series, rows: Sequence[int]) -> tuple[int, int]:
    """The first two rows of different splits, or else the first two."""
    for first, second in combinations(rows, 2):
        if splits[first] != splits[second]:
            return first, second
    return rows[0], rows[1]
