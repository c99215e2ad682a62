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
    counts: defaultdict[str, Counter[Split]] = defaultdict(Counter)
    names = {e.utterance_id: _name(scheme, e.text) if scheme in e.gold else "" for e in examples}
    for example in examples:
        if names[example.utterance_id]:
            counts[names[example.utterance_id]][example.split] += 1
    places = {
        name: fixed.get(name)
        or max(
            found,
            key=lambda split: (
                found[split] / max(ratios.get(split, 0), 1e-9),
                digest(seed, name, split.value),
            ),
        )
        for name, found in counts.items()
    }
    kept, num_taken = [], 0
    for example in examples:
        if places.get(names[example.utterance_id], example.split) is example.split:
            kept.append(example)
            continue
        num_taken += 1
        gold = {name: label for name, label in example.gold.items() if name != scheme}
        if gold:
            kept.append(replace(example, gold=gold))
    return Separated(examples=tuple(kept), places=places, num_taken=num_taken)


def _name(scheme: str, text: str) -> str:
    phrase = phrase_of(text)
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
    kept = "".join(c if c.isalnum() else "" if c in "'’" else " " for c in folded)
    words = kept.split()
    num_words = sum(max(1, sum(_is_ideograph(c) for c in word)) for word in words)
    return " ".join(words) if num_words >= PHRASE_WORDS else ""


def _is_ideograph(character: str) -> bool:
    return (
        unicodedata.category(character) == "Lo" and unicodedata.east_asian_width(character) == "W"
    )
