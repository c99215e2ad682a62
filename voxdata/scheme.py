"""Schemes: closed, versioned sets of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voxdata.errors import SchemeError


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeLabel:
    """One label of a scheme.

    Attributes:
        name: What is stored; any Unicode text without line breaks.
        description: Shown to annotators.
        examples: Phrases that carry this label; the cold-start intent model compares with them.
        valence: Unpleasant -1 ... pleasant +1; places an emotion for the cold-start emotion model.
        arousal: Calm -1 ... excited +1.
    """

    name: str
    description: str = ""
    examples: tuple[str, ...] = ()
    valence: float | None = None
    arousal: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A closed label set, such as intent or emotion.

    Attributes:
        name: Such as "intent"; names the column in a dataset version.
        version: Raised by hand whenever a label is added, renamed or removed.
        title: Shown to annotators.
        labels: In the order shown.

    Raises:
        SchemeError: Fewer than two labels, a blank name, or the same name twice.
    """

    name: str
    version: int
    labels: tuple[SchemeLabel, ...]
    title: str = ""

    def __post_init__(self) -> None:
        names = self.label_names
        if len(names) < 2:
            raise SchemeError(f"scheme {self.name!r} needs at least two labels")
        if len(set(names)) != len(names):
            raise SchemeError(f"scheme {self.name!r} names a label twice: {sorted(names)}")
        if any(not name.strip() or "\n" in name for name in names):
            raise SchemeError(f"scheme {self.name!r} has a blank label or one with a line break")

    @property
    def label_names(self) -> tuple[str, ...]:
        """In the order shown."""
        return tuple(label.name for label in self.labels)

    def require(self, label: str) -> str:
        """Return `label`, or raise SchemeError when it is not of this scheme."""
        if label not in self.label_names:
            raise SchemeError(f"{label!r} is not a label of scheme {self.name!r} v{self.version}; it has: {', '.join(self.label_names)}")
        return label


def find_scheme(schemes: Sequence[Scheme], name: str) -> Scheme:
    """The scheme of that name.

    Raises:
        SchemeError: There is none; the message lists those there are.
    """
    for scheme in schemes:
        if scheme.name == name:
            return scheme
    raise SchemeError(f"no scheme is called {name!r}; voxdata.toml defines: {', '.join(s.name for s in schemes) or 'none'}")
