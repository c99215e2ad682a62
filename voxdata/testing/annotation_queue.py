"""A fake annotation queue, and the contract every AnnotationQueue is held to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
"""Schemes of several choices and of ranked ones, whose titles, groups and labels hold quotes, angle
brackets, ampersands and Chinese.
"""


START = datetime(2026, 1, 1, tzinfo=UTC)
"""When the fake queue's clock begins."""


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

    def change(self, annotation_id: int, labels: Mapping[str, Sequence[str]]) -> None:
        """Overwrite the labels of an annotation."""

    def remove(self, annotation_id: int) -> None:
        """Delete an annotation."""

    def remove_clip(self, utterance_id: str) -> None:
        """Delete a clip with all its annotations."""


class FakeQueue:
    """A queue in memory. It refuses what the real one refuses, and is at once the `People` who
    answer it.

    Args:
        schemes: Labels that are allowed.
        media_dir: Where the clips must lie.
        project_id: Written into the annotations.
    """

    def __init__(self, *, schemes: Sequence[Scheme], media_dir: Path, project_id: int = 1) -> None:
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
        wanted = {entry.utterance_id: entry for entry in entries}
        already_there = tuple(key for key in wanted if key in self.entries)
        pushed = tuple(key for key in wanted if key not in self.entries)
        added, replaced = [], []
        for key, entry in wanted.items():
            there = self.entries.get(key)
            if there is not None and (there.text, there.audio_file) != (
                entry.text,
                entry.audio_file,
            ):
                replaced.append(key)
                self.entries[key] = entry
            keys = frozenset(p.model.key for p in entry.predictions)
            if key in self.entries and keys and keys not in self.model_keys[key]:
                added.append(key)
            elif key in self.entries and key not in replaced and self._ticks_otherwise(entry):
                added.append(key)
                self.entries[key] = entry
            if key in replaced:
                self.model_keys[key] = set()  # proposals repeat the text that they were made for
            if keys:
                self.model_keys.setdefault(key, set()).add(keys)
            self.model_keys.setdefault(key, set())
            self.entries.setdefault(key, entry)
            if key in pushed:
                self.restore(entry.answers)
        result = PushResult(
            pushed=pushed,
            already_there=already_there,
            predictions_added=tuple(added),
            replaced=tuple(replaced),
        )
        if done is not None:
            done(result)
        return result

    def _ticks_otherwise(self, entry: QueueEntry) -> bool:
        there = self.entries[entry.utterance_id]
        answered = any(a.utterance_id == entry.utterance_id for a in self._annotations.values())
        same_models = [p.model.key for p in there.predictions] == [
            p.model.key for p in entry.predictions
        ]
        return (
            same_models
            and not answered
            and {p.scheme for p in there.ticked} != {p.scheme for p in entry.ticked}
        )

    def pull(self, *, since: datetime | None, seen: Mapping[str, str] | None = None) -> PullResult:
        """See `AnnotationQueue.pull`."""
        recent = [
            key
            for key in self.entries
            if since is None or (key in self._changed and self._changed[key] >= since)
        ]
        marks = {key: str(self._changed.get(key, "")) for key in recent}
        changed = {key: mark for key, mark in marks.items() if (seen or {}).get(key) != mark}
        return replace(
            self._read(set(changed)), marks=changed, read_at=START + timedelta(seconds=self._ticks)
        )

    def pull_clips(self, utterance_ids: Sequence[str]) -> PullResult:
        """See `AnnotationQueue.pull_clips`."""
        return self._read(set(utterance_ids) & set(self.entries))

    def _read(self, clips: set[str]) -> PullResult:
        found = [a for a in self._annotations.values() if a.utterance_id in clips]
        return PullResult(
            annotations=tuple(sorted(found, key=lambda a: (a.updated_at, a.annotation_id))),
            clips=frozenset(clips),
        )

    def list_copies(self) -> dict[str, list[tuple[int, ...]]]:
        """See `AnnotationQueue.list_copies`."""
        return {
            key: [tuple(n for n, a in self._annotations.items() if a.utterance_id == key)]
            for key in self.entries
        }

    def remove_doubles(self, utterance_ids: Sequence[str]) -> tuple[str, ...]:
        """See `AnnotationQueue.remove_doubles`: a dictionary has none."""
        return ()

    def erase(self, utterance_ids: Sequence[str]) -> int:
        """See `AnnotationQueue.erase`."""
        gone = set(utterance_ids) & set(self.entries)
        for key in gone:
            del self.entries[key]
            self.model_keys.pop(key, None)
            self._changed.pop(key, None)
        self._annotations = {
            number: a for number, a in self._annotations.items() if a.utterance_id not in gone
        }
        return len(gone)

    def restore(self, annotations: Sequence[Annotation]) -> None:
        """See `AnnotationQueue.restore`."""
        for annotation in annotations:
            self._numbers += 1
            self._annotations[self._numbers] = replace(
                annotation,
                annotation_id=self._numbers,
                project_id=self.project_id,
                updated_at=self._now(annotation.utterance_id),
            )

    def counts(self) -> QueueCounts:
        """See `AnnotationQueue.counts`."""
        return QueueCounts(clips=len(self.entries), annotations=len(self._annotations))

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
        shown = self.entries[utterance_id].text.strip()
        allowed = {scheme.name: scheme for scheme in self._schemes}
        self._annotations[self._numbers] = Annotation(
            annotation_id=self._numbers,
            project_id=self.project_id,
            utterance_id=utterance_id,
            annotator=annotator,
            labels={}
            if skipped
            else {name: allowed[name].arrange(chosen) for name, chosen in labels.items()},
            text=None if skipped or text is None or text.strip() == shown else text.strip(),
            skipped=skipped,
            lead_time_ms=2_000,
            updated_at=self._now(utterance_id),
        )
        return self._numbers

    def change(self, annotation_id: int, labels: Mapping[str, Sequence[str]]) -> None:
        """See `People.change`."""
        now = {name: tuple(chosen) for name, chosen in labels.items()}
        before = self._annotations[annotation_id]
        self._annotations[annotation_id] = replace(
            before, labels=now, updated_at=self._now(before.utterance_id)
        )

    def remove(self, annotation_id: int) -> None:
        """See `People.remove`."""
        self._now(self._annotations.pop(annotation_id).utterance_id)

    def remove_clip(self, utterance_id: str) -> None:
        """See `People.remove_clip`."""
        del self.entries[utterance_id]
        self._annotations = {
            number: a for number, a in self._annotations.items() if a.utterance_id != utterance_id
        }

    def _validate(self, entry: QueueEntry) -> None:
        if not (self._media_dir / entry.audio_file).is_file():
            raise AnnotationError(
                f"clip {entry.utterance_id}: {self._media_dir / entry.audio_file} is missing; push again"
            )
        for prediction in entry.predictions:
            try:
                find_scheme(self._schemes, prediction.scheme).require(prediction.label)
            except SchemeError as error:
                raise AnnotationError(
                    f"clip {entry.utterance_id}: proposal does not fit the labelling screen: {error}"
                ) from error

    def _now(self, utterance_id: str) -> datetime:
        """When a clip changes; a clock that moves a second at every look."""
        self._ticks += 1
        self._changed[utterance_id] = START + timedelta(seconds=self._ticks)
        return self._changed[utterance_id]


def make_prediction(
    utterance_id: str, scheme: str = "emotion", label: str = "angry", *, revision: str = "r1"
) -> Prediction:
    """A proposal under one of `QUEUE_SCHEMES`, with probability 0.7.

    `revision` decides the model.
    """
    others = [name for name in find_scheme(QUEUE_SCHEMES, scheme).label_names if name != label]
    return Prediction(
        utterance_id=utterance_id,
        scheme=scheme,
        distribution={label: 0.7, **{name: 0.3 / len(others) for name in others}},
        model=ModelRef(name=f"test-{scheme}", revision=revision),
    )


def make_entry(
    utterance_id: str, *, audio_file: str, text: str = "hello there", revision: str = "r1"
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


class QueueContract:
    """Subclass as Test...; give the fixtures `queue` (empty, QUEUE_SCHEMES), `people` (of it) and
    `audio_file` (a clip it may serve).
    """

    def test_push_adds_nothing_the_second_time(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """The same clips again are found, not doubled."""
        entries = [make_entry(f"u{i}", audio_file=audio_file) for i in range(3)]
        first, second = queue.push(entries), queue.push(entries)
        assert first == PushResult(
            pushed=("u0", "u1", "u2"), already_there=(), predictions_added=()
        )
        assert second == PushResult(
            pushed=(), already_there=("u0", "u1", "u2"), predictions_added=()
        )
        assert queue.counts().clips == 3

    def test_push_adds_a_clip_once_when_it_comes_twice_in_one_call(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """A clip that is named twice becomes one."""
        assert queue.push([make_entry("u0", audio_file=audio_file)] * 2).pushed == ("u0",)
        assert queue.counts().clips == 1

    def test_push_does_nothing_without_entries(self, queue: AnnotationQueue) -> None:
        """An empty push is a push."""
        assert queue.push([]) == PushResult(pushed=(), already_there=(), predictions_added=())
        assert queue.counts().clips == 0

    def test_push_takes_a_clip_without_proposals(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """A clip may come with no proposal, and get one later."""
        bare = replace(make_entry("u0", audio_file=audio_file), predictions=())
        assert queue.push([bare]).pushed == ("u0",)
        assert queue.push([bare]).predictions_added == ()
        assert queue.push([make_entry("u0", audio_file=audio_file)]).predictions_added == ("u0",)

    def test_push_adds_proposals_of_a_new_model_once(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """Newer proposals go beside the old ones; the clips stay."""
        old, new = (
            make_entry("u0", audio_file=audio_file, revision=revision) for revision in ("r1", "r2")
        )
        queue.push([old])
        assert queue.push([new]) == PushResult(
            pushed=(), already_there=("u0",), predictions_added=("u0",)
        )
        assert queue.push([new]).predictions_added == ()
        assert queue.push([old]).predictions_added == ()
        assert queue.counts().clips == 1

    def test_push_takes_back_a_tick_that_is_not_sure_enough(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Proposals that tick something else now are shown anew, until somebody has answered."""
        ticked = [make_entry(f"u{i}", audio_file=audio_file) for i in range(2)]
        bare = [replace(entry, min_confidence=0.9) for entry in ticked]
        queue.push(ticked)
        people.answer(
            "u1",
            {"intent": ("greet",), "emotion": ("neutral",)},
            annotator="person-1@voxdata.local",
        )
        first, second = queue.push(bare), queue.push(bare)
        assert (first.predictions_added, second.predictions_added) == (("u0",), ())
        assert queue.counts().clips == 2

    def test_push_shows_another_text_in_place_of_the_old(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """A text that is masked later is no longer there, and a person who leaves the new one alone
        has changed nothing.
        """
        old = make_entry("u0", audio_file=audio_file, text="call 555 0132")
        new = replace(old, text="call [phone]")
        queue.push([old])
        first, second = queue.push([new]), queue.push([new])
        assert (first.pushed, first.replaced, second.replaced) == ((), ("u0",), ())
        assert queue.counts().clips == 1
        people.answer(
            "u0",
            {"intent": ("greet",), "emotion": ("neutral",)},
            annotator="person-1@voxdata.local",
            text="call [phone]",
        )
        assert queue.pull(since=None).annotations[0].text is None

    def test_push_replaces_the_proposals_with_the_text_they_were_made_for(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """Proposals repeat the text, so those of a text that was taken away go with it."""
        masked = "call [phone]"
        queue.push([make_entry("u0", audio_file=audio_file, text="call 555 0132")])
        second = queue.push([make_entry("u0", audio_file=audio_file, text=masked, revision="r2")])
        assert (second.replaced, second.predictions_added) == (("u0",), ("u0",))
        third = queue.push([make_entry("u0", audio_file=audio_file, text=masked, revision="r1")])
        assert (third.replaced, third.predictions_added) == ((), ("u0",))

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
        whole = queue.push(
            [make_entry(f"u{i}", audio_file=audio_file) for i in range(3)], done=parts.append
        )
        assert (
            [key for part in parts for key in part.pushed]
            == list(whole.pushed)
            == ["u0", "u1", "u2"]
        )

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
        number = people.answer(
            "u0", labels, annotator="person-1@voxdata.local", text='我要 "退款" <now> & 谢谢'
        )
        (found,) = queue.pull(since=None).annotations
        assert (found.annotation_id, found.utterance_id, found.annotator) == (
            number,
            "u0",
            "person-1@voxdata.local",
        )
        assert dict(found.labels) == labels
        assert found.text == '我要 "退款" <now> & 谢谢'
        assert (found.skipped, found.deleted) == (False, False)
        assert found.updated_at.utcoffset() == timedelta(0)

    def test_pull_gives_several_labels_in_the_order_of_their_scheme(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """What was ticked first says nothing where labels are of equal standing."""
        queue.push([make_entry("u0", audio_file=audio_file)])
        people.answer(
            "u0",
            {"intent": ("查询余额", "greet"), "emotion": ("neutral",)},
            annotator="person-1@voxdata.local",
        )
        assert dict(queue.pull(since=None).annotations[0].labels) == {
            "intent": ("greet", "查询余额"),
            "emotion": ("neutral",),
        }

    def test_pull_gives_no_text_when_the_transcript_was_left_alone(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Text is what a person changed."""
        queue.push([make_entry("u0", audio_file=audio_file, text="hello there")])
        people.answer(
            "u0",
            {"emotion": ("neutral",), "intent": ("greet",)},
            annotator="person-1@voxdata.local",
            text="hello there",
        )
        assert queue.pull(since=None).annotations[0].text is None

    def test_pull_gives_skips_without_labels(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Passing on a clip is an answer too."""
        queue.push([make_entry("u0", audio_file=audio_file)])
        people.answer(
            "u0", {"emotion": ("neutral",)}, annotator="person-1@voxdata.local", skipped=True
        )
        (found,) = queue.pull(since=None).annotations
        assert found.skipped
        assert dict(found.labels) == {}

    def test_pull_gives_every_annotator_of_a_clip(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Two people may disagree about one clip."""
        queue.push([make_entry("u0", audio_file=audio_file)])
        for name, emotion in (("person-1", "angry"), ("person-2", "neutral")):
            people.answer(
                "u0",
                {"intent": ("greet",), "emotion": (emotion,)},
                annotator=f"{name}@voxdata.local",
            )
        found = {a.annotator: a.labels["emotion"][0] for a in queue.pull(since=None).annotations}
        assert found == {"person-1@voxdata.local": "angry", "person-2@voxdata.local": "neutral"}

    def test_pull_since_gives_changed_annotations(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """The cursor finds a correction, with a later time stamp.

        Overlap may only repeat what was known.
        """
        queue.push([make_entry(f"u{i}", audio_file=audio_file) for i in range(3)])
        numbers = [
            people.answer(
                f"u{i}",
                {"intent": ("greet",), "emotion": ("angry",)},
                annotator="person-1@voxdata.local",
            )
            for i in range(3)
        ]
        before = {a.annotation_id: a for a in queue.pull(since=None).annotations}
        cursor = max(a.updated_at for a in before.values()) + timedelta(microseconds=1)
        people.change(numbers[0], {"intent": ("greet",), "emotion": ("neutral",)})
        found = {a.annotation_id: a for a in queue.pull(since=cursor).annotations}
        changed = found.pop(numbers[0])
        assert changed.labels["emotion"] == ("neutral",)
        assert changed.updated_at > before[numbers[0]].updated_at
        assert all(annotation == before[number] for number, annotation in found.items())

    def test_pull_since_gives_nothing_after_the_last_change(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """A whole second works as well as a fraction."""
        queue.push([make_entry("u0", audio_file=audio_file)])
        people.answer(
            "u0", {"intent": ("greet",), "emotion": ("angry",)}, annotator="person-1@voxdata.local"
        )
        last = queue.pull(since=None).annotations[0].updated_at
        later = queue.pull(since=last.replace(microsecond=0) + timedelta(hours=1))
        assert (later.annotations, later.clips) == ((), frozenset())

    def test_pull_shows_a_clip_whose_annotation_was_deleted(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """The clip is looked at, and the annotation is not in it: so it has vanished."""
        queue.push([make_entry(f"u{i}", audio_file=audio_file) for i in range(2)])
        number = people.answer(
            "u0", {"intent": ("greet",), "emotion": ("angry",)}, annotator="person-1@voxdata.local"
        )
        made_at = queue.pull(since=None).annotations[0].updated_at
        people.remove(number)
        found = queue.pull(since=made_at)
        assert found.annotations == ()
        assert "u0" in found.clips

    def test_pull_leaves_out_clips_that_have_not_changed_since_they_were_seen(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """A mark saves reading a clip again, and no change escapes it."""
        queue.push([make_entry(f"u{i}", audio_file=audio_file) for i in range(2)])
        numbers = [
            people.answer(f"u{i}", {"intent": ("greet",)}, annotator="person-1@voxdata.local")
            for i in range(2)
        ]
        first = queue.pull(since=None)
        assert set(first.marks) == {"u0", "u1"}
        assert queue.pull(since=None, seen=first.marks).annotations == ()
        people.change(numbers[1], {"intent": ("greet",), "emotion": ("neutral",)})
        second = queue.pull(since=None, seen=first.marks)
        assert [a.annotation_id for a in second.annotations] == [numbers[1]]
        people.remove(numbers[0])
        assert first.read_at is not None
        assert second.read_at is not None
        assert second.read_at >= first.read_at
        third = queue.pull(since=None, seen={**first.marks, **second.marks})
        assert (third.annotations, set(third.clips)) == ((), {"u0"})

    def test_pull_clips_gives_what_stands_on_these_clips(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Other clips are left out, and so are keys that the queue does not have."""
        queue.push([make_entry(f"u{i}", audio_file=audio_file) for i in range(2)])
        for i in range(2):
            people.answer(
                f"u{i}",
                {"intent": ("greet",), "emotion": ("angry",)},
                annotator="person-1@voxdata.local",
            )
        found = queue.pull_clips(["u1", "absent"])
        assert [a.utterance_id for a in found.annotations] == ["u1"]
        assert found.clips == {"u1"}
        assert queue.pull_clips([]).annotations == ()

    def test_counts_and_keys_tell_when_a_clip_is_gone(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """What the cursor cannot see: a clip that was deleted with its annotations.

        Answers and skips count alike.
        """
        queue.push([make_entry(f"u{i}", audio_file=audio_file) for i in range(3)])
        said = [
            people.answer(
                f"u{i}", {"intent": ("greet",)}, annotator="person-1@voxdata.local", skipped=i == 2
            )
            for i in range(3)
        ]
        assert queue.counts() == QueueCounts(clips=3, annotations=3)
        assert queue.list_copies() == {f"u{i}": [(said[i],)] for i in range(3)}
        people.remove_clip("u1")
        assert queue.counts() == QueueCounts(clips=2, annotations=2)
        assert queue.list_copies() == {"u0": [(said[0],)], "u2": [(said[2],)]}

    def test_erase_takes_clips_and_their_annotations_and_no_others(
        self, queue: AnnotationQueue, people: People, audio_file: str
    ) -> None:
        """Who asks to be forgotten is gone from the queue; erasing again finds nothing."""
        queue.push([make_entry(f"u{i}", audio_file=audio_file) for i in range(3)])
        said = [
            people.answer(f"u{i}", {"intent": ("greet",)}, annotator="person-1@voxdata.local")
            for i in range(3)
        ]
        assert queue.erase(["u0", "u2", "absent"]) == 2
        assert queue.list_copies() == {"u1": [(said[1],)]}
        assert queue.counts() == QueueCounts(clips=1, annotations=1)
        assert queue.erase(["u0", "u2"]) == 0

    def test_push_that_is_told_what_is_there_doubles_nothing(
        self, queue: AnnotationQueue, audio_file: str
    ) -> None:
        """A record that is right saves the look-up.

        One that does not fit the queue is not believed.
        """
        entries = [make_entry(f"u{i}", audio_file=audio_file) for i in range(4)]
        assert len(queue.push(entries[:2], recorded=[]).pushed) == 2
        assert queue.push(entries[2:3], recorded=["u0", "u1"]).pushed == ("u2",)
        forgetful = queue.push(entries, recorded=["u0", "u1"])
        assert (forgetful.pushed, len(forgetful.already_there)) == (("u3",), 3)
        assert queue.counts().clips == 4
        assert queue.remove_doubles([entry.utterance_id for entry in entries]) == ()
