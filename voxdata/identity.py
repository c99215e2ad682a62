"""Deterministic identifiers: the same content always gets the same id."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

_DIGEST = re.compile("[0-9a-f]{32}")
_DRAW_DIGITS = 13
_DRAW_RANGE = 16**13


def digest(*parts: str | int) -> str:
    """First 128 bits of the SHA-256 over the parts, as 32 hex characters.

    Parts are joined by the unit separator, so ("ab", "c") and ("a", "bc") differ.
    """
    content = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def is_digest(text: str) -> bool:
    """Whether a text has the form that `digest` gives: 32 small hexadecimal digits.

    >>> is_digest("0" * 32), is_digest("../" + "0" * 29)
    (True, False)
    """
    return _DIGEST.fullmatch(text) is not None


def draw(key: str, purpose: str) -> float:
    """A number in [0, 1) that is always the same for one key and purpose.

    Numbers for different purposes are independent.
    """
    digits = digest(purpose, key)[:_DRAW_DIGITS]
    return int(digits, 16) / _DRAW_RANGE


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(
        value,
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """Which model made a result: its name, the revision of its weights, and its parameters.

    It has no slots, since `key` is computed once.

    Attributes:
        name: For people, such as "pyannote/segmentation-3.0+cam++".
        revision: Changes whenever the weights do (a content hash or a hub revision).
        params: What else decides the output; JSON values only.
        weak: True for rules and zero-shot stand-ins that no one trained for this scheme.
    """

    name: str
    revision: str
    params: Mapping[str, object] = field(default_factory=dict)
    weak: bool = False

    @cached_property
    def key(self) -> str:
        """Hash over name, revision and parameters: the identity of the computation."""
        return digest(self.name, self.revision, canonical_json(dict(self.params)))
