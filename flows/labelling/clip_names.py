"""What the files of clips are called: so voxdata knows its own in the media folder."""

from __future__ import annotations

import re

_CLIP = re.compile(r"(?P<key>[0-9a-f]{32})(-[0-9a-f]{12})?(-\d+-\d+)?\.wav")


def clip_key(name: str) -> str | None:
    """The key of the clip that a file of this name holds; None when voxdata calls no clip so.

    >>> clip_key(f"{'0a' * 16}-0123456789ab.wav") == "0a" * 16
    True
    >>> clip_key("hold-music.wav") is None
    True
    """
    found = _CLIP.fullmatch(name)
    return found["key"] if found else None
