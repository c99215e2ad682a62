"""Sound without a header: decoders guess what it is from the suffix, at a rate nobody wrote down.

Here nothing is guessed: what its content does not tell is refused, with the way to wrap it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from voxdata.errors import AudioError, DropReason

_SIGNED = frozenset(
    {
        "aac",
        "ac3",
        "aiff",
        "amr",
        "ape",
        "asf",
        "au",
        "avi",
        "caf",
        "dsf",
        "dts",
        "eac3",
        "flac",
        "flv",
        "matroska,webm",
        "mov,mp4,m4a,3gp,3g2,mj2",
        "mp3",
        "mpc",
        "mpc8",
        "mpeg",
        "mpegts",
        "nistsphere",
        "ogg",
        "tta",
        "voc",
        "w64",
        "wav",
        "wv",
    }
)
"""Formats that are known by their content whatever the file is called."""

_FIXED = frozenset(
    {
        "g722",
        "g723_1",
        "g728",
        "g729",
        "gsm",
        "dfpwm",
        "sln",
        "sbc",
        "adp",
        "afc",
        "yop",
        "daud",
    }
)
"""Raw formats whose rate is part of their definition."""


_BY_SUFFIX = {
    **dict.fromkeys(("al", "alaw", "pcma"), "alaw"),
    **dict.fromkeys(("ul", "ulaw", "mulaw", "pcmu"), "mulaw"),
    **dict.fromkeys(("u8", "ub"), "u8"),
    **dict.fromkeys(("s8", "sb"), "s8"),
    **dict.fromkeys(("f32", "f32le"), "f32le"),
    "g726": "g726",
    "s24le": "s24le",
    "s32le": "s32le",
}
"""What raw sound with such a suffix most likely is, for the command that people are given."""


class PatchedFile:
    """A file without a name, some bytes of which read as they should be.

    Args:
        patch: Offset -> bytes that stand there instead.
    """

    def __init__(
        self,
        path: Path,
        patch: Mapping[int, bytes] | None = None,
    ) -> None:
        self._file = path.open("rb")
        self._patch = dict(patch or {})

    def read(self, count: int = -1) -> bytes:
        """The next bytes."""
        at = self._file.tell()
        content = self._file.read(count)
        for offset, changed in self._patch.items():
            begin = max(offset, at)
            end = min(offset + len(changed), at + len(content))
            if begin < end:
                before = content[: begin - at]
                middle = changed[begin - offset : end - offset]
                after = content[end - at :]
                content = before + middle + after
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As files do."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As files do."""
        return self._file.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


class HeaderlessError(AudioError):
    """The file is sound without a header: no other reader may guess either."""


def require_signature(path: Path, found: av.ContainerFormat) -> None:
    """Make sure that it was the content of a file that told its format.

    Raises:
        HeaderlessError: It was the suffix alone: the file has no header.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if found.name in _SIGNED or suffix not in found.extensions:
        return
    try:
        with PatchedFile(path) as content, av.open(content, metadata_errors="replace") as container:
            if container.format.name == found.name:
                return
    except (av.FFmpegError, OSError, ValueError):
        pass
    raise HeaderlessError(
        f"{path}: is sound without a header, {found.name} by its suffix alone, "
        "at a rate that only people know; "
        f"wrap it in a WAV file and ingest that: {wrap_command(path, found.name)}",
        reason=DropReason.NOT_AUDIO,
    )


def wrap_command(path: Path, raw_format: str) -> str:
    """The command that gives raw sound a header.

    Args:
        raw_format: As FFmpeg names it; "" when only people know.

    >>> wrap_command(Path("call 7.al"), "alaw")
    "ffmpeg -f alaw -ar 8000 -ac 1 -i 'call 7.al' 'call 7.wav'"
    >>> wrap_command(Path("call.ulaw"), "")
    'ffmpeg -f mulaw -ar 8000 -ac 1 -i call.ulaw call.wav'
    """
    suffix = path.suffix.lower().removeprefix(".")
    raw_format = raw_format or _BY_SUFFIX.get(suffix, "")
    rate = [] if raw_format in _FIXED else ["-ar", "8000", "-ac", "1"]
    wrapped = path.stem + (".wrapped.wav" if path.suffix.lower() == ".wav" else ".wav")
    return shlex.join(["ffmpeg", "-f", raw_format or "s16le", *rate, "-i", path.name, wrapped])
