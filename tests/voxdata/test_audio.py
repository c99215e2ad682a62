import csv
import struct
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile

from voxdata.audio import decode_audio
from voxdata.errors import AudioError, DropReason
from voxdata.testing import speech_like

SPEECH = np.rint(speech_like(1_500, rate_hz=48_000) * 32767).astype(np.int16)


def write_wav(path: Path, samples=SPEECH, *, rate_hz=48_000, subtype="PCM_16"):
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return path


def encode(
    path: Path,
    codec: str,
    *,
    container: str | None = None,
) -> Path:
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000, layout="mono")
        stream.time_base = Fraction(1, 48_000)
        frame = av.AudioFrame.from_ndarray(
            SPEECH[None],
            format="s16",
            layout="mono",
        )
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout="mono",
            rate=48_000,
            frame_size=stream.frame_size or 1024,
        )
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
    framed = samples[: frames * size].reshape(frames, size)
    return np.sqrt(np.mean(np.square(framed), axis=1))


def decode(path: Path, **options) -> SimpleNamespace:
    """A whole file in memory."""
    blocks = decode_audio(path, list, **options)
    formats = {(b.sample_rate_hz, b.codec, b.container, b.samples.shape[1]) for b in blocks}
    assert len(formats) == 1
    return SimpleNamespace(
        samples=np.concatenate([b.samples for b in blocks]),
        sample_rate_hz=blocks[0].sample_rate_hz,
    )


def reason_for(path: Path, **options) -> DropReason:
    with pytest.raises(AudioError) as caught:
        decode(path, **options)
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
    decoded = decode(encode(tmp_path / f"call.{suffix}", codec))
    assert decoded.sample_rate_hz == 48_000
    assert abs(decoded.samples.shape[0] - SPEECH.size) < 5_000
    heard = loudness(decoded.samples[:, 0])
    wanted = loudness(SPEECH / 32768)
    assert np.corrcoef(heard, wanted)[0, 1] > 0.9


@pytest.mark.parametrize(
    "subtype",
    ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"],
)
def test_decode_audio_gives_exact_float32(tmp_path, subtype):
    values = np.array([-128, -64, -1, 0, 1, 127], np.float64) / 128
    path = write_wav(tmp_path / "a.wav", values, subtype=subtype)
    assert decode(path).samples[:, 0].tolist() == values.tolist()


def test_decode_audio_keeps_every_channel_apart(tmp_path):
    samples = np.arange(50, dtype=np.int16).reshape(10, 5)
    decoded = decode(write_wav(tmp_path / "a.wav", samples))
    assert np.array_equal(decoded.samples * 32768, samples)


@pytest.mark.parametrize(
    "name",
    ["通話 录音.wav", "two\nlines.wav", "a:b %03d [x].wav", "ünï.mp3", "rtp:x.wav"],
)
def test_decode_audio_opens_any_name(tmp_path, monkeypatch, name):
    write_wav(tmp_path / "plain.wav").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    decoded = decode(Path(name))
    assert decoded.samples.shape == (SPEECH.size, 1)


def test_decode_audio_opens_a_name_that_is_not_utf8(tmp_path):
    path = tmp_path / b"caf\xe9.wav".decode(errors="surrogateescape")
    write_wav(tmp_path / "plain.wav").rename(path)
    assert decode(path).samples.shape == (SPEECH.size, 1)


@pytest.mark.parametrize("order", ["<", ">"])
def test_decode_audio_tells_a_truncated_wav(tmp_path, order):
    whole = write_wav(tmp_path / "a.wav").read_bytes() if order == "<" else b""
    if order == ">":
        soundfile.write(
            tmp_path / "b.wav",
            SPEECH,
            48_000,
            subtype="PCM_16",
            endian="BIG",
        )
        whole = (tmp_path / "b.wav").read_bytes()
    half_file = tmp_path / "half.wav"
    half_file.write_bytes(whole[: len(whole) // 2])
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
        av.open(
            str(tmp_path / "fast.m4a"),
            "w",
            options={"movflags": "faststart"},
        ) as output,
    ):
        stream = output.add_stream_from_template(read.streams.audio[0])
        for packet in read.demux(read.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    whole = (tmp_path / "fast.m4a").read_bytes()
    assert decode(tmp_path / "fast.m4a").samples.size
    half_file = tmp_path / "half.m4a"
    half_file.write_bytes(whole[: len(whole) * 2 // 3])
    assert reason_for(tmp_path / "half.m4a") is DropReason.TRUNCATED


@pytest.mark.parametrize(
    "size",
    [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFE],
)
def test_decode_audio_trusts_the_sound_when_a_streamed_wav_leaves_its_size_open(tmp_path, size):
    whole = bytearray(write_wav(tmp_path / "a.wav").read_bytes())
    at = whole.index(b"data") + 4
    whole[at : at + 4] = struct.pack("<I", size)
    whole[4:8] = struct.pack("<I", size)
    (tmp_path / "streamed.wav").write_bytes(whole)
    decoded = decode(tmp_path / "streamed.wav")
    assert decoded.samples.shape == (SPEECH.size, 1)


def test_decode_audio_tells_a_truncated_rf64(tmp_path):
    soundfile.write(
        tmp_path / "a.wav",
        SPEECH,
        48_000,
        format="RF64",
        subtype="PCM_16",
    )
    whole = (tmp_path / "a.wav").read_bytes()
    decoded = decode(tmp_path / "a.wav")
    assert decoded.samples.shape == (SPEECH.size, 1)
    half_file = tmp_path / "half.wav"
    half_file.write_bytes(whole[: len(whole) // 2])
    assert reason_for(tmp_path / "half.wav") is DropReason.TRUNCATED


@pytest.mark.parametrize(
    ("content", "reason", "says"),
    [
        (b"", DropReason.EMPTY, "0 bytes"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
            DropReason.NOT_AUDIO,
            "git lfs pull",
        ),
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
        decode(path)
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
            output.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
                )
            )
        output.mux(stream.encode(None))
    assert reason_for(tmp_path / "a.mp4") is DropReason.NO_AUDIO_STREAM


@pytest.mark.parametrize("rate_hz", [1, 999, 768_001, 1_092_676])
def test_decode_audio_refuses_absurd_rates(tmp_path, rate_hz):
    assert reason_for(write_wav(tmp_path / "a.wav", rate_hz=rate_hz)) is DropReason.INVALID_FORMAT


def test_decode_audio_refuses_samples_that_are_not_finite(tmp_path):
    path = write_wav(
        tmp_path / "a.wav",
        np.array([0.0, np.inf]),
        subtype="FLOAT",
    )
    assert reason_for(path) is DropReason.INVALID_FORMAT


def test_decode_audio_refuses_a_file_longer_than_allowed(tmp_path):
    path = write_wav(tmp_path / "a.wav")
    assert reason_for(path, max_duration_ms=1_499) is DropReason.TOO_LONG
    decoded = decode(path, max_duration_ms=1_500)
    assert decoded.samples.shape == (SPEECH.size, 1)


@pytest.mark.parametrize("seed", range(6))
def test_decode_audio_raises_nothing_but_audio_error_on_damaged_bytes(tmp_path, seed):
    rng = np.random.default_rng(seed)
    for name, codec in [
        ("a.wav", "pcm_s16le"),
        ("a.flac", "flac"),
        ("a.mp3", "libmp3lame"),
        ("a.m4a", "aac"),
        ("a.webm", "libopus"),
    ]:
        content = encode(tmp_path / name, codec).read_bytes()
        whole = bytearray(content)
        for at in rng.integers(0, min(len(whole), 2_000), 20):
            whole[at] = rng.integers(256)
        (tmp_path / f"bad-{name}").write_bytes(whole[: rng.integers(1, len(whole))])
        with suppress(AudioError):
            decoded = decode(tmp_path / f"bad-{name}")
            assert decoded.samples.size
            assert np.isfinite(decoded.samples).all()


@pytest.mark.corpus
def test_decode_audio_judges_every_file_of_the_bad_audio_corpus(corpora):
    folder = corpora / "bad_audio"
    with (folder / "MANIFEST.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    reasons: dict[str, DropReason] = {}
    for row in rows:
        try:
            decoded = decode(folder / row["path"])
        except AudioError as error:
            reasons[row["path"].removeprefix("files/")] = error.reason
        else:
            assert decoded.samples.size
    empty_or_cut = {
        "funasr/tmp_46bytes.wav": DropReason.EMPTY,
        "mutagen/with-id3.dsf": DropReason.TRUNCATED,
        "mutagen/nero-chapters.m4b": DropReason.TRUNCATED,
    }
    readable = {
        row["path"].removeprefix("files/") for row in rows if row["ffmpeg_strict_decode"] == "ok"
    }
    assert {name: reason for name, reason in reasons.items() if name in readable} == empty_or_cut
    assert {name for name in reasons if name.startswith("text_as_audio/")} == {
        name
        for name, reason in reasons.items()
        if reason is DropReason.NOT_AUDIO and name.endswith(".wav")
    }
    assert len(reasons) == 29
    assert len(rows) == 94
    assert reasons["mutagen/52-too-short-block-size.flac"] is DropReason.TRUNCATED
    assert reasons["pydub/test1.raw"] is DropReason.NOT_AUDIO


@pytest.mark.corpus
def test_decode_audio_takes_a_meeting_room_without_speech(corpora):
    path = next((corpora / "ami").rglob("empty*.flac"))
    assert decode(path).samples.shape == (16_000, 1)
