from __future__ import annotations

import numpy as np
import pytest
import soundfile

from voxdata.canonical import open_canonical, read_clip, write_canonical, write_clip_wav
from voxdata.errors import AudioError, DropReason
from voxdata.segment import Segment
from voxdata.sound import cut_sound, duration_ms
from voxdata.testing import speech_like, tone


def test_write_canonical_and_read_clip_return_the_samples(tmp_path):
    samples = np.stack(
        [
            speech_like(1_000, seed=1),
            speech_like(1_000, seed=2),
        ],
        axis=1,
    )
    path = tmp_path / "ab" / "abc.flac"
    write_canonical(path, samples)
    error = np.abs(read_clip(path, channel=1) - samples[:, 1])
    assert error.max() <= 0.5 / 32768 + 1e-7
    clip = read_clip(path, segment=Segment(start_ms=250, end_ms=333))
    assert np.array_equal(clip, read_clip(path)[4_000:5_328])
    names = [file.name for file in path.parent.iterdir()]
    assert names == ["abc.flac"]


def test_write_canonical_saturates_instead_of_wrapping(tmp_path):
    write_canonical(tmp_path / "a.flac", np.array([[1.5], [-1.5]], np.float32))
    assert read_clip(tmp_path / "a.flac").tolist() == [32767 / 32768, -1.0]


def test_write_canonical_leaves_nothing_behind_when_it_fails(tmp_path):
    with pytest.raises(OSError, match=r"a\.flac"):
        write_canonical(tmp_path / "a.flac", np.zeros((100, 9), np.float32))
    assert list(tmp_path.iterdir()) == []


def test_read_clip_leaves_out_what_lies_after_the_end(tmp_path):
    write_canonical(tmp_path / "a.flac", tone(500)[:, None])
    clip = read_clip(tmp_path / "a.flac", segment=Segment(start_ms=400, end_ms=900))
    assert clip.size == 1_600


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"channel": 1}, DropReason.INVALID_FORMAT),
        ({"segment": Segment(start_ms=500, end_ms=900)}, DropReason.TOO_SHORT),
    ],
)
def test_read_clip_refuses_what_is_not_there(tmp_path, options, reason):
    write_canonical(tmp_path / "a.flac", tone(500)[:, None])
    with pytest.raises(AudioError) as caught:
        read_clip(tmp_path / "a.flac", **options)
    assert caught.value.reason is reason


def test_read_clip_names_a_missing_or_damaged_file(tmp_path):
    with pytest.raises(AudioError, match="ingest its source again") as caught:
        read_clip(tmp_path / "a.flac")
    assert caught.value.reason is DropReason.MISSING
    sound_file = tmp_path / "a.flac"
    sound_file.write_bytes(b"fLaC" + bytes(50))
    with pytest.raises(AudioError, match="damaged") as caught:
        read_clip(tmp_path / "a.flac")
    assert caught.value.reason is DropReason.UNDECODABLE


def test_write_clip_wav_writes_what_browsers_play(tmp_path):
    write_clip_wav(tmp_path / "clips" / "a.wav", tone(250))
    info = soundfile.info(tmp_path / "clips" / "a.wav")
    assert info.format == "WAV"
    assert info.subtype == "PCM_16"
    assert info.samplerate == 16_000
    assert info.channels == 1
    assert info.frames == 4_000


def test_open_canonical_reads_any_stretch_of_any_channel(tmp_path):
    samples = np.stack(
        [
            speech_like(1_000, seed=1),
            speech_like(1_000, seed=2),
        ],
        axis=1,
    )
    write_canonical(tmp_path / "a.flac", samples)
    for channel, sound in enumerate(open_canonical(tmp_path / "a.flac")):
        whole = read_clip(tmp_path / "a.flac", channel=channel)
        assert sound.num_samples == 16_000
        assert duration_ms(sound) == 1_000
        assert np.array_equal(sound.read(), whole)
        assert np.array_equal(sound.read(123, 456), whole[123:456])
        assert np.array_equal(sound.read(15_990, 99_999), whole[15_990:])
        assert sound.read(16_000).size == sound.read(500, 500).size == 0
        stretch = cut_sound(sound, Segment(start_ms=990, end_ms=1_500))
        assert np.array_equal(stretch.read(), whole[15_840:])
        assert np.array_equal(stretch.read(10, 20), whole[15_850:15_860])


def test_open_canonical_names_a_file_that_is_cut_short(tmp_path):
    write_canonical(tmp_path / "a.flac", speech_like(4_000)[:, None])
    (sound,) = open_canonical(tmp_path / "a.flac")
    whole = (tmp_path / "a.flac").read_bytes()
    sound_file = tmp_path / "a.flac"
    sound_file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError, match="damaged"):
        sound.read()
