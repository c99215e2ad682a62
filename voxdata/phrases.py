"""Phrases: what several people say in the same words.

A model of intent that was trained on a phrase knows its label by heart.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voxdata.dataset import Split
from voxdata.identity import digest

if TYPE_CHECKING:
    import polars as pl

PHRASE_WORDS = 4
"""What is shorter is said by everybody.

Holding it back from all splits but one would empty the others of it.
"""


_APOSTROPHES = str.maketrans("", "", "'’")


@dataclass(frozen=True, slots=True, kw_only=True)
class Separated:
    """Rows of a draft of which no phrase is in two splits.

    Attributes:
        rows: Without the labels that were taken away; those left without any label are gone.
        places: Columns name, of a phrase, and split: the one that keeps it.
        num_taken: Labels taken away.
    """

    rows: pl.DataFrame
    places: pl.DataFrame
    num_taken: int


def separate_phrases(
    rows: pl.DataFrame,
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
        rows: Of `voxdata.draft.Draft`; of the scheme the columns label/SCHEME and gold/SCHEME.
        fixed: Name of a phrase -> the split it was given before.
        ratios: Wanted shares.
        seed: Decides among equals.
    """
    import polars as pl

    texts = rows["text"].unique()
    phrases = pl.DataFrame(
        {"text": texts, "phrase": [_name(text, scheme) for text in texts]},
        schema={"text": pl.String, "phrase": pl.String},
    )
    is_labelled = pl.col(f"label/{scheme}").is_not_null()
    named = rows.join(phrases, on="text", maintain_order="left").with_columns(
        phrase=pl.when(is_labelled).then("phrase")
    )
    counts: defaultdict[str, Counter[Split]] = defaultdict(Counter)
    spread = named.drop_nulls("phrase").group_by("phrase", "split").len().sort("phrase", "split")
    for phrase, split, number in spread.iter_rows():
        counts[phrase][Split(split)] = number

    def choose_split(name: str) -> Split:
        def fullness(split: Split) -> tuple[float, str]:
            ratio = max(ratios.get(split, 0), 1e-9)
            return counts[name][split] / ratio, digest(seed, name, split.value)

        return fixed.get(name) or max(counts[name], key=fullness)

    homes = {name: choose_split(name).value for name in counts}
    places = pl.DataFrame(
        {"name": list(homes), "split": list(homes.values())},
        schema={"name": pl.String, "split": pl.String},
    )
    homes_of = places.select(phrase="name", home="split")
    placed = named.join(
        homes_of,
        on="phrase",
        how="left",
        maintain_order="left",
    )
    is_away = (pl.col("home") != pl.col("split")).fill_null(False)
    own = [f"label/{scheme}", f"gold/{scheme}"]
    taken = placed.with_columns(pl.when(~is_away).then(name).alias(name) for name in own)
    labels = [name for name in rows.columns if name.startswith("label/")]
    kept = taken.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in labels))
    return Separated(
        rows=kept.select(rows.columns),
        places=places,
        num_taken=placed.select(is_away.sum()).item(),
    )


def _name(text: str, scheme: str) -> str | None:
    """The name of the phrase that a text is; None when it is too short to be one."""
    phrase = phrase_of(text)
    return f"phrase/{scheme}/{digest(phrase)}" if phrase else None


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
