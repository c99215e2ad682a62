"""What lies in compressed files and archives, whatever lies in it in turn."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast

import pyarrow as pa  # type: ignore[import-untyped]

from flows.forget.kinds import Kind
from flows.forget.tables import UnreadError

ARCHIVES = frozenset({Kind.ZIP, Kind.TAR})
STREAMS = frozenset(
    {Kind.GZIP, Kind.BZIP2, Kind.XZ, Kind.LZMA, Kind.ZSTD, Kind.LZ4, Kind.BROTLI, Kind.ZLIB}
)

DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,  # how zipfile refuses a method of packing that it does not know
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
    pa.ArrowException,
)
"""What the libraries raise about a file that is damaged, encrypted, or packed in a way they do not
know.
"""

_ENCRYPTED = 1


def open_stream(kind: Kind, file: IO[bytes]) -> IO[bytes]:
    """What a compressed file holds, to be read from its start."""
    if kind is Kind.GZIP:
        return cast(IO[bytes], gzip.open(file))
    if kind is Kind.BZIP2:
        return cast(IO[bytes], bz2.open(file))
    if kind in (Kind.XZ, Kind.LZMA):
        return cast(IO[bytes], lzma.open(file))
    if kind is Kind.ZLIB:
        return cast(IO[bytes], _Inflated(file))
    return cast(IO[bytes], pa.CompressedInputStream(pa.PythonFile(file, mode="r"), str(kind)))


def open_members(kind: Kind, file: IO[bytes]) -> Iterator[tuple[str, IO[bytes] | None]]:
    """(name, content) of everything in an archive; None for what has no content, such as a folder.

    Raises:
        UnreadError: A member is encrypted.
    """
    if kind is Kind.ZIP:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                if entry.flag_bits & _ENCRYPTED:
                    raise UnreadError(f"{entry.filename} in it is encrypted")
                with archive.open(entry) as content:
                    yield f"{entry.filename}\n{entry.comment.decode('utf-8', 'replace')}", content
        return
    with tarfile.open(fileobj=file, mode="r:", ignore_zeros=True) as bundle:
        for member in bundle:
            names = [member.name, member.linkname, *member.pax_headers.values()]
            yield "\n".join(names), bundle.extractfile(member) if member.isfile() else None


class _Inflated:
    """A zlib stream as a file that is read forward."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._inflate = file, zlib.decompressobj()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; b"" at the end."""
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._file.read(1 << 16)
            content: Any = self._inflate.decompress(packed, max(size, 0))
            if content:
                return bytes(content)
            if not packed:
                raise EOFError("it ends too early")
        return b""
