"""What has to hold of examples from elsewhere before anything of them is written."""

from __future__ import annotations

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from voxdata.dataset import Example, Split
from voxdata.errors import SchemeError, WarehouseError
from voxdata.name_key import name_key
from voxdata.scheme import Scheme

SCHEME_NAME = re.compile(r"\w[\w-]*")
"""What a scheme of an export may be called: columns are, and in Kaldi folders files."""

SHOWN = 5
"""How many of several faults a message names."""


def check_schemes(
    used: Mapping[str, Counter[str]], schemes: Sequence[Scheme], *, origin: str
) -> list[str]:
    """Make sure that labels are those of the workspace's schemes, so that a version can be trained
    on.

    Args:
        used: Scheme -> label -> how many rows have it.
        origin: What is being imported, for messages.

    Returns:
        A remark for each scheme that the workspace does not have: its labels are taken as they are.

    Raises:
        SchemeError: A scheme lacks a label, has a name that cannot be one, or two labels look the
            same.
    """
    known = {scheme.name: scheme for scheme in schemes}
    remarks = []
    for name, labels in sorted(used.items()):
        if not SCHEME_NAME.fullmatch(name):
            raise SchemeError(
                f"{origin}: a scheme cannot be called {name!r}; choose a name of letters, digits and _"
            )
        _check_label_forms(labels, scheme=name, origin=origin)
        if name in known:
            _check_labels(labels, known[name], origin=origin)
        else:
            remarks.append(
                f"scheme {name!r} is not in voxdata.toml, so nothing can be trained on it yet; "
                f"its labels are taken as they are: {_some(sorted(labels))}"
            )
    return remarks


def _check_label_forms(labels: Iterable[str], *, scheme: str, origin: str) -> None:
    alike: dict[str, str] = {}
    for label in sorted(labels):
        if not label.strip() or len(label.splitlines()) > 1:
            raise SchemeError(
                f"{origin}: scheme {scheme!r} has a blank label or one with a line break ({label!r}); name it otherwise"
            )
        other = alike.setdefault(name_key(label), label)
        if other != label:
            raise SchemeError(
                f"{origin}: labels {other!a} and {label!a} of scheme {scheme!r} look the same; make them one"
            )


def _check_labels(labels: Counter[str], scheme: Scheme, *, origin: str) -> None:
    unknown = sorted(set(labels) - set(scheme.label_names))
    if not unknown:
        return
    named = [
        f"{label!r} ({labels[label]} row(s){_resembles(label, scheme.label_names)})"
        for label in unknown[:SHOWN]
    ]
    more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    raise SchemeError(
        f"{origin}: scheme {scheme.name!r} of voxdata.toml lacks {', '.join(named)}{more}; it "
        f"has {', '.join(scheme.label_names)}. "
        "Add them there and raise its version, or import under another scheme; of a table, "
        "--rename OLD=NEW maps a label. "
        "Nothing was imported"
    )


def _resembles(label: str, names: Sequence[str]) -> str:
    folded = {name.casefold().strip(): name for name in names}
    close = difflib.get_close_matches(label.casefold().strip(), folded, n=1, cutoff=0.7)
    return f", perhaps {folded[close[0]]!r}" if close else ""


def count_labels(examples: Iterable[Example]) -> dict[str, Counter[str]]:
    """Scheme -> label -> rows that name it as gold or in the votes behind it."""
    used: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        for scheme, gold in example.gold.items():
            used[scheme].update({gold.label, *gold.distribution, *gold.posterior})
    return dict(used)


def check_voices(places: Iterable[tuple[str, Split]], *, origin: str) -> None:
    """Make sure that nobody is on two sides of a split.

    Args:
        places: A voice and where an example of it belongs; names that look the same are one voice.

    Raises:
        WarehouseError: Somebody is.
    """
    splits: defaultdict[str, set[Split]] = defaultdict(set)
    names: dict[str, str] = {}
    for voice, split in sorted(set(places)):
        key = name_key(voice)
        splits[key].add(split)
        names.setdefault(key, voice)
    torn = sorted(names[key] for key, where in splits.items() if len(where) > 1)
    if torn:
        raise WarehouseError(
            f"{origin}: {len(torn)} voice(s) in two splits: {_some(torn)}; put each into one "
            "(`voxdata audit` shows more). "
            "Nothing was imported"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name) for name in names[:SHOWN]) + more
