"""The context of a dataset version: what training may know of its utterances beside the examples.

It lies beside the manifest, as `context.jsonl`: a header in the first line, and in each further
line one utterance of the version's recordings, by utterance id. Examples have a line each, and so
have utterances without a gold label, which have a split all the same. Nothing of it is in a leaf,
so it may hold more in a later release and no root moves. Audio lies where the manifest says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from voxdata.context_row import ROW, ContextRow, decode_row, encode_row
from voxdata.durable import replacing
from voxdata.errors import ManifestError
from voxdata.identity import canonical_json
from voxdata.json_lines import Line, decode_line, read_lines
from voxdata.malformed import Readers, as_mapping
from voxdata.manifest import WHOLE, read_whole

FORMAT = "voxdata-context/1"
CONTEXT_FILE = "context.jsonl"
"""Its name, in the folder of the manifest."""

REMEDY = "train on the version again"
BATCH_SIZE = 1024

_MOST_ROWS = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextHeader:
    """The first line of a context.

    Attributes:
        version_id: Of the version, as in the manifest.
        left_out: Why utterances without a gold label are not in it -> how many.
        num_rows: Utterances in it.
        num_unlabelled: Those of them without a gold label.
        digest: SHA-256 over the header's other fields and all rows, 64 hex characters.
    """

    version_id: str
    left_out: Mapping[str, int] = field(default_factory=dict)
    num_rows: int = 0
    num_unlabelled: int = 0
    digest: str = ""


HEADER: Readers = {
    "format": (str, "text"),
    "version_id": (str, "text"),
    "left_out": (as_mapping, "numbers by reason"),
    "num_rows": WHOLE,
    "num_unlabelled": WHOLE,
    "digest": (str, "text"),
}
"""The fields of the first line."""


def context_path(manifest: Path) -> Path:
    """Where the context of a manifest lies, if it has one: runs of earlier releases have none."""
    return manifest.with_name(CONTEXT_FILE)


def write_context(
    path: Path, rows: Iterable[ContextRow], *, version_id: str, left_out: Mapping[str, int]
) -> ContextHeader:
    """Write atomically, row by row.

    Args:
        rows: Sorted by utterance id.
        left_out: See `ContextHeader`.

    Returns:
        The header as it was written.
    """
    begun = ContextHeader(version_id=version_id, left_out=left_out)
    longest = replace(begun, num_rows=_MOST_ROWS, num_unlabelled=_MOST_ROWS, digest="0" * 64)
    width = len(_header_line(longest))
    num_rows = num_unlabelled = 0
    content = hashlib.sha256()
    with replacing(path) as file:
        file.write(b" " * width)  # the digest is known at the end
        for row in rows:
            line = _row_line(row)
            content.update(line)
            file.write(line)
            num_rows += 1
            num_unlabelled += not row.is_labelled
        counted = replace(begun, num_rows=num_rows, num_unlabelled=num_unlabelled)
        header = replace(counted, digest=_seal(counted, content.hexdigest()))
        file.seek(0)
        file.write(_header_line(header).removesuffix(b"\n").ljust(width - 1) + b"\n")
    return header


def read_context_header(path: Path) -> ContextHeader:
    """Read the first line alone.

    Raises:
        ManifestError: Missing, of another format, or its first line is malformed.
    """
    return _read_header(path, read_lines(path, remedy=REMEDY))


def read_context(path: Path, *, batch_size: int = BATCH_SIZE) -> Iterator[tuple[ContextRow, ...]]:
    """Read the rows in batches, so that a file may be longer than the memory.

    Whether all of it is as it was written is known after the last batch.

    Args:
        batch_size: Rows of a batch, at least 1; the last one may have fewer.

    Raises:
        ManifestError: Missing, of another format, malformed in the line named, or not as it was
            written.
    """
    lines = read_lines(path, remedy=REMEDY)
    header = _read_header(path, lines)
    content = hashlib.sha256()
    num_rows = num_unlabelled = 0
    rows = _read_rows(path, lines, content)
    while batch := tuple(islice(rows, batch_size)):
        num_rows += len(batch)
        num_unlabelled += sum(not row.is_labelled for row in batch)
        yield batch
    found = replace(header, num_rows=num_rows, num_unlabelled=num_unlabelled, digest="")
    digest = _seal(found, content.hexdigest())
    if digest != header.digest:
        raise ManifestError(
            f"{path}: its {num_rows} rows give {digest[:12]}, "
            f"its header says {header.num_rows} and {header.digest[:12]}; {REMEDY}"
        )


def _read_rows(path: Path, lines: Iterable[Line], content: Any) -> Iterator[ContextRow]:
    """The rows of the lines, which are put into a hash as well."""
    for line in lines:
        content.update(line.text.encode() + b"\n")
        yield decode_line(path, line, decode_row, ROW, remedy=REMEDY)


def _read_header(path: Path, lines: Iterator[Line]) -> ContextHeader:
    decode = partial(_decode_header, path)
    return decode_line(path, next(lines), decode, HEADER, remedy=REMEDY)


def _decode_header(path: Path, row: Any) -> ContextHeader:
    if row["format"] != FORMAT:
        raise ManifestError(f"{path}: format {row['format']!r}, this release reads {FORMAT!r}")
    left_out = {str(why): int(number) for why, number in row["left_out"].items()}
    return ContextHeader(
        version_id=str(row["version_id"]),
        left_out=left_out,
        num_rows=read_whole(row["num_rows"]),
        num_unlabelled=read_whole(row["num_unlabelled"]),
        digest=str(row["digest"]),
    )


def _encode_header(header: ContextHeader) -> dict[str, object]:
    return {"format": FORMAT, **asdict(header), "left_out": dict(sorted(header.left_out.items()))}


def _header_line(header: ContextHeader) -> bytes:
    return json.dumps(_encode_header(header), ensure_ascii=False).encode() + b"\n"


def _seal(header: ContextHeader, rows_digest: str) -> str:
    """The digest of a header that has none yet, with rows of this digest."""
    fields = canonical_json(_encode_header(header))
    return hashlib.sha256(f"{fields}\n{rows_digest}".encode()).hexdigest()


def _row_line(row: ContextRow) -> bytes:
    return json.dumps(encode_row(row), ensure_ascii=False).encode() + b"\n"
