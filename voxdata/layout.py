"""How the channels of a recording relate: two parties, copies, dead channels or one room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxdata.recording import ChannelLayout

SILENCE_PEAK = 1e-4
"""A channel whose samples stay within this of their mean (-80 dBFS) is silent."""

SAME_CORRELATION = 0.99
"""Channels correlated at least this much, or inversely so, carry the same signal."""

ROOM_CORRELATION = 0.5
"""Loudness curves correlated at least this much hear the same scene.

Parties on lines of their own take turns.
"""

DEAD_BELOW_DB = 40.0
DEAD_LEVEL_DB = -60.0
"""A channel is line noise when it never gets louder than this.

It must also stay DEAD_BELOW_DB under the loudest one.
"""

_FRAME_MS = 50
_MIN_FRAMES = 10
_STEADY = 0.05
_BLOCK = 1 << 20

Channels = npt.NDArray[np.float32]
"""(num_samples, num_channels) float32."""

Floats = npt.NDArray[np.float64]

ReadBlocks = Callable[[int], Iterable[Channels]]
"""Gives a recording from its start in blocks of so many samples, the last one possibly shorter.

It is called several times.
"""


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

    def read(size: int) -> Iterator[Channels]:
        for start in range(0, len(samples), size):
            yield samples[start : start + size]

    return read


def detect_layout(read: ReadBlocks, rate_hz: int) -> Layout:
    """Find how the channels relate, and which of them are worth keeping.

    With more than two channels, copies and dead channels go first; what is left decides. When every
    channel is silent the first is kept; under half a second nobody takes turns, so distinct
    channels are a ROOM. Reads the recording at most three times.

    Args:
        read: At least one sample of at least one channel.
        rate_hz: Sample rate.
    """
    frame = max(1, rate_hz * _FRAME_MS // 1000)
    frames_of_block = max(1, _BLOCK // frame)
    size = frames_of_block * frame
    levels = _measure_levels(read, size)
    if len(levels.mean) == 1:
        return Layout(layout=ChannelLayout.MONO, kept=(0,))

    envelopes = _envelopes(read, size, frame, levels.mean)
    live = _live_channels(levels, envelopes)
    if not live:
        return Layout(layout=ChannelLayout.DUAL_MONO, kept=(0,))
    if len(live) == 1:
        return Layout(layout=ChannelLayout.ONE_LIVE, kept=(live[0],))

    correlation = _correlations(read, size, levels.mean)
    distinct, inverted = _drop_copies(live, correlation)
    kept = tuple(distinct)
    if len(kept) == 1:
        copied = ChannelLayout.ANTIPHASE if inverted else ChannelLayout.DUAL_MONO
        return Layout(layout=copied, kept=kept)

    between = correlation[np.ix_(distinct, distinct)]
    if _is_one_room(envelopes[:, distinct], between):
        signs = tuple(np.where(between[0] < 0, -1, 1).tolist())
        return Layout(
            layout=ChannelLayout.ROOM,
            kept=kept,
            signs=signs,
        )
    return Layout(
        layout=ChannelLayout.PER_CHANNEL,
        kept=kept,
        signs=(1,) * len(kept),
    )


def _drop_copies(live: Sequence[int], correlation: Floats) -> tuple[list[int], bool]:
    """The channels that copy no earlier one, and whether one that was dropped is inverted."""
    distinct: list[int] = []
    inverted = False
    for channel in live:
        with_kept = correlation[distinct, channel]
        copied = np.flatnonzero(np.abs(with_kept) >= SAME_CORRELATION)
        if not copied.size:
            distinct.append(channel)
        elif with_kept[copied[0]] < 0:
            inverted = True
    return distinct, inverted


def _is_one_room(envelopes: Floats, correlation: Floats) -> bool:
    """Whether distinct channels hear one scene; too short a recording counts as one."""
    if len(envelopes) < _MIN_FRAMES:
        return True
    return _median_similarity(envelopes, correlation) >= ROOM_CORRELATION


def mix_down(samples: Channels, layout: Layout) -> Channels:
    """Average the kept channels of one scene, in phase.

    Args:
        samples: (num_samples, num_channels) float32, all channels of the recording or a block of
            it.

    Returns:
        (num_samples, 1) float32.
    """
    signs = np.asarray(layout.signs, dtype=np.float32)
    weights = signs / np.float32(len(layout.kept))
    kept = samples[:, list(layout.kept)]
    mixed = np.asarray(kept @ weights, dtype=np.float32)
    return mixed[:, None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Levels:
    """Samples of each channel: (num_channels,) float64 each."""

    mean: Floats
    highest: Floats
    lowest: Floats

    def are_flat(self) -> npt.NDArray[np.bool_]:
        """(num_channels,) whether a channel is silent."""
        above = self.highest - self.mean
        below = self.mean - self.lowest
        return np.maximum(above, below) < SILENCE_PEAK


def _measure_levels(read: ReadBlocks, size: int) -> _Levels:
    # Arrays without a dimension fit any number of channels.
    total: Floats = np.zeros(())
    highest: Floats = np.full((), -np.inf)
    lowest: Floats = np.full((), np.inf)
    num_samples = 0
    for block in read(size):
        total = total + block.sum(axis=0, dtype=np.float64)
        highest = np.maximum(highest, block.max(axis=0))
        lowest = np.minimum(lowest, block.min(axis=0))
        num_samples += len(block)
    if not num_samples:
        raise ValueError("a recording without samples has no layout")
    return _Levels(
        mean=total / num_samples,
        highest=highest,
        lowest=lowest,
    )


def _envelopes(
    read: ReadBlocks,
    size: int,
    frame: int,
    mean: Floats,
) -> Floats:
    """RMS of each frame without the channel's mean.

    Args:
        size: Samples of a block, a multiple of `frame`.

    Returns:
        (num_frames, num_channels); the last frame may be shorter.
    """
    rows: list[Floats] = []
    for block in read(size):
        squares = np.square(block - mean.astype(np.float32))
        num_samples, num_channels = squares.shape
        whole = num_samples // frame * frame
        # shape: (num_frames, frame, num_channels)
        frames = squares[:whole].reshape(-1, frame, num_channels)
        powers = np.mean(frames, axis=1, dtype=np.float64)
        rows.append(np.sqrt(powers))
        rest = squares[whole:]
        if len(rest):
            power = np.mean(rest, axis=0, dtype=np.float64)
            rows.append(np.sqrt(power)[None])
    return np.concatenate(rows)


def _live_channels(levels: _Levels, envelopes: Floats) -> list[int]:
    """Channels that are neither silent nor line noise, in ascending order."""
    top = np.quantile(envelopes, 0.999, axis=0)
    audible = np.maximum(top, 1e-9)
    top_db = 20 * np.log10(audible)
    is_quiet = top_db < DEAD_LEVEL_DB
    is_far_below = top_db < top_db.max() - DEAD_BELOW_DB
    is_dead = levels.are_flat() | (is_quiet & is_far_below)
    live: list[int] = np.flatnonzero(~is_dead).tolist()
    return live


def _correlations(read: ReadBlocks, size: int, mean: Floats) -> Floats:
    """(num_channels, num_channels) Pearson correlation; 0 where a channel is constant."""
    products = np.zeros((len(mean), len(mean)))
    for block in read(size):
        moved = block.astype(np.float64) - mean
        products += moved.T @ moved
    return _normalise(products)


def _normalise(products: Floats) -> Floats:
    scale = np.sqrt(np.diag(products))
    norm = np.outer(scale, scale)
    nothing = np.zeros_like(products)
    return np.divide(products, norm, out=nothing, where=norm > 0)


def _median_similarity(envelopes: Floats, correlation: Floats) -> float:
    """Median over all pairs of channels of how alike their loudness curves are.

    A curve that hardly moves says nothing; for its pairs the correlation of the waveforms counts
    instead.
    """
    mean = envelopes.mean(axis=0)
    moved = envelopes - mean
    similarity = _normalise(moved.T @ moved)
    steady = envelopes.std(axis=0) < _STEADY * mean
    either_steady = steady[:, None] | steady[None, :]
    similarity = np.where(either_steady, np.abs(correlation), similarity)
    rows, columns = np.triu_indices(envelopes.shape[1], k=1)
    return float(np.median(similarity[rows, columns]))
