"""Personal data: from characters of a text to the times at which it is heard, and what leaves in
its place.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    private: dict[str, set[PrivateText]] = {}
    for utterance in utterances:
        alone = scanner.scan(utterance.text, language=utterance.language)
        private[utterance.utterance_id] = set(alone)
    for together in _in_one_breath(utterances):
        _scan_joined(scanner, together, private)
    return {u.utterance_id: _spans_of(u, private[u.utterance_id]) for u in utterances}


def _scan_joined(
    scanner: PrivacyScanner,
    together: Sequence[Utterance],
    private: Mapping[str, set[PrivateText]],
) -> None:
    """Add to each utterance what is private in it when all are read as one text."""
    # Rules want one blank between words.
    apart = [_only_said(utterance.text).rstrip() + " " for utterance in together]
    close = _close_up(together)
    languages = {utterance.language for utterance in together}
    for language in sorted(languages):
        across_pauses = scanner.scan("".join(apart), language=language)
        _give_back(across_pauses, together, apart, private)
        closed_up = scanner.scan("".join(close), language=language)
        emails = [text for text in closed_up if text.kind == "email"]
        _give_back(emails, together, close, private)


def _spans_of(utterance: Utterance, texts: Iterable[PrivateText]) -> tuple[PrivateSpan, ...]:
    """The personal data of an utterance in order, with the times at which it is heard."""
    spans: list[PrivateSpan] = []
    for text in sorted(texts, key=_order):
        span = PrivateSpan(
            kind=text.kind,
            start=text.start,
            end=text.end,
            segment=heard_when(utterance, text.start, text.end),
            score=text.score,
        )
        spans.append(span)
    return tuple(spans)


def _order(text: PrivateText) -> tuple[int, int, str]:
    return text.start, text.end, text.kind


def _in_one_breath(utterances: Sequence[Utterance]) -> Iterator[list[Utterance]]:
    """Runs of two and more utterances of one speaker with pauses of at most PAUSE_MS, whoever
    speaks in between.
    """
    by_speaker: defaultdict[tuple[int, str], list[Utterance]] = defaultdict(list)
    for utterance in sorted(utterances, key=lambda u: u.segment):
        said = _only_said(utterance.text)
        if any(map(str.isalnum, said)):
            speaker = (utterance.channel, utterance.speaker)
            by_speaker[speaker].append(utterance)
    for of_speaker in by_speaker.values():
        for run in _split_at_pauses(of_speaker):
            if len(run) > 1:
                yield run


def _split_at_pauses(utterances: Sequence[Utterance]) -> list[list[Utterance]]:
    """Runs of utterances with pauses of at most PAUSE_MS between them.

    Args:
        utterances: Of one speaker, sorted.
    """
    runs: list[list[Utterance]] = []
    end_ms = 0
    for utterance in utterances:
        pause_ms = utterance.segment.start_ms - end_ms
        if not runs or pause_ms > PAUSE_MS:
            runs.append([])
        runs[-1].append(utterance)
        end_ms = utterance.segment.end_ms
    return runs


def _only_said(text: str) -> str:
    """The text, as long as it was, without sounds of hesitation, and without the mark that a
    transcriber puts where somebody pauses.
    """
    bare = text.rstrip(" .,;:!?…。，、；！？")
    said = _HESITATION.sub(lambda sound: " " * len(sound[0]), bare)
    return said.ljust(len(text))


def _close_up(together: Sequence[Utterance]) -> list[str]:
    """The texts, with a blank after each but where a dot or the sign of an address stands at the
    border; each begins as it did.
    """
    parts = [utterance.text.rstrip() for utterance in together]
    closed: list[str] = []
    for part, following in itertools.pairwise([*parts, ""]):
        in_address = part.endswith(_IN_ADDRESS) or following.startswith(_IN_ADDRESS)
        closed.append(part if in_address else f"{part} ")
    return closed


def _give_back(
    spans: Sequence[PrivateText],
    together: Sequence[Utterance],
    parts: Sequence[str],
    private: Mapping[str, set[PrivateText]],
) -> None:
    """Give each utterance what of some spans of their joined text lies in it.

    Both are in order, so each is looked at once.

    Args:
        parts: What the joined text is made of; each begins with an utterance's text, less blanks at
            its end.
    """
    waiting = deque(sorted(spans, key=lambda span: span.start))
    at = 0
    for utterance, part in zip(together, parts, strict=True):
        end = at + len(part)
        for span in waiting:
            if span.start >= end:
                break
            inside = _part_inside(span, utterance.text, at)
            if inside is not None:
                private[utterance.utterance_id].add(inside)
        while waiting and waiting[0].end <= end:
            waiting.popleft()
        at = end


def _part_inside(span: PrivateText, text: str, at: int) -> PrivateText | None:
    """What of a span lies in a text, from its first letter or digit there to its last.

    Args:
        span: Of a joined text.
        at: Where `text` begins in it.
    """
    first = max(span.start - at, 0)
    last = min(span.end - at, len(text))
    places = [place for place in range(first, last) if text[place].isalnum()]
    if not places:
        return None
    return replace(
        span,
        start=places[0],
        end=places[-1] + 1,
    )


def heard_when(
    utterance: Utterance, start: int, end: int, *, margin_ms: int = MARGIN_MS
) -> Segment:
    """When characters [start, end) of an utterance's text are heard.

    Returns:
        From the first word they touch to the last, with a margin, which may reach into what is said
        before and after; the whole utterance when its words do not tell.
    """
    touched = _words_between(utterance, start, end)
    whole = utterance.segment
    if not touched:
        return whole
    first_ms = min(segment.start_ms for segment in touched)
    last_ms = max(segment.end_ms for segment in touched)
    heard = Segment(
        start_ms=max(0, first_ms - margin_ms),
        end_ms=last_ms + margin_ms,
    )
    return heard if overlap_ms(heard, whole) else whole


def _words_between(utterance: Utterance, start: int, end: int) -> list[Segment]:
    """When the words are heard that characters [start, end) of an utterance's text touch."""
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
    return touched


def mask_text(text: str, spans: Sequence[PrivateSpan]) -> str:
    """The text with each span replaced by its kind, such as "[phone]".

    Spans that overlap become one.
    """
    pieces: list[str] = []
    at = 0
    for kind, start, end in _disjoint(text, spans):
        pieces.append(text[at:start])
        pieces.append(f"[{kind}]")
        at = end
    pieces.append(text[at:])
    return "".join(pieces)


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
    placeholders = list(_PLACEHOLDER.finditer(edited))
    kinds = [match[1] for match in placeholders]
    originals = _match_hidden(kinds, hidden)
    pieces: list[str] = []
    at = 0
    for number, match in enumerate(placeholders):
        pieces.append(edited[at : match.start()])
        pieces.append(originals.get(number, match[0]))
        at = match.end()
    pieces.append(edited[at:])
    return "".join(pieces)


def _match_hidden(kinds: Sequence[str], hidden: Sequence[tuple[str, str]]) -> dict[int, str]:
    """The place of a kind -> the characters that it stands for, where the order tells."""
    hidden_kinds = [kind for kind, _ in hidden]
    matcher = SequenceMatcher(a=hidden_kinds, b=kinds, autojunk=False)
    originals: dict[int, str] = {}
    for block in matcher.get_matching_blocks():
        for i in range(block.size):
            _, characters = hidden[block.a + i]
            originals[block.b + i] = characters
    return originals


def _disjoint(text: str, spans: Sequence[PrivateSpan]) -> list[tuple[str, int, int]]:
    """(kind, start, end) sorted and inside the text.

    Of spans that overlap one is left, with the kind of the first.

    What looks like a placeholder in the text itself is one of them, standing for itself: else it
    would be taken for ours later.
    """
    named = [(span.kind, span.start, span.end) for span in spans]
    literal = [(match[1], *match.span()) for match in _PLACEHOLDER.finditer(text)]
    disjoint: list[tuple[str, int, int]] = []
    for kind, begin, stop in sorted([*named, *literal], key=_longest_first):
        start = max(begin, 0)
        end = min(stop, len(text))
        if disjoint and start < disjoint[-1][2]:
            first_kind, first_start, first_end = disjoint.pop()
            disjoint.append((first_kind, first_start, max(end, first_end)))
        elif start < end:
            disjoint.append((kind, start, end))
    return disjoint


def _longest_first(span: tuple[str, int, int]) -> tuple[int, int, str]:
    """Orders (kind, start, end) by start; of those that begin together the longest comes first."""
    kind, start, end = span
    return start, -end, kind


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
        start_ms = segment.start_ms - offset_ms
        end_ms = segment.end_ms - offset_ms
        start = max(0, start_ms * MODEL_RATE_HZ // 1000)
        # Rounded up, so that the last sample that is begun is muted too.
        stop = max(start, -(-end_ms * MODEL_RATE_HZ // 1000))
        stretch = muted[start:stop]
        stretch[:] = _tone(stretch.size)
    return muted


def _tone(num_samples: int) -> Samples:
    """(num_samples,) float32, faded in and out."""
    at = np.arange(num_samples, dtype=np.float64)
    from_edge = np.minimum(at, num_samples - 1 - at)
    fade = _FADE_MS * MODEL_RATE_HZ / 1000
    envelope = np.minimum(1.0, from_edge / fade)
    phase = 2 * np.pi * TONE_HZ * at / MODEL_RATE_HZ
    wave = TONE_LEVEL * envelope * np.sin(phase)
    tone: Samples = wave.astype(np.float32)
    return tone


def masking_key(spans: Sequence[PrivateSpan]) -> str:
    """Identity of what is masked: differs whenever a text or a clip masked by these spans does; ""
    without any.
    """
    if not spans:
        return ""
    parts = [
        f"{span.kind}/{span.start}/{span.end}/{span.segment.start_ms}/{span.segment.end_ms}"
        for span in spans
    ]
    return digest("mask", *parts)
