import numpy as np
import pytest

from voxdata.layout import detect_layout, in_blocks, mix_down
from voxdata.recording import ChannelLayout
from voxdata.testing import compose_call, noise, silence, speech_like, tone

RATE = 16_000
SPEECH = speech_like(6_000, seed=1)
OTHER = speech_like(6_000, seed=2)
HISS = noise(6_000, level=0.0003, seed=3)


def columns(*channels):
    return np.stack(channels, axis=1).astype(np.float32)


ROOM = columns(
    SPEECH + 0.1 * noise(6_000, seed=4),
    np.roll(0.7 * SPEECH, 9) + 0.1 * noise(6_000, seed=5),
)


@pytest.mark.parametrize(
    ("samples", "layout", "kept"),
    [
        (columns(SPEECH), ChannelLayout.MONO, (0,)),
        (columns(SPEECH, SPEECH), ChannelLayout.DUAL_MONO, (0,)),
        (columns(SPEECH, 0.9 * SPEECH + HISS), ChannelLayout.DUAL_MONO, (0,)),
        (columns(SPEECH, -SPEECH), ChannelLayout.ANTIPHASE, (0,)),
        (columns(SPEECH, HISS - 0.8 * SPEECH), ChannelLayout.ANTIPHASE, (0,)),
        (columns(SPEECH, silence(6_000)), ChannelLayout.ONE_LIVE, (0,)),
        (columns(silence(6_000) + 0.2, SPEECH), ChannelLayout.ONE_LIVE, (1,)),
        (columns(0.05 * HISS, SPEECH), ChannelLayout.ONE_LIVE, (1,)),
        (columns(SPEECH, OTHER), ChannelLayout.PER_CHANNEL, (0, 1)),
        (columns(SPEECH + 0.05 * OTHER, OTHER + 0.05 * SPEECH), ChannelLayout.PER_CHANNEL, (0, 1)),
        (columns(tone(1_000), tone(1_000, frequency_hz=700)), ChannelLayout.PER_CHANNEL, (0, 1)),
        (ROOM, ChannelLayout.ROOM, (0, 1)),
        (columns(silence(500), silence(500)), ChannelLayout.DUAL_MONO, (0,)),
        (columns(SPEECH, SPEECH, OTHER, silence(6_000)), ChannelLayout.PER_CHANNEL, (0, 2)),
        (columns(silence(6_000), SPEECH, silence(6_000)), ChannelLayout.ONE_LIVE, (1,)),
        (columns(noise(400, seed=1), noise(400, seed=2)), ChannelLayout.ROOM, (0, 1)),
    ],
)
def test_detect_layout_tells_how_channels_relate(samples, layout, kept):
    found = detect_layout(in_blocks(samples), RATE)
    assert found.layout == layout
    assert found.kept == kept


@pytest.mark.parametrize("overlap_ms", [0, 800])
def test_detect_layout_tells_a_composed_call(overlap_ms):
    parties = []
    for party in range(2):
        parties.append([speech_like(2_000, seed=10 * party + index) for index in range(5)])
    call = compose_call(parties, overlap_ms=overlap_ms)
    layout = detect_layout(in_blocks(call.samples), RATE)
    assert layout.layout == ChannelLayout.PER_CHANNEL
    assert layout.kept == (0, 1)


def test_detect_layout_keeps_a_party_that_hardly_speaks():
    call = compose_call(
        [
            [SPEECH, OTHER, SPEECH],
            [0.1 * speech_like(600, seed=9)],
        ]
    )
    layout = detect_layout(in_blocks(call.samples), RATE)
    assert layout.layout == ChannelLayout.PER_CHANNEL
    assert layout.kept == (0, 1)


def test_mix_down_never_cancels():
    room = ROOM * np.array([1, -1], np.float32)
    mixed = mix_down(room, detect_layout(in_blocks(room), RATE))
    assert mixed.shape == (len(ROOM), 1)
    assert np.allclose(mixed[:, 0], ROOM.mean(axis=1), atol=1e-6)


def test_detect_layout_does_not_depend_on_where_blocks_end(monkeypatch):
    whole = detect_layout(in_blocks(ROOM), RATE)
    monkeypatch.setattr("voxdata.layout._BLOCK", 3_000)
    assert detect_layout(in_blocks(ROOM), RATE) == whole
    with pytest.raises(ValueError, match="without samples"):
        detect_layout(in_blocks(np.zeros((0, 2), np.float32)), RATE)
