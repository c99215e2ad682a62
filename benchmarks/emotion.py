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
from transformers.audio_utils import mel_filter_bank

from benchmarks.speech_corpus import OUT, find_corpus, load_corpus, run_folds
from training.config import load_recipe
from training.metrics import Floats, score
from voxdata.canonical import read_clip
from voxdata.ports import Samples

TARGET = 0.5
NUM_FOLDS = 4
RATE_HZ = 16_000
FRAME = 640
HOP = 160
NUM_POINTS = 1024
NUM_BANDS = 40
SHORTEST_LAG = 40
LONGEST_LAG = 267
"""In samples: pitches from 60 to 400 Hz."""


def acoustic_statistics(samples: Samples) -> Floats:
    """Mean, deviation, 10th and 90th percentile of 20 MFCCs, energy, zero crossings, centroid,
    pitch and voicing, and their deltas.
    """
    missing = max(0, FRAME - len(samples))
    padded = np.pad(samples.astype(float), (0, missing))
    every_frame = np.lib.stride_tricks.sliding_window_view(padded, FRAME)
    frames = every_frame[::HOP] * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames, NUM_POINTS)) ** 2
    pitch, voicing = _pitch_and_voicing(frames)
    energy = np.log((frames**2).mean(axis=1) + 1e-10)
    frequencies_hz = np.linspace(0, RATE_HZ / 2, power.shape[1])
    total = power.sum(axis=1) + 1e-9
    centroid = (power @ frequencies_hz) / total
    changes_sign = np.diff(np.sign(frames), axis=1) != 0
    crossings = changes_sign.mean(axis=1)

    tracks = np.column_stack([_mfcc(power), energy, crossings, centroid, pitch, voicing])
    deltas = np.zeros_like(tracks)
    if len(tracks) > 1:
        deltas = np.gradient(tracks, axis=0)
    both = np.hstack([tracks, deltas])
    low, high = np.percentile(both, [10, 90], axis=0)
    return np.concatenate([both.mean(axis=0), both.std(axis=0), low, high])


def _mfcc(power: Floats) -> Floats:
    """(num_frames, 20) from the power spectra (num_frames, num_bins)."""
    bands = mel_filter_bank(
        power.shape[1],
        NUM_BANDS,
        0.0,
        RATE_HZ / 2,
        RATE_HZ,
    )
    mel = np.log(power @ bands + 1e-10)
    grid = np.pi / NUM_BANDS * (np.arange(NUM_BANDS) + 0.5)
    cosines = np.cos(np.outer(grid, np.arange(20)))
    return np.asarray(mel @ cosines)


def _pitch_and_voicing(frames: Floats) -> tuple[Floats, Floats]:
    """Log of the pitch in Hz, and the height of its peak, of each frame by autocorrelation."""
    power = np.abs(np.fft.rfft(frames, 2 * NUM_POINTS)) ** 2
    correlation = np.fft.irfft(power)
    energy = correlation[:, :1] + 1e-9
    lags = correlation[:, SHORTEST_LAG:LONGEST_LAG] / energy
    best = SHORTEST_LAG + lags.argmax(axis=1)
    return np.log(RATE_HZ / best), lags.max(axis=1)


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
