"""Likely label errors by models of other voices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from annotation.label_errors import OutOfFold, find_label_errors, out_of_fold
from voxdata.errors import ConfigError, SchemeError

NAMES = ("中立", "angry", "sad")


def corpus(
    *,
    each: int = 20,
    voices: int = 5,
    seed: int = 0,
) -> tuple[list[str], npt.NDArray[np.float64], list[str], list[str]]:
    """Ids, features in three blobs, labels, voices."""
    draws = np.random.default_rng(seed)
    features, labels, groups = [], [], []
    for voice in range(voices):
        shift = draws.normal(0, 0.3, 4)
        for k, name in enumerate(NAMES):
            centre = np.eye(4)[k] * 3 + shift
            features.append(centre + draws.normal(0, 0.4, (each, 4)))
            labels += [name] * each
            groups += [f"v{voice}"] * each
    ids = [f"u{i:04}" for i in range(len(labels))]
    return ids, np.concatenate(features), labels, groups


def swap(labels: list[str], rows: list[int]) -> list[str]:
    swapped = list(labels)
    for row in rows:
        place = NAMES.index(labels[row])
        swapped[row] = NAMES[(place + 1) % 3]
    return swapped


def relabel(labels: list[str], rows: tuple[int, ...], label: str) -> list[str]:
    """The labels with another one in some rows."""
    changed = list(labels)
    for row in rows:
        changed[row] = label
    return changed


def test_find_label_errors_puts_the_wrong_labels_first_with_what_they_should_be() -> None:
    ids, features, labels, voices = corpus()
    wrong = [3, 77, 120, 201, 288]
    given = swap(labels, wrong)
    probabilities = out_of_fold(features, given, voices, seed=1)
    doubts = find_label_errors(ids, given, probabilities)
    utterance_ids = {d.utterance_id for d in doubts[:5]}
    assert utterance_ids == {ids[i] for i in wrong}
    suggested = {(d.utterance_id, d.suggested) for d in doubts[:5]}
    assert suggested == {(ids[i], labels[i]) for i in wrong}
    ranks = [d.rank for d in doubts]
    assert ranks == list(range(1, len(doubts) + 1))
    qualities = [d.quality for d in doubts]
    assert qualities == sorted(d.quality for d in doubts)
    assert all(0 <= d.quality <= 1 for d in doubts)
    assert len(doubts) < 15


def test_find_label_errors_returns_at_most_as_many_as_asked_for() -> None:
    ids, features, labels, voices = corpus()
    given = swap(labels, list(range(0, 300, 10)))
    predicted = out_of_fold(features, given, voices)
    assert len(find_label_errors(ids, given, predicted, count=20)) == 20
    everything = find_label_errors(ids, given, predicted, count=10_000)
    assert len({d.utterance_id for d in everything}) == len(everything) < 60


@pytest.mark.parametrize("count", [None, 10_000])
def test_find_label_errors_never_suggests_the_label_that_was_given(count: int | None) -> None:
    ids, features, labels, voices = corpus()
    wrong = [3, 77, 120, 201, 288]
    given = swap(labels, wrong)
    doubts = find_label_errors(
        ids,
        given,
        out_of_fold(features, given, voices, seed=1),
        count=count,
    )
    assert {ids[i] for i in wrong} <= {d.utterance_id for d in doubts}
    assert [d for d in doubts if d.given == d.suggested] == []


def test_find_label_errors_doubts_nothing_when_the_models_only_waver() -> None:
    shares = np.array([[0.5, 0.5], [0.5, 0.5], [0.51, 0.49]])
    predicted = OutOfFold(
        labels=("a", "b"),
        probabilities=shares,
        judged=np.ones(3, dtype=bool),
    )
    doubts = find_label_errors(
        ["u", "v", "w"],
        ["a", "b", "b"],
        predicted,
        count=3,
    )
    (doubt,) = doubts
    assert doubt.utterance_id == "w"
    assert doubt.given == "b"
    assert doubt.suggested == "a"
    assert doubt.rank == 1


def test_out_of_fold_never_learns_from_the_voice_it_predicts() -> None:
    _, features, labels, voices = corpus(voices=4)
    mine = np.array(voices) != "v3"
    own = [NAMES[2] if wrong else label for label, wrong in zip(labels, mine, strict=True)]
    predicted = out_of_fold(
        features,
        own,
        ["loud" if wrong else "v3" for wrong in mine],
        num_passes=1,
    )
    likeliest = predicted.probabilities.argmax(axis=1)
    guessed = np.array(predicted.labels)[likeliest]
    right = guessed == np.array(labels)
    assert right[mine].mean() > 0.9
    assert np.allclose(predicted.probabilities.sum(axis=1), 1)


def test_out_of_fold_is_the_same_for_a_seed_and_any_scale() -> None:
    _, features, labels, voices = corpus()
    once = out_of_fold(features, labels, voices, seed=3)
    again = out_of_fold(features, labels, voices, seed=3)
    larger = out_of_fold(features * 1000, labels, voices, seed=3)
    assert np.allclose(once.probabilities, again.probabilities)
    assert np.allclose(once.probabilities, larger.probabilities, atol=0.02)


def test_out_of_fold_second_pass_is_surer_of_what_is_right() -> None:
    _, features, labels, voices = corpus(each=30)
    wrong = list(range(0, 450, 7))
    given = swap(labels, wrong)
    right = np.array([sorted(NAMES).index(label) for label in labels])
    rows = np.arange(450)
    once = out_of_fold(features, given, voices, num_passes=1)
    twice = out_of_fold(features, given, voices, num_passes=2)
    surety_once = once.probabilities[rows, right].mean()
    surety_twice = twice.probabilities[rows, right].mean()
    assert surety_twice > surety_once + 0.01


def test_out_of_fold_compacts_wide_features() -> None:
    _, features, labels, voices = corpus()
    wide = np.column_stack([features] * 60)
    predicted = out_of_fold(wide, labels, voices)
    likeliest = predicted.probabilities.argmax(axis=1)
    guessed = np.array(predicted.labels)[likeliest]
    is_right = guessed == np.array(labels)
    assert is_right.mean() > 0.95


def test_find_label_errors_leaves_out_a_label_that_only_one_voice_has() -> None:
    ids, features, labels, voices = corpus()
    rare = relabel(labels, (0, 1), "鬼")
    predicted = out_of_fold(features, rare, voices)
    assert not predicted.judged[:2].any()
    assert predicted.judged[2:].all()
    doubts = find_label_errors(ids, rare, predicted, count=1000)
    doubted = {doubt.utterance_id for doubt in doubts}
    assert doubted.isdisjoint(ids[:2])


def test_out_of_fold_judges_a_label_with_two_clips_in_two_voices() -> None:
    _, features, labels, voices = corpus()
    rare = relabel(labels, (0, 60), "鬼")
    assert out_of_fold(features, rare, voices).judged.all()


def test_out_of_fold_makes_do_with_two_voices() -> None:
    _, features, labels, voices = corpus(voices=2)
    assert out_of_fold(features, labels, voices).judged.all()


def test_out_of_fold_refuses_what_cannot_be_judged() -> None:
    _, features, labels, voices = corpus(voices=2, each=3)
    with pytest.raises(ConfigError, match="all 18 clips are of one voice"):
        out_of_fold(features, labels, ["v"] * 18)
    with pytest.raises(ConfigError, match="all 18 clips have one label"):
        out_of_fold(features, ["sad"] * 18, voices)
    with pytest.raises(SchemeError, match="clip number 4 and 1 more have no label"):
        out_of_fold(
            features,
            relabel(labels, (4, 9), ""),
            voices,
        )
    with pytest.raises(ConfigError, match="18 feature rows, 17 labels and 18 voices"):
        out_of_fold(features, labels[1:], voices)
    broken = features.copy()
    broken[2] = np.nan
    with pytest.raises(ConfigError, match="clip number 2 are not all numbers"):
        out_of_fold(broken, labels, voices)


def test_out_of_fold_with_every_label_in_one_voice_only_judges_none() -> None:
    ids, features, labels, _ = corpus(voices=1, each=6)
    predicted = out_of_fold(features, labels, labels)
    assert not predicted.judged.any()
    with pytest.raises(ConfigError, match="none occurs in two voices"):
        find_label_errors(ids, labels, predicted)


def test_find_label_errors_refuses_what_does_not_belong_together() -> None:
    predicted = OutOfFold(
        labels=("a", "b"),
        probabilities=np.full((2, 2), 0.5),
        judged=np.ones(2, dtype=bool),
    )
    with pytest.raises(ConfigError, match="3 utterances, 2 labels and 2 predictions"):
        find_label_errors(["u", "v", "w"], ["a", "b"], predicted)
    with pytest.raises(SchemeError, match="nothing was predicted for label '喜'"):
        find_label_errors(["u", "v"], ["a", "喜"], predicted)
