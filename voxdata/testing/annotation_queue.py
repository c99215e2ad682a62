"""A fake annotation queue, and what its clips and annotators are made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from voxdata.errors import AnnotationError, SchemeError
from voxdata.identity import ModelRef
from voxdata.label import Annotation, Prediction
from voxdata.ports import PullResult, PushResult, QueueCounts, QueueEntry
from voxdata.scheme import Scheme, SchemeLabel, find_scheme

QUEUE_SCHEMES = (
    Scheme(
        name="intent",
        version=1,
        title='What do they want? <"intent"> & 意图',
        choice="many",
        labels=(
            SchemeLabel(name="greet", description="says hello", shown={"zh": "问候"}),
            SchemeLabel(
                name='refund "now" <&>',
                description='wants > 1 € back, "today" & <fast>',
                group="Money & more <钱>",
            ),
            SchemeLabel(
                name="查询余额",
                description="想知道账户余额",
                group="Money & more <钱>",
                shown={"en": "balance"},
            ),
        ),
    ),
    Scheme(
        name="emotion",
        version=1,
        choice="ranked",
        scales=("intensity",),
        labels=(
            SchemeLabel(name="neutral"),
            SchemeLabel(name="angry", shown={"zh": "愤怒"}),
            SchemeLabel(name="高兴"),
        ),
    ),
)
"""Schemes of several choices and of ranked ones.

Their titles, groups and labels hold quotes, angle brackets, ampersands and Chinese.
"""

START = datetime(
    2026,
    1,
    1,
    tzinfo=UTC,
)
"""When the fake queue's clock begins."""

PERSON = "person-1@voxdata.local"


class People(Protocol):
    """What annotators do to a queue, behind the project's back."""

    def answer(
        self,
        utterance_id: str,
        labels: Mapping[str, Sequence[str]],
        *,
        annotator: str,
        text: str | None = None,
        skipped: bool = False,
    ) -> int:
        """Submit an annotation; returns its id."""

    def change(
        self,
        annotation_id: int,
        labels: Mapping[str, Sequence[str]],
    ) -> None:
        """Overwrite the labels of an annotation."""

    def remove(self, annotation_id: int) -> None:
        """Delete an annotation."""

    def remove_clip(self, utterance_id: str) -> None:
        """Delete a clip with all its annotations."""


class FakeQueue:
    """A queue in memory, and the `People` who answer it at once.

    It refuses what the real one refuses.

    Args:
        schemes: Labels that are allowed.
        media_dir: Where the clips must lie.
        project_id: Written into the annotations.
    """

    def __init__(
        self,
        *,
        schemes: Sequence[Scheme],
        media_dir: Path,
        project_id: int = 1,
    ) -> None:
        self.entries: dict[str, QueueEntry] = {}
        self.model_keys: dict[str, set[frozenset[str]]] = {}
        self._schemes = tuple(schemes)
        self._media_dir = media_dir
        self.project_id = project_id
        self.made_at = "2026-01-01T00:00:00Z"
        self.title = "fake"
        self._annotations: dict[int, Annotation] = {}
        self._changed: dict[str, datetime] = {}
        self._ticks = 0
        self._numbers = 0

    def push(
        self,
        entries: Sequence[QueueEntry],
        *,
        recorded: Collection[str] | None = None,
        done: Callable[[PushResult], None] | None = None,
    ) -> PushResult:
        """See `AnnotationQueue.push`."""
        for entry in entries:
            self._validate(entry)

        pushed: list[str] = []
        already_there: list[str] = []
        predictions_added: list[str] = []
        replaced: list[str] = []
        for utterance_id, entry in {entry.utterance_id: entry for entry in entries}.items():
            present = self.entries.get(utterance_id)
            if present is None:
                pushed.append(utterance_id)
                self._add(entry)
                continue
            already_there.append(utterance_id)
            is_other = (present.text, present.audio_file) != (entry.text, entry.audio_file)
            if is_other:
                replaced.append(utterance_id)
            if self._has_new_models(entry) or (not is_other and self._ticks_otherwise(entry)):
                predictions_added.append(utterance_id)
            self._renew(entry, is_other=is_other)

        result = PushResult(
            pushed=tuple(pushed),
            already_there=tuple(already_there),
            predictions_added=tuple(predictions_added),
            replaced=tuple(replaced),
        )
        if done is not None:
            done(result)
        return result

    def _add(self, entry: QueueEntry) -> None:
        self.entries[entry.utterance_id] = entry
        self.model_keys[entry.utterance_id] = set()
        self._note_models(entry)
        self.restore(entry.answers)

    def _renew(self, entry: QueueEntry, *, is_other: bool) -> None:
        """Take in what a clip that is here already brings."""
        if is_other:
            # Proposals repeat the text that they were made for.
            self.entries[entry.utterance_id] = entry
            self.model_keys[entry.utterance_id] = set()
        elif not self._has_new_models(entry) and self._ticks_otherwise(entry):
            self.entries[entry.utterance_id] = entry
        self._note_models(entry)

    def _note_models(self, entry: QueueEntry) -> None:
        if entry.predictions:
            self.model_keys[entry.utterance_id].add(_model_keys(entry))

    def _has_new_models(self, entry: QueueEntry) -> bool:
        if not entry.predictions:
            return False
        return _model_keys(entry) not in self.model_keys[entry.utterance_id]

    def _ticks_otherwise(self, entry: QueueEntry) -> bool:
        """Whether nobody answered, and the same proposals tick something else."""
        present = self.entries[entry.utterance_id]
        if any(a.utterance_id == entry.utterance_id for a in self._annotations.values()):
            return False
        models_before = [p.model.key for p in present.predictions]
        models_now = [p.model.key for p in entry.predictions]
        ticked_before = {p.scheme for p in present.ticked}
        ticked_now = {p.scheme for p in entry.ticked}
        return models_before == models_now and ticked_before != ticked_now

    def pull(
        self,
        *,
        since: datetime | None,
        seen: Mapping[str, str] | None = None,
    ) -> PullResult:
        """See `AnnotationQueue.pull`."""
        marks_seen = seen or {}
        marks: dict[str, str] = {}
        for utterance_id in self.entries:
            changed_at = self._changed.get(utterance_id)
            if since is not None and (changed_at is None or changed_at < since):
                continue
            mark = "" if changed_at is None else str(changed_at)
            if marks_seen.get(utterance_id) != mark:
                marks[utterance_id] = mark
        return replace(
            self._read(set(marks)),
            marks=marks,
            read_at=START + timedelta(seconds=self._ticks),
        )

    def pull_clips(self, utterance_ids: Sequence[str]) -> PullResult:
        """See `AnnotationQueue.pull_clips`."""
        return self._read(set(utterance_ids) & set(self.entries))

    def _read(self, clips: set[str]) -> PullResult:
        annotations = [a for a in self._annotations.values() if a.utterance_id in clips]
        annotations.sort(key=lambda a: (a.updated_at, a.annotation_id))
        return PullResult(
            annotations=tuple(annotations),
            clips=frozenset(clips),
        )

    def list_copies(self) -> dict[str, list[tuple[int, ...]]]:
        """See `AnnotationQueue.list_copies`."""
        numbers_on: dict[str, list[int]] = {utterance_id: [] for utterance_id in self.entries}
        for number, annotation in self._annotations.items():
            if annotation.utterance_id in numbers_on:
                numbers_on[annotation.utterance_id].append(number)
        return {utterance_id: [tuple(numbers)] for utterance_id, numbers in numbers_on.items()}

    def remove_doubles(self, utterance_ids: Sequence[str]) -> tuple[str, ...]:
        """See `AnnotationQueue.remove_doubles`: a dictionary has none."""
        return ()

    def erase(self, utterance_ids: Sequence[str]) -> int:
        """See `AnnotationQueue.erase`."""
        erased = set(utterance_ids) & set(self.entries)
        for utterance_id in erased:
            del self.entries[utterance_id]
            self.model_keys.pop(utterance_id, None)
            self._changed.pop(utterance_id, None)
        self._drop_annotations(erased)
        return len(erased)

    def _drop_annotations(self, utterance_ids: Collection[str]) -> None:
        self._annotations = {
            number: annotation
            for number, annotation in self._annotations.items()
            if annotation.utterance_id not in utterance_ids
        }

    def restore(self, annotations: Sequence[Annotation]) -> None:
        """See `AnnotationQueue.restore`."""
        for annotation in annotations:
            self._numbers += 1
            self._annotations[self._numbers] = replace(
                annotation,
                annotation_id=self._numbers,
                project_id=self.project_id,
                updated_at=self._now(annotation.utterance_id),
                deleted=False,
            )

    def counts(self) -> QueueCounts:
        """See `AnnotationQueue.counts`."""
        return QueueCounts(
            clips=len(self.entries),
            annotations=len(self._annotations),
        )

    def answer(
        self,
        utterance_id: str,
        labels: Mapping[str, Sequence[str]],
        *,
        annotator: str,
        text: str | None = None,
        skipped: bool = False,
    ) -> int:
        """See `People.answer`."""
        self._numbers += 1
        shown_text = self.entries[utterance_id].text.strip()
        given_text: str | None = None
        arranged: dict[str, tuple[str, ...]] = {}
        if not skipped:
            schemes = {scheme.name: scheme for scheme in self._schemes}
            arranged = {name: schemes[name].arrange(chosen) for name, chosen in labels.items()}
            if text is not None and text.strip() != shown_text:
                given_text = text.strip()
        self._annotations[self._numbers] = Annotation(
            annotation_id=self._numbers,
            project_id=self.project_id,
            utterance_id=utterance_id,
            annotator=annotator,
            labels=arranged,
            text=given_text,
            skipped=skipped,
            lead_time_ms=2_000,
            updated_at=self._now(utterance_id),
        )
        return self._numbers

    def change(
        self,
        annotation_id: int,
        labels: Mapping[str, Sequence[str]],
    ) -> None:
        """See `People.change`."""
        before = self._annotations[annotation_id]
        self._annotations[annotation_id] = replace(
            before,
            labels={name: tuple(chosen) for name, chosen in labels.items()},
            updated_at=self._now(before.utterance_id),
        )

    def remove(self, annotation_id: int) -> None:
        """See `People.remove`."""
        removed = self._annotations.pop(annotation_id)
        self._now(removed.utterance_id)

    def remove_clip(self, utterance_id: str) -> None:
        """See `People.remove_clip`."""
        del self.entries[utterance_id]
        self._drop_annotations([utterance_id])

    def _validate(self, entry: QueueEntry) -> None:
        clip = self._media_dir / entry.audio_file
        if not clip.is_file():
            raise AnnotationError(f"clip {entry.utterance_id}: {clip} is missing; push again")
        for prediction in entry.predictions:
            try:
                scheme = find_scheme(self._schemes, prediction.scheme)
                scheme.require(prediction.label)
            except SchemeError as error:
                raise AnnotationError(
                    f"clip {entry.utterance_id}: "
                    f"proposal does not fit the labelling screen: {error}"
                ) from error

    def _now(self, utterance_id: str) -> datetime:
        """When a clip changes; a clock that moves a second at every look."""
        self._ticks += 1
        self._changed[utterance_id] = START + timedelta(seconds=self._ticks)
        return self._changed[utterance_id]


def _model_keys(entry: QueueEntry) -> frozenset[str]:
    return frozenset(prediction.model.key for prediction in entry.predictions)


def make_prediction(
    utterance_id: str,
    scheme: str = "emotion",
    label: str = "angry",
    *,
    revision: str = "r1",
) -> Prediction:
    """A proposal under one of `QUEUE_SCHEMES`, with probability 0.7.

    `revision` decides the model.
    """
    labels = find_scheme(QUEUE_SCHEMES, scheme).label_names
    others = [name for name in labels if name != label]
    return Prediction(
        utterance_id=utterance_id,
        scheme=scheme,
        distribution={label: 0.7} | dict.fromkeys(others, 0.3 / len(others)),
        model=ModelRef(
            name=f"test-{scheme}",
            revision=revision,
        ),
    )


def make_entry(
    utterance_id: str,
    *,
    audio_file: str,
    text: str = "hello there",
    revision: str = "r1",
) -> QueueEntry:
    """A clip with one proposal for each of `QUEUE_SCHEMES`."""
    return QueueEntry(
        utterance_id=utterance_id,
        audio_file=audio_file,
        text=text,
        note=f"call <1> & 电话.wav · S0 · {utterance_id}",
        predictions=(
            make_prediction(utterance_id, "intent", "查询余额", revision=revision),
            make_prediction(utterance_id, "emotion", "angry", revision=revision),
        ),
    )


def make_entries(count: int, *, audio_file: str) -> list[QueueEntry]:
    """Clips u0, u1, ... of one file."""
    return [make_entry(f"u{i}", audio_file=audio_file) for i in range(count)]
