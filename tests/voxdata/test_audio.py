import csv
import struct
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from voxdata.audio import (
    DecodedAudio,
    canonicalise,
    content_id,
    decode_audio,
    is_silent,
    read_clip,
    write_canonical,
    write_clip_wav,
)
from voxdata.errors import AudioError, DropReason
from voxdata.recording import ChannelLayout
from voxdata.segment import Segment
from voxdata.testing import silence, speech_like, tone

SPEECH = np.rint(speech_like(1_500, rate_hz=48_000) * 32767).astype(np.int16)


def write_wav(path: Path, samples=SPEECH, *, rate_hz=48_000, subtype="PCM_16"):
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return path


def encode(path: Path, codec: str, *, container: str | None = None) -> Path:
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000, layout="mono")
        stream.time_base = Fraction(1, 48_000)
        frame = av.AudioFrame.from_ndarray(SPEECH[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=48_000, frame_size=stream.frame_size or 1024)
        for ready in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(ready))
        output.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path) -> Path:
    with av.open(str(source)) as read, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(read.streams.audio[0])
        for packet in read.demux(read.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    return target


def loudness(samples, *, frames: int = 14, size: int = 4_800):
    return np.sqrt(np.mean(np.square(samples[: frames * size].reshape(frames, size)), axis=1))


def decoded(samples, rate_hz=16_000) -> DecodedAudio:
    return DecodedAudio(samples=np.asarray(samples, np.float32), sample_rate_hz=rate_hz, codec="pcm_f32le", container="wav")


def reason_for(path: Path, **options) -> DropReason:
    with pytest.raises(AudioError) as caught:
        decode_audio(path, **options)
    assert str(path) in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("flac", "flac"),
        ("mp3", "libmp3lame"),
        ("m4a", "aac"),
        ("ogg", "libopus"),
        ("opus", "libopus"),
        ("webm", "libopus"),
        ("mp4", "aac"),
        ("aiff", "pcm_s16be"),
    ],
)
def test_decode_audio_reads_every_usual_container(tmp_path, suffix, codec):
    found = decode_audio(encode(tmp_path / f"call.{suffix}", codec))
    assert found.sample_rate_hz == 48_000
    assert abs(found.samples.shape[0] - SPEECH.size) < 5_000
    assert np.corrcoef(loudness(found.samples[:, 0]), loudness(SPEECH / 32768))[0, 1] > 0.9


def test_content_id_is_equal_for_wav_flac_and_aiff_of_the_same_sound(tmp_path):
    ids = {content_id(decode_audio(encode(tmp_path / name, codec))) for name, codec in [("a.flac", "flac"), ("a.aiff", "pcm_s16be")]}
    assert ids == {content_id(decode_audio(write_wav(tmp_path / "a.wav")))}


def test_content_id_is_equal_for_24_bit_wav_and_flac(tmp_path):
    samples = (SPEECH.astype(np.int32) << 16) + 0x3300
    ids = {
        content_id(decode_audio(write_wav(tmp_path / "a.wav", samples, subtype="PCM_24"))),
        content_id(decode_audio(write_wav(tmp_path / "a.flac", samples, subtype="PCM_24"))),
    }
    assert len(ids) == 1


def test_content_id_is_equal_for_an_aac_stream_in_m4a_and_mp4(tmp_path):
    m4a = encode(tmp_path / "a.m4a", "aac")
    assert content_id(decode_audio(m4a)) == content_id(decode_audio(remux(m4a, tmp_path / "a.mp4")))


def test_content_id_differs_by_rate_and_by_channel_arrangement():
    samples = speech_like(100)[:, None]
    ids = {content_id(decoded(samples)), content_id(decoded(samples, 8_000)), content_id(decoded(samples.reshape(-1, 2)))}
    assert len(ids) == 3


def test_content_id_is_the_same_for_negative_zero():
    assert content_id(decoded([[0.0], [0.5]])) == content_id(decoded([[-0.0], [0.5]]))


def test_content_id_refuses_samples_that_are_not_finite():
    with pytest.raises(AudioError) as caught:
        content_id(decoded([[np.nan]]))
    assert caught.value.reason is DropReason.INVALID_FORMAT


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_decode_audio_gives_exact_float32(tmp_path, subtype):
    values = np.array([-128, -64, -1, 0, 1, 127], np.float64) / 128
    path = write_wav(tmp_path / "a.wav", values, subtype=subtype)
    assert decode_audio(path).samples[:, 0].tolist() == values.tolist()


def test_decode_audio_keeps_every_channel_apart(tmp_path):
    samples = np.arange(50, dtype=np.int16).reshape(10, 5)
    assert np.array_equal(decode_audio(write_wav(tmp_path / "a.wav", samples)).samples * 32768, samples)


@pytest.mark.parametrize("name", ["通話 录音.wav", "two\nlines.wav", "a:b %03d [x].wav", "ünï.mp3", "rtp:x.wav"])
def test_decode_audio_opens_any_name(tmp_path, monkeypatch, name):
    write_wav(tmp_path / "plain.wav").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert decode_audio(Path(name)).samples.shape == (SPEECH.size, 1)


def test_decode_audio_opens_a_name_that_is_not_utf8(tmp_path):
    path = tmp_path / b"caf\xe9.wav".decode(errors="surrogateescape")
    write_wav(tmp_path / "plain.wav").rename(path)
    assert decode_audio(path).samples.shape == (SPEECH.size, 1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_decode_audio_tells_a_truncated_wav(tmp_path, order):
    whole = write_wav(tmp_path / "a.wav").read_bytes() if order == "<" else b""
    if order == ">":
        soundfile.write(tmp_path / "b.wav", SPEECH, 48_000, subtype="PCM_16", endian="BIG")
        whole = (tmp_path / "b.wav").read_bytes()
    (tmp_path / "half.wav").write_bytes(whole[: len(whole) // 2])
    assert reason_for(tmp_path / "half.wav") is DropReason.TRUNCATED
    (tmp_path / "less.wav").write_bytes(whole[:-1])
    assert reason_for(tmp_path / "less.wav") is DropReason.TRUNCATED


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.flac", "flac"), ("a.aiff", "pcm_s16be"), ("a.wv", "wavpack")],
)
def test_decode_audio_tells_a_truncated_lossless_file(tmp_path, name, codec):
    whole = encode(tmp_path / name, codec).read_bytes()
    (tmp_path / f"half-{name}").write_bytes(whole[: len(whole) // 2])
    assert reason_for(tmp_path / f"half-{name}") is DropReason.TRUNCATED


def test_decode_audio_tells_a_truncated_mp4_with_its_index_in_front(tmp_path):
    with (
        av.open(str(encode(tmp_path / "a.m4a", "aac"))) as read,
        av.open(str(tmp_path / "fast.m4a"), "w", options={"movflags": "faststart"}) as output,
    ):
        stream = output.add_stream_from_template(read.streams.audio[0])
        for packet in read.demux(read.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    whole = (tmp_path / "fast.m4a").read_bytes()
    assert decode_audio(tmp_path / "fast.m4a").samples.size
    (tmp_path / "half.m4a").write_bytes(whole[: len(whole) * 2 // 3])
    assert reason_for(tmp_path / "half.m4a") is DropReason.TRUNCATED


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFE])
def test_decode_audio_trusts_the_sound_when_a_streamed_wav_leaves_its_size_open(tmp_path, size):
    whole = bytearray(write_wav(tmp_path / "a.wav").read_bytes())
    at = whole.index(b"data") + 4
    whole[at : at + 4] = struct.pack("<I", size)
    whole[4:8] = struct.pack("<I", size)
    (tmp_path / "streamed.wav").write_bytes(whole)
    assert decode_audio(tmp_path / "streamed.wav").samples.shape == (SPEECH.size, 1)


def test_decode_audio_tells_a_truncated_rf64(tmp_path):
    soundfile.write(tmp_path / "a.wav", SPEECH, 48_000, format="RF64", subtype="PCM_16")
    whole = (tmp_path / "a.wav").read_bytes()
    assert decode_audio(tmp_path / "a.wav").samples.shape == (SPEECH.size, 1)
    (tmp_path / "half.wav").write_bytes(whole[: len(whole) // 2])
    assert reason_for(tmp_path / "half.wav") is DropReason.TRUNCATED


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        (b"", DropReason.EMPTY, "0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", DropReason.NOT_AUDIO, "git lfs pull"),
        (b"../../audio/call.wav", DropReason.NOT_AUDIO, "symbolic link"),
        ("会议记录\n".encode() * 300, DropReason.NOT_AUDIO, "text"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", DropReason.NOT_AUDIO, "text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), DropReason.NOT_AUDIO, "not audio"),
        (bytes(range(256)) * 20, DropReason.NOT_AUDIO, "no format FFmpeg knows"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", DropReason.UNDECODABLE, "damaged"),
    ],
)
def test_decode_audio_says_what_a_file_is_instead_of_audio(tmp_path, content, reason, says):
    path = tmp_path / "call.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=says) as caught:
        decode_audio(path)
    assert caught.value.reason is reason


def test_decode_audio_tells_a_missing_file_and_a_folder(tmp_path):
    assert reason_for(tmp_path / "gone.wav") is DropReason.MISSING
    assert reason_for(tmp_path) is DropReason.MISSING


def test_decode_audio_tells_a_wav_without_samples(tmp_path):
    assert reason_for(write_wav(tmp_path / "a.wav", SPEECH[:0])) is DropReason.EMPTY


def test_decode_audio_tells_a_video_without_sound(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        output.mux(stream.encode(None))
    assert reason_for(tmp_path / "a.mp4") is DropReason.NO_AUDIO_STREAM


@pytest.mark.parametrize("rate_hz", [1, 999, 768_001, 1_092_676])
def test_decode_audio_refuses_absurd_rates(tmp_path, rate_hz):
    assert reason_for(write_wav(tmp_path / "a.wav", rate_hz=rate_hz)) is DropReason.INVALID_FORMAT


def test_decode_audio_refuses_samples_that_are_not_finite(tmp_path):
    path = write_wav(tmp_path / "a.wav", np.array([0.0, np.inf]), subtype="FLOAT")
    assert reason_for(path) is DropReason.INVALID_FORMAT


def test_decode_audio_refuses_a_file_longer_than_allowed(tmp_path):
    path = write_wav(tmp_path / "a.wav")
    assert reason_for(path, max_duration_ms=1_499) is DropReason.TOO_LONG
    assert decode_audio(path, max_duration_ms=1_500).samples.shape == (SPEECH.size, 1)


@pytest.mark.parametrize("seed", range(6))
def test_decode_audio_raises_nothing_but_audio_error_on_damaged_bytes(tmp_path, seed):
    rng = np.random.default_rng(seed)
    for name, codec in [("a.wav", "pcm_s16le"), ("a.flac", "flac"), ("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.webm", "libopus")]:
        whole = bytearray(encode(tmp_path / name, codec).read_bytes())
        for at in rng.integers(0, min(len(whole), 2_000), 20):
            whole[at] = rng.integers(256)
        (tmp_path / f"bad-{name}").write_bytes(whole[: rng.integers(1, len(whole))])
        with suppress(AudioError):
            found = decode_audio(tmp_path / f"bad-{name}")
            assert found.samples.size
            assert np.isfinite(found.samples).all()


@pytest.mark.corpus
def test_decode_audio_judges_every_file_of_the_bad_audio_corpus(corpora):
    folder = corpora / "bad_audio"
    rows = list(csv.DictReader((folder / "MANIFEST.tsv").open(encoding="utf-8"), delimiter="\t"))
    reasons: dict[str, DropReason] = {}
    for row in rows:
        try:
            found = decode_audio(folder / row["path"])
        except AudioError as error:
            reasons[row["path"].removeprefix("files/")] = error.reason
        else:
            recording, samples = canonicalise(found)
            assert samples.shape[1] == recording.canonical_channels
            assert samples.size
    empty_or_cut = {
        "funasr/tmp_46bytes.wav": DropReason.EMPTY,
        "mutagen/with-id3.dsf": DropReason.TRUNCATED,
        "mutagen/nero-chapters.m4b": DropReason.TRUNCATED,
    }
    readable = {row["path"].removeprefix("files/") for row in rows if row["ffmpeg_strict_decode"] == "ok"}
    assert {name: reason for name, reason in reasons.items() if name in readable} == empty_or_cut
    assert {name for name in reasons if name.startswith("text_as_audio/")} == {
        name for name, reason in reasons.items() if reason is DropReason.NOT_AUDIO and name.endswith(".wav")
    }
    assert len(reasons) == 29
    assert len(rows) == 94
    assert reasons["mutagen/52-too-short-block-size.flac"] is DropReason.TRUNCATED
    assert reasons["pydub/test1.raw"] is DropReason.NOT_AUDIO


@pytest.mark.corpus
def test_is_silent_passes_the_quietest_speech(corpora):
    clips = sorted((corpora / "ravdess").rglob("*.flac"))[::20]
    assert len(clips) > 20
    assert not any(is_silent(decode_audio(clip)) for clip in clips)


@pytest.mark.corpus
def test_decode_audio_takes_a_meeting_room_without_speech(corpora):
    path = next((corpora / "ami").rglob("empty*.flac"))
    assert decode_audio(path).samples.shape == (16_000, 1)


@pytest.mark.parametrize("samples", [silence(100), silence(100) + 0.3, tone(100, level=5e-5)])
def test_is_silent_tells_silence_constants_and_the_noise_floor(samples):
    assert is_silent(decoded(samples[:, None]))


def test_is_silent_hears_one_live_channel():
    assert not is_silent(decoded(np.stack([silence(100), tone(100, level=0.001)], axis=1)))


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("num_samples", [1, 7, 4_410, 44_101])
def test_canonicalise_gives_lengths_true_to_the_sample(rate_hz, num_samples):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (num_samples, 1))
    recording, canonical = canonicalise(decoded(samples, rate_hz))
    exact = num_samples * 16_000 / rate_hz
    assert abs(canonical.shape[0] - exact) <= 0.5 or canonical.shape[0] == 1
    assert recording.num_samples == num_samples
    assert canonical.dtype == np.float32


def test_canonicalise_keeps_a_tone_when_it_resamples():
    _, canonical = canonicalise(decoded(tone(1_000, rate_hz=44_100)[:, None], 44_100))
    assert np.abs(canonical[800:-800, 0] - tone(1_000)[800:-800]).max() < 1e-3


def test_canonicalise_keeps_both_parties_of_a_call():
    left, right = np.split(np.stack([speech_like(4_000, seed=1), speech_like(4_000, seed=2)], axis=1), 2, axis=1)
    gate = (np.arange(64_000) // 16_000 % 2)[:, None]
    recording, canonical = canonicalise(decoded(np.hstack([left * gate, right * (1 - gate)])))
    assert (recording.layout, recording.canonical_channels) == (ChannelLayout.PER_CHANNEL, 2)
    assert np.array_equal(canonical, np.hstack([left * gate, right * (1 - gate)]))


def test_canonicalise_scales_sound_above_full_scale_down_as_a_whole():
    _, canonical = canonicalise(decoded(tone(100, level=4.0)[:, None]))
    assert np.allclose(canonical[:, 0], tone(100, level=4.0) / np.abs(tone(100, level=4.0)).max(), atol=1e-6)


def test_canonicalise_refuses_more_parties_than_a_flac_holds():
    samples = np.stack([speech_like(2_000, seed=seed) for seed in range(9)], axis=1)
    with pytest.raises(AudioError, match="9 parties"):
        canonicalise(decoded(samples))


def test_write_canonical_and_read_clip_return_the_samples(tmp_path):
    samples = np.stack([speech_like(1_000, seed=1), speech_like(1_000, seed=2)], axis=1)
    path = tmp_path / "ab" / "abc.flac"
    write_canonical(path, samples)
    assert np.abs(read_clip(path, channel=1) - samples[:, 1]).max() <= 0.5 / 32768 + 1e-7
    clip = read_clip(path, segment=Segment(start_ms=250, end_ms=333))
    assert np.array_equal(clip, read_clip(path)[4_000:5_328])
    assert [file.name for file in path.parent.iterdir()] == ["abc.flac"]


def test_write_canonical_saturates_instead_of_wrapping(tmp_path):
    write_canonical(tmp_path / "a.flac", np.array([[1.5], [-1.5]], np.float32))
    assert read_clip(tmp_path / "a.flac").tolist() == [32767 / 32768, -1.0]


def test_write_canonical_leaves_nothing_behind_when_it_fails(tmp_path):
    with pytest.raises(OSError, match=r"a\.flac"):
        write_canonical(tmp_path / "a.flac", np.zeros((100, 9), np.float32))
    assert list(tmp_path.iterdir()) == []


def test_read_clip_leaves_out_what_lies_after_the_end(tmp_path):
    write_canonical(tmp_path / "a.flac", tone(500)[:, None])
    assert read_clip(tmp_path / "a.flac", segment=Segment(start_ms=400, end_ms=900)).size == 1_600


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"channel": 1}, DropReason.INVALID_FORMAT), ({"segment": Segment(start_ms=500, end_ms=900)}, DropReason.TOO_SHORT)],
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
    (tmp_path / "a.flac").write_bytes(b"fLaC" + bytes(50))
    with pytest.raises(AudioError, match="damaged") as caught:
        read_clip(tmp_path / "a.flac")
    assert caught.value.reason is DropReason.UNDECODABLE


def test_write_clip_wav_writes_what_browsers_play(tmp_path):
    write_clip_wav(tmp_path / "clips" / "a.wav", tone(250))
    info = soundfile.info(tmp_path / "clips" / "a.wav")
    assert (info.format, info.subtype, info.samplerate, info.channels, info.frames) == ("WAV", "PCM_16", 16_000, 1, 4_000)
