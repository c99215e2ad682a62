"""SubRip subtitles."""

from __future__ import annotations

from collections.abc import Sequence

from voxdata.utterance import Utterance


def encode_srt(utterances: Sequence[Utterance]) -> str:
    """One numbered cue for each utterance with words, in order of time, the speaker before the
    text.
    """
    spoken = sorted(
        (u for u in utterances if u.text.strip()), key=lambda u: (u.segment, u.channel, u.speaker)
    )
    cues = [
        f"{number}\n{_clock(u.segment.start_ms)} --> {_clock(u.segment.end_ms)}\n{u.speaker}: {' '.join(u.text.split())}\n"
        for number, u in enumerate(spoken, start=1)
    ]
    return "\n".join(cues)


def _clock(ms: int) -> str:
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"
