"""Schemes: closed, versioned sets of labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from voxdata.errors import SchemeError

Choice = Literal["one", "many", "ranked"]
"""How many labels a person may choose.

Exactly one, several of equal standing, or a main one and a second choice.
"""

RATING_STEPS = 5
"""A scale is rated 1..RATING_STEPS."""

SECOND = "second"
"""The row for the second choice of a ranked scheme; no scale may be called that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeLabel:
    """One label of a scheme.

    Attributes:
        name: What is stored; any Unicode text without line breaks.
        description: Shown to annotators.
        examples: Phrases that carry this label; the cold-start intent model compares with them.
        valence: Unpleasant -1 ... pleasant +1; places an emotion for the cold-start emotion model.
        arousal: Calm -1 ... excited +1.
        shown: Language -> what annotators see instead of `name`, such as {"zh": "退款"}.
        group: Heading that the label is shown under; "" for none. Not stored with an annotation.
    """

    name: str
    description: str = ""
    examples: tuple[str, ...] = ()
    valence: float | None = None
    arousal: float | None = None
    shown: Mapping[str, str] = field(default_factory=dict)
    group: str = ""

    def shown_name(self, language: str) -> str:
        """What annotators of that language see."""
        return self.shown.get(language, self.name)


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A closed label set, such as intent or emotion.

    Attributes:
        name: Such as "intent"; names the column in a dataset version.
        version: Raised by hand whenever a label is added, renamed or removed.
        title: Shown to annotators.
        shown: Language -> the title that annotators of that language see instead, such as
            {"zh": "说话人想要什么？"}.
        labels: In the order shown, except that labels of one group stand together.
        choice: How many labels a person may choose.
        scales: What is rated 1..5 beside the labels, such as "intensity", or "valence" and
            "arousal".

    Raises:
        SchemeError: Fewer than two labels, a blank name, the same name twice (also as shown in one
            language), an unknown choice, or a scale that is not a name or stands there twice.
    """

    name: str
    version: int
    labels: tuple[SchemeLabel, ...]
    title: str = ""
    choice: Choice = "one"
    scales: tuple[str, ...] = ()
    shown: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_names()
        for language in sorted(set[str]().union(*(label.shown for label in self.labels))):
            self._check_shown_names(language)
        for language, title in sorted(self.shown.items()):
            if _is_blank(title):
                raise SchemeError(
                    f"scheme {self.name!r}: its title is blank or has a line break in {language!r}"
                )
        choices = get_args(Choice)
        if self.choice not in choices:
            raise SchemeError(
                f"scheme {self.name!r}: choice = {self.choice!r} is none of {', '.join(choices)}"
            )
        self._check_scales()

    def _check_names(self) -> None:
        names = self.label_names
        if len(names) < 2:
            raise SchemeError(f"scheme {self.name!r} needs at least two labels")
        if len(set(names)) != len(names):
            raise SchemeError(f"scheme {self.name!r} names a label twice: {sorted(names)}")
        if any(map(_is_blank, names)):
            raise SchemeError(f"scheme {self.name!r} has a blank label or one with a line break")

    def _check_shown_names(self, language: str) -> None:
        name_of: dict[str, str] = {}
        for label in self.labels:
            shown = label.shown_name(language)
            if _is_blank(shown):
                raise SchemeError(
                    f"scheme {self.name!r}: label {label.name!r} is shown blank "
                    f"or with a line break in {language!r}"
                )
            first_name = name_of.setdefault(shown, label.name)
            if first_name != label.name:
                raise SchemeError(
                    f"scheme {self.name!r}: {first_name!r} and {label.name!r} "
                    f"are both shown as {shown!r} in {language!r}; "
                    "people could not distinguish them"
                )

    def _check_scales(self) -> None:
        for scale in self.scales:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", scale) or scale == SECOND:
                raise SchemeError(
                    f"scheme {self.name!r}: a scale cannot be called {scale!r}; "
                    "use lower-case letters, digits and _"
                )
        if len(set(self.scales)) != len(self.scales):
            raise SchemeError(f"scheme {self.name!r} names a scale twice: {', '.join(self.scales)}")

    def shown_title(self, language: str) -> str:
        """What annotators of that language see above the labels."""
        return self.shown.get(language) or self.title or self.name

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels, in the order shown."""
        return tuple(label.name for label in self.labels)

    @property
    def groups(self) -> dict[str, tuple[SchemeLabel, ...]]:
        """Labels under each heading, in order of first appearance; "" holds those without one."""
        groups: dict[str, list[SchemeLabel]] = {}
        for label in self.labels:
            groups.setdefault(label.group, []).append(label)
        return {group: tuple(labels) for group, labels in groups.items()}

    def arrange(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Labels that one person chose, in the form they are stored.

        They are checked, none stands twice, and those of a "many" scheme stand in its order.

        >>> labels = (SchemeLabel(name="calm"), SchemeLabel(name="sad"))
        >>> emotion = Scheme(name="emotion", version=1, labels=labels, choice="many")
        >>> emotion.arrange(["sad", "calm", "sad"])
        ('calm', 'sad')

        Raises:
            SchemeError: A label that is not of this scheme, or more of them than `choice` allows.
        """
        chosen = tuple(dict.fromkeys(self.require(label) for label in labels))
        most = {"one": 1, "many": len(self.labels), "ranked": 2}[self.choice]
        if len(chosen) > most:
            raise SchemeError(
                f"scheme {self.name!r} takes at most {most} label(s) of a person, "
                f"not {', '.join(chosen)}"
            )
        if self.choice != "many":
            return chosen
        return tuple(name for name in self.label_names if name in chosen)

    def require(self, label: str) -> str:
        """Return `label`, or raise SchemeError when it is not of this scheme."""
        if label not in self.label_names:
            raise SchemeError(
                f"{label!r} is not a label of scheme {self.name!r} v{self.version}; "
                f"it has: {', '.join(self.label_names)}"
            )
        return label


def _is_blank(text: str) -> bool:
    """Whether a screen cannot show a text on its line: it is blank, or has a line break."""
    return not text.strip() or "\n" in text


def find_scheme(schemes: Sequence[Scheme], name: str) -> Scheme:
    """The scheme of that name.

    Raises:
        SchemeError: There is none; the message lists those there are.
    """
    for scheme in schemes:
        if scheme.name == name:
            return scheme
    defined = ", ".join(scheme.name for scheme in schemes) or "none"
    raise SchemeError(f"no scheme is called {name!r}; voxdata.toml defines: {defined}")
