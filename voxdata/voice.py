"""Voices: speakers recognised across recordings, by how alike their embeddings are.

Linking is incremental and append-only: a speaker that was linked stays linked, until a person
merges or splits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxdata.identity import digest
from voxdata.measure import SAME_VOICE

MIN_SPEECH_MS = 5_000
"""With less speech an embedding says too little: the speaker gets a voice of its own, which nobody
joins.
"""

Speaker = tuple[str, int, str]
"""(recording_id, channel, speaker)."""

FULL_WEIGHT_MS = 60_000
"""More speech than this of one speaker does not count more in the centre of a voice."""

Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardSpeaker:
    """One speaker of one recording.

    Attributes:
        vector: Of length one.
        speech_ms: How much the vector is based on.
        key: The diarization that heard it: another one may call somebody else by the same name.
    """

    speaker: Speaker
    vector: tuple[float, ...]
    speech_ms: int
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceLink:
    """A speaker and the voice it was given.

    Attributes:
        kind: "new" when the voice begins with this speaker, "join" when it was there.
        score: Cosine to the voice it is closest to; None when there was none to compare with.
        key: As in `HeardSpeaker`.
    """

    kind: str
    voice_id: str
    speaker: Speaker
    score: float | None
    key: str = ""


def voice_id_of(speaker: Speaker, *, taken: Collection[str] = ()) -> str:
    """The voice that begins with a speaker.

    Args:
        taken: Ids that other voices have, or had.
    """
    number, voice_id = 1, digest("voice", *speaker)
    while voice_id in taken:
        number += 1
        voice_id = digest("voice", *speaker, number)
    return voice_id


def link_speakers(
    arrivals: Sequence[HeardSpeaker],
    voices: Mapping[str, Sequence[HeardSpeaker]],
    *,
    threshold: float = SAME_VOICE,
    min_speech_ms: int = MIN_SPEECH_MS,
    taken: Collection[str] = (),
) -> list[VoiceLink]:
    """Give each new speaker a voice.

    Args:
        arrivals: Speakers without a voice, in any order. They are taken by id, so the answer does
            not depend on the order; it does depend on which speakers were linked in an earlier
            call.
        voices: Voice id -> the speakers it has.
        threshold: A speaker joins the closest voice whose centre is at least this alike.
        min_speech_ms: See MIN_SPEECH_MS.
        taken: Voice ids used before, beside those of `voices`.

    Returns:
        One link for each arrival, by id. Two speakers of one recording never get one voice: the
        diarizer has told them apart, and over one line any two people sound alike (different people
        in one recording reach a cosine of 0.76).
    """
    known = _Centres(min_speech_ms)
    for voice_id in sorted(voices):
        for member in sorted(voices[voice_id], key=lambda m: m.speaker):
            known.add(voice_id, member)
    used = {*taken, *voices}
    links: list[VoiceLink] = []
    for arrival in sorted(arrivals, key=lambda a: a.speaker):
        best, score = known.closest(arrival) if arrival.speech_ms >= min_speech_ms else (None, None)
        if best is not None and score is not None and score >= threshold:
            kind, voice_id = "join", best
        else:
            kind, voice_id = "new", voice_id_of(arrival.speaker, taken=used)
        used.add(voice_id)
        known.add(voice_id, arrival)
        links.append(
            VoiceLink(
                kind=kind, voice_id=voice_id, speaker=arrival.speaker, score=score, key=arrival.key
            )
        )
    return links


class _Centres:
    """The mean direction of each voice's speakers, weighted by their speech.

    A voice whose speakers all said too little has none.
    """

    def __init__(self, min_speech_ms: int) -> None:
        self._min_speech_ms = min_speech_ms
        self._rows: dict[str, int] = {}
        self._sums: Vectors = np.zeros((0, 0))
        self._centres: Vectors = np.zeros((0, 0))
        self._present: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, voice_id: str, member: HeardSpeaker) -> None:
        """A speaker belongs to a voice."""
        self._present[member.speaker[0]].add(voice_id)
        if member.speech_ms < self._min_speech_ms:
            return
        row = self._rows.setdefault(voice_id, len(self._rows))
        self._reserve(len(member.vector))
        self._sums[row] += min(member.speech_ms, FULL_WEIGHT_MS) * np.asarray(
            member.vector, dtype=np.float64
        )
        length = float(np.linalg.norm(self._sums[row]))
        self._centres[row] = self._sums[row] / length if length > 0 else 0.0

    def closest(self, arrival: HeardSpeaker) -> tuple[str | None, float | None]:
        """(voice, cosine) of the voice that is most alike and may be the arrival's, of equals the
        first by id.
        """
        if not self._rows or self._centres.shape[1] != len(arrival.vector):
            return None, None
        # Rounded, so that equals are equal however many voices there are.
        scores = np.round(
            self._centres[: len(self._rows)] @ np.asarray(arrival.vector, dtype=np.float64), 6
        )
        allowed = [
            (-float(scores[row]), voice)
            for voice, row in self._rows.items()
            if voice not in self._present[arrival.speaker[0]]
        ]
        if not allowed:
            return None, None
        negative, voice = min(allowed)
        return voice, -negative

    def _reserve(self, dimension: int) -> None:
        """Room for every row, doubled when it is full."""
        if len(self._rows) > self._sums.shape[0]:
            more = np.zeros((2 * len(self._rows) - self._sums.shape[0], dimension))
            self._sums = np.concatenate([self._sums.reshape(-1, dimension), more])
            self._centres = np.concatenate([self._centres.reshape(-1, dimension), more])


def nearest_voices(
    voices: Mapping[str, Sequence[HeardSpeaker]], *, min_speech_ms: int = MIN_SPEECH_MS
) -> dict[str, tuple[str, float]]:
    """Voice -> (the other voice most like it, cosine), for voices with enough speech.

    Empty below two of them.
    """
    centres = {
        voice: centre
        for voice in sorted(voices)
        if (centre := centre_of(voices[voice], min_speech_ms=min_speech_ms)) is not None
    }
    if len(centres) < 2:
        return {}
    names = list(centres)
    matrix = np.stack([centres[name] for name in names])
    found = {}
    for row, name in enumerate(names):
        scores = matrix @ matrix[row]
        scores[row] = -2.0
        best = int(np.argmax(np.round(scores, 6)))
        found[name] = (names[best], round(float(scores[best]), 6))
    return found


def centre_of(
    speakers: Sequence[HeardSpeaker], *, min_speech_ms: int = MIN_SPEECH_MS
) -> Vectors | None:
    """The mean direction of a voice's speakers, as `link_speakers` takes it.

    None when none has enough speech.
    """
    rich = sorted((s for s in speakers if s.speech_ms >= min_speech_ms), key=lambda s: s.speaker)
    if not rich:
        return None
    weights = np.array([min(s.speech_ms, FULL_WEIGHT_MS) for s in rich], dtype=np.float64)
    total = weights @ np.array([s.vector for s in rich], dtype=np.float64)
    length = float(np.linalg.norm(total))
    return total / length if length > 0 else None
