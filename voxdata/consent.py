"""Consent: what a recording may be used for, as its manifest says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

CONSENT = "consent"
PURPOSES = "purposes"
UNTIL = "consent_until"
"""Names under which manifests say whether consent was given, for what, and until when."""

NAMES = frozenset({CONSENT, PURPOSES, "purpose", UNTIL})
"""All of them, in small letters."""

GIVEN = frozenset({"yes", "true", "1", "y", "given", "granted", "full"})
REFUSED = frozenset(
    {
        "no",
        "false",
        "0",
        "n",
        "refused",
        "withdrawn",
        "revoked",
        "denied",
        "none",
    }
)

Policy = Literal["required", "unless_refused"]
"""Whether a recording that says nothing about consent may be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What somebody agreed to.

    Attributes:
        given: None when nobody said.
        purposes: What for, in small letters; empty means anything.
        until: The last day it holds; None when it does not end.
        problem: What in the manifest cannot be understood; such a recording is not used.
    """

    given: bool | None = None
    purposes: frozenset[str] = field(default_factory=frozenset)
    until: date | None = None
    problem: str = ""


def read_consent(metadata: Mapping[str, str]) -> Consent:
    """Understand the metadata of a recording; names and values in any case.

    >>> sorted(read_consent({"consent": "yes", "purposes": "training; evaluation"}).purposes)
    ['evaluation', 'training']
    """
    cells = {name.casefold(): value.strip() for name, value in metadata.items()}
    answer = cells.get(CONSENT, "").casefold()
    if answer and answer not in GIVEN | REFUSED:
        return Consent(problem=f"consent {cells[CONSENT]!r} is neither yes nor no")

    until = None
    last_day = cells.get(UNTIL)
    if last_day:
        try:
            until = date.fromisoformat(last_day[:10])
        except ValueError:
            return Consent(problem=f"consent_until {last_day!r} is no date such as 2027-01-31")

    purposes = cells.get(PURPOSES) or cells.get("purpose", "")
    return Consent(
        given=answer in GIVEN if answer else None,
        purposes=_split_purposes(purposes),
        until=until,
    )


def count_problems(rows: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """What cannot be understood in the consent of recordings -> in how many, most frequent first.

    >>> count_problems([{"consent": "oui"}, {"consent": "yes"}, {"consent": "oui"}])
    {"consent 'oui' is neither yes nor no": 2}
    """
    problems = Counter(read_consent(row).problem for row in rows)
    del problems[""]
    by_count = sorted(problems, key=lambda problem: (-problems[problem], problem))
    return {problem: problems[problem] for problem in by_count}


def why_not(
    consent: Consent,
    *,
    purpose: str,
    today: date,
    policy: Policy,
) -> str:
    """Why a recording may not be used for a purpose; "" when it may.

    Args:
        purpose: Such as "training"; "" asks for consent alone.
    """
    if consent.problem:
        return consent.problem
    if consent.given is False:
        return "consent was refused"
    if consent.given is None and policy == "required":
        return "nobody said that consent was given"
    if consent.until is not None and consent.until < today:
        return f"consent ended on {consent.until.isoformat()}"
    if purpose and consent.purposes and purpose.casefold() not in consent.purposes:
        covered = ", ".join(sorted(consent.purposes))
        return f"consent is for {covered}, not for {purpose}"
    return ""


def _split_purposes(text: str) -> frozenset[str]:
    """The purposes of a cell, as a JSON list or divided by commas, semicolons or blanks."""
    if text.startswith("["):
        try:
            listed = json.loads(text)
        except ValueError:
            listed = None
        if isinstance(listed, list):
            return frozenset(str(part).strip().casefold() for part in listed)
    parts = re.split(r"[,;|、，；\s]+", text)
    return frozenset(part.casefold() for part in parts if part)
