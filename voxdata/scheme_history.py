"""How the labels of a scheme changed from version to version, and what an old annotation says in
today's labels.

Nothing is rewritten: annotations keep the labels that people chose, and are read through the
changes made since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from voxdata.errors import SchemeError
from voxdata.label import Annotation
from voxdata.scheme import Scheme


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeChange:
    """What happened to labels when a version of a scheme was made.

    Labels that are not named stayed.

    Attributes:
        to_version: The version that it made.
        rename: Old name -> new name.
        merge: New name -> old names, which may include it.
        split: Old name -> the labels it became; people must choose again.
        remove: Old names without a successor.
    """

    to_version: int
    rename: Mapping[str, str] = field(default_factory=dict)
    merge: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    split: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remove: tuple[str, ...] = ()

    def successors(self) -> dict[str, tuple[str, ...]]:
        """Old label -> the labels it may mean now.

        Raises:
            SchemeError: A label has two fates.
        """
        fates = [
            *((old, (new,)) for old, new in self.rename.items()),
            *((old, (new,)) for new, several in self.merge.items() for old in several),
            *((old, tuple(new)) for old, new in self.split.items()),
            *((old, ()) for old in self.remove),
        ]
        twice = sorted(old for old, count in Counter(old for old, _ in fates).items() if count > 1)
        if twice:
            raise SchemeError(
                f"the change to version {self.to_version} has two entries about {', '.join(twice)}; name each label once"
            )
        return dict(fates)


@dataclass(frozen=True, kw_only=True)
class SchemeHistory:
    """A scheme and how it came about.

    Attributes:
        scheme: As it is now.
        changes: One for each version after the first that changed labels, oldest first.

    Raises:
        SchemeError: A change is out of order, leads to a label that the scheme does not have, or
            gives a name a second meaning.
    """

    scheme: Scheme
    changes: tuple[SchemeChange, ...] = ()

    def __post_init__(self) -> None:
        versions = [change.to_version for change in self.changes]
        if versions != sorted(set(versions)) or any(
            not 2 <= version <= self.scheme.version for version in versions
        ):
            raise SchemeError(
                f"scheme {self.scheme.name!r}: changes lead to {versions}; they must rise, from 2 to its version {self.scheme.version}"
            )
        for change in self.changes:
            kept = sorted(
                {*change.rename, *change.split, *change.remove} & set(self.scheme.label_names)
            )
            if kept:
                raise SchemeError(
                    f"scheme {self.scheme.name!r}: {', '.join(kept)} changed in version {change.to_version} and is still a label; give "
                    "the new meaning a new name, or old answers cannot be distinguished from new ones"
                )
            for old in change.successors():
                stray = sorted(
                    set(self.translate(old, version=change.to_version - 1))
                    - set(self.scheme.label_names)
                )
                if stray:
                    raise SchemeError(
                        f"scheme {self.scheme.name!r}: the change to version {change.to_version} leads from {old!r} to {', '.join(stray)}, "
                        f"which the scheme does not have; it has: {', '.join(self.scheme.label_names)}"
                    )

    def translate(self, label: str, *, version: int) -> tuple[str, ...]:
        """What a label of an earlier version may mean now: one label; several after a split.

        None when it was removed.
        """
        found: tuple[str, ...] = (label,)
        for change in self.changes:
            if change.to_version > version:
                successors = change.successors()
                found = tuple(
                    dict.fromkeys(new for old in found for new in successors.get(old, (old,)))
                )
        return found

    def former_labels(self) -> dict[str, int]:
        """Label that the scheme no longer has -> the last version that had it."""
        return {
            old: change.to_version - 1
            for change in self.changes
            for old in change.successors()
            if old not in self.scheme.label_names
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """A vote that a change of the scheme left open.

    Attributes:
        candidates: What it may mean now; empty when its label was removed.
    """

    utterance_id: str
    annotator: str
    scheme: str
    label: str
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """Annotations in today's labels.

    Attributes:
        annotations: In the order given; a scheme whose vote is undecided is left out of `labels`.
        undecided: To be heard again.
    """

    annotations: tuple[Annotation, ...]
    undecided: tuple[Undecided, ...]


def migrate(annotations: Iterable[Annotation], histories: Mapping[str, SchemeHistory]) -> Migrated:
    """See annotations through the changes made since they were made.

    Args:
        histories: Scheme name -> history; schemes without one are left as they are.
    """
    out, undecided = [], []
    for annotation in annotations:
        labels: dict[str, tuple[str, ...]] = {}
        for scheme, chosen in annotation.labels.items():
            history = histories.get(scheme)
            if history is None:
                labels[scheme] = chosen
                continue
            meanings = [
                (label, history.translate(label, version=annotation.scheme_versions.get(scheme, 1)))
                for label in chosen
            ]
            open_ones = [(label, found) for label, found in meanings if len(found) != 1]
            undecided += [
                Undecided(
                    utterance_id=annotation.utterance_id,
                    annotator=annotation.annotator,
                    scheme=scheme,
                    label=label,
                    candidates=found,
                )
                for label, found in open_ones
            ]
            if not open_ones:
                labels[scheme] = tuple(dict.fromkeys(found[0] for _, found in meanings))
        out.append(replace(annotation, labels=labels))
    return Migrated(annotations=tuple(out), undecided=tuple(undecided))


def find_orphans(
    annotations: Sequence[Annotation], histories: Mapping[str, SchemeHistory]
) -> dict[tuple[str, str], int]:
    """Labels in use that no change accounts for: (scheme, label) -> how many annotations would
    silently lose it.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for annotation in annotations:
        for scheme, chosen in annotation.labels.items():
            if (history := histories.get(scheme)) is not None:
                version = annotation.scheme_versions.get(scheme, 1)
                known = set(history.scheme.label_names)
                counts.update(
                    (scheme, label)
                    for label in chosen
                    if set(history.translate(label, version=version)) - known
                )
    return dict(counts)
