"""Near-duplicates: python -m benchmarks.duplicates.

Recordings of 4 s and more are altered in ways that change every sample, and searched among all others as ingestion does. Recall is the
share of altered copies linked to their original; false alarms are links between recordings that share no clip. The bounds on bits and
codes were chosen on asterisk_en and ravdess; barista shows them.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import soundfile  # type: ignore[import-untyped]

from benchmarks.speech_corpus import find_corpus
from voxdata.backends.chromaprint_fingerprint import ChromaprintFingerprinter
from voxdata.fingerprint import Codes, compare
from voxdata.sound import ArraySound
from voxdata.testing.audio import read_recording
from warehouse.connection import open_warehouse
from warehouse.duplicates import find_hints, store_fingerprint

MIN_S, COUNT = 4.0, 30
ALTERATIONS = {
    "MP3, 64 kbit/s": ("mp3", ("-b:a", "64k")),
    "MP3, 24 kbit/s": ("mp3", ("-b:a", "24k", "-ar", "16000")),
    "Opus, 24 kbit/s": ("opus", ("-c:a", "libopus", "-b:a", "24k")),
    "8 kHz mu-law": ("wav", ("-ar", "8000", "-c:a", "pcm_mulaw")),
    "0.5 s cut off at both ends": ("wav", ()),
    "9 dB quieter": ("wav", ("-af", "volume=-9dB")),
    "2 % faster": ("wav", ("-af", "atempo=1.02")),
}


def list_clips(*corpora: str) -> list[Path]:
    """Up to COUNT clips of 4 s and more of each corpus."""
    found: list[Path] = []
    for name in corpora:
        folder = find_corpus(name)
        if folder is None:
            continue
        with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
            paths = [folder / row["path"] for row in csv.DictReader(file, delimiter="\t")]
        found += [path for path in paths if soundfile.info(path).duration >= MIN_S][:COUNT]
    return found


def alter(path: Path, folder: Path, name: str) -> Path:
    """One altered copy."""
    suffix, options = ALTERATIONS[name]
    if name.startswith("0.5 s"):
        options = ("-ss", "0.5", "-t", str(soundfile.info(path).duration - 1.0))
    target = folder / f"{len(list(folder.iterdir()))}.{suffix}"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-i", path, *options, target], check=True)
    return target


def print_table(clips: Sequence[Path]) -> None:
    """Recall by alteration, and false alarms."""
    fingerprinter = ChromaprintFingerprinter()
    key = fingerprinter.model.key

    def listen(path: Path) -> Codes:
        return fingerprinter.fingerprint(ArraySound(read_recording(path)[1][:, 0]))

    with tempfile.TemporaryDirectory() as folder:
        codes = {f"{number:03d}": listen(path) for number, path in enumerate(clips)}
        for number, path in enumerate(clips):
            for at, name in enumerate(ALTERATIONS):
                codes[f"{number:03d}/{at}"] = listen(alter(path, Path(folder), name))
        with open_warehouse(Path(folder) / "codes.duckdb") as con:
            for recording_id, found in codes.items():
                store_fingerprint(con, recording_id, found, key=key, run_id="benchmark")
            hints = find_hints(con, list(codes), key=key)
    shared = {pair: compare(codes[pair[0]], codes[pair[1]], shifts) for pair, shifts in hints.items()}
    linked = {pair: found for pair, found in shared.items() if found is not None}
    print(f"{len(clips)} clips of {MIN_S:g} s and more; {fingerprinter.model.name} {fingerprinter.model.revision}")
    for at, name in enumerate(ALTERATIONS):
        hits = [found[0] for (a, b), found in linked.items() if {a, b} == {a.split("/")[0], f"{a.split('/')[0]}/{at}"}]
        print(f"{name:<30}{len(hits):>4} of {len(clips)} found   bits equal {min(hits, default=0):.0%} and more")
    wrong = [pair for pair in linked if pair[0].split("/")[0] != pair[1].split("/")[0]]
    total = sum(a.split("/")[0] != b.split("/")[0] for a, b in combinations(codes, 2))
    print(f"false alarms: {len(wrong)} of {total} pairs")


def main() -> int:
    """Print a table for the corpora that the bounds were chosen on, and one for another."""
    for corpora in (("asterisk_en", "ravdess"), ("barista",)):
        clips = list_clips(*corpora)
        if clips:
            print(f"\n{' and '.join(corpora)}:")
            print_table(clips)
    print("Repeat: VOXDATA_CORPORA=... python -m benchmarks.duplicates")
    return 0


if __name__ == "__main__":
    sys.exit(main())
