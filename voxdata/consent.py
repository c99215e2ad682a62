"""Consent: what a recording may be used for, as its manifest says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

CONSENT, PURPOSES, UNTIL = "consent", "purposes", "consent_until"
"""Names under which manifests say whether consent was given, for what, and until when."""

GIVEN = frozenset({"yes", "true", "1", "y", "given", "granted", "full"})
REFUSED = frozenset({"no", "false", "0", "n", "refused", "withdrawn", "revoked", "denied", "none"})

Policy = Literal["required", "unless_refused"]
"""Whether a recording that says nothing about consent may be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What somebody agreed to.

    Attributes:
        given: None when nobody said.
        purposes: What for, in small letters; empty means anything.
        until: The last day it holds; None without end.
        problem: What in the manifest cannot be understood; such a recording is not used.
    """

    given: bool | None = None
    purposes: frozenset[str] = field(default_factory=frozenset)
    until: date | None = None
    problem: str = ""


def read_consent(metadata: Mapping[str, str]) -> Consent:
    """Understand the metadata of a recording; names and values in any case.

    >>> read_consent({"consent": "yes", "purposes": "training; evaluation"}).purposes == {"training", "evaluation"}
    True
    """
    said = {name.casefold(): value.strip() for name, value in metadata.items()}
    word = said.get(CONSENT, "").casefold()
    if word and word not in GIVEN | REFUSED:
        return Consent(problem=f"consent {said[CONSENT]!r} is neither yes nor no")
    until = None
    if said.get(UNTIL):
        try:
            until = date.fromisoformat(said[UNTIL][:10])
        except ValueError:
            return Consent(problem=f"consent_until {said[UNTIL]!r} is no date such as 2027-01-31")
    return Consent(
        given=None if not word else word in GIVEN,
        purposes=_purposes(said.get(PURPOSES) or said.get("purpose", "")),
        until=until,
    )


def count_problems(rows: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """What cannot be understood in the consent of some recordings -> in how many of them, the most frequent first.

    >>> count_problems([{"consent": "oui"}, {"consent": "yes"}, {"consent": "oui"}])
    {"consent 'oui' is neither yes nor no": 2}
    """
    problems = Counter(consent.problem for consent in map(read_consent, rows))
    del problems[""]
    return dict(sorted(problems.items(), key=lambda pair: (-pair[1], pair[0])))


def why_not(consent: Consent, *, purpose: str, today: date, policy: Policy) -> str:
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
        return f"consent is for {', '.join(sorted(consent.purposes))}, not for {purpose}"
    return ""


def _purposes(text: str) -> frozenset[str]:
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, list):
            return frozenset(str(part).strip().casefold() for part in found)
    return frozenset(part.casefold() for part in re.split(r"[,;|、，；\s]+", text) if part)
