"""Near-duplicates: python -m benchmarks.duplicates.

Recordings of 4 s and more are altered in ways that change every sample, and searched among all
others as ingestion does. Recall is the share of altered copies linked to their original, and of
those that share enough with it to stay in its split; false alarms are links between recordings that
share no clip. Digital silence among the clips is never linked, on purpose. The bounds on bits and
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
from voxdata.fingerprint import Codes, SharedCodes, find_shared, is_heard
from voxdata.sound import MODEL_RATE_HZ, ArraySound, Samples
from voxdata.testing.recordings import read_recording
from warehouse.connection import open_warehouse
from warehouse.duplicates import DUPLICATE_SHARE, find_hints, store_fingerprint

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


def are_of_two(first: str, second: str) -> bool:
    """Whether two recordings, each named CLIP or CLIP/ALTERATION, are of different clips."""
    return first.split("/")[0] != second.split("/")[0]


def print_table(clips: Sequence[Path]) -> None:
    """Recall by alteration, and false alarms."""
    fingerprinter = ChromaprintFingerprinter()
    key = fingerprinter.model.key
    codes: dict[str, Codes] = {}
    sounds: dict[str, Samples] = {}

    def listen(recording_id: str, path: Path) -> None:
        samples = read_recording(path)[1][:, 0]
        codes[recording_id] = fingerprinter.fingerprint(ArraySound(samples))
        sounds[recording_id] = samples

    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(clips):
            listen(f"{number:03d}", path)
            for at, name in enumerate(ALTERATIONS):
                listen(f"{number:03d}/{at}", alter(path, Path(folder), name))
        with open_warehouse(Path(folder) / "codes.duckdb") as con:
            for recording_id, found in codes.items():
                store_fingerprint(
                    con,
                    recording_id,
                    found,
                    key=key,
                    run_id="benchmark",
                )
            hints = find_hints(
                con,
                list(codes),
                key=key,
            )

    def cut(recording_id: str, place: int, size: int) -> Samples:
        start_ms = place * fingerprinter.code_ms
        stop_ms = start_ms + length_ms(size)
        return sounds[recording_id][
            round(start_ms * MODEL_RATE_HZ / 1000) : round(stop_ms * MODEL_RATE_HZ / 1000)
        ]

    def length_ms(size: int) -> float:
        return fingerprinter.window_ms + (size - 1) * fingerprinter.code_ms

    linked: dict[tuple[str, str], SharedCodes] = {}
    unheard = 0
    for (a, b), shifts in hints.items():
        agreed = find_shared(codes[a], codes[b], shifts)
        if agreed is None:
            continue
        if is_heard(cut(a, agreed.first, agreed.size), cut(b, agreed.second, agreed.size)):
            linked[a, b] = agreed
        else:
            unheard += 1
    print(
        f"{len(clips)} clips of {MIN_S:g} s and more; {fingerprinter.model.name} "
        f"{fingerprinter.model.revision}"
    )
    for at, name in enumerate(ALTERATIONS):
        hits = {
            (a, b): found
            for (a, b), found in linked.items()
            if {a, b} == {a.split("/")[0], f"{a.split('/')[0]}/{at}"}
        }
        kept = sum(
            length_ms(found.size)
            >= DUPLICATE_SHARE * min(len(sounds[a]), len(sounds[b])) * 1000 / MODEL_RATE_HZ
            for (a, b), found in hits.items()
        )
        least = min((found.score for found in hits.values()), default=0)
        print(
            f"{name:<30}{len(hits):>4} of {len(clips)} found {kept:>4} grouped   bits equal "
            f"{least:.0%} and more"
        )
    wrong = [pair for pair in linked if are_of_two(*pair)]
    total = sum(are_of_two(*pair) for pair in combinations(codes, 2))
    print(
        f"false alarms: {len(wrong)} of {total} pairs; {unheard} pairs agree where hardly "
        "anything is heard"
    )


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
