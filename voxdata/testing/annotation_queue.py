"""A fake annotation queue, and the contract every AnnotationQueue is held to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Protocol

import pytest

from voxdata.errors import AnnotationError, SchemeError
from voxdata.identity import ModelRef
from voxdata.label import Annotation, Prediction
from voxdata.ports import AnnotationQueue, PullResult, PushResult, QueueCounts, QueueEntry
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


def _answer(
    people: People,
    utterance_id: str,
    *,
    emotion: str = "angry",
    annotator: str = PERSON,
    text: str | None = None,
) -> int:
    """Say "greet" and an emotion; returns the id of the annotation."""
    labels = {"intent": ("greet",), "emotion": (emotion,)}
    return people.answer(
        utterance_id,
        labels,
        annotator=annotator,
        text=text,
    )


class QueueContract:
    """What every queue does.

    Subclass as Test...; give the fixtures `queue` (empty, QUEUE_SCHEMES), `people` (of it) and
    `audio_file` (a clip it may serve).
    """

    def test_push_adds_nothing_the_second_time(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """The same clips again are found, not doubled."""
        entries = make_entries(3, audio_file=audio_file)
        first = queue.push(entries)
        second = queue.push(entries)
        all_clips = ("u0", "u1", "u2")
        assert first == PushResult(pushed=all_clips, already_there=(), predictions_added=())
        assert second == PushResult(pushed=(), already_there=all_clips, predictions_added=())
        assert queue.counts().clips == 3

    def test_push_adds_a_clip_once_when_it_comes_twice_in_one_call(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """A clip that is named twice becomes one."""
        entry = make_entry("u0", audio_file=audio_file)
        assert queue.push([entry, entry]).pushed == ("u0",)
        assert queue.counts().clips == 1

    def test_push_does_nothing_without_entries(self, queue: AnnotationQueue) -> None:
        """An empty push is a push."""
        nothing = PushResult(
            pushed=(),
            already_there=(),
            predictions_added=(),
        )
        assert queue.push([]) == nothing
        assert queue.counts().clips == 0

    def test_push_takes_a_clip_without_proposals(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """A clip may come with no proposal, and get one later."""
        entry = make_entry("u0", audio_file=audio_file)
        bare = replace(entry, predictions=())
        assert queue.push([bare]).pushed == ("u0",)
        assert queue.push([bare]).predictions_added == ()
        assert queue.push([entry]).predictions_added == ("u0",)

    def test_push_adds_proposals_of_a_new_model_once(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """Newer proposals go beside the old ones; the clips stay."""
        old = make_entry("u0", audio_file=audio_file, revision="r1")
        new = make_entry("u0", audio_file=audio_file, revision="r2")
        queue.push([old])
        assert queue.push([new]) == PushResult(
            pushed=(),
            already_there=("u0",),
            predictions_added=("u0",),
        )
        assert queue.push([new]).predictions_added == ()
        assert queue.push([old]).predictions_added == ()
        assert queue.counts().clips == 1

    def test_push_takes_back_a_tick_that_is_not_sure_enough(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Proposals that tick something else now are shown again, until somebody has answered."""
        ticked = make_entries(2, audio_file=audio_file)
        bare = [replace(entry, min_confidence=0.9) for entry in ticked]
        queue.push(ticked)
        _answer(people, "u1", emotion="neutral")
        assert queue.push(bare).predictions_added == ("u0",)
        assert queue.push(bare).predictions_added == ()
        assert queue.counts().clips == 2

    def test_push_shows_another_text_in_place_of_the_old(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """A text that is masked later is no longer there.

        A person who leaves the new one alone has changed nothing.
        """
        old = make_entry("u0", audio_file=audio_file, text="call 555 0132")
        new = replace(old, text="call [phone]")
        queue.push([old])
        first = queue.push([new])
        second = queue.push([new])
        assert first.pushed == ()
        assert first.replaced == ("u0",)
        assert second.replaced == ()
        assert queue.counts().clips == 1
        _answer(people, "u0", text="call [phone]")
        assert queue.pull(since=None).annotations[0].text is None

    def test_push_replaces_the_proposals_with_the_text_they_were_made_for(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """Proposals repeat the text, so those of a text that was taken away go with it."""
        masked = "call [phone]"
        queue.push([make_entry("u0", audio_file=audio_file, text="call 555 0132")])
        second = queue.push([make_entry("u0", audio_file=audio_file, text=masked, revision="r2")])
        assert second.replaced == ("u0",)
        assert second.predictions_added == ("u0",)
        third = queue.push([make_entry("u0", audio_file=audio_file, text=masked, revision="r1")])
        assert third.replaced == ()
        assert third.predictions_added == ("u0",)

    def test_push_refuses_an_unknown_label_and_adds_nothing(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """One bad proposal stops the push before anything leaves; the error names the clip."""
        good = make_entry("good", audio_file=audio_file)
        wrong = Prediction(
            utterance_id="bad",
            scheme="emotion",
            distribution={"bored": 1.0},
            model=ModelRef(name="m", revision="1"),
        )
        bad = replace(make_entry("bad", audio_file=audio_file), predictions=(wrong,))
        with pytest.raises(AnnotationError, match="bad"):
            queue.push([good, bad])
        assert queue.counts().clips == 0

    def test_push_refuses_a_clip_without_its_file(self, queue: AnnotationQueue) -> None:
        """The error names the file."""
        with pytest.raises(AnnotationError, match=r"absent\.wav"):
            queue.push([make_entry("u0", audio_file="clips/absent.wav")])
        assert queue.counts().clips == 0

    def test_push_tells_what_is_there_as_it_goes(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """Whoever notes what is done needs not wait for the end."""
        parts: list[PushResult] = []
        whole = queue.push(make_entries(3, audio_file=audio_file), done=parts.append)
        pushed_in_parts = tuple(chain.from_iterable(part.pushed for part in parts))
        assert pushed_in_parts == whole.pushed
        assert whole.pushed == ("u0", "u1", "u2")

    def test_pull_gives_nothing_when_nobody_answered(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """Clips and proposals are not annotations."""
        queue.push([make_entry("u0", audio_file=audio_file)])
        assert queue.pull(since=None).annotations == ()

    def test_pull_gives_labels_text_and_annotator(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Every label of every script comes back as it was given."""
        queue.push([make_entry("u0", audio_file=audio_file)])
        labels = {"intent": ('refund "now" <&>',), "emotion": ("高兴",)}
        text = '我要 "退款" <now> & 谢谢'
        annotation_id = people.answer(
            "u0",
            labels,
            annotator=PERSON,
            text=text,
        )
        (annotation,) = queue.pull(since=None).annotations
        assert annotation.annotation_id == annotation_id
        assert annotation.utterance_id == "u0"
        assert annotation.annotator == PERSON
        assert dict(annotation.labels) == labels
        assert annotation.text == text
        assert not annotation.skipped
        assert not annotation.deleted
        assert annotation.updated_at.utcoffset() == timedelta(0)

    def test_pull_gives_several_labels_in_the_order_of_their_scheme(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """What was ticked first says nothing where labels are of equal standing."""
        queue.push([make_entry("u0", audio_file=audio_file)])
        chosen = {"intent": ("查询余额", "greet"), "emotion": ("neutral",)}
        people.answer("u0", chosen, annotator=PERSON)
        (annotation,) = queue.pull(since=None).annotations
        assert annotation.labels["intent"] == ("greet", "查询余额")
        assert annotation.labels["emotion"] == ("neutral",)

    def test_pull_gives_no_text_when_the_transcript_was_left_alone(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Text is what a person changed."""
        queue.push([make_entry("u0", audio_file=audio_file, text="hello there")])
        _answer(people, "u0", text="hello there")
        assert queue.pull(since=None).annotations[0].text is None

    def test_pull_gives_skips_without_labels(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Passing on a clip is an answer too."""
        queue.push([make_entry("u0", audio_file=audio_file)])
        people.answer(
            "u0",
            {"emotion": ("neutral",)},
            annotator=PERSON,
            skipped=True,
        )
        (annotation,) = queue.pull(since=None).annotations
        assert annotation.skipped
        assert dict(annotation.labels) == {}

    def test_pull_gives_every_annotator_of_a_clip(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Two people may disagree about one clip."""
        queue.push([make_entry("u0", audio_file=audio_file)])
        emotions = {PERSON: "angry", "person-2@voxdata.local": "neutral"}
        for annotator, emotion in emotions.items():
            _answer(
                people,
                "u0",
                emotion=emotion,
                annotator=annotator,
            )
        annotations = queue.pull(since=None).annotations
        assert {a.annotator: a.labels["emotion"][0] for a in annotations} == emotions

    def test_pull_since_gives_changed_annotations(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """The cursor finds a correction, with a later time stamp.

        Overlap may only repeat what was known.
        """
        queue.push(make_entries(3, audio_file=audio_file))
        first_id, *_ = [_answer(people, f"u{i}") for i in range(3)]
        before = {a.annotation_id: a for a in queue.pull(since=None).annotations}
        last_at = max(a.updated_at for a in before.values())
        people.change(first_id, {"intent": ("greet",), "emotion": ("neutral",)})

        recent = queue.pull(since=last_at + timedelta(microseconds=1)).annotations
        after = {a.annotation_id: a for a in recent}
        changed = after.pop(first_id)
        assert changed.labels["emotion"] == ("neutral",)
        assert changed.updated_at > before[first_id].updated_at
        assert all(annotation == before[number] for number, annotation in after.items())

    def test_pull_since_gives_nothing_after_the_last_change(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """A whole second works as well as a fraction."""
        queue.push([make_entry("u0", audio_file=audio_file)])
        _answer(people, "u0")
        last_at = queue.pull(since=None).annotations[0].updated_at
        an_hour_later = last_at.replace(microsecond=0) + timedelta(hours=1)
        later = queue.pull(since=an_hour_later)
        assert later.annotations == ()
        assert later.clips == frozenset()

    def test_pull_shows_a_clip_whose_annotation_was_deleted(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """The clip is looked at, and the annotation is not in it: so it has vanished."""
        queue.push(make_entries(2, audio_file=audio_file))
        annotation_id = _answer(people, "u0")
        made_at = queue.pull(since=None).annotations[0].updated_at
        people.remove(annotation_id)
        later = queue.pull(since=made_at)
        assert later.annotations == ()
        assert "u0" in later.clips

    def test_pull_leaves_out_clips_that_have_not_changed_since_they_were_seen(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """A mark saves reading a clip again, and no change escapes it."""
        queue.push(make_entries(2, audio_file=audio_file))
        removed_id, changed_id = (
            people.answer(f"u{i}", {"intent": ("greet",)}, annotator=PERSON) for i in range(2)
        )
        first = queue.pull(since=None)
        assert set(first.marks) == {"u0", "u1"}
        assert queue.pull(since=None, seen=first.marks).annotations == ()

        people.change(changed_id, {"intent": ("greet",), "emotion": ("neutral",)})
        second = queue.pull(since=None, seen=first.marks)
        assert [a.annotation_id for a in second.annotations] == [changed_id]
        assert first.read_at is not None
        assert second.read_at is not None
        assert second.read_at >= first.read_at

        people.remove(removed_id)
        third = queue.pull(since=None, seen={**first.marks, **second.marks})
        assert third.annotations == ()
        assert set(third.clips) == {"u0"}

    def test_pull_clips_gives_what_stands_on_these_clips(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Other clips are left out, and so are keys that the queue does not have."""
        queue.push(make_entries(2, audio_file=audio_file))
        for utterance_id in ("u0", "u1"):
            _answer(people, utterance_id)
        pulled = queue.pull_clips(["u1", "absent"])
        assert [a.utterance_id for a in pulled.annotations] == ["u1"]
        assert pulled.clips == {"u1"}
        assert queue.pull_clips([]).annotations == ()

    def test_counts_and_keys_tell_when_a_clip_is_gone(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """What the cursor cannot see: a clip that was deleted with its annotations.

        Answers and skips count alike.
        """
        queue.push(make_entries(3, audio_file=audio_file))
        copies: dict[str, list[tuple[int, ...]]] = {}
        for utterance_id in ("u0", "u1", "u2"):
            annotation_id = people.answer(
                utterance_id,
                {"intent": ("greet",)},
                annotator=PERSON,
                skipped=utterance_id == "u2",
            )
            copies[utterance_id] = [(annotation_id,)]
        assert queue.counts() == QueueCounts(clips=3, annotations=3)
        assert queue.list_copies() == copies

        people.remove_clip("u1")
        del copies["u1"]
        assert queue.counts() == QueueCounts(clips=2, annotations=2)
        assert queue.list_copies() == copies

    def test_erase_takes_clips_and_their_annotations_and_no_others(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Who asks to be forgotten is gone from the queue; erasing again finds nothing."""
        queue.push(make_entries(3, audio_file=audio_file))
        annotation_ids = [
            people.answer(f"u{i}", {"intent": ("greet",)}, annotator=PERSON) for i in range(3)
        ]
        assert queue.erase(["u0", "u2", "absent"]) == 2
        assert queue.list_copies() == {"u1": [(annotation_ids[1],)]}
        assert queue.counts() == QueueCounts(clips=1, annotations=1)
        assert queue.erase(["u0", "u2"]) == 0

    def test_push_that_is_told_what_is_there_doubles_nothing(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """A record that is right saves the look-up.

        One that does not fit the queue is not believed.
        """
        entries = make_entries(4, audio_file=audio_file)
        first = queue.push(entries[:2], recorded=[])
        assert len(first.pushed) == 2
        second = queue.push(entries[2:3], recorded=["u0", "u1"])
        assert second.pushed == ("u2",)

        forgetful = queue.push(entries, recorded=["u0", "u1"])
        assert forgetful.pushed == ("u3",)
        assert len(forgetful.already_there) == 3
        assert queue.counts().clips == 4
        assert queue.remove_doubles([entry.utterance_id for entry in entries]) == ()
