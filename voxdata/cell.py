"""One cell of a table as text, and what counts as no value."""

from __future__ import annotations

import json
import math
import re
from typing import Literal

Kind = Literal["words", "label", "name", "other"]
"""The content of a column.

Words that somebody said (or a language); a label; a name, number or time; anything.
"""

NOT_A_NUMBER = frozenset(
    {
        "nan",
        "NaN",
        "NAN",
        "-nan",
        "-NaN",
        "+nan",
        "+NaN",
        "<NA>",
        "NaT",
        "#N/A",
        "#NA",
        "#N/A N/A",
        "1.#QNAN",
        "-1.#QNAN",
        "1.#IND",
        "-1.#IND",
    }
)
"""How programs spell a missing number in text. "Nan", a name, is none of them."""

NOBODY = NOT_A_NUMBER | {"None", "NULL", "null", "Null", "N/A", "n/a", "\\N"}
"""What stands for nothing where a name or a number is wanted.

Elsewhere "null" may be a German digit, and "none" a label.
"""

_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def cell_text(value: object, kind: Kind = "other") -> str | None:
    """A cell as text; None where there is no value: null, NaN, nothing but blanks.

    A whole number is written without a decimal point, since 7.0 is what tables make of 7 when other
    rows have no number.

    >>> cell_text(7.0), cell_text("7.0", "name"), cell_text("007", "name")
    ('7', '7', '007')
    >>> cell_text(float("nan")), cell_text("NaN", "name"), cell_text("nan", "words")
    (None, None, 'nan')
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _from_text(value.strip(), kind)
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, bytes | bytearray):
        return None
    if isinstance(value, dict | list | tuple):
        return json.dumps(
            value,
            ensure_ascii=False,
            sort_keys=True,
            default=str,
        )
    return _from_text(str(value).strip(), kind)


def _from_text(text: str, kind: Kind) -> str | None:
    if not text:
        return None
    if kind == "words":
        return text
    if kind != "name":
        return None if text in NOT_A_NUMBER else text
    if text in NOBODY:
        return None
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def cell_number(text: str) -> float | None:
    """A finite number as people write it, in any digits; None for anything else.

    >>> cell_number("0.25"), cell_number("1_000"), cell_number("soon")
    (0.25, None, None)
    """
    if "_" in text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
