"""Labels that look like slips of each other.

Such are `on` and `ON`, `turn on` and `turn_on`, `off` and `offf`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from voxdata.errors import ConfigError
from voxdata.name_key import name_key, unify_names

Difference = Literal["case", "space", "letter"]

MIN_LETTERS = 4
"""One letter tells "no" from "on"; from this length of the longer label on it is likely a slip."""

OFTEN = 20
NEAR_SHARE = 0.2
"""Two labels that are both written often, and about as often, are meant as they stand.

An example is "tree" and "three".
"""

# Letters from here on are ideographs and the like, of which each is a word.
_FIRST_IDEOGRAPH = 0x2E80

_HOLE = "\0"
_MAX_NAMED = 20


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

    >>> [near.labels for near in find_near_labels({"on": 3, "ON": 1, "off": 2, "offf": 1})]
    [('on', 'ON'), ('off', 'offf')]
    """
    near: list[NearLabels] = []

    def add(labels: Sequence[str], difference: Difference) -> None:
        by_count = _by_count(labels, counts)
        near.append(NearLabels(labels=by_count, difference=difference))

    for group in _gather(counts, str.casefold).values():
        if len(group) > 1:
            add(group, "case")

    spaced = _gather(counts, _without_space)
    for group in spaced.values():
        folded = {name_key(label).casefold() for label in group}
        if len(folded) > 1:
            add(group, "space")

    for first, second in _one_letter_apart(sorted(spaced)):
        if not _are_both_frequent(spaced[first], spaced[second], counts):
            add([*spaced[first], *spaced[second]], "letter")
    return near


def _are_both_frequent(
    first: Sequence[str],
    second: Sequence[str],
    counts: Mapping[str, int],
) -> bool:
    """Whether two labels, each in its spellings, are meant as they stand."""
    num_first = sum(counts[label] for label in first)
    num_second = sum(counts[label] for label in second)
    fewer = min(num_first, num_second)
    more = max(num_first, num_second)
    return fewer >= OFTEN and fewer >= NEAR_SHARE * more


def describe_near_labels(found: Sequence[NearLabels]) -> str:
    """The groups in words.

    >>> describe_near_labels([NearLabels(labels=("on", "ON"), difference="case")])
    "'on' and 'ON' (case)"
    """
    names = {
        "case": "case",
        "space": "space",
        "letter": "one letter",
    }
    groups = []
    for near in found:
        labels = " and ".join(map(repr, near.labels))
        groups.append(f"{labels} ({names[near.difference]})")
    return "; ".join(groups)


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
        earlier = mapped.setdefault(old, new)
        if earlier != new:
            message = f"--rename {pair!r}: {old!r} is mapped to {earlier!r} already; keep one"
            raise ConfigError(message)
    return mapped


def map_labels(
    labels: Sequence[str],
    mapping: Mapping[str, str],
    *,
    first: Sequence[str] = (),
) -> dict[str, str]:
    """Label -> what is taken for it: as mapped, and one spelling for those that look the same.

    Args:
        labels: As written, each at least once.
        mapping: OLD -> NEW; OLD is found by how it looks.
        first: Spellings that win, such as those of a scheme.

    Raises:
        ConfigError: A mapped label is in no row.
    """
    distinct = list(dict.fromkeys(labels))
    keys = {label: name_key(label) for label in distinct}
    _check_mapped(mapping, keys)

    wanted = {name_key(old): new for old, new in mapping.items()}
    targets = {label: wanted.get(keys[label], label) for label in distinct}
    spelling = unify_names([*first, *targets.values()])
    return {label: spelling[target] for label, target in targets.items()}


def _check_mapped(mapping: Mapping[str, str], keys: Mapping[str, str]) -> None:
    present = set(keys.values())
    for old in mapping:
        if name_key(old) not in present:
            named = ", ".join(map(repr, sorted(keys)[:_MAX_NAMED]))
            message = f"--rename {old!r}: no row has that label; there are {named or 'none'}"
            raise ConfigError(message)


def _without_space(label: str) -> str:
    return re.sub(r"[\s_\-]+", "", label.casefold())


def _gather(counts: Mapping[str, int], fold: Callable[[str], str]) -> dict[str, list[str]]:
    """Folded key -> the labels that share it."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label in counts:
        key = fold(name_key(label))
        groups[key].append(label)
    return groups


def _by_count(labels: Sequence[str], counts: Mapping[str, int]) -> tuple[str, ...]:
    def order(label: str) -> tuple[int, str]:
        return -counts[label], label.swapcase()

    return tuple(sorted(labels, key=order))


def _one_letter_apart(keys: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of which one becomes the other by adding, leaving out or changing one letter."""
    by_hole: defaultdict[str, set[str]] = defaultdict(set)
    for key in keys:
        for holed in _with_a_hole(key):
            by_hole[holed].add(key)

    slips: set[tuple[str, str]] = set()
    for together in by_hole.values():
        for first, second in combinations(sorted(together), 2):
            if _is_slip(first, second):
                slips.add((first, second))
    return sorted(slips)


def _with_a_hole(key: str) -> Iterator[str]:
    """The key with each letter replaced by a hole, and with a hole put in at each place."""
    for at in range(len(key)):
        yield key[:at] + _HOLE + key[at + 1 :]
    for at in range(len(key) + 1):
        yield key[:at] + _HOLE + key[at:]


def _is_slip(first: str, second: str) -> bool:
    """Whether the pair is long enough, and what differs is a letter of an alphabet.

    Digits count classes, and one Chinese character is a word.
    """
    shorter, longer = sorted((first, second), key=len)
    if len(longer) < MIN_LETTERS:
        return False
    at = 0
    while at < len(shorter) and shorter[at] == longer[at]:
        at += 1
    changed = longer[at]
    if len(shorter) == len(longer):
        changed += shorter[at]
    return all(c.isalpha() and ord(c) < _FIRST_IDEOGRAPH for c in changed)
