"""Spoken digits, leave one speaker out (FSDD): python -m benchmarks.digits."""

from __future__ import annotations

import sys
from time import monotonic

import numpy as np

from benchmarks.speech_corpus import find_corpus, load_corpus, run_folds
from training.config import load_recipe
from training.metrics import score

TARGET = 0.94


def main() -> int:
    """Print accuracy per held-out speaker and over all."""
    folder = find_corpus("fsdd")
    if folder is None:
        return 0
    began = monotonic()
    examples = load_corpus(folder, scheme="intent")
    labels = sorted({e.gold["intent"].label for e in examples})
    voices = sorted({e.voice for e in examples})
    # Three speakers are left to learn from: none can be spared for validation, so the recipe's
    # fixed epochs are trained.
    # The corpus tells what is said, so nothing is read.
    config = load_recipe("intent", overrides={"text": {"enabled": False}})
    answers = run_folds(
        folder,
        examples,
        config,
        [({voice}, set()) for voice in voices],
        labels=labels,
    )
    gold = np.array([labels.index(e.gold["intent"].label) for e in examples])
    predicted = np.stack([answers[e.utterance_id] for e in examples])
    right = predicted.argmax(axis=1) == gold
    scores = score(
        gold,
        predicted,
        [e.voice for e in examples],
        labels=labels,
    )
    print(
        f"\nFSDD, {len(examples)} clips, leave one speaker out, {config.encoder} frozen, "
        "chance 0.100"
    )
    for voice in voices:
        own = [example.voice == voice for example in examples]
        print(f"  {voice:<12} {right[own].mean():.4f}")
    print(
        f"  {'all':<12} {scores.accuracy:.4f}   UAR {scores.uar:.4f}, 95 % over speakers "
        f"{scores.uar_interval}   target {TARGET}"
    )
    print(f"{monotonic() - began:.0f} s. Repeat: VOXDATA_CORPORA=... python -m benchmarks.digits")
    return 0 if scores.accuracy >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
