"""How the labels of a scheme changed, and what an old annotation says in today's labels.

Nothing is rewritten: annotations keep the labels that people chose, and are read through the
changes made since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

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
        successors: dict[str, tuple[str, ...]] = {}
        twice: set[str] = set()

        def note(old: str, *new: str) -> None:
            if old in successors:
                twice.add(old)
            successors[old] = new

        for old, new in self.rename.items():
            note(old, new)
        for new, merged in self.merge.items():
            for old in merged:
                note(old, new)
        for old, parts in self.split.items():
            note(old, *parts)
        for old in self.remove:
            note(old)
        if twice:
            raise SchemeError(
                f"the change to version {self.to_version} has two entries about "
                f"{', '.join(sorted(twice))}; name each label once"
            )
        return successors


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
        is_rising = versions == sorted(set(versions))
        if not is_rising or any(not 2 <= v <= self.scheme.version for v in versions):
            raise SchemeError(
                f"scheme {self.scheme.name!r}: changes lead to {versions}; "
                f"they must rise, from 2 to its version {self.scheme.version}"
            )
        for change in self.changes:
            self._check_change(change)

    def _check_change(self, change: SchemeChange) -> None:
        name = self.scheme.name
        labels = self.scheme.label_names
        gone = {*change.rename, *change.split, *change.remove}
        kept = sorted(gone & set(labels))
        if kept:
            raise SchemeError(
                f"scheme {name!r}: {', '.join(kept)} changed in version {change.to_version} "
                "and is still a label; give the new meaning a new name, "
                "or old answers cannot be distinguished from new ones"
            )
        for old in change.successors():
            meanings = self.translate(old, version=change.to_version - 1)
            stray = sorted(set(meanings) - set(labels))
            if stray:
                raise SchemeError(
                    f"scheme {name!r}: the change to version {change.to_version} leads from "
                    f"{old!r} to {', '.join(stray)}, which the scheme does not have; "
                    f"it has: {', '.join(labels)}"
                )

    def translate(self, label: str, *, version: int, until: int | None = None) -> tuple[str, ...]:
        """What a label of an earlier version may mean now.

        Args:
            until: A version to stop at, whose meaning is asked for instead of today's.

        Returns:
            One label; several after a split, none when it was removed.
        """
        meanings: tuple[str, ...] = (label,)
        newest = self.scheme.version if until is None else until
        for change in self.changes:
            if version < change.to_version <= newest:
                successors = change.successors()
                newer = [successors.get(old, (old,)) for old in meanings]
                meanings = tuple(dict.fromkeys(chain.from_iterable(newer)))
        return meanings

    def former_labels(self) -> dict[str, int]:
        """Label that the scheme no longer has -> the last version that had it."""
        last_version: dict[str, int] = {}
        for change in self.changes:
            for old in change.successors():
                if old not in self.scheme.label_names:
                    last_version[old] = change.to_version - 1
        return last_version


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
    migrated: list[Annotation] = []
    undecided: list[Undecided] = []
    for annotation in annotations:
        labels: dict[str, tuple[str, ...]] = {}
        for scheme, chosen in annotation.labels.items():
            history = histories.get(scheme)
            if history is None:
                labels[scheme] = chosen
                continue
            open_votes = _open_votes(annotation, scheme, history)
            undecided += open_votes
            if not open_votes:
                labels[scheme] = _todays_labels(annotation, scheme, history)
        migrated.append(replace(annotation, labels=labels))
    return Migrated(
        annotations=tuple(migrated),
        undecided=tuple(undecided),
    )


def _open_votes(
    annotation: Annotation,
    scheme: str,
    history: SchemeHistory,
) -> list[Undecided]:
    """The labels of an annotation under one scheme that may mean several labels now, or none."""
    version = annotation.scheme_versions.get(scheme, 1)
    open_votes: list[Undecided] = []
    for label in annotation.labels[scheme]:
        candidates = history.translate(label, version=version)
        if len(candidates) != 1:
            open_votes.append(
                Undecided(
                    utterance_id=annotation.utterance_id,
                    annotator=annotation.annotator,
                    scheme=scheme,
                    label=label,
                    candidates=candidates,
                )
            )
    return open_votes


def _todays_labels(
    annotation: Annotation,
    scheme: str,
    history: SchemeHistory,
) -> tuple[str, ...]:
    """The labels of an annotation that each mean one label now; none twice."""
    version = annotation.scheme_versions.get(scheme, 1)
    labels = annotation.labels[scheme]
    meanings = [history.translate(label, version=version)[0] for label in labels]
    return tuple(dict.fromkeys(meanings))


def find_orphans(
    annotations: Sequence[Annotation], histories: Mapping[str, SchemeHistory]
) -> dict[tuple[str, str], int]:
    """Labels in use that no change accounts for.

    Returns:
        (scheme, label) -> how many annotations would silently lose it.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for annotation in annotations:
        for scheme, chosen in annotation.labels.items():
            history = histories.get(scheme)
            if history is None:
                continue
            version = annotation.scheme_versions.get(scheme, 1)
            labels = set(history.scheme.label_names)
            for label in chosen:
                meanings = history.translate(label, version=version)
                if not labels.issuperset(meanings):
                    counts[scheme, label] += 1
    return dict(counts)


def without_orphans(
    labels: Mapping[str, tuple[str, ...]], orphans: Mapping[tuple[str, str], int]
) -> dict[str, tuple[str, ...]]:
    """Scheme -> chosen labels, without the schemes in which somebody chose an orphan."""
    kept = {}
    for scheme, chosen in labels.items():
        if not any((scheme, label) in orphans for label in chosen):
            kept[scheme] = chosen
    return kept
