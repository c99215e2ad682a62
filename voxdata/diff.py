"""What changed between two dataset versions, in the words of the people who label and train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from voxdata.dataset import Example, Split, canonical_row


class Relabelled(NamedTuple):
    """An example whose gold label under a scheme changed; None where it has none."""

    utterance_id: str
    scheme: str
    before: str | None
    after: str | None


class Resplit(NamedTuple):
    """An example that moved to another split."""

    utterance_id: str
    before: Split
    after: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDiff:
    """What leads from one version to another; everything sorted by utterance id.

    Attributes:
        added: Utterance ids only in the second version.
        removed: Utterance ids only in the first.
        relabelled: Label changes, one for each example and scheme.
        resplit: Examples that moved between splits.
        changed: Utterance ids that differ in anything else (text, voice, bounds, shares of the votes).
        counts: "scheme=label" -> examples (before, after), for every label of either version.
        minutes: "scheme=label" -> minutes (before, after).
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabelled: tuple[Relabelled, ...]
    resplit: tuple[Resplit, ...]
    changed: tuple[str, ...]
    counts: Mapping[str, tuple[int, int]]
    minutes: Mapping[str, tuple[float, float]]

    @property
    def is_empty(self) -> bool:
        """True when the two hold the same content."""
        return not (self.added or self.removed or self.relabelled or self.resplit or self.changed)


def diff_examples(before: Sequence[Example], after: Sequence[Example]) -> VersionDiff:
    """Compare the examples of two versions by utterance id."""
    old, new = {e.utterance_id: e for e in before}, {e.utterance_id: e for e in after}
    both = [(old[key], new[key]) for key in sorted(old.keys() & new.keys()) if old[key] != new[key]]
    counts, minutes = (_by_label(before), _by_label(after)), (_by_label(before, in_ms=True), _by_label(after, in_ms=True))
    labels = sorted(counts[0].keys() | counts[1].keys())
    return VersionDiff(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        relabelled=tuple(change for a, b in both for change in _relabelled(a, b)),
        resplit=tuple(Resplit(a.utterance_id, a.split, b.split) for a, b in both if a.split is not b.split),
        changed=tuple(a.utterance_id for a, b in both if _changed_otherwise(a, b)),
        counts={label: (counts[0][label], counts[1][label]) for label in labels},
        minutes={label: (minutes[0][label] / 60_000, minutes[1][label] / 60_000) for label in labels},
    )


def _by_label(examples: Iterable[Example], *, in_ms: bool = False) -> Counter[str]:
    out: Counter[str] = Counter()
    for example in examples:
        for scheme, gold in example.gold.items():
            out[f"{scheme}={gold.label}"] += example.segment.duration_ms if in_ms else 1
    return out


def _labels(example: Example) -> dict[str, str]:
    return {scheme: gold.label for scheme, gold in example.gold.items()}


def _relabelled(a: Example, b: Example) -> list[Relabelled]:
    old, new = _labels(a), _labels(b)
    return [
        Relabelled(a.utterance_id, scheme, old.get(scheme), new.get(scheme))
        for scheme in sorted(old.keys() | new.keys())
        if old.get(scheme) != new.get(scheme)
    ]


def _changed_otherwise(a: Example, b: Example) -> bool:
    gold = {
        scheme: b.gold[scheme] if _labels(a).get(scheme) == _labels(b).get(scheme) else a.gold[scheme]
        for scheme in a.gold
        if scheme in b.gold
    }
    gold |= {scheme: g for scheme, g in a.gold.items() if scheme not in b.gold}
    return canonical_row(a) != canonical_row(replace(b, split=a.split, gold=gold))
