"""Tally: add up values that count."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Tally = TypeVar("Tally", bound="DataclassInstance")


def add_up(first: Tally, second: Tally) -> Tally:
    """The sum of two values of one dataclass, field by field: numbers are added, tuples joined.

    >>> from voxdata.ports import QueueCounts
    >>> add_up(QueueCounts(clips=1, annotations=2), QueueCounts(clips=3, annotations=0))
    QueueCounts(clips=4, annotations=2)
    """
    names = [field.name for field in fields(first)]
    sums: dict[str, Any] = {name: getattr(first, name) + getattr(second, name) for name in names}
    return replace(first, **sums)
