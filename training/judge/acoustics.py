"""Acoustic statistics of a clip: what a model has to beat that knows no speech at all.

They stand in for eGeMAPS, whose licence does not allow commercial use.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from training.metrics import Floats
from voxdata.ports import MODEL_RATE_HZ, Samples

FRAME, STEP = 640, 160
"""Samples: 40 and 10 ms."""

FFT, LONG_FFT = 1024, 2048
NUM_MELS = 40
NUM_MFCC = 20
SHORTEST_LAG, LONGEST_LAG = 40, 267
"""Samples: pitches from 400 down to 60 Hz."""

QUIET = 1e-10
NYQUIST_HZ = MODEL_RATE_HZ / 2


def acoustic_statistics(samples: Samples) -> Floats:
    """Mean, deviation, 10th and 90th percentile of 20 MFCCs, energy, zero crossings, centroid,
    pitch and voicing, and of their changes.

    Args:
        samples: (num_samples,) at 16 kHz; a clip shorter than a frame is padded.

    Returns:
        (200,).
    """
    frames = _cut_frames(samples.astype(float))
    tracks = _track(frames)
    changes = np.zeros_like(tracks)
    if len(tracks) > 1:
        changes = np.gradient(tracks, axis=0)
    moving = np.hstack([tracks, changes])
    low, high = np.percentile(moving, [10, 90], axis=0)
    mean = moving.mean(axis=0)
    deviation = moving.std(axis=0)
    return np.concatenate([mean, deviation, low, high])


def _cut_frames(samples: Floats) -> Floats:
    """(num_frames, FRAME) windowed."""
    lacking = max(0, FRAME - len(samples))
    padded = np.pad(samples, (0, lacking))
    frames = sliding_window_view(padded, FRAME)
    every_step = frames[::STEP]
    return np.asarray(every_step * np.hanning(FRAME))


def _track(frames: Floats) -> Floats:
    """(num_frames, 25) figures of each frame."""
    power = _spectrum(frames, FFT)
    pitch, voicing = _find_pitch(frames)
    columns = [
        _mfcc(power),
        _energy(frames),
        _crossings(frames),
        _centroid(power),
        pitch,
        voicing,
    ]
    return np.column_stack(columns)


def _spectrum(frames: Floats, size: int) -> Floats:
    """(num_frames, size / 2 + 1) power."""
    amplitudes = np.abs(np.fft.rfft(frames, size))
    return np.asarray(amplitudes**2)


def _energy(frames: Floats) -> Floats:
    """The logarithm of the mean power."""
    power = (frames**2).mean(axis=1)
    return np.asarray(np.log(power + QUIET))


def _crossings(frames: Floats) -> Floats:
    """The share of samples at which the sign changes."""
    signs = np.sign(frames)
    changed = np.diff(signs, axis=1) != 0
    return np.asarray(changed.mean(axis=1))


def _centroid(power: Floats) -> Floats:
    """The middle of the spectrum, in Hz."""
    hz = np.linspace(0, NYQUIST_HZ, power.shape[1])
    total = power.sum(axis=1)
    return np.asarray((power @ hz) / (total + QUIET))


def _mfcc(power: Floats) -> Floats:
    """(num_frames, NUM_MFCC)."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(power.shape[1], NUM_MELS, 0.0, NYQUIST_HZ, MODEL_RATE_HZ)
    mel = np.log(power @ filters + QUIET)
    middles = np.arange(NUM_MELS) + 0.5
    angles = np.outer(middles, np.arange(NUM_MFCC))
    cosines = np.cos(angles * np.pi / NUM_MELS)
    return np.asarray(mel @ cosines)


def _find_pitch(frames: Floats) -> tuple[Floats, Floats]:
    """Logarithm of the pitch in Hz, and how periodic a frame is; each (num_frames,)."""
    power = _spectrum(frames, LONG_FFT)
    correlation = np.fft.irfft(power)
    whole = correlation[:, :1] + QUIET
    lags = correlation[:, SHORTEST_LAG:LONGEST_LAG] / whole
    period = SHORTEST_LAG + lags.argmax(axis=1)
    pitch = np.log(MODEL_RATE_HZ / period)
    return pitch, lags.max(axis=1)
