"""What a manifest states of whoever speaks in a recording: sex, age, dialect and language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SEX = ("sex", "gender")
AGE = ("age_band", "age_group", "age")
DIALECT = ("dialect", "accent", "accents")
LANGUAGE = ("language", "lang", "locale")
"""What manifests call it, in small letters; the first that is there counts."""

NAMES = frozenset({*SEX, *AGE, *DIALECT, *LANGUAGE})
"""All of them."""

_SEXES = {"f": "female", "woman": "female", "m": "male", "man": "male"}
_OLDEST = 120
_BAND_YEARS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a manifest states; "" where it says nothing.

    Attributes:
        sex: In small letters; "f" and "m" are written out.
        age_band: Ten years, such as "40-49", when an age was stated; else as stated.
        dialect: As stated.
        language: As stated.
    """

    sex: str = ""
    age_band: str = ""
    dialect: str = ""
    language: str = ""


def read_stated(metadata: Mapping[str, str]) -> Stated:
    """Understand the metadata of a recording; names in any case.

    >>> read_stated({"Gender": "F", "age": "43"})
    Stated(sex='female', age_band='40-49', dialect='', language='')
    """
    cells = {name.casefold(): value.strip() for name, value in metadata.items()}
    sex = _first(cells, SEX).casefold()
    return Stated(
        sex=_SEXES.get(sex, sex),
        age_band=_age_band(_first(cells, AGE)),
        dialect=_first(cells, DIALECT),
        language=_first(cells, LANGUAGE),
    )


def _first(cells: Mapping[str, str], names: tuple[str, ...]) -> str:
    stated = [cells[name] for name in names if cells.get(name)]
    return stated[0] if stated else ""


def _age_band(age: str) -> str:
    """An age in years as a band, which says less of a person; anything else as it is."""
    if not age.isascii() or not age.isdigit() or int(age) > _OLDEST:
        return age
    start = int(age) // _BAND_YEARS * _BAND_YEARS
    return f"{start}-{start + _BAND_YEARS - 1}"
