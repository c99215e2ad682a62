"""How the channels of a recording relate: two parties, one copied, one dead, one inverted, or one room."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voxdata.recording import ChannelLayout

SILENCE_PEAK = 1e-4
"""A channel whose samples stay within this of their mean (-80 dBFS) is silent."""

SAME_CORRELATION = 0.99
"""Channels correlated at least this much, or inversely so, carry the same signal."""

ROOM_CORRELATION = 0.5
"""Loudness curves correlated at least this much hear the same scene; parties on lines of their own take turns."""

DEAD_BELOW_DB = 40.0
DEAD_LEVEL_DB = -60.0
"""A channel that never gets louder than this, and stays DEAD_BELOW_DB under the loudest one, is line noise."""

_FRAME_MS = 50
_MIN_FRAMES = 10
_STEADY = 0.05
_BLOCK = 1 << 20

Channels = npt.NDArray[np.float32]
"""(num_samples, num_channels) float32."""


def detect_layout(samples: Channels, rate_hz: int) -> tuple[ChannelLayout, tuple[int, ...]]:
    """Tell how the channels relate, and which of them are worth keeping.

    Args:
        samples: (num_samples, num_channels) float32.
        rate_hz: Sample rate.

    Returns:
        The layout, and the channels it keeps in ascending order: one, but for PER_CHANNEL (each distinct live channel)
        and ROOM (those to mix). With more than two channels, copies and dead channels go first; what is left decides.
        When every channel is silent the first is kept; under half a second nobody takes turns, so distinct channels are a ROOM.
    """
    num_channels = samples.shape[1]
    if num_channels == 1:
        return ChannelLayout.MONO, (0,)
    envelopes = _envelopes(samples, rate_hz)
    live = _live_channels(samples, envelopes)
    if not live:
        return ChannelLayout.DUAL_MONO, (0,)
    correlation = _correlations(samples)
    distinct: list[int] = []
    inverted = False
    for channel in live:
        twins = [kept for kept in distinct if abs(correlation[kept, channel]) >= SAME_CORRELATION]
        if twins:
            inverted = inverted or correlation[twins[0], channel] < 0
        else:
            distinct.append(channel)
    if len(distinct) == 1:
        if len(live) == 1:
            return ChannelLayout.ONE_LIVE, (live[0],)
        return (ChannelLayout.ANTIPHASE if inverted else ChannelLayout.DUAL_MONO), (distinct[0],)
    if (
        envelopes.shape[0] < _MIN_FRAMES
        or _median_similarity(envelopes[:, distinct], correlation[np.ix_(distinct, distinct)]) >= ROOM_CORRELATION
    ):
        return ChannelLayout.ROOM, tuple(distinct)
    return ChannelLayout.PER_CHANNEL, tuple(distinct)


def mix_down(samples: Channels) -> npt.NDArray[np.float32]:
    """Average channels of one scene, each turned to agree in sign with the first, so that none cancels another.

    Args:
        samples: (num_samples, num_channels) float32.

    Returns:
        (num_samples,) float32.
    """
    signs = np.where(_correlations(samples)[0] < 0, -1.0, 1.0).astype(np.float32)
    return np.asarray(samples @ (signs / np.float32(samples.shape[1])), dtype=np.float32)


def _envelopes(samples: Channels, rate_hz: int) -> npt.NDArray[np.float64]:
    """(num_frames, num_channels): RMS of each frame without the channel's mean, the last one possibly short."""
    size = max(1, rate_hz * _FRAME_MS // 1000)
    mean = samples.mean(axis=0, dtype=np.float64).astype(np.float32)
    whole = samples.shape[0] // size * size
    rows: list[npt.NDArray[np.float64]] = []
    step = max(1, _BLOCK // size) * size
    for start in range(0, whole, step):
        block = samples[start : min(start + step, whole)] - mean
        rows.append(np.sqrt(np.mean(np.square(block).reshape(-1, size, samples.shape[1]), axis=1, dtype=np.float64)))
    if whole < samples.shape[0]:
        rows.append(np.sqrt(np.mean(np.square(samples[whole:] - mean), axis=0, dtype=np.float64))[None])
    return np.concatenate(rows)


def _live_channels(samples: Channels, envelopes: npt.NDArray[np.float64]) -> list[int]:
    top_db = 20 * np.log10(np.maximum(np.quantile(envelopes, 0.999, axis=0), 1e-9))
    return [
        channel
        for channel in range(samples.shape[1])
        if not is_flat(samples[:, channel]) and not (top_db[channel] < DEAD_LEVEL_DB and top_db[channel] < top_db.max() - DEAD_BELOW_DB)
    ]


def is_flat(channel: npt.NDArray[np.float32]) -> bool:
    """Whether one channel is digital silence, a constant, or stays under -80 dBFS.

    Args:
        channel: (num_samples,) float32, at least one sample.
    """
    mean = float(channel.mean(dtype=np.float64))
    return max(float(channel.max()) - mean, mean - float(channel.min())) < SILENCE_PEAK


def _correlations(samples: Channels) -> npt.NDArray[np.float64]:
    """(num_channels, num_channels) Pearson correlation; 0 where a channel is constant."""
    mean = samples.mean(axis=0, dtype=np.float64)
    products = np.zeros((samples.shape[1], samples.shape[1]))
    for start in range(0, samples.shape[0], _BLOCK):
        block = samples[start : start + _BLOCK].astype(np.float64) - mean
        products += block.T @ block
    scale = np.sqrt(np.diag(products))
    norm = np.outer(scale, scale)
    return np.divide(products, norm, out=np.zeros_like(products), where=norm > 0)


def _median_similarity(envelopes: npt.NDArray[np.float64], correlation: npt.NDArray[np.float64]) -> float:
    """Median over all pairs of channels of how alike their loudness curves are.

    A curve that hardly moves says nothing; for its pairs the correlation of the waveforms counts instead.
    """
    similarity = _correlations(envelopes.astype(np.float32))
    steady = envelopes.std(axis=0) < _STEADY * envelopes.mean(axis=0)
    similarity = np.where(steady[:, None] | steady[None, :], np.abs(correlation), similarity)
    rows, columns = np.triu_indices(envelopes.shape[1], k=1)
    return float(np.median(similarity[rows, columns]))
