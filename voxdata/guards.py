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
    """Tell what makes the text of an utterance doubtful.

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
    if not utterance.words:
        return ()
    marks = set()
    if compression(utterance.text) > max_compression or repeats(utterance.text) > max_repeats:
        marks.add(REPETITION)
    heard = max(passages, key=lambda p: overlap_ms(p.segment, utterance.segment), default=None)
    if (
        heard is not None
        and heard.no_speech_probability > no_speech_probability
        and heard.mean_log_probability < log_probability
    ):
        marks.add(NO_SPEECH)
    rate = speaking_rate(utterance)
    if rate is not None and len(utterance.words) > 2 and rate > max_rate:
        marks.add(SPEAKING_RATE)
    if sum(word.probability for word in utterance.words) / len(utterance.words) < word_probability:
        marks.add(LOW_PROBABILITY)
    return tuple(sorted(marks))


def compression(text: str) -> float:
    """Length of a text over its length after zlib; under 2.4 for speech of any length."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0


def repeats(text: str) -> int:
    """How often the same one to four words follow each other at most; in scripts without spaces, the same one to eight characters.

    >>> repeats("no no no no"), repeats("谢谢观看谢谢观看谢谢观看")
    (4, 3)
    """
    words = [word.strip(".,!?。，！？").casefold() for word in text.split()]
    unspaced = len(words) * 8 < sum(c >= "\u2e80" for c in text)
    units = [c for c in text if c.isalnum()] if unspaced else words
    longest = 1 if units else 0
    for size in range(1, 9 if unspaced else 5):
        for at in range(len(units) - size):
            copies = 1
            while units[at + copies * size : at + (copies + 1) * size] == units[at : at + size]:
                copies += 1
            longest = max(longest, copies)
    return longest
