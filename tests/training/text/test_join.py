"""How the answers of two heads become one."""

from __future__ import annotations

import numpy as np
import pytest

from training.config import TextConfig
from training.text.join import Join, choose_join, default_join, join_answers, join_parts
from voxdata.errors import TrainingError

GOLD = np.arange(40) % 4
TARGETS = np.eye(4)[GOLD]
RIGHT = 0.6 * TARGETS + 0.1
BLIND = np.full((40, 4), 0.25)


def _guess(seed: int) -> np.ndarray:
    """Answers that have nothing to do with the labels, and are sure of themselves."""
    return np.random.default_rng(seed).dirichlet([0.1] * 4, size=40)


def test_choose_join_trusts_the_head_that_is_right() -> None:
    by_text = choose_join(_guess(0), RIGHT, TARGETS)
    by_sound = choose_join(RIGHT, _guess(0), TARGETS)
    assert by_text.audio < 0.2 < 1 < by_text.text
    assert by_sound.text < 0.2 < 1 < by_sound.audio


def test_choose_join_uses_two_heads_that_know_different_labels() -> None:
    first, second = BLIND.copy(), BLIND.copy()
    first[GOLD < 2], second[GOLD >= 2] = RIGHT[GOLD < 2], RIGHT[GOLD >= 2]
    join = choose_join(first, second, TARGETS)
    joined = join_answers(join, first, second)
    assert (joined.argmax(axis=1) == GOLD).all()
    assert join.audio == join.text


def test_join_answers_leaves_a_clip_without_words_to_the_sound() -> None:
    joined = join_answers(Join(audio=1.0, text=3.0), RIGHT[:2], BLIND[:2])
    assert np.allclose(joined, RIGHT[:2])


def test_join_answers_depends_on_no_other_clip() -> None:
    join, sound, text = Join(audio=0.7, text=1.4), _guess(1), _guess(2)
    together = join_answers(join, sound, text)
    alone = [join_answers(join, sound[i : i + 1], text[i : i + 1])[0] for i in range(40)]
    assert np.array_equal(together, np.array(alone))


def test_join_parts_takes_the_only_head_there_is() -> None:
    assert join_parts(None, RIGHT, None) is RIGHT
    assert join_parts(None, None, BLIND) is BLIND
    with pytest.raises(TrainingError, match="neither"):
        join_parts(None, None, None)
    with pytest.raises(TrainingError, match="nothing joins them"):
        join_parts(None, RIGHT, BLIND)


def test_default_join_shares_as_configured() -> None:
    assert default_join(TextConfig(share=0.75)) == Join(audio=0.25, text=0.75)
