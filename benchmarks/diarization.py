"""Diarization error rate, file by file, collar 0, overlap counted: python -m benchmarks.diarization
[--part real|tune|show] [--senko].

Real audio (AMI extracts, pyannote's sample) and composed calls. A stereo call is diarized channel
by channel, as voxdata does with calls; senko takes one channel and gets the mean of the two.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import process_time

import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from benchmarks.composed_calls import compose_calls
from benchmarks.speech_corpus import find_corpus
from voxdata.backends.diarization.pyannote import PyannoteDiarizer
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.rttm import decode_rttm
from voxdata.sound import ArraySound
from voxdata.testing.recordings import read_recording

Spans = list[tuple[int, int, str]]
"""(start in ms, end in ms, speaker)."""

CACHE = Path("bench-out") / "cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthFile:
    """A recording and who spoke when in it.

    Attributes:
        samples: (num_samples, num_channels) float32 at MODEL_RATE_HZ.
    """

    name: str
    samples: npt.NDArray[np.float32]
    truth: Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow:
    """One line of the table; times in seconds."""

    name: str
    seconds: float
    speech: float
    missed: float
    false: float
    confused: float
    found: int
    true: int
    cpu: float

    @property
    def rate(self) -> float:
        """Diarization error rate; 0 where nobody speaks and nobody is heard."""
        return (self.missed + self.false + self.confused) / self.speech if self.speech else 0.0


def list_files(limit: int | None) -> list[tuple[str, Path, Path]]:
    """(set, audio, RTTM): pyannote's own sample, and the AMI extracts when VOXDATA_CORPORA is
    set.
    """
    spec = find_spec("pyannote.audio")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("pyannote.audio is not installed")
    sample = Path(spec.submodule_search_locations[0]) / "sample"
    files = [("pyannote", sample / "sample.wav", sample / "sample.rttm")]
    folder = find_corpus("ami")
    if folder is not None:
        with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
            files += [
                ("ami", folder / row["path"], folder / row["rttm"])
                for row in csv.DictReader(file, delimiter="\t")
            ]
    return files[:limit]


def real_files(limit: int | None = None) -> Iterator[TruthFile]:
    """The files of `list_files`, read."""
    for name, audio, rttm in list_files(limit):
        turns = decode_rttm(rttm.read_text(encoding="utf-8"), recording_id=audio.stem)
        truth = [(turn.segment.start_ms, turn.segment.end_ms, turn.speaker) for turn in turns]
        yield TruthFile(
            name=f"{name}/{audio.stem}",
            samples=read_recording(audio)[1],
            truth=truth,
        )


def truth_files(part: str) -> Iterator[TruthFile]:
    """The files of a part: "real", "tune" or "show"."""
    if part == "real":
        yield from real_files()
    if part in ("tune", "show"):
        for plan, call in compose_calls("tune" if part == "tune" else "show"):
            truth = [
                (turn.segment.start_ms, turn.segment.end_ms, turn.speaker) for turn in call.turns
            ]
            kind = "stereo" if plan.stereo else "mono"
            yield TruthFile(
                name=f"{plan.name} {kind} {len(plan.parties)} voices",
                samples=call.samples,
                truth=truth,
            )


def hear_voxdata(diarizer: PyannoteDiarizer) -> Callable[[npt.NDArray[np.float32]], Spans]:
    """A function from audio to spans: one channel as a mix of speakers, several as one speaker
    each.
    """

    def hear(samples: npt.NDArray[np.float32]) -> Spans:
        channels = [ArraySound(np.ascontiguousarray(channel)) for channel in samples.T]
        most = None if len(channels) == 1 else 1
        diarization = diarizer.diarize(channels, max_speakers=most)
        spans = []
        for i, answer in enumerate(diarization):
            for s in answer.segments:
                spans.append((s.segment.start_ms, s.segment.end_ms, f"{i}{s.speaker}"))
        return spans

    return hear


def hear_senko() -> Callable[[npt.NDArray[np.float32]], Spans]:
    """The same with senko on the CPU, which reads 16-bit mono WAV files."""
    import senko

    diarizer = senko.Diarizer(
        device="cpu",
        warmup=True,
        quiet=True,
    )

    def hear(samples: npt.NDArray[np.float32]) -> Spans:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mix.wav"
            soundfile.write(
                path,
                samples.mean(axis=1),
                MODEL_RATE_HZ,
                subtype="PCM_16",
            )
            diarization = diarizer.diarize(str(path), generate_colors=False) or {}
        return [
            (round(s["start"] * 1000), round(s["end"] * 1000), s["speaker"])
            for s in diarization.get("merged_segments", [])
        ]

    return hear


def error_rows(
    files: Iterator[TruthFile] | Sequence[TruthFile],
    hear: Callable[[npt.NDArray[np.float32]], Spans],
) -> list[ErrorRow]:
    """Measure every file."""
    rows = []
    for file in files:
        began = process_time()
        heard = hear(file.samples)
        cpu = process_time() - began
        seconds = len(file.samples) / MODEL_RATE_HZ
        metric = DiarizationErrorRate(collar=0.0, skip_overlap=False)
        parts = metric(
            annotate(file.truth),
            annotate(heard),
            uem=Timeline([Segment(0, seconds)]),
            detailed=True,
        )
        rows.append(
            ErrorRow(
                name=file.name,
                seconds=seconds,
                speech=parts["total"],
                missed=parts["missed detection"],
                false=parts["false alarm"],
                confused=parts["confusion"],
                found=len({s for _, _, s in heard}),
                true=len({s for _, _, s in file.truth}),
                cpu=cpu,
            )
        )
    return rows


def annotate(spans: Spans) -> Annotation:
    """Spans as pyannote.metrics reads them."""
    annotation = Annotation()
    for start, end, speaker in spans:
        span = Segment(start / 1000, end / 1000)
        annotation[span, annotation.new_track(span)] = speaker
    return annotation


def total_row(name: str, rows: Sequence[ErrorRow]) -> ErrorRow:
    """The sum: every file weighs by its speech."""
    return ErrorRow(
        name=name,
        seconds=sum(r.seconds for r in rows),
        speech=sum(r.speech for r in rows),
        missed=sum(r.missed for r in rows),
        false=sum(r.false for r in rows),
        confused=sum(r.confused for r in rows),
        found=sum(r.found for r in rows),
        true=sum(r.true for r in rows),
        cpu=sum(r.cpu for r in rows),
    )


def print_rows(title: str, rows: Sequence[ErrorRow]) -> None:
    """A table; the last row weighs every file by its speech."""
    print(f"\n{title}: collar 0, overlap counted, whole file")
    print(
        f"{'file':<28}{'DER':>7}{'missed':>8}{'false':>7}{'confused':>10}"
        f"{'speakers':>10}{'CPU-s':>8}{'seconds':>9}"
    )
    for row in [*rows, total_row("all", rows)]:
        shares = [
            part / row.speech if row.speech else 0.0
            for part in (row.missed, row.false, row.confused)
        ]
        columns = "".join(
            f"{share:>{width}.1%}" for share, width in zip(shares, (8, 7, 10), strict=True)
        )
        speakers = f"{row.found}/{row.true}"
        print(
            f"{row.name:<28}{row.rate:>7.1%}{columns}"
            f"{speakers:>10}{row.cpu:>8.2f}{row.seconds:>9.1f}",
            flush=True,
        )


def mono(samples: npt.NDArray[np.float32]) -> Samples:
    """The mean of the channels."""
    return np.ascontiguousarray(samples.mean(axis=1))


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--part",
        choices=("real", "tune", "show"),
        default=None,
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=None,
        help="real files only, that many",
    )
    parser.add_argument("--senko", action="store_true", help="measure senko instead")
    chosen = parser.parse_args()
    diarizer = PyannoteDiarizer(cache_dir=str(CACHE), device="cpu")
    if chosen.senko:
        name, hear = "senko", hear_senko()
    else:
        name = f"{diarizer.model.name} {diarizer.model.revision}, {dict(diarizer.model.params)}"
        hear = hear_voxdata(diarizer)
    hear(np.zeros((MODEL_RATE_HZ, 1), np.float32) + 0.01)
    if chosen.limit is not None:
        print_rows(f"{name}, real", error_rows(real_files(chosen.limit), hear))
    else:
        for part in (chosen.part,) if chosen.part else ("real", "tune", "show"):
            print_rows(f"{name}, {part}", error_rows(truth_files(part), hear))
    print("Repeat: VOXDATA_CORPORA=... OMP_NUM_THREADS=1 python -m benchmarks.diarization")
    return 0


if __name__ == "__main__":
    sys.exit(main())
