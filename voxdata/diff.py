"""What changed between two dataset versions, in the words of the people who label and train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from voxdata.dataset import Split
from voxdata.losses import SplitLoss


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
        changed: Utterance ids that differ in anything else (text, voice, bounds, shares of the
            votes).
        counts: "scheme=label" -> examples (before, after), for every label of either version.
        minutes: "scheme=label" -> minutes (before, after).
        lost: What splits held in the first version and do not hold in the second.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabelled: tuple[Relabelled, ...]
    resplit: tuple[Resplit, ...]
    changed: tuple[str, ...]
    counts: Mapping[str, tuple[int, int]]
    minutes: Mapping[str, tuple[float, float]]
    lost: tuple[SplitLoss, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True when the two hold the same content."""
        return not (self.added or self.removed or self.relabelled or self.resplit or self.changed)
