"""What the sound of a corpus says: copies and voices across splits, silence, clipping, odd lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import polars as pl

from voxdata.audit.copies import Copy
from voxdata.audit.findings import Finding, Severity, limit_evidence
from voxdata.dataset import Split

SILENT_DB = -75.0
CLIPPED = 0.01
TOO_SHORT_S, TOO_LONG_S = 0.2, 30.0
SAME_VOICE = 0.75
"""Least cosine of two clips of one voice. The nearest clip of another person reaches it in 1 % of the clips of RAVDESS (docs/audit.md)."""

SHARED_VOICES = 0.05
"""Share of the clips outside training from which on a probable shared voice is a leak."""

Vectors = npt.NDArray[np.float32]


def find_exact_copies(frame: pl.DataFrame, sounds: Mapping[int, str]) -> list[Finding]:
    """Rows that are the same sound, byte for byte or sample by sample.

    Args:
        frame: As `voxdata.audit.findings.SCHEMA` says.
        sounds: Row number, from 0 -> what rows of one sound have in common, such as from
            `join_sounds`; rows of which nothing is known are absent.
    """
    by_digest: dict[str, list[int]] = {}
    for at, digest in sorted(sounds.items()):
        by_digest.setdefault(digest, []).append(at)
    groups = [rows for rows in by_digest.values() if len(rows) > 1]
    across = [rows for rows in groups if len({frame["split"][at] for at in rows}) > 1]
    findings = []
    if across:
        findings.append(
            Finding(
                check="copies",
                severity=Severity.LEAK,
                title=f"{len(across)} sounds are in more than one split, byte for byte or sample by sample the same",
                remedy="remove the copies, or move all of a sound into the same split",
                evidence=limit_evidence([_copy_row(frame, rows) for rows in across]),
                count=len(across),
            )
        )
    within = [rows for rows in groups if len({frame["split"][at] for at in rows}) == 1]
    if within:
        findings.append(
            Finding(
                check="copies_within",
                severity=Severity.NOTE,
                title=f"{len(within)} sounds are more than once in the same split",
                remedy="remove the copies: they count double in training and in scores",
                evidence=limit_evidence([_copy_row(frame, rows) for rows in within]),
                count=len(within),
            )
        )
    return findings


def find_near_copies(frame: pl.DataFrame, pairs: Sequence[tuple[int, int, float]]) -> list[Finding]:
    """Pairs that share their sound though not their samples.

    Args:
        pairs: (row, row, correlation), rows from 0; those that are equal sample by sample left out.
    """
    findings = []
    for across in (True, False):
        chosen = [p for p in pairs if (frame["split"][p[0]] != frame["split"][p[1]]) is across]
        if not chosen:
            continue
        evidence = [
            {
                "row": frame["row"][a],
                "audio": frame["audio"][a],
                "split": frame["split"][a],
                "other row": frame["row"][b],
                "other audio": frame["audio"][b],
                "other split": frame["split"][b],
                "correlation": round(value, 3),
            }
            for a, b, value in sorted(chosen, key=lambda pair: -pair[2])
        ]
        where = (
            "in different splits are copies of each other"
            if across
            else "within a split are copies of each other"
        )
        findings.append(
            Finding(
                check="near_copies" if across else "near_copies_within",
                severity=Severity.LEAK if across else Severity.NOTE,
                title=f"{len(chosen)} pairs of clips {where}: re-encoded, louder, noisier or cut differently",
                remedy="keep one of each pair, or move both into the same split",
                evidence=limit_evidence(evidence),
                count=len(chosen),
            )
        )
    return findings


def find_shared_voices(
    frame: pl.DataFrame, rows: Sequence[int], vectors: Vectors
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
    hits: list[tuple[int, int, float]] = []
    for start in range(0, len(outside), 512):
        part = outside[start : start + 512]
        alike = vectors[part] @ vectors.T
        alike[np.arange(len(part)), part] = -1.0
        best = alike.argmax(axis=1)
        for at, other, cosine in zip(part, best, alike[np.arange(len(part)), best], strict=True):
            if cosine >= SAME_VOICE and splits[other] == Split.TRAIN.value:
                hits.append((rows[at], rows[other], float(cosine)))
    share = len(hits) / len(outside)
    says = f"{len(hits)} of {len(outside)} clips outside training are most like a clip in training, with a cosine of {SAME_VOICE} and more"
    if len(hits) < 3:
        return says, []
    evidence = [
        {
            "row": frame["row"][a],
            "audio": frame["audio"][a],
            "split": frame["split"][a],
            "training row": frame["row"][b],
            "training audio": frame["audio"][b],
            "cosine": round(cosine, 3),
        }
        for a, b, cosine in sorted(hits, key=lambda hit: -hit[2])
    ]
    leak = share >= SHARED_VOICES
    return says, [
        Finding(
            check="voices",
            severity=Severity.LEAK if leak else Severity.NOTE,
            title=f"the same voices are probably in training and elsewhere: {says}",
            remedy="find out who speaks, add a speaker column and split by it"
            if leak
            else "listen to the pairs; a few are mistaken",
            evidence=limit_evidence(evidence),
            count=len(hits),
        )
    ]


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
    kinds = [
        (
            "silence",
            Severity.WARNING,
            {at: v for at, v in levels.items() if v < SILENT_DB},
            f"below {SILENT_DB:g} dBFS: silent",
            "level_db",
            "remove them, or fetch the audio again: a label of silence teaches nothing",
        ),
        (
            "clipping",
            Severity.NOTE,
            {at: v for at, v in clipping.items() if v > CLIPPED},
            f"clipped in more than {CLIPPED:.0%} of samples",
            "clipping_ratio",
            "record them again with less gain; or check that clipping does not go with a label",
        ),
        (
            "too_short",
            Severity.NOTE,
            {at: v for at, v in durations.items() if v < TOO_SHORT_S},
            f"shorter than {TOO_SHORT_S:g} s",
            "seconds",
            "check where they were cut; hardly a word fits",
        ),
        (
            "too_long",
            Severity.NOTE,
            {at: v for at, v in durations.items() if v > TOO_LONG_S},
            f"longer than {TOO_LONG_S:g} s",
            "seconds",
            "cut them into utterances: one label rarely holds that long",
        ),
    ]
    findings = []
    for check, severity, values, says, unit, remedy in kinds:
        if not values:
            continue
        evidence = [
            {
                "row": frame["row"][at],
                "audio": frame["audio"][at],
                "label": frame["label"][at],
                unit: round(value, 3),
            }
            for at, value in sorted(values.items())
        ]
        title = f"{len(values)} of {len(levels)} clips heard are {says}"
        findings.append(
            Finding(
                check=check,
                severity=severity,
                title=title,
                remedy=remedy,
                evidence=limit_evidence(evidence),
                count=len(values),
            )
        )
    return findings


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
    first: dict[tuple[int, str], int] = {}
    pairs: list[tuple[int, int]] = []
    for way, known in enumerate(names):
        for at, name in sorted(known.items()):
            pairs.append((first.setdefault((way, name), at), at))
    return {at: str(root) for at, root in sorted(_join(pairs).items())}


def name_copies(
    num_rows: int, sounds: Mapping[int, str], near: Sequence[tuple[int, int, float]]
) -> list[str | None]:
    """(num_rows,) what rows of the same sound have in common, near copies included; None for rows of which nothing is known.

    Args:
        sounds: As for `find_exact_copies`.
        near: (row, row, correlation), rows from 0.
    """
    numbers: dict[str, int] = {}
    for at, name in sorted(sounds.items()):
        numbers.setdefault(name, at)
    roots = _join([(numbers[sounds[a]], numbers[sounds[b]]) for a, b, _ in near])
    firsts = {at: numbers[name] for at, name in sounds.items()}
    return [
        sounds[roots.get(firsts[at], firsts[at])] if at in firsts else None
        for at in range(num_rows)
    ]


def _join(pairs: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Number -> the least number it is linked to, over any chain of pairs."""
    parents: dict[int, int] = {}

    def root(number: int) -> int:
        while parents.setdefault(number, number) != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    for a, b in pairs:
        one, other = root(a), root(b)
        parents[max(one, other)] = min(one, other)
    return {number: root(number) for number in sorted(parents)}


def leave_out_equal(
    rows: Sequence[int], copies: Sequence[Copy], digests: Mapping[int, str]
) -> list[tuple[int, int, float]]:
    """Pairs as (row, row, correlation) without those that are the same sound exactly."""
    found = [(rows[copy.first], rows[copy.second], copy.correlation) for copy in copies]
    return [(a, b, value) for a, b, value in found if digests[a] != digests[b]]


def _copy_row(frame: pl.DataFrame, rows: Sequence[int]) -> dict[str, object]:
    same = [(a, b) for a, b in combinations(rows, 2) if frame["split"][a] != frame["split"][b]]
    a, b = same[0] if same else (rows[0], rows[1])
    return {
        "row": frame["row"][a],
        "audio": frame["audio"][a],
        "split": frame["split"][a],
        "other row": frame["row"][b],
        "other audio": frame["audio"][b],
        "other split": frame["split"][b],
        "copies": len(rows),
    }
