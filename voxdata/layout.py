"""How the channels of a recording relate: two parties, one copied, one dead, one inverted, or one room."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

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

ReadBlocks = Callable[[int], Iterable[Channels]]
"""Gives a recording from its start in blocks of so many samples, the last one possibly shorter. Called several times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the channels of a recording relate.

    Attributes:
        kept: Channels worth keeping, in ascending order: one, but for PER_CHANNEL (each distinct
            live channel) and ROOM (those to mix).
        signs: For each kept channel 1 or -1: what turns it to agree with the first, so that none
            cancels another in a mix.
    """

    layout: ChannelLayout
    kept: tuple[int, ...]
    signs: tuple[int, ...] = (1,)


def in_blocks(samples: Channels) -> ReadBlocks:
    """A recording that lies in memory, as `detect_layout` reads it."""
    return lambda size: (samples[start : start + size] for start in range(0, len(samples), size))


def detect_layout(read: ReadBlocks, rate_hz: int) -> Layout:
    """Tell how the channels relate, and which of them are worth keeping.

    With more than two channels, copies and dead channels go first; what is left decides. When every
    channel is silent the first is kept; under half a second nobody takes turns, so distinct
    channels are a ROOM. Reads the recording three times.

    Args:
        read: At least one sample of at least one channel.
        rate_hz: Sample rate.
    """
    frame = max(1, rate_hz * _FRAME_MS // 1000)
    size = max(1, _BLOCK // frame) * frame
    levels = _measure_levels(read, size)
    if len(levels.mean) == 1:
        return Layout(layout=ChannelLayout.MONO, kept=(0,))
    envelopes = _envelopes(read, size, frame, levels.mean)
    live = _live_channels(levels, envelopes)
    if not live:
        return Layout(layout=ChannelLayout.DUAL_MONO, kept=(0,))
    correlation = _correlations(read, size, levels.mean)
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
            return Layout(layout=ChannelLayout.ONE_LIVE, kept=(live[0],))
        return Layout(
            layout=ChannelLayout.ANTIPHASE if inverted else ChannelLayout.DUAL_MONO,
            kept=(distinct[0],),
        )
    between = correlation[np.ix_(distinct, distinct)]
    signs = tuple(-1 if value < 0 else 1 for value in between[0])
    if (
        envelopes.shape[0] < _MIN_FRAMES
        or _median_similarity(envelopes[:, distinct], between) >= ROOM_CORRELATION
    ):
        return Layout(layout=ChannelLayout.ROOM, kept=tuple(distinct), signs=signs)
    return Layout(
        layout=ChannelLayout.PER_CHANNEL, kept=tuple(distinct), signs=(1,) * len(distinct)
    )


def mix_down(samples: Channels, layout: Layout) -> Channels:
    """Average the kept channels of one scene, in phase.

    Args:
        samples: (num_samples, num_channels) float32, all channels of the recording or a block of
            it.

    Returns:
        (num_samples, 1) float32.
    """
    weights = np.asarray(layout.signs, dtype=np.float32) / np.float32(len(layout.kept))
    return np.asarray(samples[:, list(layout.kept)] @ weights, dtype=np.float32)[:, None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Levels:
    """(num_channels,) float64 each."""

    mean: npt.NDArray[np.float64]
    highest: npt.NDArray[np.float64]
    lowest: npt.NDArray[np.float64]

    def is_flat(self, channel: int) -> bool:
        return bool(
            max(
                self.highest[channel] - self.mean[channel],
                self.mean[channel] - self.lowest[channel],
            )
            < SILENCE_PEAK
        )


def _measure_levels(read: ReadBlocks, size: int) -> _Levels:
    total: npt.NDArray[np.float64] | None = None
    highest = lowest = np.zeros(0)
    num_samples = 0
    for block in read(size):
        if total is None:
            total = np.zeros(block.shape[1])
            highest, lowest = np.full(block.shape[1], -np.inf), np.full(block.shape[1], np.inf)
        total += block.sum(axis=0, dtype=np.float64)
        highest, lowest = (
            np.maximum(highest, block.max(axis=0)),
            np.minimum(lowest, block.min(axis=0)),
        )
        num_samples += len(block)
    if total is None:
        raise ValueError("a recording without samples has no layout")
    return _Levels(mean=total / num_samples, highest=highest, lowest=lowest)


def _envelopes(
    read: ReadBlocks, size: int, frame: int, mean: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(num_frames, num_channels): RMS of each frame without the channel's mean, the last one possibly short."""
    rows: list[npt.NDArray[np.float64]] = []
    for block in read(size):
        moved = block - mean.astype(np.float32)
        whole = len(moved) // frame * frame
        rows.append(
            np.sqrt(
                np.mean(
                    np.square(moved[:whole]).reshape(-1, frame, moved.shape[1]),
                    axis=1,
                    dtype=np.float64,
                )
            )
        )
        if whole < len(moved):
            rows.append(np.sqrt(np.mean(np.square(moved[whole:]), axis=0, dtype=np.float64))[None])
    return np.concatenate(rows)


def _live_channels(levels: _Levels, envelopes: npt.NDArray[np.float64]) -> list[int]:
    top_db = 20 * np.log10(np.maximum(np.quantile(envelopes, 0.999, axis=0), 1e-9))
    return [
        channel
        for channel in range(envelopes.shape[1])
        if not levels.is_flat(channel)
        and not (top_db[channel] < DEAD_LEVEL_DB and top_db[channel] < top_db.max() - DEAD_BELOW_DB)
    ]


def _correlations(
    read: ReadBlocks, size: int, mean: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(num_channels, num_channels) Pearson correlation; 0 where a channel is constant."""
    products = np.zeros((len(mean), len(mean)))
    for block in read(size):
        moved = block.astype(np.float64) - mean
        products += moved.T @ moved
    return _normalise(products)


def _normalise(products: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    scale = np.sqrt(np.diag(products))
    norm = np.outer(scale, scale)
    return np.divide(products, norm, out=np.zeros_like(products), where=norm > 0)


def _median_similarity(
    envelopes: npt.NDArray[np.float64], correlation: npt.NDArray[np.float64]
) -> float:
    """Median over all pairs of channels of how alike their loudness curves are.

    A curve that hardly moves says nothing; for its pairs the correlation of the waveforms counts
    instead.
    """
    moved = envelopes - envelopes.mean(axis=0)
    similarity = _normalise(moved.T @ moved)
    steady = envelopes.std(axis=0) < _STEADY * envelopes.mean(axis=0)
    similarity = np.where(steady[:, None] | steady[None, :], np.abs(correlation), similarity)
    rows, columns = np.triu_indices(envelopes.shape[1], k=1)
    return float(np.median(similarity[rows, columns]))
