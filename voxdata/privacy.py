"""Personal data: from characters of a text to the times at which it is heard, and what leaves in
its place.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher

import numpy as np

from voxdata.identity import digest
from voxdata.ports import MODEL_RATE_HZ, PrivacyScanner, PrivateText, Samples
from voxdata.segment import Segment, overlap_ms, union
from voxdata.utterance import Utterance

PAUSE_MS = 20_000
"""After a longer silence somebody is not dictating the same thing any more."""

MARGIN_MS = 200
"""Word times are estimates: this much more is muted on either side."""

TONE_HZ = 330
TONE_LEVEL = 0.03
_FADE_MS = 5
_IN_ADDRESS = (".", "@", "_", "-")
_HESITATION = re.compile(r"\b(?:uh+|um+|erm?|hm+|mm+|äh+m?|euh|ehm?)\b|[嗯呃]", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\[([a-z][a-z_]*)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateSpan:
    """Personal data in an utterance.

    Attributes:
        kind: As in `PrivateText`.
        start, end: Characters [start, end) of the utterance's text.
        segment: When it is heard, in ms of the recording.
        score: 0..1.
        leaks: Other channel -> when it is heard there, too, or None where it is not; a channel that
            is not named was not compared.
    """

    kind: str
    start: int
    end: int
    segment: Segment
    score: float
    leaks: Mapping[int, Segment | None] = field(default_factory=dict, hash=False)

    def heard_in(self, channel: int, *, said_in: int) -> PrivateSpan | None:
        """As it is heard in a channel; None when it is not.

        Where nobody compared them, it may be heard in all.
        """
        if channel == said_in:
            return self
        heard = self.leaks.get(channel, self.segment)
        return None if heard is None else replace(self, segment=heard)


def scan_utterances(
    scanner: PrivacyScanner, utterances: Sequence[Utterance]
) -> dict[str, tuple[PrivateSpan, ...]]:
    """Find the personal data of one recording.

    What a speaker says is scanned utterance by utterance, and again as one text across pauses: a
    number that is dictated in groups is none in any of them. Of an e-mail address a transcriber may
    have taken the dot for the end of a sentence, so the same is read once more without blanks
    there.

    Returns:
        Utterance id -> its personal data, for every utterance, also those without any.
    """
    found: dict[str, set[PrivateText]] = {
        u.utterance_id: set(scanner.scan(u.text, language=u.language)) for u in utterances
    }
    for together in _in_one_breath(utterances):
        languages = sorted({u.language for u in together})
        apart = [
            _only_said(u.text).rstrip() + " " for u in together
        ]  # rules want one blank between words
        close = _close_up(together)
        for language in languages:
            _give_back(scanner.scan("".join(apart), language=language), together, apart, found)
            emails = [
                span
                for span in scanner.scan("".join(close), language=language)
                if span.kind == "email"
            ]
            _give_back(emails, together, close, found)
    return {
        u.utterance_id: tuple(
            PrivateSpan(
                kind=t.kind,
                start=t.start,
                end=t.end,
                segment=heard_when(u, t.start, t.end),
                score=t.score,
            )
            for t in sorted(found[u.utterance_id], key=lambda t: (t.start, t.end, t.kind))
        )
        for u in utterances
    }


def _in_one_breath(utterances: Sequence[Utterance]) -> Iterator[list[Utterance]]:
    """Runs of two and more utterances of one speaker with pauses of at most PAUSE_MS, whoever
    speaks in between.
    """
    speakers: defaultdict[tuple[int, str], list[Utterance]] = defaultdict(list)
    for u in sorted(utterances, key=lambda u: u.segment):
        if not any(character.isalnum() for character in _only_said(u.text)):
            continue
        speakers[u.channel, u.speaker].append(u)
    for said in speakers.values():
        run: list[Utterance] = []
        for u in said:
            if run and u.segment.start_ms - run[-1].segment.end_ms > PAUSE_MS:
                if len(run) > 1:
                    yield run
                run = []
            run.append(u)
        if len(run) > 1:
            yield run


def _only_said(text: str) -> str:
    """The text, as long as it was, without sounds of hesitation, and without the mark that a
    transcriber puts where somebody pauses.
    """
    bare = text.rstrip(" .,;:!?…。，、；！？")
    said = _HESITATION.sub(lambda sound: " " * len(sound[0]), bare)
    return said + " " * (len(text) - len(bare))


def _close_up(together: Sequence[Utterance]) -> list[str]:
    """The texts, with a blank after each but where a dot or the sign of an address stands at the
    border; each begins as it did.
    """
    parts = [u.text.rstrip() for u in together]
    return [
        part if part.endswith(_IN_ADDRESS) or following.startswith(_IN_ADDRESS) else f"{part} "
        for part, following in itertools.pairwise([*parts, ""])
    ]


def _give_back(
    spans: Sequence[PrivateText],
    together: Sequence[Utterance],
    parts: Sequence[str],
    found: Mapping[str, set[PrivateText]],
) -> None:
    """Give each utterance what of some spans of their joined text lies in it.

    Both are in order, so each is looked at once.

    Args:
        parts: What the joined text is made of; each begins with an utterance's text, less blanks at
            its end.
    """
    waiting, at = deque(sorted(spans, key=lambda span: span.start)), 0
    for u, part in zip(together, parts, strict=True):
        end = at + len(part)
        for span in waiting:
            if span.start >= end:
                break
            inside = [
                i
                for i in range(max(span.start - at, 0), min(span.end - at, len(u.text)))
                if u.text[i].isalnum()
            ]
            if inside:
                found[u.utterance_id].add(replace(span, start=inside[0], end=inside[-1] + 1))
        while waiting and waiting[0].end <= end:
            waiting.popleft()
        at = end


def heard_when(
    utterance: Utterance, start: int, end: int, *, margin_ms: int = MARGIN_MS
) -> Segment:
    """When characters [start, end) of an utterance's text are heard.

    Returns:
        From the first word they touch to the last, with a margin, which may reach into what is said
        before and after; the whole utterance when its words do not tell.
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
    first = max(0, min(s.start_ms for s in touched) - margin_ms)
    heard = Segment(start_ms=first, end_ms=max(s.end_ms for s in touched) + margin_ms)
    return heard if overlap_ms(heard, whole) else whole


def mask_text(text: str, spans: Sequence[PrivateSpan]) -> str:
    """The text with each span replaced by its kind, such as "[phone]".

    Spans that overlap become one.
    """
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
        Each placeholder that is still there replaced by its original characters. One that was taken
        out stays out; one that the person wrote stays as it is.
    """
    found = list(_PLACEHOLDER.finditer(edited))
    matcher = SequenceMatcher(
        a=[kind for kind, _ in hidden],
        b=[match[1] for match in found],
        autojunk=False,
    )
    meant = {
        block.b + i: hidden[block.a + i][1]
        for block in matcher.get_matching_blocks()
        for i in range(block.size)
    }
    restored, at = [], 0
    for number, match in enumerate(found):
        restored += [edited[at : match.start()], meant.get(number, match[0])]
        at = match.end()
    return "".join([*restored, edited[at:]])


def _disjoint(text: str, spans: Sequence[PrivateSpan]) -> list[tuple[str, int, int]]:
    """(kind, start, end) sorted and inside the text.

    Of spans that overlap one is left, with the kind of the first.

    What looks like a placeholder in the text itself is one of them, standing for itself: else it
    would be taken for ours later.
    """
    out: list[tuple[str, int, int]] = []
    literal = [(match[1], match.start(), match.end()) for match in _PLACEHOLDER.finditer(text)]
    for kind, begin, stop in sorted(
        [*((s.kind, s.start, s.end) for s in spans), *literal], key=lambda s: (s[1], -s[2], s[0])
    ):
        start, end = max(begin, 0), min(stop, len(text))
        if out and start < out[-1][2]:
            out[-1] = (out[-1][0], out[-1][1], max(end, out[-1][2]))
        elif start < end:
            out.append((kind, start, end))
    return out


def mute(
    samples: Samples,
    segments: Sequence[Segment],
    *,
    offset_ms: int = 0,
) -> Samples:
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
    tone: Samples = (
        TONE_LEVEL * envelope * np.sin(2 * np.pi * TONE_HZ * at / MODEL_RATE_HZ)
    ).astype(np.float32)
    return tone


def masking_key(spans: Sequence[PrivateSpan]) -> str:
    """Identity of what is masked: differs whenever a text or a clip masked by these spans does; ""
    without any.
    """
    return (
        digest(
            "mask",
            *(f"{s.kind}/{s.start}/{s.end}/{s.segment.start_ms}/{s.segment.end_ms}" for s in spans),
        )
        if spans
        else ""
    )
