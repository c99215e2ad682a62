"""SubRip subtitles."""

from __future__ import annotations

from collections.abc import Sequence

from voxdata.utterance import Utterance


def encode_srt(utterances: Sequence[Utterance]) -> str:
    """One numbered cue per utterance with words, in order of time, the speaker before the text."""
    spoken = [u for u in utterances if u.text.strip()]
    spoken.sort(key=lambda u: (u.segment, u.channel, u.speaker))
    return "\n".join(_cue(number, u) for number, u in enumerate(spoken, start=1))


def _cue(number: int, utterance: Utterance) -> str:
    start = _clock(utterance.segment.start_ms)
    end = _clock(utterance.segment.end_ms)
    text = " ".join(utterance.text.split())
    return f"{number}\n{start} --> {end}\n{utterance.speaker}: {text}\n"


def _clock(time_ms: int) -> str:
    """A time as SubRip writes it.

    >>> _clock(3_723_004)
    '01:02:03,004'
    """
    seconds, ms = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d},{ms:03d}"
