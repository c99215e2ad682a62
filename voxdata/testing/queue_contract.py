"""The contract that every AnnotationQueue is held to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import chain

import pytest

from voxdata.errors import AnnotationError
from voxdata.identity import ModelRef
from voxdata.label import Prediction
from voxdata.ports import AnnotationQueue, PushResult, QueueCounts
from voxdata.testing.annotation_queue import (
    PERSON,
    People,
    make_entries,
    make_entry,
)


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
