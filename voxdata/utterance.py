"""Utterances: what a person hears and labels, and a model trains on."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from voxdata.errors import MixedRecordingsError
from voxdata.identity import ModelRef, digest
from voxdata.segment import Segment, overlap_ms
from voxdata.turn import Turn, sort_turns

SENTENCE_END = (".", "?", "!", "。", "？", "！", "…")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One transcribed word (one character or so in Chinese), with its leading space if it had one.

    Attributes:
        probability: The transcriber's own estimate, 0..1.
    """

    text: str
    segment: Segment
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A stretch that a transcriber heard at once, and how sure it was.

    Attributes:
        language: BCP 47 primary subtag such as "en" or "zh".
        language_probability: 0..1.
        no_speech_probability: That nobody speaks here, 0..1.
        mean_log_probability: Of the tokens, at most 0.
    """

    segment: Segment
    language: str
    language_probability: float
    no_speech_probability: float = 0.0
    mean_log_probability: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was said on one channel of a recording.

    Attributes:
        passages: Sorted by start, disjoint; empty when there was nothing to hear.
        words: Sorted by start.
    """

    passages: tuple[Passage, ...]
    words: tuple[Word, ...]
    model: ModelRef

    @property
    def language(self) -> str:
        """Of most of the speech; "und" when there was nothing to hear."""
        heard: Counter[str] = Counter()
        for passage in self.passages:
            heard[passage.language] += passage.segment.duration_ms
        return max(sorted(heard), key=lambda name: heard[name], default="und")


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """A stretch of one speaker's speech, with the words in it.

    Attributes:
        speaker: Local to the recording, such as "S0".
        text: The words joined; "" when nothing was recognised.
        language: BCP 47 primary subtag, "und" when unknown.
        marks: What makes the text doubtful (see `voxdata.guards`), sorted.
    """

    recording_id: str
    channel: int
    speaker: str
    segment: Segment
    text: str
    language: str
    words: tuple[Word, ...] = ()
    marks: tuple[str, ...] = ()

    @property
    def utterance_id(self) -> str:
        """Hash of recording, channel, start and end."""
        return digest(self.recording_id, self.channel, self.segment.start_ms, self.segment.end_ms)


def assign_words(words: Sequence[Word], turns: Sequence[Turn]) -> list[tuple[Turn, list[Word]]]:
    """Give each word to the turn it overlaps most, or else to the nearest turn.

    Args:
        words: One channel of one recording.
        turns: The same channel, in any order.

    Returns:
        Every turn with its words in order of time, sorted by turn start. Words are lost only when
        there is no turn.

    Raises:
        MixedRecordingsError: `turns` come from several recordings.
    """
    if len({turn.recording_id for turn in turns}) > 1:
        raise MixedRecordingsError("assign_words takes the turns of one recording")
    ordered = sort_turns(turns)
    bins: list[list[Word]] = [[] for _ in ordered]
    starts = [turn.segment.start_ms for turn in ordered]
    reach = list(itertools.accumulate((turn.segment.end_ms for turn in ordered), max))
    for word in sorted(words, key=lambda w: w.segment):
        if ordered:
            near = _near_turns(word.segment, ordered, starts, reach)
            bins[max(near, key=lambda i: _closeness(word.segment, ordered[i].segment))].append(word)
    return list(zip(ordered, bins, strict=True))


def _near_turns(
    word: Segment, ordered: Sequence[Turn], starts: Sequence[int], reach: Sequence[int]
) -> list[int]:
    """Positions, ascending, of the turns that overlap a word, or else of those nearest before and
    after it.

    Args:
        starts: Of the turns.
        reach: How far the turns up to each one reach.
    """
    after = bisect_left(starts, word.end_ms)
    found = []
    i = after - 1
    while i >= 0 and reach[i] > word.start_ms:
        if ordered[i].segment.end_ms > word.start_ms:
            found.append(i)
        i -= 1
    if not found:
        found += range(after, bisect_right(starts, starts[after])) if after < len(starts) else ()
        i = after - 1
        while i >= 0 and reach[i] == reach[after - 1]:
            if ordered[i].segment.end_ms == reach[i]:
                found.append(i)
            i -= 1
    return sorted(found)


def _closeness(word: Segment, turn: Segment) -> tuple[int, int, int]:
    """Overlap first; among equals the nearest, then the shortest turn (an interjection owns its
    word).
    """
    gap = max(turn.start_ms - word.end_ms, word.start_ms - turn.end_ms, 0)
    return overlap_ms(word, turn), -gap, -turn.duration_ms


MIN_MS = 600
"""A piece shorter than this joins its neighbour, unless a setting says otherwise."""


def cut_utterances(
    turns: Sequence[Turn],
    transcript: Transcript,
    *,
    pause_ms: int = 500,
    sentence_pause_ms: int = 200,
    min_ms: int = MIN_MS,
    max_ms: int = 15_000,
    pad_ms: int = 100,
) -> list[Utterance]:
    """Cut turns into utterances at pauses and sentence ends.

    Args:
        turns: One channel of one recording.
        transcript: The same channel.
        pause_ms: A silence between words at least this long always cuts.
        sentence_pause_ms: A silence this long cuts after sentence-final punctuation.
        min_ms: A shorter piece joins its neighbour, unless it is all the turn has.
        max_ms: A longer piece is cut at its longest pause.
        pad_ms: Kept around the words, as far as the turn and the neighbours allow.

    Returns:
        Utterances sorted by start. A turn in which no word was recognised becomes one utterance
        with empty text.
    """
    out: list[Utterance] = []
    for turn, words in assign_words(transcript.words, turns):
        groups = _group_words(
            words,
            pause_ms=pause_ms,
            sentence_pause_ms=sentence_pause_ms,
            min_ms=min_ms,
            max_ms=max_ms,
        )
        for segment, group in _bounds(turn.segment, groups, pad_ms=pad_ms):
            out.append(
                Utterance(
                    recording_id=turn.recording_id,
                    channel=turn.channel,
                    speaker=turn.speaker,
                    segment=segment,
                    text="".join(word.text for word in group).strip(),
                    language=_language(segment, transcript.passages) if group else "und",
                    words=tuple(group),
                )
            )
    return sorted(_keep_apart(out), key=lambda u: (u.segment, u.channel, u.speaker))


def _language(segment: Segment, passages: Sequence[Passage]) -> str:
    """Of the passage that covers most of a segment, or else of the nearest."""
    if not passages:
        return "und"
    nearest = max(
        passages,
        key=lambda p: (overlap_ms(segment, p.segment), -abs(segment.start_ms - p.segment.start_ms)),
    )
    return nearest.language


def _keep_apart(utterances: Sequence[Utterance]) -> list[Utterance]:
    """One id, one utterance: of those with equal bounds a wordless one goes, and one with words
    ends 1 ms later.
    """
    unique: dict[str, Utterance] = {}
    for utterance in sorted(utterances, key=lambda u: not u.words):
        if not utterance.words and utterance.utterance_id in unique:
            continue
        while utterance.utterance_id in unique:
            later = Segment(
                start_ms=utterance.segment.start_ms, end_ms=utterance.segment.end_ms + 1
            )
            utterance = replace(utterance, segment=later)
        unique[utterance.utterance_id] = utterance
    return list(unique.values())


def _span_ms(group: Sequence[Word]) -> int:
    return group[-1].segment.end_ms - group[0].segment.start_ms


def _group_words(
    words: Sequence[Word], *, pause_ms: int, sentence_pause_ms: int, min_ms: int, max_ms: int
) -> list[list[Word]]:
    groups: list[list[Word]] = []
    for word in words:
        if groups:
            last = groups[-1][-1]
            gap = word.segment.start_ms - last.segment.end_ms
            ends = last.text.rstrip().endswith(SENTENCE_END)
            if gap < pause_ms and not (
                ends and (gap >= sentence_pause_ms or _span_ms(groups[-1]) >= min_ms)
            ):
                groups[-1].append(word)
                continue
        groups.append([word])
    joined: list[list[Word]] = []
    for group in groups:
        near = bool(joined) and group[0].segment.start_ms - joined[-1][-1].segment.end_ms < pause_ms
        if (
            joined
            and near
            and (_span_ms(group) < min_ms or _span_ms(joined[-1]) < min_ms)
            and _span_ms(joined[-1] + group) <= max_ms
        ):
            joined[-1].extend(group)
        else:
            joined.append(list(group))
    return [piece for group in joined for piece in _split_long(group, max_ms=max_ms)]


def _split_long(group: list[Word], *, max_ms: int) -> list[list[Word]]:
    if len(group) < 2 or _span_ms(group) <= max_ms:
        return [group]
    gaps = [b.segment.start_ms - a.segment.end_ms for a, b in itertools.pairwise(group)]
    middle = (len(gaps) - 1) / 2
    at = 1 + max(range(len(gaps)), key=lambda i: (gaps[i], -abs(i - middle)))
    return _split_long(group[:at], max_ms=max_ms) + _split_long(group[at:], max_ms=max_ms)


def _bounds(
    turn: Segment, groups: list[list[Word]], *, pad_ms: int
) -> list[tuple[Segment, list[Word]]]:
    """Bounds for each group: its words plus padding, meeting half-way where two groups are close."""
    if not groups:
        return [(turn, [])]
    out: list[tuple[Segment, list[Word]]] = []
    for i, group in enumerate(groups):
        first, last = group[0].segment.start_ms, group[-1].segment.end_ms
        floor = (groups[i - 1][-1].segment.end_ms + first) // 2 if i else 0
        start_ms = max(first - pad_ms, min(floor, first), 0)
        end_ms = last + pad_ms
        if i + 1 < len(groups):
            end_ms = min(end_ms, max(last, (last + groups[i + 1][0].segment.start_ms) // 2))
        out.append((Segment(start_ms=start_ms, end_ms=max(end_ms, start_ms + 1)), group))
    return out
