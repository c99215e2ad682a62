"""What the warehouse says is in Label Studio, compared with what is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from voxdata.label import Annotation
from voxdata.ports import PullResult


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
    there: Mapping[str, Sequence[Sequence[int]]],
    *,
    recorded: Collection[str],
    ours: Collection[str],
    standing: Mapping[int, str],
) -> KeyDifference:
    """Compare ids only.

    Args:
        there: Key of each clip in the queue -> for each copy of it the ids of its annotations.
        recorded: Keys on record as being there.
        ours: Every key that is ours, on record or not.
        standing: Annotation id -> key of its clip, as recorded.
    """
    present = {
        number: key for key, copies in there.items() for numbers in copies for number in numbers
    }
    known = {*recorded, *ours}
    return KeyDifference(
        missing=tuple(sorted(set(recorded) - set(there))),
        unrecorded=tuple(sorted(key for key in there if key not in recorded and key in known)),
        foreign=tuple(sorted(key for key in there if key not in known)),
        vanished=tuple(sorted(set(standing) - set(present))),
        unread=tuple(
            sorted(
                {key for number, key in present.items() if number not in standing and key in known}
            )
        ),
        doubled=tuple(
            sorted(key for key, copies in there.items() if len(copies) > 1 and key in known)
        ),
    )


def find_vanished(known: Iterable[Annotation], pulled: PullResult) -> list[Annotation]:
    """Of these annotations, those whose clip was looked at and does not have them any more.

    Args:
        known: The newest revision of each, none of them deleted.

    Returns:
        Marked `deleted`.
    """
    there = {a.annotation_id for a in pulled.annotations} | {
        r.annotation_id for r in pulled.refused
    }
    return [
        replace(a, deleted=True)
        for a in known
        if a.utterance_id in pulled.clips and a.annotation_id not in there
    ]


def compare_content(
    pulled: PullResult, *, standing: Mapping[int, Annotation], keys: KeyDifference
) -> list[Difference]:
    """Every difference between a queue, read whole, and the record.

    Args:
        pulled: Everything that is in the queue.
        standing: Annotation id -> newest revision on record, deleted ones left out.
        keys: Of the same moment.
    """
    found = [
        Difference(what=what, utterance_id=key, detail=remedy)
        for what, clips, remedy in (
            ("clip is missing in Label Studio", keys.missing, "`voxdata push` brings it back"),
            ("clip is not on record", keys.unrecorded, "`voxdata push` notes it"),
            (
                "clip is there twice",
                keys.doubled,
                "`voxdata push` removes copies that nobody worked on",
            ),
        )
        for key in clips
    ]
    known = {a.annotation_id: a for a in pulled.annotations}
    refused = {r.annotation_id: r for r in pulled.refused}
    about = {number: a.utterance_id for number, a in {**standing, **known}.items()} | {
        n: r.utterance_id for n, r in refused.items()
    }
    for number, key in sorted(about.items()):
        if number in refused:
            what, detail = "annotation cannot be taken", refused[number].why
        elif number not in known:
            what, detail = "annotation has vanished", "`voxdata pull` notes it"
        elif number not in standing:
            what, detail = "annotation was not pulled yet", "`voxdata pull`"
        else:
            what, detail = "annotation differs", _changed_fields(standing[number], known[number])
        if detail:
            found.append(
                Difference(what=what, utterance_id=key, annotation_id=number, detail=detail)
            )
    return found


def _changed_fields(recorded: Annotation, there: Annotation) -> str:
    """Fields that differ, with both values: "labels: {...} on record, {...} there"; "" when none
    does."""
    names = (
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
    pairs = [(name, getattr(recorded, name), getattr(there, name)) for name in names]
    return "; ".join(
        f"{name}: {ours} on record, {theirs} there"
        for name, ours, theirs in pairs
        if ours != theirs
    )
