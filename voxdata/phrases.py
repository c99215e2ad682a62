"""Phrases: what several people say in the same words.

A model of intent that was trained on a phrase knows its label by heart.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from voxdata.dataset import Example, Split
from voxdata.identity import digest

PHRASE_WORDS = 4
"""What is shorter is said by everybody.

Holding it back from all splits but one would empty the others of it.
"""


_APOSTROPHES = str.maketrans("", "", "'’")


@dataclass(frozen=True, slots=True, kw_only=True)
class Separated:
    """Examples of which no phrase is in two splits.

    Attributes:
        examples: Without the labels that were taken away; those left without any label are gone.
        places: Name of a phrase -> the split that keeps it.
        num_taken: Labels taken away.
    """

    examples: tuple[Example, ...]
    places: Mapping[str, Split]
    num_taken: int


def separate_phrases(
    examples: Sequence[Example],
    *,
    scheme: str,
    fixed: Mapping[str, Split],
    ratios: Mapping[Split, float],
    seed: int,
) -> Separated:
    """Let every phrase be labelled under a scheme in one split only.

    A phrase stays where it was first; a new one goes to the split that holds most of it, by the
    wanted shares. Elsewhere its examples lose their label under this scheme and keep those under
    others.

    Args:
        fixed: Name of a phrase -> the split it was given before.
        ratios: Wanted shares.
        seed: Decides among equals.
    """
    phrase_names: dict[str, str] = {}
    counts: defaultdict[str, Counter[Split]] = defaultdict(Counter)
    for example in examples:
        phrase_name = _name(example, scheme)
        phrase_names[example.utterance_id] = phrase_name
        if phrase_name:
            counts[phrase_name][example.split] += 1

    def choose_split(name: str) -> Split:
        def fullness(split: Split) -> tuple[float, str]:
            ratio = max(ratios.get(split, 0), 1e-9)
            return counts[name][split] / ratio, digest(seed, name, split.value)

        return fixed.get(name) or max(counts[name], key=fullness)

    places = {name: choose_split(name) for name in counts}
    kept: list[Example] = []
    num_taken = 0
    for example in examples:
        phrase_name = phrase_names[example.utterance_id]
        if places.get(phrase_name, example.split) is example.split:
            kept.append(example)
            continue
        num_taken += 1
        gold = {name: label for name, label in example.gold.items() if name != scheme}
        if gold:
            kept.append(replace(example, gold=gold))
    return Separated(
        examples=tuple(kept),
        places=places,
        num_taken=num_taken,
    )


def _name(example: Example, scheme: str) -> str:
    """The name of an example's phrase; "" for none, or without a label under the scheme."""
    if scheme not in example.gold:
        return ""
    phrase = phrase_of(example.text)
    return f"phrase/{scheme}/{digest(phrase)}" if phrase else ""


def phrase_of(text: str) -> str:
    """What two utterances have in common that say the same: no case, no punctuation.

    "" for what is too short to tell anything.

    >>> phrase_of("Where is my order?")
    'where is my order'
    >>> phrase_of("我想退款。")
    '我想退款'
    >>> phrase_of("Yes, please.")
    ''
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    joined = folded.translate(_APOSTROPHES)
    words = "".join(map(_letter_or_space, joined)).split()
    if sum(map(_count_words, words)) < PHRASE_WORDS:
        return ""
    return " ".join(words)


def _letter_or_space(character: str) -> str:
    return character if character.isalnum() else " "


def _count_words(word: str) -> int:
    """How many words stand between two spaces: an ideograph counts as one."""
    num_ideographs = sum(map(_is_ideograph, word))
    return max(1, num_ideographs)


def _is_ideograph(character: str) -> bool:
    is_letter = unicodedata.category(character) == "Lo"
    return is_letter and unicodedata.east_asian_width(character) == "W"
