"""Guards: what makes a transcribed text doubtful. They mark, they never delete.

Source of the rules: the failure modes of Whisper (loops, words where nobody speaks) and the filters
of NeMo Curator and the Granary recipe.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from voxdata.quality import speaking_rate
from voxdata.segment import overlap_ms
from voxdata.utterance import Passage, Utterance

REPETITION = "repetition"
NO_SPEECH = "no_speech"
SPEAKING_RATE = "speaking_rate"
LOW_PROBABILITY = "low_probability"


def mark_utterance(
    utterance: Utterance,
    passages: Sequence[Passage],
    *,
    max_compression: float = 2.4,
    max_repeats: int = 4,
    no_speech_probability: float = 0.6,
    log_probability: float = -1.0,
    word_probability: float = 0.3,
    max_rate: float = 12.0,
) -> tuple[str, ...]:
    """Find what makes the text of an utterance doubtful.

    Args:
        passages: Of its channel's transcript.
        max_compression: A text that zlib shrinks more than this repeats itself (Whisper's own
            limit).
        max_repeats: More copies of one to four words in a row are a loop, not speech.
        no_speech_probability, log_probability: A passage with more of the one and less of the other
            holds no speech (Whisper's rule).
        word_probability: Words are doubtful when they average less.
        max_rate: Words (characters in scripts without spaces) a second; fast talkers reach eight.

    Returns:
        Marks, sorted; none for an utterance without words.
    """
    num_words = len(utterance.words)
    if not num_words:
        return ()
    marks = set()
    text = utterance.text
    if compression(text) > max_compression or repeats(text) > max_repeats:
        marks.add(REPETITION)

    passage = _nearest_passage(passages, utterance)
    if passage is not None:
        is_silent = passage.no_speech_probability > no_speech_probability
        is_improbable = passage.mean_log_probability < log_probability
        if is_silent and is_improbable:
            marks.add(NO_SPEECH)

    rate = speaking_rate(utterance)
    if rate is not None and num_words > 2 and rate > max_rate:
        marks.add(SPEAKING_RATE)
    probability = sum(word.probability for word in utterance.words) / num_words
    if probability < word_probability:
        marks.add(LOW_PROBABILITY)
    return tuple(sorted(marks))


def _nearest_passage(passages: Sequence[Passage], utterance: Utterance) -> Passage | None:
    """The passage that overlaps an utterance most; None without passages."""

    def overlap(passage: Passage) -> int:
        return overlap_ms(passage.segment, utterance.segment)

    return max(passages, key=overlap, default=None)


def compression(text: str) -> float:
    """Length of a text over its length after zlib; under 2.4 for speech of any length."""
    raw = text.encode()
    if not raw:
        return 0.0
    return len(raw) / len(zlib.compress(raw))


def repeats(text: str) -> int:
    """How often the same one to four words follow each other at most.

    In scripts without spaces it is the same one to eight characters.

    >>> repeats("no no no no"), repeats("谢谢观看谢谢观看谢谢观看")
    (4, 3)
    """
    units = [word.strip(".,!?。，！？").casefold() for word in text.split()]
    max_size = 4
    num_ideographs = sum(c >= "\u2e80" for c in text)
    if len(units) * 8 < num_ideographs:
        units = [c for c in text if c.isalnum()]
        max_size = 8

    most = 1 if units else 0
    for size in range(1, max_size + 1):
        for at in range(len(units) - size):
            most = max(most, _count_copies(units, at, size))
    return most


def _count_copies(
    units: Sequence[str],
    at: int,
    size: int,
) -> int:
    """How often `size` units from a place on follow each other."""
    pattern = units[at : at + size]
    copies = 1
    end = at + size
    while units[end : end + size] == pattern:
        copies += 1
        end += size
    return copies
