"""A labelled corpus as canonical audio and manifests, for the training benchmarks."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.config import TrainingConfig
from training.encoder import load_encoder
from training.metrics import Floats
from training.run import run_training
from voxdata.canonical import write_canonical
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.identity import digest
from voxdata.manifest import Manifest, write_manifest
from voxdata.root import fingerprint
from voxdata.segment import Segment
from voxdata.testing.recordings import read_recording

OUT = Path("bench-out")


def find_corpus(name: str) -> Path | None:
    """The corpus folder, or None after saying in one line what is missing."""
    root = os.environ.get("VOXDATA_CORPORA")
    folder = Path(root) / name if root else None
    if folder is None or not (folder / "MANIFEST.tsv").is_file():
        print(f"skipped: set VOXDATA_CORPORA to a folder that has {name}/MANIFEST.tsv")
        return None
    return folder


def load_corpus(folder: Path, *, scheme: str) -> list[Example]:
    """Every clip as an example, its canonical FLAC under bench-out/; all in the training split."""
    audio = OUT / folder.name / "audio"
    examples = []
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        target = audio / (Path(row["path"]).stem + ".flac")
        recording, samples = read_recording(folder / row["path"])
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_canonical(target, samples)
        segment = Segment(
            start_ms=0,
            end_ms=-(-samples.shape[0] // 16),
        )
        label = row[scheme]
        examples.append(
            Example(
                utterance_id=digest(recording.recording_id, 0, segment.start_ms, segment.end_ms),
                recording_id=recording.recording_id,
                channel=0,
                segment=segment,
                voice=row["speaker"],
                group=row["speaker"],
                audio_file=target.name,
                text=row["transcript"],
                language=row["language"],
                gold={
                    scheme: GoldLabel(
                        label=label,
                        distribution={label: 1.0},
                        num_votes=1,
                    )
                },
                split=Split.TRAIN,
            )
        )
    return sorted({e.utterance_id: e for e in examples}.values(), key=lambda e: e.utterance_id)


def run_folds(
    folder: Path,
    examples: Sequence[Example],
    config: TrainingConfig,
    folds: Sequence[tuple[set[str], set[str]]],
    *,
    labels: Sequence[str],
) -> dict[str, Floats]:
    """Train once a fold; `folds` holds (test voices, validation voices).

    Returns:
        Utterance id -> probabilities over `labels`, each by a model that never heard the voice.
    """
    import numpy as np

    encoder = load_encoder(config.encoder) if config.audio.enabled else None
    answers = {}
    for number, (test, validation) in enumerate(folds, start=1):
        split = [
            replace(
                e,
                split=Split.TEST
                if e.voice in test
                else Split.VALIDATION
                if e.voice in validation
                else Split.TRAIN,
            )
            for e in examples
        ]
        manifest = Manifest(
            version_id=fingerprint(split),
            name=f"{folder.name}-fold{number}",
            audio_root=OUT / folder.name / "audio",
            schemes={config.scheme: tuple(labels)},
            examples=tuple(split),
        )
        write_manifest(OUT / folder.name / f"fold{number}.jsonl", manifest)
        flat = {label: 1 / len(labels) for label in labels}
        outcome = run_training(
            config,
            manifest,
            {e.utterance_id: flat for e in split},
            encoder=encoder,
            cache_dir=OUT / "features",
            say=lambda line: print(line, file=sys.stderr) if "features" in line else None,
        )
        for key, shares in outcome.predictions.items():
            answers[key] = np.array([shares[label] for label in labels])
        print(
            f"fold {number}: {len(outcome.predictions)} test clips of {len(test)} voices, "
            f"best epoch {outcome.result.best_epoch}",
            flush=True,
        )
    return answers
