"""Labels that look like slips of each other: `on` and `ON`, `turn on` and `turn_on`, `off` and `offf`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from voxdata.errors import ConfigError
from voxdata.name_key import name_key, unify_names

Difference = Literal["case", "space", "letter"]

MIN_LETTERS = 4
"""One letter tells "no" from "on"; from this length of the longer label on it is likely a slip."""

OFTEN = 20
NEAR_SHARE = 0.2
"""Two labels that are both written often, and about as often, are meant as they stand: "tree" and "three"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearLabels:
    """Labels that may be meant for one.

    Attributes:
        labels: The most frequent first.
        difference: The smallest way in which they differ.
    """

    labels: tuple[str, ...]
    difference: Difference


def find_near_labels(counts: Mapping[str, int]) -> list[NearLabels]:
    """Labels that differ by case, by space ("_" and "-" count as space), or by one letter.

    Args:
        counts: Label -> how many rows have it.

    Returns:
        Groups; first those that differ by case, then by space, then by a letter.

    >>> [found.labels for found in find_near_labels({"on": 3, "ON": 1, "off": 2, "offf": 1})]
    [('on', 'ON'), ('off', 'offf')]
    """
    found: list[NearLabels] = []
    folded = _gather(counts, str.casefold)
    spaced = _gather(counts, _without_space)
    for group in folded.values():
        if len(group) > 1:
            found.append(NearLabels(labels=_by_count(group, counts), difference="case"))
    for group in spaced.values():
        if len({name_key(label).casefold() for label in group}) > 1:
            found.append(NearLabels(labels=_by_count(group, counts), difference="space"))
    heads = {key: _by_count(group, counts)[0] for key, group in spaced.items()}
    total = {key: sum(counts[label] for label in group) for key, group in spaced.items()}
    for one, other in _one_letter_apart(sorted(heads)):
        fewer, more = sorted((total[one], total[other]))
        if fewer < OFTEN or fewer < NEAR_SHARE * more:
            pair = [*spaced[one], *spaced[other]]
            found.append(NearLabels(labels=_by_count(pair, counts), difference="letter"))
    return found


def describe_near_labels(found: Sequence[NearLabels]) -> str:
    """The groups in words.

    >>> describe_near_labels([NearLabels(labels=("on", "ON"), difference="case")])
    "'on' and 'ON' (case)"
    """
    names = {"case": "case", "space": "space", "letter": "one letter"}
    return "; ".join(
        f"{' and '.join(map(repr, near.labels))} ({names[near.difference]})" for near in found
    )


def parse_renames(pairs: Sequence[str]) -> dict[str, str]:
    """`OLD=NEW` as people type it; the last "=" divides, unless there is only one.

    Raises:
        ConfigError: A pair has no "=", an empty side, or a label is mapped to two others.

    >>> parse_renames(["ON=on", "offf=off"])
    {'ON': 'on', 'offf': 'off'}
    """
    mapped: dict[str, str] = {}
    for pair in pairs:
        old, divider, new = (part.strip() for part in pair.rpartition("="))
        if not divider or not old or not new:
            raise ConfigError(f"--rename {pair!r}: write OLD=NEW, such as ON=on")
        if mapped.setdefault(old, new) != new:
            raise ConfigError(
                f"--rename {pair!r}: {old!r} is mapped to {mapped[old]!r} already; keep one"
            )
    return mapped


def map_labels(
    labels: Sequence[str], mapping: Mapping[str, str], *, first: Sequence[str] = ()
) -> dict[str, str]:
    """Label -> what is taken for it: as mapped, and one spelling for those that look the same.

    Args:
        labels: As written, each at least once.
        mapping: OLD -> NEW; OLD is found by how it looks.
        first: Spellings that win, such as those of a scheme.

    Raises:
        ConfigError: A mapped label is in no row.
    """
    wanted = {name_key(old): new for old, new in mapping.items()}
    there = {name_key(label) for label in labels}
    missing = [old for old in mapping if name_key(old) not in there]
    if missing:
        known = ", ".join(map(repr, sorted(set(labels))[:20]))
        raise ConfigError(
            f"--rename {missing[0]!r}: no row has that label; there are {known or 'none'}"
        )
    targets = {label: wanted.get(name_key(label), label) for label in dict.fromkeys(labels)}
    spelling = unify_names([*first, *targets.values()])
    return {label: spelling[target] for label, target in targets.items()}


def _without_space(label: str) -> str:
    return re.sub(r"[\s_\-]+", "", label.casefold())


def _gather(counts: Mapping[str, int], key: object) -> dict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label in counts:
        groups[key(name_key(label))].append(label)  # type: ignore[operator]
    return groups


def _by_count(labels: Sequence[str], counts: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(sorted(labels, key=lambda label: (-counts[label], label.swapcase())))


def _one_letter_apart(keys: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of which one becomes the other by adding, leaving out or changing one letter of an alphabet."""
    by_hole: defaultdict[str, set[str]] = defaultdict(set)
    for key in keys:
        for at in range(len(key)):
            by_hole[key[:at] + "\0" + key[at + 1 :]].add(key)
        for at in range(len(key) + 1):
            by_hole[key[:at] + "\0" + key[at:]].add(key)
    pairs: set[tuple[str, str]] = set()
    for together in by_hole.values():
        for one in together:
            pairs.update((one, other) for other in together if one < other)
    return sorted(
        pair for pair in pairs if max(map(len, pair)) >= MIN_LETTERS and _by_a_letter(*pair)
    )


def _by_a_letter(one: str, other: str) -> bool:
    """Whether what differs is a letter: digits count classes, and one Chinese character is a word."""
    shorter, longer = sorted((one, other), key=len)
    at = next((i for i, c in enumerate(shorter) if c != longer[i]), len(shorter))
    changed = longer[at] + (shorter[at] if len(shorter) == len(longer) else "")
    return all(c.isalpha() and ord(c) < 0x2E80 for c in changed)
