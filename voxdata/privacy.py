"""Personal data: from characters of a text to the times at which it is heard, and what leaves in its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from voxdata.identity import digest
from voxdata.ports import MODEL_RATE_HZ, PrivacyScanner, Samples
from voxdata.segment import Segment, union
from voxdata.utterance import Utterance

MARGIN_MS = 200
"""Word times are estimates: this much more is muted on either side."""

TONE_HZ = 330
TONE_LEVEL = 0.03
_FADE_MS = 5
_PLACEHOLDER = re.compile(r"\[([a-z][a-z_]*)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateSpan:
    """Personal data in an utterance.

    Attributes:
        kind: As in `PrivateText`.
        start, end: Characters [start, end) of the utterance's text.
        segment: When it is heard, in ms of the recording.
        score: 0..1.
    """

    kind: str
    start: int
    end: int
    segment: Segment
    score: float


def scan_utterances(scanner: PrivacyScanner, utterances: Sequence[Utterance]) -> dict[str, tuple[PrivateSpan, ...]]:
    """Utterance id -> its personal data, for every utterance, also those without any."""
    return {
        u.utterance_id: tuple(
            PrivateSpan(kind=t.kind, start=t.start, end=t.end, segment=heard_when(u, t.start, t.end), score=t.score)
            for t in scanner.scan(u.text, language=u.language)
        )
        for u in utterances
    }


def heard_when(utterance: Utterance, start: int, end: int, *, margin_ms: int = MARGIN_MS) -> Segment:
    """When characters [start, end) of an utterance's text are heard.

    Returns:
        From the first word they touch to the last, with a margin, inside the utterance; all of it when its words do not tell.
    """
    touched: list[Segment] = []
    at = 0
    for word in utterance.words:
        written = word.text.strip()
        begin = utterance.text.find(written, at) if written else -1
        if begin < 0:
            continue
        at = begin + len(written)
        if begin < end and at > start:
            touched.append(word.segment)
    whole = utterance.segment
    if not touched:
        return whole
    first = max(whole.start_ms, min(s.start_ms for s in touched) - margin_ms)
    last = min(whole.end_ms, max(s.end_ms for s in touched) + margin_ms)
    return Segment(start_ms=first, end_ms=last) if first < last else whole


def mask_text(text: str, spans: Sequence[PrivateSpan]) -> str:
    """The text with each span replaced by its kind, such as "[phone]"; spans that overlap become one."""
    masked, at = [], 0
    for kind, start, end in _disjoint(text, spans):
        masked += [text[at:start], f"[{kind}]"]
        at = end
    return "".join([*masked, text[at:]])


def hidden_parts(text: str, spans: Sequence[PrivateSpan]) -> list[tuple[str, str]]:
    """(kind, characters) of what `mask_text` replaces, in order."""
    return [(kind, text[start:end]) for kind, start, end in _disjoint(text, spans)]


def restore_text(edited: str, hidden: Sequence[tuple[str, str]]) -> str:
    """Put back what the placeholders of a masked text stand for, after a person has edited it.

    Args:
        edited: What came of the masked text.
        hidden: `hidden_parts` of the original.

    Returns:
        Each placeholder that is still there replaced by its original characters. One that was taken out stays out; one that the
        person wrote stays as it is.
    """
    found = list(_PLACEHOLDER.finditer(edited))
    matcher = SequenceMatcher(a=[kind for kind, _ in hidden], b=[match[1] for match in found], autojunk=False)
    meant = {block.b + i: hidden[block.a + i][1] for block in matcher.get_matching_blocks() for i in range(block.size)}
    restored, at = [], 0
    for number, match in enumerate(found):
        restored += [edited[at : match.start()], meant.get(number, match[0])]
        at = match.end()
    return "".join([*restored, edited[at:]])


def _disjoint(text: str, spans: Sequence[PrivateSpan]) -> list[tuple[str, int, int]]:
    """(kind, start, end) sorted and inside the text; of spans that overlap one, with the kind of the first."""
    out: list[tuple[str, int, int]] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        start, end = max(span.start, 0), min(span.end, len(text))
        if out and start < out[-1][2]:
            out[-1] = (out[-1][0], out[-1][1], max(end, out[-1][2]))
        elif start < end:
            out.append((span.kind, start, end))
    return out


def mute(samples: Samples, segments: Sequence[Segment], *, offset_ms: int = 0) -> Samples:
    """Replace stretches by a low tone, so that a listener hears that something was taken out.

    Args:
        samples: (num_samples,) float32 at MODEL_RATE_HZ.
        segments: In ms of the recording.
        offset_ms: Where in the recording `samples` begin.

    Returns:
        A copy; nothing of the original is left inside the stretches.
    """
    muted = samples.copy()
    for segment in union(segments):
        start = max(0, (segment.start_ms - offset_ms) * MODEL_RATE_HZ // 1000)
        stop = max(start, -(-(segment.end_ms - offset_ms) * MODEL_RATE_HZ // 1000))
        stretch = muted[start:stop]
        stretch[:] = _tone(stretch.size)
    return muted


def _tone(num_samples: int) -> Samples:
    at = np.arange(num_samples, dtype=np.float64)
    fade = _FADE_MS * MODEL_RATE_HZ / 1000
    envelope = np.minimum(1.0, np.minimum(at, num_samples - 1 - at) / fade)
    tone: Samples = (TONE_LEVEL * envelope * np.sin(2 * np.pi * TONE_HZ * at / MODEL_RATE_HZ)).astype(np.float32)
    return tone


def mask_file_name(name: str) -> str:
    """A file name without the long numbers that recorders put into it, which may be somebody's phone number."""
    return re.sub(r"\d{6,}", "[number]", name)


def masking_key(spans: Sequence[PrivateSpan]) -> str:
    """Identity of what is masked: differs whenever a text or a clip masked by these spans does; "" without any."""
    return digest("mask", *(f"{s.kind}/{s.start}/{s.end}/{s.segment.start_ms}/{s.segment.end_ms}" for s in spans)) if spans else ""
