"""Voices: speakers recognised across recordings, by how alike their embeddings are.

Linking is incremental and append-only: a speaker that was linked stays linked, until a person merges or splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxdata.identity import digest

MIN_SPEECH_MS = 3_000
"""With less speech an embedding says too little: the speaker gets a voice of its own, which nobody joins."""

THRESHOLD = 0.60
"""Least cosine between a speaker and the centre of a voice (docs/benchmarks.md, voices)."""

Speaker = tuple[str, int, str]
"""(recording_id, channel, speaker)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardSpeaker:
    """One speaker of one recording.

    Attributes:
        vector: Of length one.
        speech_ms: How much the vector is based on.
    """

    speaker: Speaker
    vector: tuple[float, ...]
    speech_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceLink:
    """A speaker and the voice it was given.

    Attributes:
        kind: "new" when the voice begins with this speaker, "join" when it was there.
        score: Cosine to the voice it is closest to; None when there was none to compare with.
    """

    kind: str
    voice_id: str
    speaker: Speaker
    score: float | None


def voice_id_of(speaker: Speaker) -> str:
    """The voice that begins with a speaker."""
    return digest("voice", *speaker)


def link_speakers(
    arrivals: Sequence[HeardSpeaker],
    voices: Mapping[str, Sequence[HeardSpeaker]],
    *,
    threshold: float = THRESHOLD,
    min_speech_ms: int = MIN_SPEECH_MS,
) -> list[VoiceLink]:
    """Give each new speaker a voice.

    Args:
        arrivals: Speakers without a voice, in any order. They are taken by id, so the answer does not depend on the order; it does
            depend on which speakers were linked in an earlier call.
        voices: Voice id -> the speakers it has.
        threshold: A speaker joins the closest voice whose centre is at least this alike.
        min_speech_ms: See MIN_SPEECH_MS.

    Returns:
        One link for each arrival, by id. Two parties of one recording, on channels of their own, never share a voice.
    """
    members: dict[str, list[HeardSpeaker]] = {voice: list(found) for voice, found in voices.items()}
    links: list[VoiceLink] = []
    for arrival in sorted(arrivals, key=lambda a: a.speaker):
        scores = {} if arrival.speech_ms < min_speech_ms else _scores(arrival, members, min_speech_ms=min_speech_ms)
        best = max(sorted(scores), key=lambda voice: scores[voice], default=None)
        score = None if best is None else round(scores[best], 6)
        if best is not None and scores[best] >= threshold:
            links.append(VoiceLink(kind="join", voice_id=best, speaker=arrival.speaker, score=score))
        else:
            best = voice_id_of(arrival.speaker)
            links.append(VoiceLink(kind="new", voice_id=best, speaker=arrival.speaker, score=score))
        members.setdefault(best, []).append(arrival)
    return links


def _scores(arrival: HeardSpeaker, members: Mapping[str, Sequence[HeardSpeaker]], *, min_speech_ms: int) -> dict[str, float]:
    recording, channel, _ = arrival.speaker
    vector = np.asarray(arrival.vector, dtype=np.float64)
    scores: dict[str, float] = {}
    for voice, speakers in members.items():
        if any(s.speaker[0] == recording and s.speaker[1] != channel for s in speakers):
            continue
        centre = centre_of(speakers, min_speech_ms=min_speech_ms)
        if centre is not None and centre.shape == vector.shape:
            scores[voice] = float(vector @ centre)
    return scores


def centre_of(speakers: Sequence[HeardSpeaker], *, min_speech_ms: int = MIN_SPEECH_MS) -> npt.NDArray[np.float64] | None:
    """The mean direction of a voice's speakers, weighted by up to a minute of speech each; None when none has enough."""
    rich = sorted((s for s in speakers if s.speech_ms >= min_speech_ms), key=lambda s: s.speaker)
    if not rich:
        return None
    weights = np.array([min(s.speech_ms, 60_000) for s in rich], dtype=np.float64)
    total = weights @ np.array([s.vector for s in rich], dtype=np.float64)
    length = float(np.linalg.norm(total))
    return total / length if length > 0 else None
