"""Simulated annotators."""

from __future__ import annotations

import itertools
import os
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from annotation.scripted import ScriptedAnnotator
from voxdata.errors import AnnotationError
from voxdata.testing.annotation_queue import QUEUE_SCHEMES, make_entry

if TYPE_CHECKING:
    from annotation.label_studio import LabelStudioQueue
    from tests.annotation.conftest import ApiPeople, RunningServer

EMOTION = QUEUE_SCHEMES[1]
MANY = [f"u{i}" for i in range(2_000)]


def annotator(error_rate: float, seed: int = 1) -> ScriptedAnnotator:
    return ScriptedAnnotator(
        email=f"annotator-{seed}@voxdata.local",
        error_rate=error_rate,
        seed=seed,
    )


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_choose_errs_at_the_stated_rate(rate: float) -> None:
    wrong = sum(annotator(rate).choose(u, EMOTION, "angry") != "angry" for u in MANY) / len(MANY)
    assert wrong == pytest.approx(rate, abs=0.035)


def test_choose_errs_with_every_other_label() -> None:
    assert {annotator(1.0).choose(u, EMOTION, "angry") for u in MANY} == {"neutral", "高兴"}


def test_choose_gives_the_same_answer_in_any_order() -> None:
    forth = {u: annotator(0.5).choose(u, EMOTION, "angry") for u in MANY}
    back = {u: annotator(0.5).choose(u, EMOTION, "angry") for u in reversed(MANY)}
    assert forth == back


def test_choose_differs_between_annotators() -> None:
    first = [annotator(0.5, 1).choose(u, EMOTION, "angry") for u in MANY]
    second = [annotator(0.5, 2).choose(u, EMOTION, "angry") for u in MANY]
    num_different = sum(a != b for a, b in zip(first, second, strict=True))
    assert 0.3 < num_different / len(MANY) < 0.8


def test_choose_differs_between_clips() -> None:
    answers = [annotator(0.5).choose(u, EMOTION, "angry") for u in MANY]
    assert any(a != b for a, b in pairwise(answers))


@pytest.mark.slow
def test_answer_labels_what_the_key_has_skips_the_rest_and_never_twice(
    label_studio: RunningServer, real_queue: LabelStudioQueue, clip_file: str
) -> None:
    keys = [f"u{i}" for i in range(4)]
    real_queue.push([make_entry(key, audio_file=clip_file) for key in keys])
    key = {k: {"intent": "greet", "emotion": "高兴"} for k in keys[:3]}

    def work(seed: int) -> dict[str, int]:
        person = annotator(0.0, seed)
        password = label_studio.credentials.password_for(person.email)
        return person.answer(
            real_queue,
            key,
            [*keys, "absent"],
            schemes=QUEUE_SCHEMES,
            password=password,
        )

    assert work(1) == {"labelled": 3, "skipped": 1, "done before": 0}
    assert work(1) == {"labelled": 0, "skipped": 0, "done before": 4}
    assert work(2) == {"labelled": 3, "skipped": 1, "done before": 0}
    annotations = real_queue.pull(since=None).annotations
    assert len(annotations) == 8
    people = ("annotator-1@voxdata.local", "annotator-2@voxdata.local")
    answered = {(a.annotator, a.utterance_id) for a in annotations}
    assert answered == set(itertools.product(people, keys))
    assert {a.utterance_id for a in annotations if a.skipped} == {"u3"}
    for a in annotations:
        if not a.skipped:
            assert {name: label for name, (label,) in a.labels.items()} == key[a.utterance_id]


@pytest.mark.slow
def test_answer_raises_when_the_password_is_wrong(
    label_studio: RunningServer, real_queue: LabelStudioQueue, clip_file: str
) -> None:
    real_queue.push([make_entry("u0", audio_file=clip_file)])
    person = annotator(0.0, seed=9)
    real_queue.server.ensure_annotator(
        person.email,
        label_studio.credentials.password_for(person.email),
    )
    with pytest.raises(AnnotationError, match=r"login of annotator-9@voxdata\.local"):
        person.answer(
            real_queue,
            {},
            ["u0"],
            schemes=QUEUE_SCHEMES,
            password=os.urandom(8).hex(),
        )
    assert real_queue.pull(since=None).annotations == ()


@pytest.mark.slow
def test_answer_marks_answers_and_skips_as_simulated_and_restore_keeps_the_mark(
    label_studio: RunningServer,
    real_queue: LabelStudioQueue,
    real_people: ApiPeople,
    clip_file: str,
) -> None:
    entries = [make_entry(f"u{i}", audio_file=clip_file) for i in range(3)]
    real_queue.push(entries)
    script = annotator(0.25, 7)
    key = {"u0": {"intent": "greet", "emotion": "高兴"}}
    password = label_studio.credentials.password_for(script.email)
    script.answer(
        real_queue,
        key,
        ["u0", "u1"],
        schemes=QUEUE_SCHEMES,
        password=password,
    )
    real_people.answer(
        "u2",
        {"intent": ("greet",), "emotion": ("angry",)},
        annotator=script.email,
    )
    annotations = {a.utterance_id: a for a in real_queue.pull(since=None).annotations}
    marks = {utterance_id: a.simulated for utterance_id, a in annotations.items()}
    assert marks == {
        "u0": 0.25,
        "u1": 0.25,
        "u2": None,
    }
    assert annotations["u1"].skipped

    again = label_studio.queue()
    again.push(entries)
    again.restore(list(annotations.values()))
    marks_by_utterance_id = {
        a.utterance_id: a.simulated for a in again.pull(since=None).annotations
    }
    assert marks_by_utterance_id == {
        "u0": 0.25,
        "u1": 0.25,
        "u2": None,
    }
