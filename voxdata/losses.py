"""What a split held in one dataset version and no longer holds in the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from voxdata.dataset import Example, Split

SplitCounts = Mapping[tuple[Split, str, str], int]
"""(split, scheme, label) -> examples; scheme and label "" count the examples themselves."""

_ALL = ("", "")


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
        if not self.scheme:
            return "everything"
        return f"{self.scheme}={self.label}"

    def __str__(self) -> str:
        """For people, such as "test loses everything (12 examples)"."""
        examples = "example" if self.num_before == 1 else "examples"
        return f"{self.split.value} loses {self.what} ({self.num_before} {examples})"


def count_by_split(examples: Iterable[Example]) -> dict[tuple[Split, str, str], int]:
    """How many examples, and how many of each label, every split holds."""
    counts: Counter[tuple[Split, str, str]] = Counter()
    for example in examples:
        split = example.split
        counts[split, *_ALL] += 1
        for scheme, gold in example.gold.items():
            counts[split, scheme, gold.label] += 1
    return dict(counts)


def find_losses(
    before: SplitCounts,
    after: SplitCounts,
    *,
    labels: Mapping[str, Collection[str]] | None = None,
) -> tuple[SplitLoss, ...]:
    """What splits held before and do not hold any more.

    Args:
        before, after: Counts of two versions.
        labels: Scheme -> the labels it has today; a label or scheme that is gone from it is no
            loss. None lets every label count.

    Returns:
        By split; a split that lost everything is named once, without its labels.
    """
    vanished: dict[tuple[Split, str, str], int] = {}
    for key, count in before.items():
        if count and not after.get(key):
            vanished[key] = count
    losses: list[SplitLoss] = []
    for split in Split:
        total = vanished.get((split, *_ALL))
        if total:
            losses.append(
                SplitLoss(
                    split=split,
                    scheme="",
                    label="",
                    num_before=total,
                )
            )
        else:
            losses.extend(_lost_labels(vanished, split, labels))
    return tuple(losses)


def _lost_labels(
    vanished: SplitCounts,
    split: Split,
    labels: Mapping[str, Collection[str]] | None,
) -> Iterator[SplitLoss]:
    """The labels that vanished from one split, sorted."""
    for (of_split, scheme, label), count in sorted(vanished.items()):
        if of_split is not split or not scheme:
            continue
        if labels is None or label in labels.get(scheme, ()):
            yield SplitLoss(
                split=split,
                scheme=scheme,
                label=label,
                num_before=count,
            )


def describe_losses(losses: Sequence[SplitLoss], *, before: str) -> str:
    """All losses in one sentence.

    Args:
        before: The version they are held against, such as "calls@3".
    """
    named = ", ".join(str(loss) for loss in losses)
    return f"against {before}, {named}"
