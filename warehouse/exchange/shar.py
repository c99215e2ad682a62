"""Lhotse Shar: cuts and their recordings side by side, read by
`lhotse.CutSet.from_shar(in_dir=FOLDER / split)`.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Literal

import soundfile  # type: ignore[import-untyped]

from voxdata.dataset import Example
from voxdata.ports import MODEL_RATE_HZ
from warehouse.exchange.bundle import Bundle, FolderFormat
from warehouse.exchange.webdataset import SHARD_EXAMPLES, add_bytes


def write_shar(bundle: Bundle, folder: Path) -> None:
    """`<split>/cuts.<number>.jsonl.gz` with one supervision a cut, and
    `<split>/recording.<number>.tar` with FLAC; times in seconds.
    """
    rows = bundle.rows()
    for split, examples in bundle.splits():
        place = folder / split.value
        place.mkdir()
        for number, start in enumerate(range(0, len(examples), SHARD_EXAMPLES)):
            shard = examples[start : start + SHARD_EXAMPLES]
            cuts = []
            with tarfile.open(
                place / f"recording.{number:06d}.tar", "w", format=tarfile.PAX_FORMAT
            ) as tar:
                for example in shard:
                    clip = bundle.clip(example)
                    num_samples = soundfile.info(io.BytesIO(clip)).frames
                    add_bytes(tar, f"{example.utterance_id}.flac", clip)
                    add_bytes(
                        tar,
                        f"{example.utterance_id}.json",
                        json.dumps(_recording(example, "memory", num_samples)).encode(),
                    )
                    cuts.append(_cut(bundle, example, rows[example.utterance_id], num_samples))
            _write_gzip(place / f"cuts.{number:06d}.jsonl.gz", cuts)


def _recording(
    example: Example, kind: Literal["shar", "memory"], num_samples: int
) -> dict[str, object]:
    return {
        "id": example.utterance_id,
        "sources": [{"type": kind, "channels": [0], "source": ""}],
        "sampling_rate": MODEL_RATE_HZ,
        "num_samples": num_samples,
        "duration": num_samples / MODEL_RATE_HZ,
        "channel_ids": [0],
    }


def _cut(
    bundle: Bundle, example: Example, row: dict[str, object], num_samples: int
) -> dict[str, object]:
    recording = _recording(example, "shar", num_samples)
    supervision = {
        "id": example.utterance_id,
        "recording_id": example.utterance_id,
        "start": 0.0,
        "duration": recording["duration"],
        "channel": 0,
        "text": example.text,
        "language": example.language,
        "speaker": example.voice,
        "custom": {**bundle.labels(example), "row": row},
    }
    return {
        "id": example.utterance_id,
        "start": 0.0,
        "duration": recording["duration"],
        "channel": 0,
        "supervisions": [supervision],
        "recording": recording,
        "custom": {"voxdata_version_id": bundle.version.version_id},
        "type": "MonoCut",
    }


def _write_gzip(path: Path, rows: list[dict[str, object]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


SHAR = FolderFormat(write=write_shar)
