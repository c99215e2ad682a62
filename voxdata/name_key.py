"""What two names have in common when they look the same, or nearly so.

Names are kept as written and compared by these keys.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import chain

_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
"""Characters that take no room.

Joiners, marks of direction, variation selectors, fillers and soft hyphens.
"""

_BLANK = re.compile(r"\s+")
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")


def name_key(name: str) -> str:
    r"""Equal for names that look the same.

    The name in NFC, without characters of no width, with plain single spaces.

    >>> name_key("Jose\u0301") == name_key("Jos\u200b\u00e9")
    True
    >>> name_key("007") == name_key("7")
    False
    """
    composed = unicodedata.normalize("NFC", name)
    visible = _UNSEEN.sub("", composed)
    # Once more: what stood between a letter and its accent is gone now.
    composed = unicodedata.normalize("NFC", visible)
    return _BLANK.sub(" ", composed).strip()


def loose_key(name: str) -> str:
    """Equal for names that may well be meant for one.

    Case, width, leading zeros, spaces, "_" and "-" are passed over.

    >>> loose_key("Agent 007") == loose_key("agent_7")
    True
    """
    plain = unicodedata.normalize("NFKC", name_key(name)).casefold()
    with_digits = "".join(map(_plain_digit, plain))
    without_zeros = _ZEROS.sub("", with_digits)
    return re.sub(r"[\s_\-]+", "", without_zeros) or with_digits


def _plain_digit(character: str) -> str:
    """A decimal digit of any script as 0 to 9; any other character as it is."""
    return str(unicodedata.decimal(character)) if character.isdecimal() else character


def unify_names(names: Iterable[str]) -> dict[str, str]:
    r"""Name -> the first spelling of those that look the same.

    >>> unify_names(["Jos\u00e9", "Jose\u0301"])["Jose\u0301"] == "Jos\u00e9"
    True
    """
    first: dict[str, str] = {}
    return {name: first.setdefault(name_key(name), name) for name in names}


def find_near_names(splits: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Names that differ only as `loose_key` passes over and that are not all in the same split.

    Args:
        splits: Name -> the splits it is in.

    Returns:
        Groups of names, each sorted.
    """
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for name in splits:
        groups[loose_key(name)].add(name)

    near_names: list[tuple[str, ...]] = []
    for group in groups.values():
        looks = {name_key(name) for name in group}
        touched = set(chain.from_iterable(splits[name] for name in group))
        if len(looks) > 1 and len(touched) > 1:
            near_names.append(tuple(sorted(group)))
    return sorted(near_names)
