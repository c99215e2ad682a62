"""Text of a table: UTF-8, packed or not."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from voxdata.errors import ConfigError

_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT = 4_096


def read_bytes(path: Path) -> bytes:
    """A file's content, unpacked when its name ends in .gz or it begins like such a file.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        raw = path.read_bytes()
        is_packed = path.suffix.lower() == ".gz" or raw[:2] == _GZIP
        return gzip.decompress(raw) if is_packed else raw
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file; name a manifest") from error
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{path}: cannot be read ({why}); make it readable") from error


def decode_text(raw: bytes, path: Path) -> str:
    """Text in UTF-8, with or without a byte order mark.

    Raises:
        ConfigError: It is in another encoding; says which line, and how to convert it.
    """
    begin = raw[:_LOOKED_AT]
    if begin[:2] in _UTF16 or b"\0" in begin:
        remedy = "save the file as UTF-8 (`iconv -f UTF-16 -t UTF-8`)"
        raise ConfigError(f"{path}: line 1 is UTF-16 text, or no text at all; {remedy}")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        remedy = (
            "save the file as UTF-8 (`iconv -f OLD -t UTF-8`, where OLD is such as CP1252 or GBK)"
        )
        raise ConfigError(f"{path}: line {line} is not UTF-8 text; {remedy}") from error
    if "\n" not in text and "\r" in text.strip("\r"):
        remedy = "save it with line feeds (LF or CRLF)"
        raise ConfigError(f"{path}: its lines end with a carriage return alone; {remedy}")
    return text


def read_text(path: Path) -> str:
    """The text of a file: `read_bytes`, then `decode_text`."""
    return decode_text(read_bytes(path), path)
