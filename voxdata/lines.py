"""Lines of text: they end at a line feed alone."""

from __future__ import annotations


def split_lines(text: str) -> list[str]:
    r"""The lines of a text, without their ends.

    A carriage return before a line feed belongs to the end.
    `str.splitlines` also cuts at U+2028, form feeds and their like, which may stand inside what
    somebody said.

    >>> split_lines("one\u2028two\r\nthree\x0bfour\n")
    ['one\u2028two', 'three\x0bfour']
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]
