"""No reader shifts a label: sound lies in the canonical file where it lay before it was encoded,
whatever the container and the rate.

Encoders delay what they encode, and containers say by how much; decoders differ in whether they
listen. What is tested is what a label depends on: the sample of the canonical 16 kHz file at which
a sound is heard.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voxdata.ports import MODEL_RATE_HZ
from voxdata.testing import speech_like
from voxdata.testing.recordings import read_recording

RATE_HZ = 48_000
SPEECH = speech_like(3_000, rate_hz=RATE_HZ)
SEARCH = 2_400
"""Lags searched, in samples at 16 kHz: more than any encoder's delay."""

pytestmark = pytest.mark.skipif(
    shutil.which("ffmpeg") is None,
    reason="no ffmpeg to encode with; on Debian install the package ffmpeg",
)


def lag_samples(reference, heard) -> int:
    """By how many samples `heard` is late."""
    num_shifts = len(reference) + len(heard)
    size = 1 << int(np.ceil(np.log2(num_shifts)))
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(reference, size))
    correlation = np.fft.irfft(spectrum / np.maximum(np.abs(spectrum), 1e-9), size)
    lags = np.concatenate(
        [
            np.arange(SEARCH),
            np.arange(-SEARCH, 0),
        ]
    )
    return int(lags[np.argmax(correlation[lags])])


def encode(folder: Path, name: str, *options: str, rate_hz: int = RATE_HZ) -> Path:
    source = folder / "original.wav"
    target = folder / name
    soundfile.write(source, SPEECH, RATE_HZ)
    command = [
        "ffmpeg",
        "-y",
        "-loglevel",
        "error",
        "-i",
        source,
        "-ar",
        str(rate_hz),
        "-af",
        "aresample=resampler=soxr:precision=28",
        *options,
        target,
    ]
    subprocess.run(command, check=True)
    return target


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "reference.wav"
    soundfile.write(path, SPEECH, RATE_HZ)
    return read_recording(path)[1][:, 0]


@pytest.mark.parametrize(
    ("name", "options", "rate_hz"),
    [
        ("call.flac", (), 48_000),
        ("call.wav", ("-c:a", "pcm_s16le"), 44_100),
        ("call.wav", ("-c:a", "pcm_mulaw"), 8_000),
        ("call.mp3", ("-c:a", "libmp3lame", "-b:a", "64k"), 48_000),
        ("call.mp3", ("-c:a", "libmp3lame", "-b:a", "32k"), 16_000),
        ("call.m4a", ("-c:a", "aac"), 48_000),
        ("call.mp4", ("-c:a", "aac", "-movflags", "+faststart"), 44_100),
        ("call.ogg", ("-c:a", "libvorbis"), 44_100),
        ("call.opus", ("-c:a", "libopus", "-b:a", "24k"), 48_000),
        ("call.webm", ("-c:a", "libopus"), 48_000),
        ("call.mka", ("-c:a", "flac"), 48_000),
    ],
)
def test_canonical_audio_is_where_the_original_was(tmp_path, reference, name, options, rate_hz):
    _, heard = read_recording(encode(tmp_path, name, *options, rate_hz=rate_hz))
    assert lag_samples(reference, heard[:, 0]) == 0


def test_mp3_without_its_header_is_late_by_what_the_encoder_added(tmp_path, reference):
    # Nobody can know it: the LAME header, which says how much to skip, is not there. 1105 samples
    # of 48 kHz are 368 of 16 kHz.
    path = encode(tmp_path, "call.mp3", "-c:a", "libmp3lame", "-write_xing", "0")
    _, heard = read_recording(path)
    assert lag_samples(reference, heard[:, 0]) == 368


def test_canonical_audio_ends_where_the_original_ended(tmp_path):
    recording, heard = read_recording(encode(tmp_path, "call.m4a", "-c:a", "aac"))
    assert (
        abs(len(heard) - len(SPEECH) * MODEL_RATE_HZ // RATE_HZ) <= 1024 * MODEL_RATE_HZ // RATE_HZ
    )
    assert recording.duration_ms == len(heard) * 1000 // MODEL_RATE_HZ
