"""Linking speakers into voices: by likeness, in an order of its own, and never two of one
recording.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.measure import SAME_VOICE
from voxdata.voice import (
    FULL_WEIGHT_MS,
    MIN_SPEECH_MS,
    HeardSpeaker,
    VoiceLink,
    centre_of,
    link_speakers,
    nearest_voices,
    voice_id_of,
)


def heard(
    recording: str,
    vector: tuple[float, ...],
    *,
    name: str = "S0",
    channel: int = 0,
    speech_ms: int = 20_000,
) -> HeardSpeaker:
    length = float(np.linalg.norm(vector))
    return HeardSpeaker(
        speaker=(recording, channel, name),
        vector=tuple(x / length for x in vector),
        speech_ms=speech_ms,
    )


def at_cosine(recording: str, cosine: float) -> HeardSpeaker:
    """A speaker so alike to (1, 0)."""
    return heard(recording, (cosine, float(np.sqrt(1 - cosine**2))))


def partition(links: list[VoiceLink]) -> set[frozenset[str]]:
    voices: dict[str, set[str]] = {}
    for link in links:
        voices.setdefault(link.voice_id, set()).add("/".join(map(str, link.speaker)))
    return {frozenset(found) for found in voices.values()}


@pytest.mark.parametrize(
    ("cosine", "kind"),
    [(SAME_VOICE + 0.001, "join"), (SAME_VOICE - 0.001, "new")],
)
def test_link_speakers_joins_from_the_threshold_on(cosine: float, kind: str) -> None:
    first, second = link_speakers(
        [
            at_cosine("a", 1.0),
            at_cosine("b", cosine),
        ],
        {},
    )
    assert first.kind == "new"
    assert first.score is None
    assert second.kind == kind
    assert second.score == pytest.approx(cosine, abs=1e-5)
    assert (second.voice_id == first.voice_id) == (kind == "join")


def test_link_speakers_joins_the_closest_of_several() -> None:
    voices = {
        "far": [at_cosine("a", 0.8)],
        "near": [at_cosine("b", 0.99)],
    }
    (link,) = link_speakers([at_cosine("c", 1.0)], voices)
    assert link.voice_id == "near"
    assert link.kind == "join"


def test_link_speakers_never_joins_two_of_one_recording() -> None:
    one = (1.0, 0.0)
    alike = [
        heard("a", one),
        heard("a", one, name="S1"),
        heard("a", one, channel=1),
    ]
    assert len(partition(link_speakers(alike, {}))) == 3
    (link,) = link_speakers(
        [heard("a", one, name="S1")],
        {
            "v": [
                heard("a", one),
                heard("b", one),
            ]
        },
    )
    assert link.kind == "new"


def test_link_speakers_gives_one_who_said_too_little_a_voice_that_nobody_joins() -> None:
    one = (1.0, 0.0)
    links = link_speakers(
        [
            heard("a", one, speech_ms=MIN_SPEECH_MS - 1),
            heard("b", one),
            heard("c", one, speech_ms=MIN_SPEECH_MS),
        ],
        {},
    )
    assert partition(links) == {frozenset({"a/0/S0"}), frozenset({"b/0/S0", "c/0/S0"})}


def test_link_speakers_compares_with_the_centre_of_all_a_voice_has() -> None:
    voices = {
        "v": [
            heard("a", (1.0, 0.0), speech_ms=10_000),
            heard("b", (0.0, 1.0), speech_ms=30_000),
        ]
    }
    (link,) = link_speakers([heard("c", (1.0, 3.0))], voices)
    assert link.score == 1.0
    long = {
        "v": [
            heard("a", (1.0, 0.0), speech_ms=FULL_WEIGHT_MS),
            heard("b", (0.0, 1.0), speech_ms=10 * FULL_WEIGHT_MS),
        ]
    }
    links = link_speakers([heard("c", (1.0, 1.0))], long)
    assert links[0].score == 1.0


def test_link_speakers_starts_no_voice_under_an_id_that_was_used() -> None:
    speaker = heard("a", (1.0, 0.0))
    taken = {voice_id_of(speaker.speaker)}
    (link,) = link_speakers([speaker], {}, taken=taken)
    assert link.voice_id not in taken
    assert link.voice_id == voice_id_of(speaker.speaker, taken=taken)


def test_link_speakers_has_nothing_to_say_about_nobody() -> None:
    links = link_speakers([], {"v": [heard("a", (1.0, 0.0))]})
    assert links == []


people = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.integers(0, 1),
        st.integers(0, 3),
        st.sampled_from([1_000, 8_000, 90_000]),
    ),
    max_size=14,
    unique_by=lambda p: p[:2],
)


@settings(deadline=None, max_examples=60)
@given(people, st.randoms())
def test_link_speakers_ignores_order_and_gives_each_one_link(
    found: list[tuple[int, int, int, int]], rng: random.Random
) -> None:
    axes = np.random.default_rng(0).normal(size=(4, 16))
    arrivals = [
        heard(
            f"r{r}",
            tuple(axes[who] + 0.05 * np.random.default_rng(r * 2 + s).normal(size=16)),
            name=f"S{s}",
            speech_ms=ms,
        )
        for r, s, who, ms in found
    ]
    links = link_speakers(arrivals, {})
    assert links == link_speakers(rng.sample(arrivals, len(arrivals)), {})
    speakers = [link.speaker for link in links]
    assert speakers == sorted(a.speaker for a in arrivals)
    for voice in partition(links):
        assert len({name.split("/")[0] for name in voice}) == len(voice)


def test_nearest_voices_names_the_other_most_like_each() -> None:
    voices = {
        "a": [at_cosine("a", 1.0)],
        "b": [at_cosine("b", 0.9)],
        "c": [at_cosine("c", 0.0)],
        "d": [heard("d", (1.0, 0.0), speech_ms=10)],
    }
    nearest = nearest_voices(voices)
    others = {name: other for name, (other, _) in nearest.items()}
    assert others == {"a": "b", "b": "a", "c": "b"}
    assert nearest["a"][1] == pytest.approx(0.9, abs=1e-5)
    assert nearest_voices({"a": voices["a"], "d": voices["d"]}) == {}


def test_centre_of_is_of_length_one_and_none_without_speech() -> None:
    centre = centre_of([at_cosine("a", 1.0), at_cosine("b", 0.5)])
    assert centre is not None
    assert float(np.linalg.norm(centre)) == pytest.approx(1)
    assert centre_of([heard("a", (1.0, 0.0), speech_ms=10)]) is None
    assert centre_of([]) is None
