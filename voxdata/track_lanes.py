"""Several audio tracks of one file: which are channels of one recording, laid side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import av
import av.container
import av.stream
import numpy as np
import numpy.typing as npt
import soxr  # type: ignore[import-untyped]

from voxdata.counted import counted
from voxdata.remark import Remark, RemarkKind
from voxdata.timeline import OverlapError, Timeline

Channels = npt.NDArray[np.float32]

LATE_S = 0.04
"""A track that begins this much after the recording is late."""

MAX_LAG_S = 30.0
"""How far one track may stay behind the others before silence is put in for it."""

MAX_PARTY_CHANNELS = 2
"""A track with more channels is a mix of a scene; tracks beside it are other mixes."""

_ZERO_BASED = frozenset({"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"})
"""Containers whose time begins at 0 by definition."""

_VERSION_MARKS = (
    "dub",
    "original",
    "comment",
    "lyrics",
    "karaoke",
    "hearing_impaired",
    "visual_impaired",
    "clean_effects",
    "descriptions",
)
"""Dispositions that make a track another version of the same scene."""


class NotAlignedError(Exception):
    """Tracks that looked like channels of one recording cannot be laid side by side; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackChoice:
    """Which tracks are read.

    Attributes:
        tracks: In the order of the file; all channels of the first come first.
        left_out: Track -> why it is not a channel of the recording.
    """

    tracks: tuple[av.AudioStream, ...]
    best: av.AudioStream
    left_out: tuple[tuple[av.AudioStream, str], ...]

    def remarks(self) -> list[Remark]:
        """What there is to say about the choice; nothing for a file with one track."""
        remarks: list[Remark] = []
        kept = "; ".join(map(describe_track, self.tracks))
        if len(self.tracks) > 1:
            which = f"its {len(self.tracks)} audio tracks are channels of one recording"
            detail = f"{which}, in this order: {kept}"
            remarks.append(
                Remark(
                    kind=RemarkKind.TRACKS,
                    detail=detail,
                )
            )
        if self.left_out:
            left_out = "; ".join(f"{describe_track(track)}, {why}" for track, why in self.left_out)
            count = len(self.tracks) + len(self.left_out)
            detail = f"kept of its {count} audio tracks: {kept}. Left out: {left_out}"
            remarks.append(
                Remark(
                    kind=RemarkKind.OTHER_TRACK,
                    detail=detail,
                )
            )
        return remarks


def describe_track(track: av.AudioStream) -> str:
    """A track in words, such as "track 2 (aac, 48000 Hz, 1 channel, fra)"."""
    codec = "unknown codec"
    if track.codec_context is not None:
        codec = track.codec_context.name
    parts = [codec, f"{track.rate} Hz", counted(track.channels, "channel")]
    if _language(track):
        parts.append(str(track.language))
    title = track.metadata.get("title")
    if title:
        parts.append(repr(title))
    return f"track {track.index + 1} ({', '.join(parts)})"


def choose_tracks(
    best: av.AudioStream,
    tracks: Sequence[av.AudioStream],
    *,
    alone: str = "",
) -> TrackChoice:
    """Tell parties, which are channels of one recording, from other versions of the same sound.

    Args:
        best: The one that is read in any case.
        tracks: All audio tracks of the file.
        alone: Why the best is to be read alone; "" when it need not be.
    """
    chosen: list[av.AudioStream] = []
    left_out: list[tuple[av.AudioStream, str]] = []
    for track in tracks:
        why = ""
        if track.index != best.index:
            why = alone or _why_apart(best, track)
        if why:
            left_out.append((track, why))
        else:
            chosen.append(track)
    return TrackChoice(
        tracks=tuple(chosen),
        best=best,
        left_out=tuple(left_out),
    )


def _why_apart(best: av.AudioStream, track: av.AudioStream) -> str:
    if track.codec_context is None:
        return "FFmpeg has no decoder for it"
    if not track.rate or not track.channels:
        return "its format is not known"
    marks = [name for name in _VERSION_MARKS if _is_marked(track, name) or _is_marked(best, name)]
    if marks:
        return f"one of them is marked {marks[0].replace('_', ' ')}: versions, not parties"
    languages = {_language(best), _language(track)}
    if len(languages) == 2 and "" not in languages:
        return f"their languages differ ({' and '.join(sorted(languages))}): versions, not parties"
    if max(best.channels, track.channels) > MAX_PARTY_CHANNELS:
        return "one of them is a mix of many channels: versions, not parties"
    return ""


def _is_marked(track: av.AudioStream, name: str) -> bool:
    return bool(track.disposition & getattr(av.stream.Disposition, name))


def _language(track: av.AudioStream) -> str:
    language = track.language or ""
    return "" if language in ("und", "mis", "zxx", "mul") else language


def recording_origin(
    container: av.container.InputContainer,
    track: av.AudioStream,
    *,
    length_s: float | None,
) -> float | None:
    """When the recording begins, in the time of the file; None when it begins with the track.

    Args:
        length_s: How long the track sounds, for a track on its own; None: not asked.
    """
    own_s = _start_s(track)
    if own_s is None:
        return None
    starts_s = [_start_s(stream) for stream in container.streams if _is_sound_or_film(stream)]
    earliest_s = min([own_s, *(start_s for start_s in starts_s if start_s is not None)])
    if earliest_s < own_s - LATE_S:
        return earliest_s
    is_late = container.format.name in _ZERO_BASED and own_s > LATE_S
    # A piece of a longer stream keeps that stream's time: it begins later than it lasts.
    is_whole = length_s is not None and own_s <= length_s
    return 0.0 if is_late and is_whole else None


def _is_sound_or_film(stream: object) -> bool:
    if isinstance(stream, av.VideoStream):
        kinds = av.stream.Disposition
        return not stream.disposition & (kinds.attached_pic | kinds.still_image)
    return isinstance(stream, av.AudioStream)


def _start_s(stream: av.stream.Stream) -> float | None:
    if stream.start_time is None or stream.time_base is None:
        return None
    return float(stream.start_time * stream.time_base)


class Lane:
    """The sound of one track that waits to be taken with that of the others.

    Args:
        target_hz: The rate of the recording; None: whatever the track has.
    """

    def __init__(
        self,
        track: av.AudioStream,
        *,
        origin_s: float | None,
        target_hz: int | None,
    ) -> None:
        self.track = track
        self.timeline: Timeline | None = None
        self.packets = 0
        self.damaged = 0
        self.num_channels = 0
        self.queued = 0
        self.total = 0
        self._origin_s = origin_s
        self._target_hz = target_hz
        self._parts: deque[tuple[Channels | None, int]] = deque()
        self._resampler: soxr.ResampleStream | None = None

    @property
    def heard(self) -> int:
        """Samples that were decoded, without silence."""
        return 0 if self.timeline is None else self.timeline.heard

    @property
    def rate_hz(self) -> int:
        """The rate of the samples that are taken."""
        return self.rate_of_track if self._target_hz is None else self._target_hz

    @property
    def rate_of_track(self) -> int:
        """The rate of its frames."""
        return self.track.rate if self.timeline is None else self.timeline.rate_hz

    def begin(self, rate_hz: int, num_channels: int) -> None:
        """Say what the frames are like.

        Raises:
            NotAlignedError: They are not as the file's header says, on which other tracks rely.
        """
        named_format = (self.track.rate, self.track.channels)
        if self._target_hz is not None and (rate_hz, num_channels) != named_format:
            raise NotAlignedError("its format is not the one the file names")
        self.num_channels = num_channels
        self.timeline = Timeline(
            rate_hz=rate_hz,
            origin_s=self._origin_s,
        )
        if self._target_hz not in (None, rate_hz):
            self._resampler = soxr.ResampleStream(
                rate_hz,
                self._target_hz,
                num_channels,
                dtype="float32",
            )

    def add(self, samples: Channels, start_s: float | None) -> None:
        """Take a frame in, with the silence that belongs before it."""
        if self.timeline is None:
            raise NotAlignedError("it has not begun")
        try:
            silent = self.timeline.place(start_s, len(samples))
        except OverlapError as error:
            why = "its sound comes too late in the file to be laid beside the others"
            raise NotAlignedError(why) from error
        self._put(None, silent)
        self._put(samples, len(samples))

    def keep_up(self, total: int) -> None:
        """Put silence in when the track has fallen far behind `total` samples of the recording."""
        rate_hz = self._target_hz or 0
        behind = total - self.total - round(MAX_LAG_S * rate_hz)
        if behind > rate_hz:
            if self.timeline is None:
                self.begin(self.track.rate, self.track.channels)
            missing = round(behind * self.track.rate / rate_hz)
            if self.timeline is not None:
                self.timeline.fill(missing)
            self._put(None, missing)

    def finish(self) -> None:
        """Nothing more comes."""
        if self._resampler is not None:
            self._queue(self._resampler.resample_chunk(self._silence(0), last=True))

    def pad(self, total: int) -> None:
        """Silence up to the end of the recording."""
        if total > self.total:
            self._parts.append((None, total - self.total))
            self.queued += total - self.total
            self.total = total

    def take(self, count: int) -> Channels:
        """(count, num_channels): the next samples."""
        taken: list[Channels] = []
        self.queued -= count
        while count:
            samples, length = self._parts.popleft()
            use = min(length, count)
            count -= use
            rest: Channels | None = None
            if samples is None:
                taken.append(self._silence(use))
            else:
                taken.append(samples[:use])
                rest = samples[use:]
            if use < length:
                self._parts.appendleft((rest, length - use))
        return np.concatenate(taken)

    def _silence(self, count: int) -> Channels:
        return np.zeros((count, self.num_channels), np.float32)

    def _put(self, samples: Channels | None, length: int) -> None:
        if self._resampler is None:
            self._queue(samples, length)
            return
        for start in range(0, length, 1 << 16):
            part = min(length - start, 1 << 16)
            block = self._silence(part) if samples is None else samples[start : start + part]
            resampled = self._resampler.resample_chunk(np.ascontiguousarray(block))
            self._queue(resampled)

    def _queue(
        self,
        samples: Channels | None,
        length: int | None = None,
    ) -> None:
        count = length if samples is None else len(samples)
        if count:
            self._parts.append((samples, count))
            self.queued += count
            self.total += count
