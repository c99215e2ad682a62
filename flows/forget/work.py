"""The work file of a forgetting: what it is about, written down before anything is deleted, and
which of its steps are done.

It holds what must not be left anywhere, so it lies apart, for its owner alone, and goes when
everything else was searched and found clean.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

from flows.forget.found import Left
from voxdata.durable import remove, remove_tree, sync, write_file, writing
from voxdata.errors import VoxdataError
from voxdata.identity import digest
from warehouse.erase import ErasurePlan, Kind

FOLDER = Path("forget")
"""In the state folder; a folder in it for each forgetting that is not proven."""

WORK, PLAN, GONE, LEFT, DONE = "work.json", "plan.json", "gone.json", "left.json", "done.json"
PRIVATE = 0o600

FINISH = "voxdata forget --finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A forgetting that was begun.

    Attributes:
        folder: Where its files lie.
        kind: What was asked for.
        ref: What was asked for, as it was written; "" once everything was searched and found clean.
        subject: Its digest, as the receipt has it.
        reason: Stays on record.
        run_id: The run id of the process that began it.
        recording_ids: Empty once everything was searched and found clean.
        delete_sources: Whether the local files that the recordings came from go, too.
    """

    folder: Path
    kind: Kind
    ref: str
    subject: str
    reason: str
    run_id: str
    recording_ids: tuple[str, ...]
    delete_sources: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How far a forgetting came.

    Attributes:
        steps: Names of those that are done.
        receipt_id: Under which it stands in the warehouse; "" before the first step.
        counts: Table or place -> how much went.
        num_texts: Strings that the last search looked for.
        num_files: Files that it read.
    """

    steps: tuple[str, ...] = ()
    receipt_id: str = ""
    counts: Mapping[str, int]
    num_texts: int = 0
    num_files: int = 0


def subject_digest(ref: str) -> str:
    """What is kept of what was asked for."""
    return digest("voxdata-forgotten", ref)


def begin_work(
    state_dir: Path,
    *,
    kind: Kind,
    ref: str,
    reason: str,
    run_id: str,
    recording_ids: Sequence[str],
    delete_sources: bool,
) -> Work:
    """Write down what is to be forgotten, durably, before anything is done about it."""
    folder = state_dir / FOLDER / token_hex(8)
    work = Work(
        folder=folder,
        kind=kind,
        ref=ref,
        subject=subject_digest(ref),
        reason=reason,
        run_id=run_id,
        recording_ids=tuple(sorted(recording_ids)),
        delete_sources=delete_sources,
    )
    with writing(state_dir):
        folder.mkdir(parents=True, mode=0o700)
    _write(work, WORK, {name: value for name, value in asdict(work).items() if name != "folder"})
    for above in (folder.parent, state_dir):
        sync(above)
    return work


def list_work(state_dir: Path) -> list[Work]:
    """Forgettings that were begun and are not proven, in the order in which they were begun.

    Raises:
        VoxdataError: The file of one is damaged.
    """
    works = [_read_work(path.parent) for path in (state_dir / FOLDER).glob(f"*/{WORK}")]
    return sorted(works, key=lambda work: (work.run_id, work.folder.name))


def read_done(work: Work) -> Done:
    """How far it came."""
    path = work.folder / DONE
    if not path.exists():
        return Done(counts={})
    fields = json.loads(path.read_text(encoding="utf-8"))
    return Done(**{**fields, "steps": tuple(fields["steps"])})


def write_done(work: Work, done: Done) -> None:
    """Tick off what is done, durably."""
    _write(work, DONE, {**asdict(done), "counts": dict(done.counts)})


def tick(done: Done, step: str, counts: Mapping[str, int]) -> Done:
    """With one more step done, and what it deleted."""
    return replace(
        done, steps=(*done.steps, step), counts=dict(Counter(done.counts) + Counter(counts))
    )


def read_plan(work: Work) -> ErasurePlan | None:
    """What hangs on its recordings; None before that was found out, and after it was wiped."""
    path = work.folder / PLAN
    if not path.exists():
        return None
    fields = json.loads(path.read_text(encoding="utf-8"))
    values: dict[str, Any] = {name: _as_tuple(value) for name, value in fields.items()}
    return ErasurePlan(
        **{
            **values,
            "contents": {uri: tuple(contents) for uri, contents in fields["contents"].items()},
        }
    )


def write_plan(work: Work, plan: ErasurePlan) -> None:
    """Keep what hangs on its recordings, with what was kept before: rows may come in until they are
    barred.
    """
    before = read_plan(work)
    _write(work, PLAN, asdict(plan if before is None else _join(before, plan)))


def note_gone(work: Work, uris: Iterable[str]) -> None:
    """Keep which sources were deleted, so that nobody is told to look where they went."""
    _write(work, GONE, sorted({*read_gone(work), *uris}))


def read_gone(work: Work) -> tuple[str, ...]:
    """Sources that were deleted."""
    path = work.folder / GONE
    return tuple(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else ()


def note_left(work: Work, left: Iterable[Left], *, gone: Collection[str] = ()) -> None:
    """Keep which files stay, and why: once others of their folder are gone, nobody could tell any
    more.

    Args:
        gone: Places that stayed before, and were deleted since.
    """
    noted = {one.place: one for one in (*read_left(work), *left)}
    _write(work, LEFT, [asdict(one) for place, one in noted.items() if place not in gone])


def read_left(work: Work) -> tuple[Left, ...]:
    """Files that stayed and are still there, and places that cannot be looked at."""
    path = work.folder / LEFT
    told = (
        [Left(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
        if path.exists()
        else []
    )
    root = work.folder.parents[2]
    return tuple(one for one in told if _may_be_there(one.place, root))


def _may_be_there(place: str, root: Path) -> bool:
    """Whether a place still holds what stayed, as far as anybody can tell.

    Args:
        root: The workspace, whose folders are there whenever somebody is forgotten.
    """
    path = Path(place)
    if "://" in place or os.path.lexists(path):
        return True
    # Elsewhere, where not even the folder is there, its disk may be away.
    return not path.parent.exists() and not path.is_relative_to(root)


def wipe_work(work: Work) -> Work:
    """Take out of the files what they say of anybody.

    What is left are a receipt's id and numbers.
    """
    for name in (PLAN, GONE, LEFT):
        remove(work.folder / name, missing_ok=True)
    wiped = replace(work, ref="", recording_ids=())
    _write(wiped, WORK, {name: value for name, value in asdict(wiped).items() if name != "folder"})
    return wiped


def end_work(work: Work) -> None:
    """Remove the files."""
    remove(work.folder / WORK, missing_ok=True)
    remove_tree(work.folder)
    sync(work.folder.parent)


def clear_ended(state_dir: Path) -> None:
    """Remove what is left of erasures that ended, or never began, while their process was
    killed.
    """
    for folder in (state_dir / FOLDER).glob("*"):
        if not (folder / WORK).exists():
            remove_tree(folder)


def _write(work: Work, name: str, value: object) -> None:
    write_file(work.folder / name, json.dumps(value, ensure_ascii=True).encode(), mode=PRIVATE)
    sync(work.folder)


def _read_work(folder: Path) -> Work:
    try:
        fields = json.loads((folder / WORK).read_text(encoding="utf-8"))
        return Work(folder=folder, **{**fields, "recording_ids": tuple(fields["recording_ids"])})
    except (ValueError, TypeError, KeyError) as error:
        raise VoxdataError(
            f"{folder / WORK}: damaged ({error}); restore it, "
            f"or remove {folder} and forget them once more"
        ) from error


def _join(old: ErasurePlan, new: ErasurePlan) -> ErasurePlan:
    lists = ("recording_ids", "utterance_ids", "keys", "uris", "audio_files", "texts")
    joined: dict[str, Any] = {
        name: tuple(sorted({*getattr(old, name), *getattr(new, name)})) for name in lists
    }
    told: dict[str, Any] = {
        name: {**getattr(new, name), **getattr(old, name)}
        for name in ("versions", "models", "counts", "contents")
    }
    return ErasurePlan(**joined, **told)


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
