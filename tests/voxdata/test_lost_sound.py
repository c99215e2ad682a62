"""Nothing that a recording holds is lost without a word: it is there in its place, or a remark or
the refusal names it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile

from voxdata.audio import decode_audio
from voxdata.canonicalise import canonicalise
from voxdata.errors import AudioError, DropReason
from voxdata.recording import ChannelLayout
from voxdata.remark import Remark, RemarkKind
from voxdata.testing import speech_like
from voxdata.truncation import measure_extent, missing_bytes

RATE_HZ = 48_000
SPEECH = np.rint(speech_like(6_000, rate_hz=RATE_HZ) * 32767).astype(np.int16)
OTHER = np.rint(speech_like(6_000, rate_hz=RATE_HZ, seed=7) * 32767).astype(np.int16)


def decode(path: Path) -> SimpleNamespace:
    """A whole file in memory, with the remarks about it."""
    remarks: list[Remark] = []
    blocks = decode_audio(path, list, remark=remarks.append)
    samples = np.concatenate([block.samples for block in blocks])
    rate_hz = blocks[0].sample_rate_hz
    seconds = len(samples) / rate_hz
    return SimpleNamespace(
        samples=samples,
        rate_hz=rate_hz,
        seconds=seconds,
        remarks=remarks,
    )


def kinds(found: SimpleNamespace) -> list[RemarkKind]:
    return [remark.kind for remark in found.remarks]


def refusal(path: Path) -> AudioError:
    with pytest.raises(AudioError) as caught:
        decode(path)
    assert str(path) in str(caught.value)
    return caught.value


def write(
    path: Path,
    codec: str,
    *tracks: np.ndarray,
    rate_hz: int = RATE_HZ,
    start_s: Sequence[float] = (),
    languages: Sequence[str] = (),
    options: dict[str, str] | None = None,
    film_s: float = 0.0,
) -> Path:
    """A file with an audio track for each array, (num_samples,) or (num_samples, 2) int16."""
    if codec == "vorbis":
        soundfile.write(
            path,
            tracks[0],
            rate_hz,
            format="OGG",
            subtype="VORBIS",
        )
        return path
    with av.open(str(path), "w", options=options or {}) as output:
        streams = []
        for number, samples in enumerate(tracks):
            layout = "mono" if samples.ndim == 1 else "stereo"
            stream = output.add_stream(codec, rate=rate_hz, layout=layout)
            stream.time_base = Fraction(1, rate_hz)
            if languages:
                stream.metadata["language"] = languages[number]
            streams.append(stream)
        film = output.add_stream("mpeg4", rate=10) if film_s else None
        if film is not None:
            film.width = film.height = 32
            film.pix_fmt = "yuv420p"
            for _ in range(round(film_s * 10)):
                picture = av.VideoFrame.from_ndarray(
                    np.zeros((32, 32, 3), np.uint8),
                    format="rgb24",
                )
                output.mux(film.encode(picture))
            output.mux(film.encode(None))
        for number, (stream, samples) in enumerate(zip(streams, tracks, strict=True)):
            start = round((start_s[number] if start_s else 0.0) * rate_hz)
            for packet in encoded(stream, samples, rate_hz=rate_hz, start=start):
                output.mux(packet)
    return path


def encoded(stream, samples: np.ndarray, *, rate_hz: int, start: int):
    layout = "mono" if samples.ndim == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(
        samples.reshape(1, -1),
        format="s16",
        layout=layout,
    )
    frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
    resampler = av.AudioResampler(
        format=stream.codec_context.format,
        layout=layout,
        rate=rate_hz,
        frame_size=stream.frame_size or 1024,
    )
    for ready in [*resampler.resample(frame), *resampler.resample(None)]:
        ready.pts += start
        yield from stream.encode(ready)
    yield from stream.encode(None)


def remux(
    source: Path,
    target: Path,
    keep: Callable[[int, float], bool],
) -> Path:
    """Copy the packets for which `keep` of number and time in seconds is true."""
    with av.open(str(source)) as read, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(read.streams.audio[0])
        for number, packet in enumerate(read.demux(read.streams.audio[0])):
            if packet.dts is not None and keep(number, float(packet.pts * packet.time_base)):
                packet.stream = stream
                output.mux(packet)
    return target


def write_wav(path: Path, samples: np.ndarray = SPEECH, **options) -> bytes:
    soundfile.write(
        path,
        samples,
        RATE_HZ,
        **({"subtype": "PCM_16"} | options),
    )
    return path.read_bytes()


def with_data_size(whole: bytes, size: int) -> bytes:
    at = whole.index(b"data") + 4
    return whole[:at] + struct.pack("<I", size) + whole[at + 4 :]


def loudness(
    samples: np.ndarray,
    *,
    frame_s: float = 0.1,
    rate_hz: int = RATE_HZ,
) -> np.ndarray:
    size = round(frame_s * rate_hz)
    whole = len(samples) // size * size
    framed = samples[:whole].reshape(-1, size)
    return np.sqrt(np.mean(np.square(framed), axis=1))


def likeness(found: np.ndarray, original: np.ndarray) -> float:
    """Correlation of two loudness curves."""
    heard = loudness(found)
    wanted = loudness(original / 32768)
    frames = min(len(heard), len(wanted))
    return float(np.corrcoef(heard[:frames], wanted[:frames])[0, 1])


# Links of an Ogg file.


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("libopus", 48_000, 1), ("libopus", 48_000, 2)),
        (("libopus", 48_000, 2), ("libopus", 48_000, 1)),
        (("vorbis", 48_000, 1), ("vorbis", 44_100, 1)),
        (("vorbis", 48_000, 1), ("libopus", 48_000, 1)),
        (("flac", 48_000, 1), ("flac", 16_000, 1)),
    ],
)
def test_decode_audio_refuses_an_ogg_whose_links_differ(tmp_path, first, second):
    stereo = np.stack([SPEECH, OTHER], axis=1)
    links = b""
    for codec, rate_hz, channels in (first, second):
        samples = SPEECH if channels == 1 else stereo
        links += write(tmp_path / "link.ogg", codec, samples, rate_hz=rate_hz).read_bytes()
    (tmp_path / "chained.ogg").write_bytes(links)
    error = refusal(tmp_path / "chained.ogg")
    assert error.reason is DropReason.INVALID_FORMAT
    assert "split it there" in str(error)


def test_decode_audio_reads_every_link_of_an_ogg_of_one_format(tmp_path):
    links = [write(tmp_path / "a.ogg", "libopus", samples) for samples in (SPEECH, OTHER)]
    chained = b""
    for samples in (SPEECH, OTHER):
        chained += write(links[0], "libopus", samples).read_bytes()
    (tmp_path / "chained.ogg").write_bytes(chained)
    decoded = decode(tmp_path / "chained.ogg")
    assert decoded.seconds == pytest.approx(12.0, abs=0.05)
    assert likeness(decoded.samples[:, 0], np.concatenate([SPEECH, OTHER])) > 0.9


# Sound without a header.


def all_suffixes() -> list[str]:
    found = set()
    for name in av.formats_available:
        try:
            found |= set(av.ContainerFormat(name, "r").extensions)
        except ValueError:
            continue
    return sorted(found)


def test_decode_audio_takes_noise_for_sound_under_no_suffix(tmp_path):
    rng = np.random.default_rng(5)
    noise = rng.bytes(40_000)
    voiced = rng.integers(0x50, 0xD9, 40_000).astype(np.uint8)
    contents = noise, voiced.tobytes()
    taken = []
    suffixes = all_suffixes()
    assert {"al", "ul", "sw", "sln", "g722", "gsm", "tco"} <= set(suffixes)
    for suffix in suffixes:
        for content in contents:
            path = tmp_path / f"call.{suffix}"
            path.write_bytes(content)
            with suppress(AudioError):
                decode_audio(path, list)
                taken.append(suffix)
    assert taken == []


@pytest.mark.parametrize(
    ("suffix", "raw_format", "says"),
    [
        ("al", "alaw", "ffmpeg -f alaw -ar 8000 -ac 1 -i call.al call.wav"),
        ("UL", "mulaw", "ffmpeg -f mulaw -ar 8000 -ac 1 -i call.UL call.wav"),
        ("sw", "s16le", "ffmpeg -f s16le -ar 8000 -ac 1 -i call.sw call.wav"),
        ("g722", "g722", "ffmpeg -f g722 -i call.g722 call.wav"),
        ("raw", "s16le", "ffmpeg -f s16le -ar 8000 -ac 1 -i call.raw call.wav"),
    ],
)
def test_decode_audio_names_the_way_to_wrap_sound_without_a_header(
    tmp_path, suffix, raw_format, says
):
    with av.open(str(tmp_path / "x"), "w", format=raw_format) as output:
        codec = {"alaw": "pcm_alaw", "mulaw": "pcm_mulaw", "s16le": "pcm_s16le", "g722": "g722"}
        rate_hz = 16_000 if raw_format == "g722" else 8_000
        stream = output.add_stream(
            codec[raw_format],
            rate=rate_hz,
            layout="mono",
        )
        for packet in encoded(stream, SPEECH, rate_hz=rate_hz, start=0):
            output.mux(packet)
    (tmp_path / "x").rename(tmp_path / f"call.{suffix}")
    error = refusal(tmp_path / f"call.{suffix}")
    assert error.reason is DropReason.NOT_AUDIO
    assert says in str(error)


# Packets that are missing.


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.webm", "libopus"),
        ("a.mka", "aac"),
        ("a.m4a", "aac"),
        ("a.opus", "libopus"),
        ("a.ogg", "vorbis"),
        ("a.flv", "aac"),
    ],
)
def test_decode_audio_leaves_silence_where_packets_are_missing(tmp_path, name, codec):
    source = write(tmp_path / name, codec, SPEECH)
    path = remux(
        source,
        tmp_path / f"gap-{name}",
        lambda _, at_s: not 2 <= at_s < 4,
    )
    decoded = decode(path)
    assert decoded.seconds == pytest.approx(decode(source).seconds, abs=0.05)
    assert kinds(decoded) == [RemarkKind.GAP]
    assert decoded.remarks[0].amount_ms == pytest.approx(2_000, abs=50)
    start = round(2.1 * decoded.rate_hz)
    end = round(3.9 * decoded.rate_hz)
    assert not decoded.samples[start:end].any()
    after = decoded.samples[round(4.2 * RATE_HZ) :, 0]
    wanted = SPEECH[round(4.2 * RATE_HZ) :]
    assert likeness(after, wanted) > 0.9


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.webm", "libopus"), ("a.m4a", "aac")],
)
def test_decode_audio_adds_up_packets_that_are_missing_one_by_one(tmp_path, name, codec):
    source = write(tmp_path / name, codec, SPEECH)
    decoded = decode(
        remux(
            source,
            tmp_path / f"thin-{name}",
            lambda number, _: number % 10 != 9,
        )
    )
    assert decoded.seconds == pytest.approx(decode(source).seconds, abs=0.05)
    assert kinds(decoded) == [RemarkKind.GAP]


def test_decode_audio_says_nothing_of_a_whole_file(tmp_path):
    for name, codec in (("a.webm", "libopus"), ("a.m4a", "aac"), ("a.mp3", "libmp3lame")):
        decoded = decode(write(tmp_path / name, codec, SPEECH))
        assert decoded.remarks == []


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mkv", "libopus"), ("a.mp4", "aac")],
)
def test_decode_audio_begins_with_silence_when_the_sound_is_later_than_the_film(
    tmp_path, name, codec
):
    path = write(
        tmp_path / name,
        codec,
        SPEECH,
        start_s=[3.0],
        film_s=9.0,
    )
    decoded = decode(path)
    assert decoded.seconds == pytest.approx(9.0, abs=0.05)
    assert kinds(decoded) == [RemarkKind.LATE_START]
    assert likeness(decoded.samples[3 * RATE_HZ :, 0], SPEECH) > 0.9


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.webm", "libopus"), ("a.m4a", "aac")],
)
def test_decode_audio_begins_with_silence_when_a_track_on_its_own_is_late(tmp_path, name, codec):
    path = write(
        tmp_path / name,
        codec,
        SPEECH,
        start_s=[2.0],
    )
    decoded = decode(path)
    assert decoded.seconds == pytest.approx(8.0, abs=0.05)
    assert kinds(decoded) == [RemarkKind.LATE_START]


def test_decode_audio_puts_nothing_before_a_piece_of_a_longer_stream(tmp_path):
    path = write(
        tmp_path / "a.webm",
        "libopus",
        SPEECH,
        start_s=[3_000.0],
    )
    decoded = decode(path)
    assert decoded.seconds == pytest.approx(6.0, abs=0.05)


# Sizes in headers.


@pytest.mark.parametrize(
    "more",
    [44, 36, 32, 24, 12, 8],
)
def test_decode_audio_reads_a_wav_that_counts_parts_of_its_header_as_sound(tmp_path, more):
    path = tmp_path / "a.wav"
    content = with_data_size(write_wav(path), 2 * SPEECH.size + more)
    path.write_bytes(content)
    assert decode(path).samples.shape == (SPEECH.size, 1)


def test_decode_audio_reads_a_wav_that_counts_a_longer_header_as_sound(tmp_path):
    path = tmp_path / "a.wav"
    whole = write_wav(
        path,
        SPEECH[:9_001],
        format="WAVEX",
        subtype="PCM_24",
    )
    start = whole.index(b"data") + 8
    content = with_data_size(whole, 3 * 9_001 + start)
    path.write_bytes(content)
    assert start > 44
    assert decode(path).samples.shape == (9_001, 1)


def test_decode_audio_reads_a_wav_whose_padding_was_promised_and_not_written(tmp_path):
    path = tmp_path / "a.wav"
    whole = write_wav(path, SPEECH[:9_001], subtype="PCM_U8")
    start = whole.index(b"data") + 8
    content = with_data_size(whole[: start + 9_001], 9_002)
    path.write_bytes(content)
    assert decode(path).samples.shape == (9_001, 1)


@pytest.mark.parametrize(
    "missing",
    [2, 4, 45, 46, 100, SPEECH.size],
)
def test_decode_audio_still_refuses_a_wav_of_which_sound_is_missing(tmp_path, missing):
    path = tmp_path / "a.wav"
    path.write_bytes(write_wav(path)[:-missing])
    assert refusal(path).reason is DropReason.TRUNCATED


@pytest.mark.parametrize(
    "mark",
    [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0, 0x80000000, 0xFFFFFFDB],
)
def test_measure_extent_holds_an_open_size_for_no_promise_in_a_file_of_any_size(tmp_path, mark):
    path = tmp_path / "a.wav"
    path.write_bytes(with_data_size(write_wav(path), mark))
    with path.open("r+b") as file:
        file.truncate(0x80000000 + 1_000_044)
    assert missing_bytes(path) == 0
    assert measure_extent(path).streamed


def test_measure_extent_holds_a_size_between_2_and_4_gib_for_a_promise(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(with_data_size(write_wav(path), 0xE0000000))
    with path.open("r+b") as file:
        file.truncate(0x90000000)
    assert missing_bytes(path) == 0xE0000000 + 44 - 0x90000000


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF])
def test_decode_audio_reads_an_rf64_of_open_size(tmp_path, size):
    path = tmp_path / "a.wav"
    whole = bytearray(write_wav(path, format="RF64"))
    whole[20:36] = struct.pack("<QQ", size, size)
    path.write_bytes(whole)
    assert decode(path).samples.shape == (SPEECH.size, 1)


@pytest.mark.parametrize(
    "size",
    [0, 24, 0x7FFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF],
)
def test_decode_audio_reads_a_wave64_of_open_size(tmp_path, size):
    path = tmp_path / "a.w64"
    whole = bytearray(write_wav(path, format="W64"))
    at = whole.index(b"data\xf3\xac\xd3\x11") + 16
    whole[at : at + 8] = struct.pack("<Q", size)
    path.write_bytes(whole)
    assert decode(path).samples.shape == (SPEECH.size, 1)


@pytest.mark.parametrize("frames", [None, 0, 0xFFFFFFFF])
@pytest.mark.parametrize("size", [0, 8, 0x7FFFFFFF, 0xFFFFFFFF])
def test_decode_audio_reads_an_aiff_of_open_size(tmp_path, size, frames):
    path = tmp_path / "a.aiff"
    whole = bytearray(write_wav(path, format="AIFF"))
    at = whole.index(b"SSND") + 4
    whole[at : at + 4] = struct.pack(">I", size)
    if frames is not None:
        at = whole.index(b"COMM") + 10
        whole[at : at + 4] = struct.pack(">I", frames)
    path.write_bytes(whole)
    assert decode(path).samples.shape == (SPEECH.size, 1)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_decode_audio_reads_an_au_of_open_size(tmp_path, size):
    path = tmp_path / "a.au"
    whole = bytearray(write_wav(path, format="AU"))
    whole[8:12] = struct.pack(">I", size)
    path.write_bytes(whole)
    assert decode(path).samples.shape == (SPEECH.size, 1)


@pytest.mark.parametrize("name", ["a.w64", "a.au"])
def test_decode_audio_tells_a_truncated_wave64_and_au(tmp_path, name):
    path = tmp_path / name
    whole = write_wav(path, format=name[2:].upper())
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(path).reason is DropReason.TRUNCATED


# Sound after the end.


def test_decode_audio_says_how_much_lies_after_the_end_of_a_wav(tmp_path):
    path = tmp_path / "a.wav"
    content = with_data_size(write_wav(path), 4 * RATE_HZ)
    path.write_bytes(content)
    decoded = decode(path)
    assert decoded.seconds == 2.0
    remarks = [(r.kind, r.amount_ms) for r in decoded.remarks]
    assert remarks == [(RemarkKind.AFTER_END, 4_000)]


@pytest.mark.parametrize("form", ["WAV", "AIFF"])
def test_decode_audio_says_how_much_a_joined_recording_would_be(tmp_path, form):
    path = tmp_path / "a.wav"
    path.write_bytes(write_wav(path, format=form) * 3)
    decoded = decode(path)
    assert decoded.seconds == 6.0
    remarks = [(r.kind, r.amount_ms) for r in decoded.remarks]
    assert remarks == [(RemarkKind.AFTER_END, 12_000)]
    assert "split the file" in decoded.remarks[0].detail


def test_decode_audio_keeps_a_flac_joined_on_and_says_so(tmp_path):
    path = tmp_path / "a.flac"
    path.write_bytes(write_wav(path) * 2)
    decoded = decode(path)
    assert decoded.seconds == pytest.approx(12.0, abs=0.01)
    remarks = [(r.kind, r.amount_ms) for r in decoded.remarks]
    assert remarks == [(RemarkKind.AFTER_END, 6_000)]


def test_decode_audio_says_that_an_m4a_is_joined_on(tmp_path):
    whole = write(tmp_path / "a.m4a", "aac", SPEECH).read_bytes()
    (tmp_path / "a.m4a").write_bytes(whole * 2)
    (remark,) = decode(tmp_path / "a.m4a").remarks
    assert remark.kind == RemarkKind.AFTER_END
    assert remark.amount_ms == pytest.approx(6_000, abs=60)


@pytest.mark.parametrize(
    "tail",
    [
        bytes(4_096),
        b"LIST" + struct.pack("<I", 12) + b"INFOISFT" + bytes(4),
        b"ID3\x03" + bytes(range(256)) * 20,
        b"TAG" + b"x" * 125,
    ],
)
def test_decode_audio_says_nothing_of_zeros_and_tags_after_the_end(tmp_path, tail):
    path = tmp_path / "a.wav"
    path.write_bytes(write_wav(path) + tail)
    assert decode(path).remarks == []


# Recordings that were cut off.


@pytest.mark.parametrize("left", [0.3, 0.9, 1.0])
def test_decode_audio_says_that_an_m4a_was_cut_off_before_its_index(tmp_path, left):
    whole = write(tmp_path / "a.m4a", "aac", SPEECH).read_bytes()
    index = whole.index(b"moov") - 4
    cut_file = tmp_path / "cut.m4a"
    cut_file.write_bytes(whole[: round(index * left)])
    error = refusal(tmp_path / "cut.m4a")
    assert error.reason is DropReason.TRUNCATED
    assert "the recording was cut off before its index was written" in str(error)


def test_decode_audio_says_that_an_m4a_was_cut_off_inside_its_index(tmp_path):
    whole = write(tmp_path / "a.m4a", "aac", SPEECH).read_bytes()
    cut_file = tmp_path / "cut.m4a"
    cut_file.write_bytes(whole[: whole.index(b"moov") + 200])
    assert "cut off before its index" in str(refusal(tmp_path / "cut.m4a"))


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_decode_audio_keeps_what_is_there_of_a_fragmented_mp4(tmp_path, share):
    options = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}
    whole = write(tmp_path / "a.mp4", "aac", SPEECH, options=options).read_bytes()
    cut_file = tmp_path / "cut.mp4"
    cut_file.write_bytes(whole[: round(len(whole) * share)])
    decoded = decode(tmp_path / "cut.mp4")
    assert decoded.seconds == pytest.approx(6.0 * share, abs=0.3)
    assert RemarkKind.CUT_OFF in kinds(decoded)


def test_decode_audio_says_that_a_webm_is_shorter_than_its_header_says(tmp_path):
    whole = write(tmp_path / "a.webm", "libopus", SPEECH).read_bytes()
    cut_file = tmp_path / "cut.webm"
    cut_file.write_bytes(whole[: len(whole) * 6 // 10])
    decoded = decode(tmp_path / "cut.webm")
    assert RemarkKind.CUT_OFF in kinds(decoded)
    assert decoded.seconds < 4.0


# Several tracks.


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "aac"), ("a.mkv", "libopus"), ("a.mov", "pcm_s16le")],
)
def test_canonicalise_keeps_two_parties_on_tracks_of_their_own(tmp_path, name, codec):
    gate = np.repeat(np.arange(6) % 2, RATE_HZ).astype(np.int16)
    both = write(
        tmp_path / name,
        codec,
        SPEECH * gate,
        OTHER * (1 - gate),
    )
    canonical = canonicalise(both, lambda _: tmp_path / "both.flac")
    alone = write(tmp_path / f"one-{name}", codec, SPEECH * gate)
    one = canonicalise(alone, lambda _: tmp_path / "one.flac")
    assert canonical.recording.layout is ChannelLayout.PER_CHANNEL
    assert canonical.recording.canonical_channels == 2
    assert [remark.kind for remark in canonical.remarks] == [RemarkKind.TRACKS]
    assert canonical.recording.recording_id != one.recording.recording_id
    samples = decode(both).samples
    assert likeness(samples[:, 0], SPEECH * gate) > 0.9
    assert likeness(samples[:, 1], OTHER * (1 - gate)) > 0.9


def test_canonicalise_takes_equal_tracks_for_dual_mono(tmp_path):
    path = write(tmp_path / "a.mov", "pcm_s16le", SPEECH, SPEECH)
    recording = canonicalise(path, lambda _: tmp_path / "a.flac").recording
    assert recording.layout == ChannelLayout.DUAL_MONO
    assert recording.canonical_channels == 1


def test_decode_audio_lays_a_late_and_short_track_where_it_belongs(tmp_path):
    short = OTHER[: 2 * RATE_HZ]
    path = write(
        tmp_path / "a.mkv",
        "libopus",
        SPEECH,
        short,
        start_s=[0.0, 3.0],
    )
    decoded = decode(path)
    assert decoded.seconds == pytest.approx(6.0, abs=0.05)
    assert not decoded.samples[: round(2.9 * RATE_HZ), 1].any()
    assert likeness(decoded.samples[3 * RATE_HZ : 5 * RATE_HZ, 1], short) > 0.9
    assert kinds(decoded) == [RemarkKind.TRACKS, RemarkKind.LATE_START]


def test_decode_audio_keeps_the_best_track_and_says_so_when_languages_differ(tmp_path):
    path = write(
        tmp_path / "a.mkv",
        "libopus",
        SPEECH,
        OTHER,
        languages=["eng", "fra"],
    )
    decoded = decode(path)
    assert decoded.samples.shape[1] == 1
    assert kinds(decoded) == [RemarkKind.OTHER_TRACK]
    assert "track 2 (opus, 48000 Hz, 1 channel, fra)" in decoded.remarks[0].detail


def test_decode_audio_keeps_the_best_track_alone_when_another_cannot_be_decoded(tmp_path):
    source = write(tmp_path / "a.mkv", "libopus", SPEECH, OTHER)
    with av.open(str(source)) as read, av.open(str(tmp_path / "b.mkv"), "w") as output:
        streams = [output.add_stream_from_template(track) for track in read.streams.audio]
        for packet in read.demux(read.streams.audio):
            if packet.dts is None:
                continue
            copy = packet
            if packet.stream.index == 1:
                copy = av.Packet(b"\xff" * packet.size)
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.duration = packet.duration
            copy.stream = streams[packet.stream.index]
            output.mux(copy)
    decoded = decode(tmp_path / "b.mkv")
    assert decoded.samples.shape[1] == 1
    assert likeness(decoded.samples[:, 0], SPEECH) > 0.9
    assert kinds(decoded) == [RemarkKind.OTHER_TRACK]
