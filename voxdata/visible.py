"""Text as a terminal may show it.

What a file is called, or somebody said, moves no cursor, hides nothing and turns no line around.
"""

from __future__ import annotations

import re

_HIDDEN = re.compile(
    "["
    # Control characters but tab and line feed; the escape of terminals is one.
    "\x00-\x08\x0b-\x1f\x7f-\x9f"
    # Those that turn the direction of writing, or are not seen.
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    # Those that end lines where nothing else does, or are not seen.
    "\u2028\u2029\ufeff\ufff9-\ufffb"
    # Bytes of a file name that are no UTF-8.
    "\ud800-\udfff"
    "]"
)


def visible(text: str) -> str:
    r"""The text with everything that a terminal would act on, or not show, as an escape.

    >>> visible("call\x1b[2J.wav"), visible("gpj\u202e.wav"), visible("\udcff")
    ('call\\x1b[2J.wav', 'gpj\\u202e.wav', '\\xff')
    """
    return _HIDDEN.sub(_escape, text)


def visible_json(text: str) -> str:
    r"""JSON that says the same with every such character escaped; what is read from it is exact.

    >>> print(visible_json('"gpj\u202e.wav"'))
    "gpj\u202e.wav"
    """
    return _HIDDEN.sub(_escape_in_json, text)


def _escape_in_json(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
