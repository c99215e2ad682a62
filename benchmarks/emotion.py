"""Acted emotion with speakers held out (RAVDESS): python -m benchmarks.emotion.

The peer is an SVM on acoustic statistics computed here; eGeMAPS itself (openSMILE) has a licence
that does not allow commercial use.
"""

from __future__ import annotations

import sys
from time import monotonic

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.speech_corpus import OUT, find_corpus, load_corpus, run_folds
from training.config import load_recipe
from training.judge.acoustics import acoustic_statistics
from training.metrics import score
from voxdata.canonical import read_clip

TARGET = 0.5
NUM_FOLDS = 4


def main() -> int:
    """Print UAR of the recipe, the acoustic SVM and the majority."""
    folder = find_corpus("ravdess")
    if folder is None:
        return 0
    began = monotonic()
    examples = load_corpus(folder, scheme="emotion")
    labels = sorted({e.gold["emotion"].label for e in examples})
    voices = sorted({e.voice for e in examples})
    tests = [voices[i::NUM_FOLDS] for i in range(NUM_FOLDS)]
    folds = []
    for i, test in enumerate(tests):
        validation = tests[(i + 1) % NUM_FOLDS][:2]
        folds.append((set(test), set(validation)))
    config = load_recipe("emotion")
    answers = run_folds(
        folder,
        examples,
        config,
        folds,
        labels=labels,
    )
    gold = np.array([labels.index(e.gold["emotion"].label) for e in examples])
    spoken = np.array([e.voice for e in examples])
    audio = OUT / folder.name / "audio"
    clips = (read_clip(audio / e.audio_file) for e in examples)
    statistics = np.stack([acoustic_statistics(clip) for clip in clips])
    shape = (len(examples), len(labels))
    svm = np.zeros(shape)
    majority = np.zeros(shape)
    for test, _ in folds:
        held = np.isin(spoken, list(test))
        learned = gold[~held]
        classifier = SVC(C=1.0, class_weight="balanced")
        model = make_pipeline(StandardScaler(), classifier)
        model.fit(statistics[~held], learned)
        guessed = model.predict(statistics[held])
        svm[held, guessed] = 1
        commonest = np.bincount(learned).argmax()
        majority[held, commonest] = 1
    predicted = np.stack([answers[e.utterance_id] for e in examples])
    print(
        f"\nRAVDESS, {len(examples)} clips, {len(voices)} speakers, {NUM_FOLDS} folds, test "
        "and validation speakers held out"
    )
    print(f"  {'model':<34} {'UAR':>6}  95 % over speakers   macro-F1")
    rows = (
        (f"{config.encoder} frozen + head", predicted),
        ("acoustic statistics + SVM (peer)", svm),
        ("majority", majority),
    )
    recalls = []
    for name, answer in rows:
        s = score(
            gold,
            answer,
            list(spoken),
            labels=labels,
        )
        recalls.append(s.uar)
        low, high = s.uar_interval or (float("nan"), float("nan"))
        interval = f"[{low:.3f}, {high:.3f}]"
        print(f"  {name:<34} {s.uar:6.3f}  {interval}       {s.macro_f1:.3f}")
    print(
        "The SVM learns from the validation speakers too. eGeMAPS is not used: its licence "
        "does not allow it."
    )
    print(f"{monotonic() - began:.0f} s. Repeat: VOXDATA_CORPORA=... python -m benchmarks.emotion")
    ours, peer, _ = recalls
    return 0 if ours > max(TARGET, peer) else 1


if __name__ == "__main__":
    sys.exit(main())
