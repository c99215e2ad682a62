from __future__ import annotations

import numpy as np
import pytest
import soundfile

from voxdata.canonical import open_canonical
from voxdata.canonicalise import Canonical, canonicalise
from voxdata.errors import AudioError, DropReason
from voxdata.recording import ChannelLayout
from voxdata.testing import silence, speech_like, tone

SPEECH = np.rint(speech_like(1_500, rate_hz=48_000) * 32767).astype(np.int16)


def ingest(folder, samples, rate_hz=16_000, *, subtype="FLOAT", **options) -> Canonical:
    soundfile.write(
        folder / "a.wav",
        np.asarray(samples, np.float32),
        rate_hz,
        subtype=subtype,
    )
    return canonicalise(
        folder / "a.wav",
        lambda _: folder / "canonical.flac",
        **options,
    )


def read_back(folder, samples, rate_hz=16_000):
    (folder / "canonical.flac").unlink(missing_ok=True)
    recording = ingest(folder, samples, rate_hz).recording
    return recording, np.stack(
        [sound.read() for sound in open_canonical(folder / "canonical.flac")],
        axis=1,
    )


def identity(folder, samples, rate_hz=16_000, *, suffix="wav", subtype="FLOAT"):
    path = folder / f"b.{suffix}"
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return canonicalise(path, lambda _: folder / "canonical.flac").recording.recording_id


def test_recording_id_is_equal_for_wav_flac_and_aiff_of_the_same_sound(tmp_path):
    assert (
        len(
            {
                identity(tmp_path, SPEECH, 48_000, suffix=suffix, subtype="PCM_16")
                for suffix in ("wav", "flac", "aiff")
            }
        )
        == 1
    )
    deep = (SPEECH.astype(np.int32) << 16) + 0x3300
    assert (
        len(
            {
                identity(tmp_path, deep, 48_000, suffix=suffix, subtype="PCM_24")
                for suffix in ("wav", "flac")
            }
        )
        == 1
    )


def test_recording_id_is_what_it_always_was(tmp_path):
    assert (
        identity(tmp_path, SPEECH, 48_000, subtype="PCM_16") == "bf07a37463659e1945190b3116cf5c76"
    )


def test_recording_id_differs_by_rate_and_by_channel_arrangement(tmp_path):
    samples = speech_like(100)[:, None]
    ids = {
        identity(tmp_path, samples),
        identity(tmp_path, samples, 8_000),
        identity(tmp_path, samples.reshape(-1, 2)),
    }
    assert len(ids) == 3


def test_recording_id_is_the_same_for_negative_zero(tmp_path):
    assert identity(tmp_path, np.array([[0.0], [0.5]], np.float32)) == identity(
        tmp_path,
        np.array([[-0.0], [0.5]], np.float32),
    )


def test_canonicalise_makes_a_file_that_is_there_anew_with_the_same_bytes(tmp_path):
    digest = ingest(tmp_path, tone(500)[:, None]).digest
    whole = (tmp_path / "canonical.flac").read_bytes()
    (tmp_path / "canonical.flac").write_bytes(whole[:-100])
    assert ingest(tmp_path, tone(500)[:, None]).digest == digest
    assert (tmp_path / "canonical.flac").read_bytes() == whole


def test_canonicalise_gives_the_same_bytes_whatever_the_blocks(tmp_path, monkeypatch):
    samples = np.stack(
        [
            speech_like(3_000, seed=1, rate_hz=44_100),
            speech_like(3_000, seed=2, rate_hz=44_100),
        ],
        axis=1,
    )
    _, whole = read_back(tmp_path, samples, 44_100)
    monkeypatch.setattr("voxdata.canonicalise._WRITE", 1_000)
    assert np.array_equal(read_back(tmp_path, samples, 44_100)[1], whole)


def test_canonicalise_refuses_more_channel_hours_than_allowed(tmp_path):
    samples = np.tile(speech_like(1_000, rate_hz=8_000)[:, None], (1, 64))
    assert (
        ingest(tmp_path, samples, 8_000, max_duration_ms=10_000).recording.layout
        is ChannelLayout.DUAL_MONO
    )
    with pytest.raises(AudioError) as caught:
        ingest(tmp_path, samples, 8_000, max_duration_ms=7_000)
    assert caught.value.reason is DropReason.TOO_LONG


@pytest.mark.corpus
def test_canonicalise_hears_the_quietest_speech(tmp_path, corpora):
    clips = sorted((corpora / "ravdess").rglob("*.flac"))[::40]
    assert len(clips) > 20
    assert not any(canonicalise(clip, lambda _: tmp_path / "x.flac").silent for clip in clips)


@pytest.mark.parametrize(
    "samples",
    [silence(100), silence(100) + 0.3, tone(100, level=5e-5)],
)
def test_is_silent_tells_silence_constants_and_the_noise_floor(tmp_path, samples):
    assert ingest(tmp_path, samples[:, None]).silent


def test_is_silent_hears_one_live_channel(tmp_path):
    assert not ingest(tmp_path, np.stack([silence(100), tone(100, level=0.001)], axis=1)).silent


@pytest.mark.parametrize(
    "rate_hz",
    [8_000, 11_025, 16_000, 22_050, 44_100, 48_000],
)
@pytest.mark.parametrize("num_samples", [1, 7, 4_410, 44_101])
def test_canonicalise_gives_lengths_true_to_the_sample(tmp_path, rate_hz, num_samples):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (num_samples, 1))
    recording, canonical = read_back(tmp_path, samples, rate_hz)
    exact = num_samples * 16_000 / rate_hz
    assert abs(canonical.shape[0] - exact) <= 0.5 or canonical.shape[0] == 1
    assert recording.num_samples == num_samples
    assert canonical.dtype == np.float32


def test_canonicalise_keeps_a_tone_when_it_resamples(tmp_path):
    _, canonical = read_back(
        tmp_path,
        tone(1_000, rate_hz=44_100)[:, None],
        44_100,
    )
    error = canonical[800:-800, 0] - tone(1_000)[800:-800]
    assert np.abs(error).max() < 1e-3


def test_canonicalise_keeps_both_parties_of_a_call(tmp_path):
    left, right = np.split(
        np.stack(
            [
                speech_like(4_000, seed=1),
                speech_like(4_000, seed=2),
            ],
            axis=1,
        ),
        2,
        axis=1,
    )
    gate = (np.arange(64_000) // 16_000 % 2)[:, None]
    recording, canonical = read_back(tmp_path, np.hstack([left * gate, right * (1 - gate)]))
    assert recording.layout == ChannelLayout.PER_CHANNEL
    assert recording.canonical_channels == 2
    assert (
        np.abs(canonical - np.hstack([left * gate, right * (1 - gate)])).max() <= 0.5 / 32768 + 1e-7
    )


def test_canonicalise_scales_sound_above_full_scale_down_as_a_whole(tmp_path):
    _, canonical = read_back(tmp_path, tone(100, level=4.0)[:, None])
    assert np.allclose(
        canonical[:, 0],
        tone(100, level=4.0) / np.abs(tone(100, level=4.0)).max(),
        atol=1 / 32768,
    )


def test_canonicalise_refuses_more_parties_than_a_flac_holds(tmp_path):
    samples = np.stack([speech_like(2_000, seed=seed) for seed in range(9)], axis=1)
    with pytest.raises(AudioError, match="9 parties"):
        ingest(tmp_path, samples)
