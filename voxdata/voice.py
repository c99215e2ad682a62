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
"""With less speech an embedding says too little.

The speaker gets a voice of its own, which nobody joins.
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
        vector: The speaker's embedding, at length one.
        speech_ms: How much speech the vector is based on.
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
    number = 1
    voice_id = digest("voice", *speaker)
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
    centres = _Centres(min_speech_ms)
    for voice_id in sorted(voices):
        for member in sorted(voices[voice_id], key=lambda m: m.speaker):
            centres.add(voice_id, member)

    used = {*taken, *voices}
    links: list[VoiceLink] = []
    for arrival in sorted(arrivals, key=lambda a: a.speaker):
        closest = None
        if arrival.speech_ms >= min_speech_ms:
            closest = centres.closest(arrival)
        if closest is not None and closest.cosine >= threshold:
            kind = "join"
            voice_id = closest.voice_id
        else:
            kind = "new"
            voice_id = voice_id_of(arrival.speaker, taken=used)
        used.add(voice_id)
        centres.add(voice_id, arrival)
        links.append(
            VoiceLink(
                kind=kind,
                voice_id=voice_id,
                speaker=arrival.speaker,
                score=None if closest is None else closest.cosine,
                key=arrival.key,
            )
        )
    return links


@dataclass(frozen=True, slots=True, kw_only=True)
class _Likeness:
    """A voice, and how alike it is."""

    voice_id: str
    cosine: float


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
        """Count a speaker as one of a voice."""
        recording_id = member.speaker[0]
        self._present[recording_id].add(voice_id)
        if member.speech_ms < self._min_speech_ms:
            return
        row = self._rows.setdefault(voice_id, len(self._rows))
        self._reserve(len(member.vector))

        weight = min(member.speech_ms, FULL_WEIGHT_MS)
        self._sums[row] += weight * np.asarray(member.vector, dtype=np.float64)
        length = float(np.linalg.norm(self._sums[row]))
        self._centres[row] = self._sums[row] / length if length > 0 else 0.0

    def closest(self, arrival: HeardSpeaker) -> _Likeness | None:
        """The voice that is most alike and may be the arrival's, of equals the first by id."""
        if not self._rows or self._centres.shape[1] != len(arrival.vector):
            return None

        vector = np.asarray(arrival.vector, dtype=np.float64)
        centres = self._centres[: len(self._rows)]
        # Rounded, so that equals are equal however many voices there are.
        cosines = np.round(centres @ vector, 6).tolist()
        recording_id = arrival.speaker[0]
        present = self._present[recording_id]
        allowed = [
            (-cosines[row], voice_id)
            for voice_id, row in self._rows.items()
            if voice_id not in present
        ]
        if not allowed:
            return None
        negative, voice_id = min(allowed)
        return _Likeness(voice_id=voice_id, cosine=-negative)

    def _reserve(self, dimension: int) -> None:
        """Room for every row, doubled when it is full."""
        num_rows = self._sums.shape[0]
        if len(self._rows) > num_rows:
            more = np.zeros((2 * len(self._rows) - num_rows, dimension))
            sums = self._sums.reshape(-1, dimension)
            centres = self._centres.reshape(-1, dimension)
            self._sums = np.concatenate([sums, more])
            self._centres = np.concatenate([centres, more])


def nearest_voices(
    voices: Mapping[str, Sequence[HeardSpeaker]], *, min_speech_ms: int = MIN_SPEECH_MS
) -> dict[str, tuple[str, float]]:
    """Voice -> (the other voice most like it, cosine), for voices with enough speech.

    Empty below two of them.
    """
    centres: dict[str, Vectors] = {}
    for voice_id in sorted(voices):
        centre = centre_of(voices[voice_id], min_speech_ms=min_speech_ms)
        if centre is not None:
            centres[voice_id] = centre
    if len(centres) < 2:
        return {}

    voice_ids = list(centres)
    matrix = np.stack(list(centres.values()))
    nearest: dict[str, tuple[str, float]] = {}
    for row, voice_id in enumerate(voice_ids):
        cosines = matrix @ matrix[row]
        cosines[row] = -2.0
        best = int(np.argmax(np.round(cosines, 6)))
        cosine = round(float(cosines[best]), 6)
        nearest[voice_id] = (voice_ids[best], cosine)
    return nearest


def centre_of(
    speakers: Sequence[HeardSpeaker], *, min_speech_ms: int = MIN_SPEECH_MS
) -> Vectors | None:
    """The mean direction of a voice's speakers, as `link_speakers` takes it.

    None when none has enough speech.
    """
    rich = [speaker for speaker in speakers if speaker.speech_ms >= min_speech_ms]
    if not rich:
        return None

    rich.sort(key=lambda speaker: speaker.speaker)
    weights = [min(speaker.speech_ms, FULL_WEIGHT_MS) for speaker in rich]
    vectors = [speaker.vector for speaker in rich]
    total = np.array(weights, dtype=np.float64) @ np.array(vectors, dtype=np.float64)
    length = float(np.linalg.norm(total))
    return total / length if length > 0 else None
