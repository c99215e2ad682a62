"""What a split held in one dataset version and no longer holds in the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from voxdata.dataset import Example, Split

SplitCounts = Mapping[tuple[Split, str, str], int]
"""(split, scheme, label) -> examples; scheme and label "" count the examples themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitLoss:
    """A split that lost all its examples, or all that have one label.

    Attributes:
        scheme, label: "" when the split lost everything.
        num_before: Examples that it held.
    """

    split: Split
    scheme: str
    label: str
    num_before: int

    @property
    def what(self) -> str:
        """What was lost, in words: "everything", or "emotion=sad"."""
        return f"{self.scheme}={self.label}" if self.scheme else "everything"

    def __str__(self) -> str:
        """For people, such as "test loses everything (12 examples)"."""
        return f"{self.split.value} loses {self.what} ({self.num_before} example{'' if self.num_before == 1 else 's'})"


def count_by_split(examples: Iterable[Example]) -> dict[tuple[Split, str, str], int]:
    """How many examples, and how many of each label, every split holds."""
    counts: Counter[tuple[Split, str, str]] = Counter()
    for example in examples:
        counts[example.split, "", ""] += 1
        counts.update((example.split, scheme, gold.label) for scheme, gold in example.gold.items())
    return dict(counts)


def find_losses(
    before: SplitCounts, after: SplitCounts, *, labels: Mapping[str, Collection[str]] | None = None
) -> tuple[SplitLoss, ...]:
    """What splits held before and do not hold any more.

    Args:
        before, after: Of two versions.
        labels: Scheme -> the labels it has today; a label or scheme that is gone from it is no
            loss. None lets every label count.

    Returns:
        By split; a split that lost everything is named once, without its labels.
    """
    lost = []
    for split in Split:
        if before.get((split, "", ""), 0) and not after.get((split, "", ""), 0):
            lost.append(
                SplitLoss(split=split, scheme="", label="", num_before=before[split, "", ""])
            )
            continue
        for (where, scheme, label), count in sorted(before.items()):
            known = labels is None or label in labels.get(scheme, ())
            if (
                where is split
                and scheme
                and known
                and count
                and not after.get((split, scheme, label), 0)
            ):
                lost.append(SplitLoss(split=split, scheme=scheme, label=label, num_before=count))
    return tuple(lost)


def describe_losses(losses: Sequence[SplitLoss], *, before: str) -> str:
    """All losses in one sentence.

    Args:
        before: The version they are held against, such as "calls@3".
    """
    return f"against {before}, {', '.join(map(str, losses))}"
