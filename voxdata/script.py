"""The script of Chinese: one for a whole transcript.

A transcriber may mix simplified and traditional characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from voxdata.segment import overlap_ms
from voxdata.utterance import Passage, Transcript, Word

CHINESE = frozenset({"zh", "yue"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How Chinese is to be written.

    Attributes:
        name: "simplified" or "traditional".
        revision: The revision of what converts; part of the key of what is cut.
        convert: Text in any script -> text in this one.
    """

    name: str
    revision: str
    convert: Callable[[str], str]


def write_in_script(transcript: Transcript, script: Script) -> Transcript:
    """Write the Chinese of a transcript in one script.

    Other languages, also Japanese, stay as they are.

    Words keep their times. Each run of Chinese words is converted as one text, since the right
    character may depend on its neighbours, and is cut at the old places.
    """
    runs = groupby(transcript.words, key=lambda word: _is_chinese(word, transcript.passages))
    words: list[Word] = []
    for chinese, run in runs:
        words += _convert(run, script) if chinese else run
    return replace(transcript, words=tuple(words))


def _convert(run: Iterable[Word], script: Script) -> list[Word]:
    words = list(run)
    heard = "".join(word.text for word in words)
    written = script.convert(heard)
    if len(written) != len(heard):
        # Where a phrase has another length in the other script, its words are converted apart.
        return [replace(word, text=script.convert(word.text)) for word in words]
    converted: list[Word] = []
    start = 0
    for word in words:
        stop = start + len(word.text)
        converted.append(replace(word, text=written[start:stop]))
        start = stop
    return converted


def _is_chinese(word: Word, passages: Sequence[Passage]) -> bool:
    """Whether the passage that covers most of a word, or the nearest, is Chinese."""
    if not passages:
        return False

    def closeness(passage: Passage) -> tuple[int, int]:
        distance_ms = abs(word.segment.start_ms - passage.segment.start_ms)
        return overlap_ms(word.segment, passage.segment), -distance_ms

    return max(passages, key=closeness).language in CHINESE
