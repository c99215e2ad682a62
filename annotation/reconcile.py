"""What the warehouse says is in Label Studio, compared with what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from voxdata.label import Annotation
from voxdata.ports import PullResult, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDifference:
    """How the clips and annotation ids of a queue differ from the record.

    Attributes:
        missing: Clips on record that are gone.
        unrecorded: Clips of ours that are there without being on record: a push died before it
            could note them.
        foreign: Clips without a key of ours, or with one nobody knows.
        vanished: Annotations on record that are gone, with those of missing clips.
        unread: Clips with annotations that are not on record.
        doubled: Clips of ours that are there more than once.
    """

    missing: tuple[str, ...]
    unrecorded: tuple[str, ...]
    foreign: tuple[str, ...]
    vanished: tuple[int, ...]
    unread: tuple[str, ...]
    doubled: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that Label Studio and the warehouse do not agree about.

    Attributes:
        what: For a person, such as "annotation differs".
        annotation_id: None when it is about the clip.
        detail: Both sides, or what to do.
    """

    what: str
    utterance_id: str
    annotation_id: int | None = None
    detail: str = ""


def compare_keys(
    copies: Mapping[str, Sequence[Sequence[int]]],
    *,
    recorded: Collection[str],
    ours: Collection[str],
    standing: Mapping[int, str],
) -> KeyDifference:
    """Compare ids only.

    Args:
        copies: Key of each clip in the queue -> for each copy of it the ids of its annotations.
        recorded: Keys on record as being there.
        ours: Every key that is ours, on record or not.
        standing: Annotation id -> key of its clip, as recorded.
    """
    key_of_annotation: dict[int, str] = {}
    for key, annotations_of_copies in copies.items():
        for annotation_id in chain.from_iterable(annotations_of_copies):
            key_of_annotation[annotation_id] = key

    all_ours = {*recorded, *ours}
    ours_in_queue = [key for key in copies if key in all_ours]
    unread_ids = key_of_annotation.keys() - standing.keys()
    unread = {key_of_annotation[annotation_id] for annotation_id in unread_ids}
    vanished = standing.keys() - key_of_annotation.keys()
    unrecorded = [key for key in ours_in_queue if key not in recorded]
    doubled = [key for key in ours_in_queue if len(copies[key]) > 1]
    return KeyDifference(
        missing=tuple(sorted(set(recorded) - set(copies))),
        unrecorded=tuple(sorted(unrecorded)),
        foreign=tuple(sorted(set(copies) - all_ours)),
        vanished=tuple(sorted(vanished)),
        unread=tuple(sorted(unread & all_ours)),
        doubled=tuple(sorted(doubled)),
    )


def find_vanished(standing: Iterable[Annotation], pulled: PullResult) -> list[Annotation]:
    """The annotations whose clip was looked at and does not have them any more.

    Args:
        standing: The newest revision of each, none of them deleted.

    Returns:
        Marked `deleted`.
    """
    taken_ids = {annotation.annotation_id for annotation in pulled.annotations}
    refused_ids = {refusal.annotation_id for refusal in pulled.refused}
    in_queue = taken_ids | refused_ids
    looked_at = [a for a in standing if a.utterance_id in pulled.clips]
    vanished = [a for a in looked_at if a.annotation_id not in in_queue]
    return [replace(annotation, deleted=True) for annotation in vanished]


def compare_content(
    pulled: PullResult, *, standing: Mapping[int, Annotation], keys: KeyDifference
) -> list[Difference]:
    """Every difference between a queue, read whole, and the record.

    Args:
        pulled: Everything that is in the queue.
        standing: Annotation id -> newest revision on record, deleted ones left out.
        keys: The keys of the same moment.
    """
    differences: list[Difference] = []
    for what, clips, remedy in (
        ("clip is missing in Label Studio", keys.missing, "`voxdata push` brings it back"),
        ("clip is not on record", keys.unrecorded, "`voxdata push` notes it"),
        (
            "clip is there twice",
            keys.doubled,
            "`voxdata push` removes copies that nobody worked on",
        ),
    ):
        differences += [
            Difference(
                what=what,
                utterance_id=key,
                detail=remedy,
            )
            for key in clips
        ]

    taken = {annotation.annotation_id: annotation for annotation in pulled.annotations}
    refused = {refusal.annotation_id: refusal for refusal in pulled.refused}
    every: dict[int, Annotation | Refusal] = {**standing, **taken, **refused}
    for annotation_id in sorted(every):
        difference = _compare_annotation(
            every[annotation_id],
            recorded=standing.get(annotation_id),
            taken=taken.get(annotation_id),
        )
        if difference.detail:
            differences.append(difference)
    return differences


def _compare_annotation(
    newest: Annotation | Refusal,
    *,
    recorded: Annotation | None,
    taken: Annotation | None,
) -> Difference:
    """What became of one annotation; without `detail` when nothing did.

    Args:
        newest: As the queue has it, or as recorded when it is gone.
        recorded: As the record has it.
        taken: As the queue has it, when it can be taken.
    """
    if isinstance(newest, Refusal):
        what, detail = "annotation cannot be taken", newest.why
    elif taken is None:
        what, detail = "annotation has vanished", "`voxdata pull` notes it"
    elif recorded is None:
        what, detail = "annotation was not pulled yet", "`voxdata pull`"
    else:
        what, detail = "annotation differs", _changed_fields(recorded, taken)
    return Difference(
        what=what,
        utterance_id=newest.utterance_id,
        annotation_id=newest.annotation_id,
        detail=detail,
    )


COMPARED = (
    "utterance_id",
    "annotator",
    "labels",
    "ratings",
    "flags",
    "text",
    "skipped",
    "lead_time_ms",
    "updated_at",
)
"""Fields of an annotation that both sides have."""


def _changed_fields(recorded: Annotation, taken: Annotation) -> str:
    """Fields that differ, with both values: "labels: {...} on record, {...} there".

    Returns:
        "" when none does.
    """
    changes = []
    for name in COMPARED:
        ours = getattr(recorded, name)
        theirs = getattr(taken, name)
        if ours != theirs:
            changes.append(f"{name}: {ours} on record, {theirs} there")
    return "; ".join(changes)
