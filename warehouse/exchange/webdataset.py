"""WebDataset: tar shards of clips with their labels, read by `webdataset.WebDataset`."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from warehouse.exchange.bundle import Bundle, FolderFormat

SHARD_EXAMPLES = 2_000


def write_webdataset(bundle: Bundle, folder: Path) -> None:
    """`<split>-<number>.tar`, for each utterance `<id>.flac` and `<id>.json`, which is its row in
    the flat table.
    """
    rows = bundle.rows()
    for split, examples in bundle.splits():
        for number, start in enumerate(range(0, len(examples), SHARD_EXAMPLES)):
            with tarfile.open(
                folder / f"{split.value}-{number:06d}.tar", "w", format=tarfile.PAX_FORMAT
            ) as tar:
                for example in examples[start : start + SHARD_EXAMPLES]:
                    row = json.dumps(rows[example.utterance_id], ensure_ascii=False, sort_keys=True)
                    add_bytes(tar, f"{example.utterance_id}.flac", bundle.clip(example))
                    add_bytes(tar, f"{example.utterance_id}.json", row.encode())


def add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file whose header says nothing about when and by whom it was written."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    tar.addfile(info, io.BytesIO(content))


WEBDATASET = FolderFormat(write=write_webdataset)
