"""Roles: what a trained model is for. For each role one model at a time is in use."""

from __future__ import annotations

TRANSCRIBE = "transcribe"
"""The role of a model that puts speech into words."""

_LABEL = "label:"


def label_role(scheme: str) -> str:
    """The role of a model that proposes the labels of a scheme.

    >>> label_role("intent")
    'label:intent'
    """
    return f"{_LABEL}{scheme}"


def scheme_of(role: str) -> str:
    """The scheme whose labels a role proposes; "" for another role.

    >>> scheme_of("label:intent"), scheme_of("transcribe")
    ('intent', '')
    """
    return role.removeprefix(_LABEL) if role.startswith(_LABEL) else ""
