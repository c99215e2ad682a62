"""What other packages add by entry points."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType


def outside_parts(group: str) -> Mapping[str, str]:
    """Name -> "module:VALUE" of what installed packages add to a group.

    Every installed package is read for it, so once in a process for each search path.
    """
    return _scan(group, tuple(sys.path))


@cache
def _scan(group: str, _search_path: tuple[str, ...]) -> Mapping[str, str]:
    # Here, since a command that asks for no part of others should not pay for the import.
    from importlib.metadata import entry_points

    return MappingProxyType({entry.name: entry.value for entry in entry_points(group=group)})
