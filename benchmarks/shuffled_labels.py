"""Labels that say nothing: python -m benchmarks.shuffled_labels [--seeds 20].

Whole training runs on synthetic clips of many voices, whose labels were shuffled: none of the
models has anything to learn, so none may be promoted, but for one of 20 by chance. A run with the
true labels is there to show that the judge lets somebody through. The encoder is a tiny one with
random weights; its features are computed once.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from training.config.schema import FitConfig, TrainingConfig
from training.encoder import load_encoder
from training.judge.gate import Decision
from training.run import run_training
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.manifest import Manifest
from voxdata.root import fingerprint
from voxdata.testing.factories import make_example
from voxdata.testing.synthetic import noise, tone

LABELS = ("low", "high", "noise")
SCHEME = "emotion"
VOICES = {Split.TRAIN: 12, Split.VALIDATION: 4, Split.TEST: 12}
CLIPS_OF_VOICE = 9
MAX_PROMOTED = 1
CONFIG = TrainingConfig(
    scheme=SCHEME,
    encoder="tiny-random",
    fit=FitConfig(max_epochs=12, batch_size=16, learning_rate=0.01),
)


def write_clips(folder: Path) -> list[Example]:
    """Nine clips of each voice, three of each label."""
    examples: list[Example] = []
    for split, num_voices in VOICES.items():
        for voice in range(num_voices):
            for clip in range(CLIPS_OF_VOICE):
                number = len(examples)
                label = LABELS[clip % len(LABELS)]
                soundfile.write(folder / f"{number}.flac", _make_sound(label, number), 16_000)
                name = f"{split}-{voice}"
                example = make_example(
                    number,
                    intent=None,
                    emotion=label,
                    audio_file=f"{number}.flac",
                    split=split,
                    voice=name,
                    group=name,
                )
                examples.append(example)
    return examples


def _make_sound(label: str, number: int) -> np.ndarray:
    duration_ms = 300 + number % 7 * 20
    if label == "noise":
        return noise(duration_ms, seed=number)
    pitch_hz = {"low": 200, "high": 900}[label]
    return tone(duration_ms, frequency_hz=pitch_hz + number % 11 * 5)


def shuffle_labels(examples: Sequence[Example], *, seed: int) -> list[Example]:
    """The same clips with each other's labels."""
    generator = np.random.default_rng(seed)
    labels = [example.gold[SCHEME].label for example in examples]
    shuffled: list[Example] = []
    for example, place in zip(examples, generator.permutation(len(labels)), strict=True):
        label = labels[place]
        gold = GoldLabel(label=label, distribution={label: 1.0}, num_votes=1)
        shuffled.append(replace(example, gold={SCHEME: gold}))
    return shuffled


def train(folder: Path, examples: Sequence[Example], *, seed: int) -> Decision:
    """What the judge says of a model trained on these clips, against one that guesses."""
    ordered = sorted(examples, key=lambda example: example.utterance_id)
    manifest = Manifest(
        version_id=fingerprint(ordered),
        name="shuffled",
        audio_root=folder,
        schemes={SCHEME: LABELS},
        examples=tuple(ordered),
    )
    generator = np.random.default_rng((seed, 1))
    guesses = {}
    for example in ordered:
        shares = generator.dirichlet(np.ones(len(LABELS)))
        guesses[example.utterance_id] = dict(zip(LABELS, shares.tolist(), strict=True))
    outcome = run_training(
        replace(CONFIG, seed=seed),
        manifest,
        guesses,
        cache_dir=folder / "features",
        encoder=load_encoder(CONFIG.encoder),
    )
    return outcome.result.verdict.decision


def main(arguments: Sequence[str] | None = None) -> int:
    """Print who was promoted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    with TemporaryDirectory() as place:
        folder = Path(place)
        examples = write_clips(folder)
        true = train(folder, examples, seed=0)
        print(f"true labels: {'promoted' if true.promote else 'not promoted'}: {true.reason}")
        promoted = 0
        for seed in range(chosen.seeds):
            decision = train(folder, shuffle_labels(examples, seed=seed), seed=seed)
            promoted += decision.promote
            print(f"shuffled, seed {seed}: {decision.reason}", flush=True)
    print(f"promoted: {promoted} of {chosen.seeds} with shuffled labels")
    print(f"{time.monotonic() - began:.0f} s. Repeat: python -m benchmarks.shuffled_labels")
    return 0 if true.promote and promoted <= MAX_PROMOTED else 1


if __name__ == "__main__":
    sys.exit(main())
