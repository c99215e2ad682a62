"""Diarization error rate, file by file, collar 0, overlap counted: python -m benchmarks.diarization [--limit N]."""

from __future__ import annotations

import argparse
import csv
import sys
from importlib.util import find_spec
from pathlib import Path
from time import process_time

from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from benchmarks.speech_corpus import find_corpus
from voxdata.audio import canonicalise, decode_audio
from voxdata.backends.pyannote_diarizer import PyannoteDiarizer
from voxdata.rttm import decode_rttm


def list_files(limit: int | None) -> list[tuple[str, Path, Path]]:
    """(set, audio, RTTM): pyannote's own sample, and the AMI extracts when VOXDATA_CORPORA is set."""
    spec = find_spec("pyannote.audio")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("pyannote.audio is not installed")
    sample = Path(spec.submodule_search_locations[0]) / "sample"
    files = [("pyannote", sample / "sample.wav", sample / "sample.rttm")]
    folder = find_corpus("ami")
    if folder is not None:
        with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
            files += [("ami", folder / row["path"], folder / row["rttm"]) for row in csv.DictReader(file, delimiter="\t")]
    return files[:limit]


def main() -> int:
    """Print a table; the last row weighs every file by its speech."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=None)
    diarizer = PyannoteDiarizer()
    total = DiarizationErrorRate(collar=0.0, skip_overlap=False)
    print(f"{diarizer.model.name}, revision {diarizer.model.revision}, {dict(diarizer.model.params)}")
    print(f"{'file':<24}{'DER':>8}{'missed':>8}{'false':>8}{'confused':>9}{'speakers':>10}   collar 0, overlap counted, whole file")
    seconds = spent = 0.0
    for name, audio, truth in list_files(parser.parse_args().limit):
        recording, samples = canonicalise(decode_audio(audio))
        whole = Timeline([Segment(0, recording.duration_ms / 1000)])
        reference, hypothesis = Annotation(), Annotation()
        for turn in decode_rttm(truth.read_text(encoding="utf-8"), recording_id=audio.stem):
            span = Segment(turn.segment.start_ms / 1000, turn.segment.end_ms / 1000)
            reference[span, reference.new_track(span)] = turn.speaker
        began = process_time()
        for found in diarizer.diarize(samples[:, 0]):
            span = Segment(found.segment.start_ms / 1000, found.segment.end_ms / 1000)
            hypothesis[span, hypothesis.new_track(span)] = found.speaker
        spent += process_time() - began
        seconds += recording.duration_ms / 1000
        parts = total(reference, hypothesis, uem=whole, detailed=True)
        speech = parts["total"]
        if speech == 0:
            heard = parts["false alarm"]
            print(f"{name + '/' + audio.stem:<24}{'no speech':>8}, {heard:.2f} s of false alarm; speakers {len(hypothesis.labels())}/0")
            continue
        shares = [parts[key] / speech for key in ("missed detection", "false alarm", "confusion")]
        found_true = f"{len(hypothesis.labels())}/{len(reference.labels())}"
        columns = "".join(f"{share:>{width}.1%}" for share, width in zip(shares, (8, 8, 9), strict=True))
        print(f"{name + '/' + audio.stem:<24}{parts['diarization error rate']:>8.1%}{columns}{found_true:>10}")
    print(f"{'all':<24}{abs(total):>8.1%}   {seconds:.0f} s of audio, {spent / seconds:.3f} s of CPU for each, loading included")
    print("Repeat: VOXDATA_CORPORA=... python -m benchmarks.diarization")
    return 0


if __name__ == "__main__":
    sys.exit(main())
