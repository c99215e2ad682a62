"""What a file is, told by how it begins, as far as searching it goes."""

from __future__ import annotations

import zlib
from enum import StrEnum

HEAD = 512
"""Bytes from the start of a file that tell what it is."""


class Kind(StrEnum):
    """A file whose bytes do not show what it holds, and how it is read."""

    DUCKDB = "DuckDB"
    SQLITE = "SQLite"
    PARQUET = "Parquet"
    ARROW = "Arrow"
    ARROW_STREAM = "Arrow stream"
    ORC = "ORC"
    ZIP = "zip"
    TAR = "tar"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"
    LZMA = "lzma"
    ZSTD = "zstd"
    LZ4 = "lz4"
    BROTLI = "brotli"
    ZLIB = "zlib"


_BEGINS = {
    b"SQLite format 3\x00": Kind.SQLITE,
    b"PAR1": Kind.PARQUET,
    b"ARROW1": Kind.ARROW,
    b"FEA1": Kind.ARROW,
    b"ORC": Kind.ORC,
    b"PK\x03\x04": Kind.ZIP,
    b"PK\x05\x06": Kind.ZIP,
    b"\x1f\x8b\x08": Kind.GZIP,
    b"\xfd7zXZ\x00": Kind.XZ,
    b"\x28\xb5\x2f\xfd": Kind.ZSTD,
    b"\x04\x22\x4d\x18": Kind.LZ4,
    b"\xff\xff\xff\xff": Kind.ARROW_STREAM,
}
_MAY_BE_CHANCE = {
    Kind.ORC: (".orc",),
    Kind.ARROW_STREAM: (".arrow", ".arrows"),
    Kind.ZLIB: (".zz", ".zlib"),
}
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
_SUFFIXES = {".br": Kind.BROTLI, ".lzma": Kind.LZMA, ".tar": Kind.TAR, ".zip": Kind.ZIP}

UNREADABLE = {
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"LZIP\x01": "lzip",
    b"\x1f\x9d": "compress",
    b"\x1f\xa0": "compress",
    b"\x89LZO": "lzop",
    b"MSCF\x00": "cabinet",
    b"xar!": "xar",
    b"hsqs": "squashfs",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"Obj\x01": "Avro",
    b"%PDF-": "PDF",
    b"Salted__": "encrypted",
    b"age-encryption.org": "encrypted",
    b"LUKS\xba\xbe": "encrypted",
    b"-----BEGIN PGP MESSAGE": "encrypted",
    b"PACK\x00\x00\x00": "git pack",
    b"\xff\x06\x00\x00sNaPpY": "Snappy",
    b"VTXF": "Vortex",
}
"""How files begin that compress or encrypt what they hold, and that no library at hand reads."""

UNREADABLE_SUFFIXES = {
    ".lance": "Lance",
    ".7z": "7-Zip",
    ".rar": "RAR",
    ".gpg": "encrypted",
    ".pgp": "encrypted",
    ".ldb": "LevelDB",
    ".sst": "RocksDB",
    ".blosc": "Blosc",
    ".zarr": "Zarr",
}


def detect(head: bytes, name: str) -> Kind | None:
    """What a file is; None when its bytes show all that it holds, as far as one can tell.

    Args:
        head: Its first `HEAD` bytes, or fewer when it has fewer.
    """
    for begin, kind in _BEGINS.items():
        if head.startswith(begin):
            return kind
    if head[:3] == b"BZh" and head[4:10] in _BZIP2_BLOCKS:
        return Kind.BZIP2
    if head[8:12] == b"DUCK" and head[14:20] == bytes(6):
        return Kind.DUCKDB
    if head[257:262] == b"ustar":
        return Kind.TAR
    if _is_zlib(head):
        return Kind.ZLIB
    return _SUFFIXES.get(_suffix(name)) if head else None


def unreadable(head: bytes, name: str) -> str | None:
    """What a file is that nobody here can read; None when that is not so."""
    for begin, reason in UNREADABLE.items():
        if head.startswith(begin):
            return reason
    if head.startswith(b"PARE") and _suffix(name) == ".parquet":
        return "encrypted"
    return UNREADABLE_SUFFIXES.get(_suffix(name)) if head else None


def may_be_chance(kind: Kind, name: str) -> bool:
    """Whether a file that cannot be read as `kind` is something else that begins alike: some begin
    with few bytes that say little.
    """
    return kind in _MAY_BE_CHANCE and _suffix(name) not in _MAY_BE_CHANCE[kind]


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2].lower() if "." in name else ""


def _is_zlib(head: bytes) -> bool:
    if len(head) < 3 or head[0] != 0x78 or int.from_bytes(head[:2], "big") % 31:
        return False
    try:
        return bool(zlib.decompressobj().decompress(head, 1))
    except zlib.error:
        return False
