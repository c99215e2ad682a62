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
    used: Mapping[str, Counter[str]],
    schemes: Sequence[Scheme],
    *,
    origin: str,
) -> list[str]:
    """Make sure that labels are those of the workspace's schemes, for training.

    Args:
        used: Scheme -> label -> how many rows have it.
        origin: What is being imported, for messages.

    Returns:
        A remark for each scheme that the workspace does not have: its labels are taken as they are.

    Raises:
        SchemeError: A scheme lacks a label, has a name that cannot be one, or two labels look the
            same.
    """
    by_name = {scheme.name: scheme for scheme in schemes}
    remarks = []
    for name, labels in sorted(used.items()):
        if not SCHEME_NAME.fullmatch(name):
            remedy = "choose a name of letters, digits and _"
            raise SchemeError(f"{origin}: a scheme cannot be called {name!r}; {remedy}")
        _check_label_forms(labels, scheme=name, origin=origin)
        if name in by_name:
            _check_labels(labels, by_name[name], origin=origin)
            continue
        remark = (
            f"scheme {name!r} is not in voxdata.toml, so nothing can be trained on it yet; "
            f"its labels are taken as they are: {_some(sorted(labels))}"
        )
        remarks.append(remark)
    return remarks


def _check_label_forms(
    labels: Iterable[str],
    *,
    scheme: str,
    origin: str,
) -> None:
    alike: dict[str, str] = {}
    for label in sorted(labels):
        if not label.strip() or len(label.splitlines()) > 1:
            raise SchemeError(
                f"{origin}: scheme {scheme!r} has a blank label or one with a line break "
                f"({label!r}); name it otherwise"
            )
        other = alike.setdefault(name_key(label), label)
        if other != label:
            raise SchemeError(
                f"{origin}: labels {other!a} and {label!a} of scheme {scheme!r} look the same; "
                "make them one"
            )


def _check_labels(
    labels: Counter[str],
    scheme: Scheme,
    *,
    origin: str,
) -> None:
    unknown = sorted(set(labels) - set(scheme.label_names))
    if not unknown:
        return
    named = []
    for label in unknown:
        resembled = _resembles(label, scheme.label_names)
        named.append(f"{label!r} ({labels[label]} row(s){resembled})")
    raise SchemeError(
        f"{origin}: scheme {scheme.name!r} of voxdata.toml lacks {_first_of(named)}; it "
        f"has {', '.join(scheme.label_names)}. "
        "Add them there and raise its version, or import under another scheme; of a table, "
        "--rename OLD=NEW maps a label. "
        "Nothing was imported"
    )


def _resembles(label: str, names: Sequence[str]) -> str:
    """The scheme's label that may be meant, in words; "" for none."""
    folded = {name.casefold().strip(): name for name in names}
    close = difflib.get_close_matches(
        label.casefold().strip(),
        folded,
        n=1,
        cutoff=0.7,
    )
    if not close:
        return ""
    return f", perhaps {folded[close[0]]!r}"


def count_labels(examples: Iterable[Example]) -> dict[str, Counter[str]]:
    """Scheme -> label -> rows that name it as gold or in the votes behind it."""
    used: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        for scheme, gold in example.gold.items():
            named = {gold.label, *gold.distribution, *gold.posterior}
            used[scheme].update(named)
    return dict(used)


def check_voices(places: Iterable[tuple[str, Split]], *, origin: str) -> None:
    """Make sure that nobody is on two sides of a split.

    Args:
        places: A voice and where an example of it belongs; names that look the same are one voice.

    Raises:
        WarehouseError: Somebody is.
    """
    splits_of: defaultdict[str, set[Split]] = defaultdict(set)
    spelling: dict[str, str] = {}
    for voice, split in sorted(set(places)):
        key = name_key(voice)
        splits_of[key].add(split)
        spelling.setdefault(key, voice)

    torn = [spelling[key] for key, splits in splits_of.items() if len(splits) > 1]
    torn.sort()
    if torn:
        raise WarehouseError(
            f"{origin}: {len(torn)} voice(s) in two splits: {_some(torn)}; put each into one "
            "(`voxdata audit` shows more). "
            "Nothing was imported"
        )


def _some(names: Sequence[str]) -> str:
    return _first_of([repr(name) for name in names])


def _first_of(parts: Sequence[str]) -> str:
    """The first SHOWN, and how many more there are."""
    listed = ", ".join(parts[:SHOWN])
    if len(parts) <= SHOWN:
        return listed
    return f"{listed} and {len(parts) - SHOWN} more"
