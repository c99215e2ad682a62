"""E-mail addresses, written or spoken: "john dot smith at gmail dot com", "j o h n 42 at acme.de",
"wang 艾特 qq 点 com".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from voxdata.backends.privacy.spoken_forms import digits_view
from voxdata.ports import PrivateText

_WRITTEN = re.compile(
    r"(?<![\w.+-])[\w.+-]++ ?@ ?[\w-]++(?:(?:\.| (?:dot|punkt|point|punto|点) )[\w-]++)++",
    re.IGNORECASE,
)
_TOP = (
    r"(?:com|net|org|edu|gov|info|io|co|uk|us|eu|de|fr|es|it|nl|ch|at|be|ca|au|in|jp|cn|hk|tw|sg)"
)
_DOT = r"(?:\s{0,3}(?:dot|punkt|point|punto|点)\s{0,3}|\.)"
_DOMAIN = re.compile(
    rf"(?<![a-z])(?:at|@|艾特|arobase|arroba|ät)\s{{0,3}}+"
    rf"(?P<name>[a-z0-9-]{{1,63}}(?: [a-z0-9-]{{1,63}})?)"
    rf"(?P<dot>{_DOT}){_TOP}(?!\w)(?:{_DOT}{_TOP}(?!\w))?",
    re.IGNORECASE,
)
"""A part of a domain has at most 63 characters."""

_RUN_TOGETHER = re.compile(
    rf"(?<![\w.-])(?:[\w.-]{{1,60}}|\w{{1,40}} (?:or|and|that) )"
    rf"(?:gmail|hotmail|icloud|gmx|protonmail)\.{_TOP}(?!\w)",
    re.IGNORECASE,
)
"""A transcriber may write a spoken address as one word: nobody's web page is at
www.janegmail.com.
"""
_FREE_MAIL = re.compile(
    r"gmail|g mail|hotmail|yahoo|outlook|icloud|proton|gmx|qq|163|126|live|aol|foxmail|mail",
    re.IGNORECASE,
)
_CONTEXT = re.compile(r"e-?mail|\bmail|邮箱|邮件|correo|courriel", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9]++(?:[._+'-][A-Za-z0-9]++)*+|[\u4e00-\u9fff]")
_JOINERS = frozenset(
    {
        "dot",
        "underscore",
        "dash",
        "hyphen",
        "minus",
        "plus",
        "点",
        "punkt",
        "point",
        "punto",
        "unterstrich",
        "bindestrich",
        "tiret",
        "guion",
        "guión",
    }
)
_SITES = frozenset({"www.gmail", "www.hotmail", "www.icloud", "www.gmx", "mail.gmx", "mail.gmail"})
_LONGEST_NAME = 240
"""Characters that a name spoken letter by letter may take."""
_STOP = frozenset(
    {
        "is",
        "its",
        "it's",
        "my",
        "to",
        "on",
        "the",
        "email",
        "mail",
        "address",
        "me",
        "us",
        "him",
        "her",
        "you",
        "at",
        "and",
        "send",
        "in",
        "write",
    }
)


def find_emails(text: str) -> Iterator[PrivateText]:
    """E-mail addresses; a web address after "at" is taken for one only where mail is spoken of, or
    its dot is spoken.
    """
    for match in _WRITTEN.finditer(text):
        yield PrivateText(
            kind="email",
            start=match.start(),
            end=match.end(),
            score=1.0,
        )
    for match in _RUN_TOGETHER.finditer(text):
        if match[0].lower().rpartition(".")[0] not in _SITES:
            yield PrivateText(
                kind="email",
                start=match.start(),
                end=match.end(),
                score=0.7,
            )
    spoken_of = _CONTEXT.search(text) is not None
    for match in _DOMAIN.finditer(text):
        from_start = max(0, match.start() - _LONGEST_NAME)
        start = from_start + _local_start(text[from_start : match.start()])
        mail = match["dot"].strip() != "." or _FREE_MAIL.search(match["name"]) or spoken_of
        if mail and start < match.start():
            yield PrivateText(
                kind="email",
                start=start,
                end=match.end(),
                score=0.95,
            )


def _local_start(before: str) -> int:
    """Where the name begins that ends `before`; its length when there is none."""
    words = list(_WORD.finditer(before))
    if (
        not words
        or words[-1][0].lower() in _STOP
        or "\u4e00" <= words[-1][0] <= "\u9fff"
        or before[words[-1].end() :].strip()
    ):
        return len(before)
    at = len(words) - 1
    while at > 0:
        here, prior = words[at][0], words[at - 1][0]
        if prior.lower() in _JOINERS and at > 1:
            at -= 2
        elif (
            prior.lower() not in _STOP
            and _is_short(here)
            and (_is_short(prior) or prior[0].isascii())
        ):
            at -= 1
        else:
            break
    return words[at].start()


def _is_short(word: str) -> bool:
    """A letter that is spelled, or a number."""
    return len(word) == 1 or digits_view(word).text.isdigit()
