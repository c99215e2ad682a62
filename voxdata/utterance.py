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
        no_speech_probability: The probability that nobody speaks here, 0..1.
        mean_log_probability: The mean over the tokens, at most 0.
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
        """The language of most of the speech; "und" when there was nothing to hear."""
        spoken_ms: Counter[str] = Counter()
        for passage in self.passages:
            spoken_ms[passage.language] += passage.segment.duration_ms
        return max(sorted(spoken_ms), key=spoken_ms.__getitem__, default="und")


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
        return digest(
            self.recording_id,
            self.channel,
            self.segment.start_ms,
            self.segment.end_ms,
        )


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
    words_of: list[list[Word]] = [[] for _ in ordered]
    if ordered:
        nearest = _NearestTurns([turn.segment for turn in ordered])
        for word in sorted(words, key=lambda w: w.segment):
            place = nearest.place(word.segment)
            words_of[place].append(word)
    return list(zip(ordered, words_of, strict=True))


class _NearestTurns:
    """Finds the turn that a word belongs to, without looking at all of them.

    Args:
        turns: At least one, sorted.
    """

    def __init__(self, turns: Sequence[Segment]) -> None:
        self._turns = turns
        self._starts = [turn.start_ms for turn in turns]
        self._reach = list(itertools.accumulate((turn.end_ms for turn in turns), max))
        """How far the turns up to each one reach."""

    def place(self, word: Segment) -> int:
        """The position of the turn: by overlap, then distance, then length.

        Of turns equally close the shortest comes first: an interjection owns its word.
        """

        def closeness(place: int) -> tuple[int, int, int]:
            turn = self._turns[place]
            gap = max(turn.start_ms - word.end_ms, word.start_ms - turn.end_ms, 0)
            return overlap_ms(word, turn), -gap, -turn.duration_ms

        near = self._overlapping(word) or self._beside(word)
        return max(sorted(near), key=closeness)

    def _overlapping(self, word: Segment) -> list[int]:
        places: list[int] = []
        place = bisect_left(self._starts, word.end_ms) - 1
        while place >= 0 and self._reach[place] > word.start_ms:
            if self._turns[place].end_ms > word.start_ms:
                places.append(place)
            place -= 1
        return places

    def _beside(self, word: Segment) -> list[int]:
        """Those that begin next after a word, and those that end last before it."""
        places: list[int] = []
        after = bisect_left(self._starts, word.end_ms)
        if after < len(self._starts):
            stop = bisect_right(self._starts, self._starts[after])
            places += range(after, stop)
        place = after - 1
        while place >= 0 and self._reach[place] == self._reach[after - 1]:
            if self._turns[place].end_ms == self._reach[place]:
                places.append(place)
            place -= 1
        return places


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
    utterances: list[Utterance] = []
    for turn, words in assign_words(transcript.words, turns):
        groups = _group_words(
            words,
            pause_ms=pause_ms,
            sentence_pause_ms=sentence_pause_ms,
            min_ms=min_ms,
            max_ms=max_ms,
        )
        for segment, group in _bounds(turn.segment, groups, pad_ms=pad_ms):
            language = _language(segment, transcript.passages) if group else "und"
            utterances.append(
                Utterance(
                    recording_id=turn.recording_id,
                    channel=turn.channel,
                    speaker=turn.speaker,
                    segment=segment,
                    text="".join(word.text for word in group).strip(),
                    language=language,
                    words=tuple(group),
                )
            )
    return sorted(
        _keep_apart(utterances),
        key=lambda u: (u.segment, u.channel, u.speaker),
    )


def _language(segment: Segment, passages: Sequence[Passage]) -> str:
    """The language of the passage that covers most of a segment, or else of the nearest."""

    def closeness(passage: Passage) -> tuple[int, int]:
        distance_ms = abs(segment.start_ms - passage.segment.start_ms)
        return overlap_ms(segment, passage.segment), -distance_ms

    if not passages:
        return "und"
    return max(passages, key=closeness).language


def _keep_apart(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Utterances with an id each.

    Of those with equal bounds a wordless one goes, and one with words ends 1 ms later.
    """
    unique: dict[str, Utterance] = {}
    for utterance in sorted(utterances, key=lambda u: not u.words):
        if not utterance.words and utterance.utterance_id in unique:
            continue
        while utterance.utterance_id in unique:
            segment = utterance.segment
            later = replace(segment, end_ms=segment.end_ms + 1)
            utterance = replace(utterance, segment=later)
        unique[utterance.utterance_id] = utterance
    return list(unique.values())


def _span_ms(group: Sequence[Word]) -> int:
    return group[-1].segment.end_ms - group[0].segment.start_ms


def _gap_ms(before: Word, after: Word) -> int:
    return after.segment.start_ms - before.segment.end_ms


def _group_words(
    words: Sequence[Word],
    *,
    pause_ms: int,
    sentence_pause_ms: int,
    min_ms: int,
    max_ms: int,
) -> list[list[Word]]:
    """Cut the words of a turn at pauses and sentence ends, into pieces neither short nor long."""

    def is_cut(group: list[Word], word: Word) -> bool:
        gap_ms = _gap_ms(group[-1], word)
        if gap_ms >= pause_ms:
            return True
        ends_sentence = group[-1].text.rstrip().endswith(SENTENCE_END)
        return ends_sentence and (gap_ms >= sentence_pause_ms or _span_ms(group) >= min_ms)

    groups: list[list[Word]] = []
    for word in words:
        if groups and not is_cut(groups[-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])

    pieces: list[list[Word]] = []
    for group in _join_short(groups, pause_ms=pause_ms, min_ms=min_ms, max_ms=max_ms):
        pieces += _split_long(group, max_ms=max_ms)
    return pieces


def _join_short(
    groups: Sequence[list[Word]],
    *,
    pause_ms: int,
    min_ms: int,
    max_ms: int,
) -> list[list[Word]]:
    """Join a group shorter than `min_ms` to its neighbour, across no pause and up to `max_ms`."""

    def belong_together(before: list[Word], after: list[Word]) -> bool:
        if _gap_ms(before[-1], after[0]) >= pause_ms:
            return False
        is_short = _span_ms(after) < min_ms or _span_ms(before) < min_ms
        return is_short and _span_ms(before + after) <= max_ms

    joined: list[list[Word]] = []
    for group in groups:
        if joined and belong_together(joined[-1], group):
            joined[-1].extend(group)
        else:
            joined.append(list(group))
    return joined


def _split_long(group: list[Word], *, max_ms: int) -> list[list[Word]]:
    """Cut a group at its longest pause, the middlemost of equals, until no piece is too long."""
    if len(group) < 2 or _span_ms(group) <= max_ms:
        return [group]
    gaps_ms = [_gap_ms(before, after) for before, after in itertools.pairwise(group)]
    middle = (len(gaps_ms) - 1) / 2
    longest = max(range(len(gaps_ms)), key=lambda i: (gaps_ms[i], -abs(i - middle)))
    cut = longest + 1
    return [
        *_split_long(group[:cut], max_ms=max_ms),
        *_split_long(group[cut:], max_ms=max_ms),
    ]


def _bounds(
    turn: Segment,
    groups: list[list[Word]],
    *,
    pad_ms: int,
) -> list[tuple[Segment, list[Word]]]:
    """Bounds for each group: its words and padding, meeting half-way where two groups are close."""
    if not groups:
        return [(turn, [])]
    bounded: list[tuple[Segment, list[Word]]] = []
    for i, group in enumerate(groups):
        first_ms = group[0].segment.start_ms
        last_ms = group[-1].segment.end_ms

        floor_ms = 0
        if i > 0:
            end_before_ms = groups[i - 1][-1].segment.end_ms
            floor_ms = (end_before_ms + first_ms) // 2
        start_ms = max(first_ms - pad_ms, min(floor_ms, first_ms), 0)

        end_ms = last_ms + pad_ms
        if i + 1 < len(groups):
            start_after_ms = groups[i + 1][0].segment.start_ms
            half_way_ms = (last_ms + start_after_ms) // 2
            end_ms = min(end_ms, max(last_ms, half_way_ms))
        segment = Segment(start_ms=start_ms, end_ms=max(end_ms, start_ms + 1))
        bounded.append((segment, group))
    return bounded
