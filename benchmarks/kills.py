"""Kill pre-labelling at random moments, compare with an undisturbed run: python -m benchmarks.kills
[--files N] [--kills K] [--real].

Recordings are Asterisk prompts and RAVDESS clips with `--real` (the default models; needs
VOXDATA_CORPORA), else short synthetic bursts with the fake backends of voxdata/testing, so that
hundreds of files take a minute.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]

from benchmarks.speech_corpus import find_corpus
from flows.place import FILE_NAME
from flows.workspace import open_workspace
from warehouse.rows import read_rows

FAKE = """
[diarizer]
backend = "voxdata.testing.backends:FakeDiarizer"
[transcriber]
backend = "voxdata.testing.backends:FakeTranscriber"
[privacy]
scanner = ""
mask = false
[quality]
mos = ""
"""
COMMON = """
[prelabel]
workers = 2
batch_minutes = {minutes}
[[schemes]]
name = "intent"
version = 1
cold_start = "{labeler}"
labels = [
  {{ name = "ask", examples = ["can you tell me"] }},
  {{ name = "tell", examples = ["it is done"] }},
]
[training]
schemes = []
"""
TABLES = {
    "recording": "* exclude (created_at, run_id, seq)",
    "source": "* exclude (created_at, run_id, seq)",
    "turn": "* exclude (created_at, run_id, seq)",
    "transcript": "* exclude (created_at, run_id, seq)",
    "utterance": "* exclude (created_at, run_id, seq)",
    "measure": "* exclude (created_at, run_id, seq)",
    "private_span": "* exclude (created_at, run_id, seq)",
    "speaker_embedding": "* exclude (created_at, run_id, seq)",
    "voice_event": "* exclude (created_at, run_id, seq)",
    "prediction": "* exclude (created_at, run_id, seq)",
    "ledger": "* exclude (created_at, run_id, seq)",
    "fingerprint": "* exclude (created_at, run_id, seq)",
    "near_duplicate": "* exclude (created_at, run_id, seq)",
    "stage_result": "* exclude (created_at, run_id, seq, seconds)",
}
"""What is compared: every column but times, run ids and row numbers."""


def main() -> int:
    """Run, kill, finish, compare; exit code 1 when a table differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = compare(
            Path(folder),
            files=chosen.files,
            kills=chosen.kills,
            seed=chosen.seed,
            real=chosen.real,
        )
    print(json.dumps(outcome, indent=2))
    return 0 if outcome["equal"] else 1


def compare(
    folder: Path,
    *,
    files: int,
    kills: int,
    seed: int,
    real: bool,
) -> dict[str, object]:
    """Run once undisturbed and once with kills, on the same files."""
    calls = folder / "calls"
    calls.mkdir()
    _make_calls(calls, files, real=real)
    calm = folder / "calm"
    shaken = folder / "shaken"
    for workspace in (calm, shaken):
        workspace.mkdir()
        labeler = "similarity" if real else "voxdata.testing.backends:FakeLabeler"
        text = ("" if real else FAKE) + COMMON.format(minutes=1.0 if real else 0.2, labeler=labeler)
        (workspace / FILE_NAME).write_text(text, encoding="utf-8")
    began = time.monotonic()
    _start(calm, calls).wait()
    whole_s = time.monotonic() - began
    killed = _shake(
        shaken,
        calls,
        kills=kills,
        whole_s=whole_s,
        seed=seed,
    )
    done = _start(shaken, calls).wait()
    tables = {name: (_table(calm, name), _table(shaken, name)) for name in TABLES}
    return {
        "files": files,
        "backends": "the default models" if real else "fakes",
        "kills": killed,
        "undisturbed_s": round(whole_s, 1),
        "exit_code_of_the_last_run": done,
        "equal": all(a == b for a, b in tables.values()),
        "rows": {name: len(a) for name, (a, _) in tables.items()},
        "sha256": {
            name: hashlib.sha256("\n".join(a).encode()).hexdigest()[:16]
            for name, (a, _) in tables.items()
        },
        "differ": [name for name, (a, b) in tables.items() if a != b],
    }


def _shake(
    workspace: Path,
    calls: Path,
    *,
    kills: int,
    whole_s: float,
    seed: int,
) -> int:
    rng = random.Random(seed)
    killed = 0
    for _ in range(kills):
        process = _start(workspace, calls)
        try:
            # Starting takes some seconds, so that about half of the kills come while there is work
            # in flight.
            process.wait(timeout=rng.uniform(0.5, max(10.0, 3 * whole_s / kills)))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
    return killed


def _start(workspace: Path, calls: Path) -> subprocess.Popen[bytes]:
    voxdata = [sys.executable, "-m", "flows.cli", "--dir", str(workspace)]
    script = " && ".join(
        " ".join([*voxdata, *words]) for words in (["ingest", str(calls)], ["prelabel"])
    )
    return subprocess.Popen(
        ["bash", "-c", script],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _table(workspace: Path, name: str) -> list[str]:
    with open_workspace(workspace).warehouse() as con:
        rows = read_rows(con, f"select {TABLES[name]} from {name}")
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)


def _make_calls(folder: Path, files: int, *, real: bool) -> None:
    if not real:
        for number in range(files):
            rng = np.random.default_rng(number)
            burst_size = 8_000 + 1_600 * (number % 5)
            parts = []
            for _ in range(1 + number % 3):
                parts += [rng.normal(0, 0.1, burst_size), np.zeros(16_000)]
            soundfile.write(
                folder / f"{number:04d}.wav",
                np.concatenate(parts),
                16_000,
                subtype="PCM_16",
            )
        return
    paths: list[Path] = []
    for name in ("asterisk_en", "ravdess"):
        corpus = find_corpus(name)
        if corpus:
            paths += sorted(corpus.rglob("*.flac"))
    if len(paths) < files:
        raise SystemExit(f"--real needs {files} recordings; VOXDATA_CORPORA has {len(paths)}")
    for number, path in enumerate(random.Random(0).sample(paths, files)):
        shutil.copyfile(path, folder / f"{number:04d}.flac")


if __name__ == "__main__":
    sys.exit(main())
