"""Acoustic statistics of a clip: what a model has to beat that knows no speech at all.

They stand in for eGeMAPS, whose licence does not allow commercial use.
"""

from __future__ import annotations

import numpy as np

from training.metrics import Floats
from voxdata.ports import MODEL_RATE_HZ, Samples

FRAME, STEP = 640, 160
"""Samples: 40 and 10 ms."""

NUM_BINS, NUM_MELS, NUM_MFCC = 513, 40, 20
SHORTEST_LAG, LONGEST_LAG = 40, 267
"""Samples: pitches from 400 down to 60 Hz."""

QUIET = 1e-10


def acoustic_statistics(samples: Samples) -> Floats:
    """Mean, deviation, 10th and 90th percentile of 20 MFCCs, energy, zero crossings, centroid,
    pitch and voicing, and of their changes.

    Args:
        samples: (num_samples,) at 16 kHz; a clip shorter than a frame is padded.

    Returns:
        (200,).
    """
    padded = np.pad(samples.astype(float), (0, max(0, FRAME - len(samples))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::STEP]
    tracks = _track(windows * np.hanning(FRAME))
    changes = np.gradient(tracks, axis=0) if len(tracks) > 1 else np.zeros_like(tracks)
    tracks = np.hstack([tracks, changes])
    low, high = np.percentile(tracks, [10, 90], axis=0)
    return np.concatenate([tracks.mean(axis=0), tracks.std(axis=0), low, high])


def _track(frames: Floats) -> Floats:
    """(num_frames, 25) figures of each frame."""
    power = np.abs(np.fft.rfft(frames, 2 * (NUM_BINS - 1))) ** 2
    energy = np.log((frames**2).mean(axis=1) + QUIET)
    crossings = (np.diff(np.sign(frames), axis=1) != 0).mean(axis=1)
    hz = np.linspace(0, MODEL_RATE_HZ / 2, NUM_BINS)
    centroid = (power @ hz) / (power.sum(axis=1) + QUIET)
    pitch, voicing = _find_pitch(frames)
    return np.column_stack([_mfcc(power), energy, crossings, centroid, pitch, voicing])


def _mfcc(power: Floats) -> Floats:
    """(num_frames, NUM_MFCC)."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(NUM_BINS, NUM_MELS, 0.0, MODEL_RATE_HZ / 2, MODEL_RATE_HZ)
    mel = np.log(power @ filters + QUIET)
    places = np.pi / NUM_MELS * (np.arange(NUM_MELS) + 0.5)
    cosines = np.cos(np.outer(places, np.arange(NUM_MFCC)))
    return np.asarray(mel @ cosines)


def _find_pitch(frames: Floats) -> tuple[Floats, Floats]:
    """Logarithm of the pitch in Hz, and how periodic a frame is; each (num_frames,)."""
    spectrum = np.abs(np.fft.rfft(frames, 2048)) ** 2
    correlation = np.fft.irfft(spectrum)[:, :LONGEST_LAG]
    lags = correlation[:, SHORTEST_LAG:] / (correlation[:, :1] + QUIET)
    period = SHORTEST_LAG + lags.argmax(axis=1)
    return np.log(MODEL_RATE_HZ / period), lags.max(axis=1)
