"""Lhotse Shar: cuts and their recordings side by side, read by `lhotse.CutSet.from_shar(in_dir=FOLDER / split)`."""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path

from flows.exchange.bundle import Bundle
from flows.exchange.webdataset import SHARD_EXAMPLES, add_bytes
from voxdata.canonical import read_clip
from voxdata.dataset import Example
from voxdata.ports import MODEL_RATE_HZ
from warehouse.export import flat_rows


def write_shar(bundle: Bundle, folder: Path) -> None:
    """`<split>/cuts.<number>.jsonl.gz` with one supervision a cut, and `<split>/recording.<number>.tar` with FLAC; times in seconds."""
    for split, examples in bundle.splits():
        place = folder / split.value
        place.mkdir()
        for number, start in enumerate(range(0, len(examples), SHARD_EXAMPLES)):
            shard = examples[start : start + SHARD_EXAMPLES]
            cuts = [_cut(bundle, example, row) for example, row in zip(shard, flat_rows(shard), strict=True)]
            _write_gzip(place / f"cuts.{number:06d}.jsonl.gz", cuts)
            with tarfile.open(place / f"recording.{number:06d}.tar", "w", format=tarfile.PAX_FORMAT) as tar:
                for example in shard:
                    clip = bundle.clip(example)
                    add_bytes(tar, f"{example.utterance_id}.flac", clip)
                    add_bytes(tar, f"{example.utterance_id}.json", json.dumps(_recording(bundle, example, clip)).encode())


def _recording(bundle: Bundle, example: Example, clip: bytes | None) -> dict[str, object]:
    num_samples = len(read_clip(bundle.audio_root / example.audio_file, channel=example.channel, segment=example.segment))
    source = {"type": "shar", "channels": [0], "source": ""} if clip is None else {"type": "memory", "channels": [0], "source": ""}
    return {
        "id": example.utterance_id,
        "sources": [source],
        "sampling_rate": MODEL_RATE_HZ,
        "num_samples": num_samples,
        "duration": num_samples / MODEL_RATE_HZ,
        "channel_ids": [0],
    }


def _cut(bundle: Bundle, example: Example, row: dict[str, object]) -> dict[str, object]:
    recording = _recording(bundle, example, None)
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
