"""Headers that lie: whatever the first bytes of a file say, decoding ends with blocks or with an
AudioError, and never with too much.
"""

import io
import struct
from contextlib import suppress
from functools import cache

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from voxdata.audio import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, decode_audio
from voxdata.errors import AudioError
from voxdata.testing import speech_like
from voxdata.truncation import missing_bytes

LIMIT_MS = 10_000
HEADER_BYTES = 256
EXTREMES = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFE,
    0xFFFFFFFF,
)


@cache
def valid_file(kind: str) -> bytes:
    """A small file of that kind, a quarter of a second."""
    speech = speech_like(250, rate_hz=16_000)
    if kind in ("wav", "flac", "aiff", "w64", "caf"):
        buffer = io.BytesIO()
        soundfile.write(
            buffer,
            speech,
            16_000,
            format=kind.upper(),
            subtype="PCM_16",
        )
        return buffer.getvalue()
    buffer = io.BytesIO()
    codec = {"mp3": "libmp3lame", "mp4": "aac", "ogg": "libopus", "matroska": "libopus"}[kind]
    rate_hz = 48_000 if codec == "libopus" else 16_000
    with av.open(buffer, "w", format=kind) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.rint(speech * 32767).astype(np.int16)[None],
            format="s16",
            layout="mono",
        )
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout="mono",
            rate=rate_hz,
            frame_size=stream.frame_size or 1024,
        )
        for ready in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(ready))
        output.mux(stream.encode(None))
    return buffer.getvalue()


KINDS = ("wav", "flac", "aiff", "w64", "caf", "mp3", "mp4", "ogg", "matroska")


@st.composite
def lying_files(draw) -> bytes:
    """A valid file whose head was changed: numbers at the edge of their range, bytes replaced, cut
    out, doubled, or the end missing.
    """
    content = bytearray(valid_file(draw(st.sampled_from(KINDS))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, min(HEADER_BYTES, len(content) - 1)))
        change = draw(st.sampled_from(("number", "byte", "cut", "double", "end")))
        if change == "number":
            size = draw(st.sampled_from((2, 4, 8)))
            order = draw(st.sampled_from("<>"))
            number = draw(st.sampled_from(EXTREMES)) & ((1 << 8 * size) - 1)
            content[at : at + size] = struct.pack(
                f"{order}{ {2: 'H', 4: 'I', 8: 'Q'}[size] }",
                number,
            )
        elif change == "byte":
            content[at] = draw(st.integers(0, 255))
        elif change == "cut":
            del content[at : at + draw(st.integers(1, 64))]
        elif change == "double":
            content[at:at] = content[at : at + draw(st.integers(1, 64))]
        else:
            del content[draw(st.integers(1, len(content))) :]
        if not content:
            break
    return bytes(content)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_decodes_before_it_lies(tmp_path, kind):
    path = tmp_path / "honest"
    path.write_bytes(valid_file(kind))
    assert sum(len(block.samples) for block in decode_audio(path, list)) > 3_000


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=lying_files())
@example(content=b"")
@example(content=b"RIFF")
@example(content=b"fLaC" + bytes(508))
@example(content=struct.pack("<4sI4s4sI", b"RIFF", 0xFFFFFFFF, b"WAVE", b"fmt ", 0xFFFFFFFF))
def test_decode_audio_survives_headers_that_lie(tmp_path, content):
    path = tmp_path / "lying"
    path.write_bytes(content)
    with suppress(AudioError):
        check_blocks(decode_audio(path, list, max_duration_ms=LIMIT_MS))


def check_blocks(blocks):
    assert blocks
    assert len({(b.sample_rate_hz, b.samples.shape[1]) for b in blocks}) == 1
    assert MIN_RATE_HZ <= blocks[0].sample_rate_hz <= MAX_RATE_HZ
    assert 1 <= blocks[0].samples.shape[1] <= MAX_CHANNELS
    num_samples = sum(len(b.samples) for b in blocks)
    assert 0 < num_samples * 1000 <= LIMIT_MS * blocks[0].sample_rate_hz
    assert all(np.isfinite(b.samples).all() for b in blocks)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=st.one_of(lying_files(), st.binary(max_size=200).map(lambda tail: b"RIFF" + tail)))
def test_missing_bytes_survives_headers_that_lie(tmp_path, content):
    path = tmp_path / "lying"
    path.write_bytes(content)
    assert missing_bytes(path) >= 0
