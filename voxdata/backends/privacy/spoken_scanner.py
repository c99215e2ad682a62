"""Personal data in what was said on the phone: rules that know spoken forms, phonenumbers, a
packaged model of English names.

Presidio was tried and left: its patterns expect written text (of spoken numbers and addresses it
finds none), and importing it costs ten seconds and 200 MB in every worker (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from voxdata.backends.privacy.birth_dates import find_birth_dates
from voxdata.backends.privacy.person_names import find_names
from voxdata.backends.privacy.private_addresses import find_addresses
from voxdata.backends.privacy.private_numbers import find_numbers
from voxdata.backends.privacy.private_secrets import find_secrets
from voxdata.backends.privacy.spelled_words import find_spelled
from voxdata.backends.privacy.spoken_emails import find_emails
from voxdata.backends.privacy.spoken_forms import digits_view
from voxdata.backends.weights import revision
from voxdata.identity import ModelRef
from voxdata.ports import PrivateText

RULES = 4
"""Raised when a rule changes."""


class SpokenScanner:
    """The PrivacyScanner port.

    Names are found in English by a model, in Chinese by a dictionary, in six more languages only
    where people introduce themselves or are addressed with a title. Numbers, e-mail addresses and
    cards are found in any language written in digits; as words in English, Chinese, French, Spanish
    and German.
    """

    @property
    def model(self) -> ModelRef:
        """What is running."""
        libraries = {name: version(name) for name in ("phonenumbers", "rjieba", "spacy")}
        weights = revision(
            "names-en.config",
            "names-en.vectors",
            "names-en.ner",
            "names-en.moves",
            "names-en.tokenizer",
        )
        return ModelRef(
            name="spoken/personal-data",
            revision=weights,
            params={"rules": RULES, **libraries},
        )

    def scan(self, text: str, *, language: str) -> list[PrivateText]:
        """See `PrivacyScanner.scan`."""
        view = digits_view(text, language=language)
        return join_overlapping(
            [
                *find_numbers(view, text, language=language),
                *find_birth_dates(view),
                *find_addresses(view, language=language),
                *find_emails(text),
                *find_secrets(text),
                *find_spelled(text),
                *find_names(text, language=language),
            ]
        )


def join_overlapping(found: Iterable[PrivateText]) -> list[PrivateText]:
    """One span where several overlap, with the kind of the surest, of equals the longest.

    They are sorted by start.
    """
    out: list[PrivateText] = []
    for span in sorted(found, key=lambda s: (s.start, s.end, s.kind)):
        if out and span.start < out[-1].end:
            last = out.pop()
            best = max((last, span), key=lambda s: (s.score, s.end - s.start))
            span = PrivateText(
                kind=best.kind,
                start=last.start,
                end=max(last.end, span.end),
                score=best.score,
            )
        out.append(span)
    return out
