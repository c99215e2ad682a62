"""Decoding whatever comes in.

FFmpeg (through PyAV) reads first. When it finds no decoder or no sample, libsndfile (through
soundfile) is asked as a second reader; `AudioBlock.container` then ends in "(libsndfile)", so it is
always on record which of the two read a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import av
import av.container
import av.logging
import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]

from voxdata.audio_bytes import (
    WORTH_A_REMARK_MS,
    after_end,
    begins_like_audio,
    check_bytes,
    remarks_on_bytes,
    require_readable,
)
from voxdata.errors import AudioError, DropReason, ShortageError
from voxdata.machine import find_fault, memory_is_short
from voxdata.mp4_boxes import read_mp4_boxes
from voxdata.raw_sound import HeaderlessError, PatchedFile, require_signature, wrap_command
from voxdata.remark import Remark, RemarkKind
from voxdata.track_lanes import LATE_S, Lane, NotAlignedError, choose_tracks, recording_origin
from voxdata.truncation import Extent

RULES = 3
"""Raised when our own rules decode a file differently."""

BLOCK = 1 << 16
"""Samples of a block, about."""

MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 768_000
MAX_CHANNELS = 255
_READER_ERRORS = (
    av.FFmpegError,
    soundfile.SoundFileError,
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    TypeError,
)
_DOUBTFUL = frozenset(
    {
        DropReason.UNDECODABLE,
        DropReason.NOT_AUDIO,
        DropReason.EMPTY,
        DropReason.TRUNCATED,
        DropReason.NO_AUDIO_STREAM,
    }
)
"""Decoders report these also for a file whose disk fails while they read.

They hide the system's own error.
"""

_GIVEN_UP = frozenset({DropReason.UNDECODABLE, DropReason.NOT_AUDIO, DropReason.EMPTY})
"""Reasons of the first reader for which the second is asked."""

_MEDIALESS = ("rawvideo", "tty", "image2")
_EXACT_CONTAINERS = frozenset({"flac", "wv", "ape", "tta", "aiff", "caf", "nistsphere"})
_COUNTED_FORMATS = ("wav", "flac", "aiff", "w64", "caf", "au")
"""What libsndfile calls the formats whose header counts the samples."""

_STATED_CONTAINERS = frozenset({"matroska,webm", "asf"})
"""Containers whose length is written when the recording ends, so that a shorter file was cut."""

MIN_CUT_MS = 1_000

_FULL_SCALE = {
    "u8": 2.0**7,
    "s16": 2.0**15,
    "s32": 2.0**31,
    "s64": 2.0**63,
}


Channels = npt.NDArray[np.float32]
"""(num_samples, num_channels) float32; integer PCM divided by its full scale.

So 16-bit values are exact.
"""

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AudioBlock:
    """A piece of the sound of a file, exactly as its decoder gives it.

    All blocks of a file agree in all but the samples.

    Attributes:
        samples: (num_samples, num_channels), at least one sample, all finite.
        sample_rate_hz: MIN_RATE_HZ ... MAX_RATE_HZ.
        codec: The decoder's name, such as "pcm_s16le".
        container: The demuxer's name, such as "wav".
    """

    samples: Channels
    sample_rate_hz: int
    codec: str
    container: str


def decoder_version() -> str:
    """Changes whenever a file might decode differently: our own rules, FFmpeg or libsndfile."""
    version = av.library_versions["libavcodec"]
    codec = ".".join(str(part) for part in version)
    libsndfile = soundfile.__libsndfile_version__
    return f"voxdata-{RULES} libavcodec-{codec} libsndfile-{libsndfile}"


def decode_audio(
    path: Path,
    consume: Callable[[Iterator[AudioBlock]], R],
    *,
    max_duration_ms: int = 12 * 3600 * 1000,
    remark: Callable[[Remark], object] | None = None,
) -> R:
    """Decode a file piece by piece, so that memory does not grow with its length.

    Sound lies where its timestamps say: packets that are missing leave silence, and so does a track
    that begins late. Several audio tracks are channels of one recording, at the rate of FFmpeg's
    best track (the one marked default, else the one with most channels and the highest rate),
    unless they are versions of one another; then the best alone is read. A damaged packet of a
    lossy stream is passed over, as players do, as long as there are few of them.

    Args:
        path: A local file in any format FFmpeg or libsndfile reads.
        consume: Given the blocks in order. Called again when those gave out half-way: with the best
            track alone when several cannot be laid side by side, with the blocks of the second
            reader when the first gives up.
        max_duration_ms: Longer files are refused.
        remark: Told, once all went well, what was lost, filled in or left out.

    Returns:
        What `consume` returns.

    Raises:
        AudioError: Its `reason` is MISSING (not there, not a regular file), NOT_READABLE (the
            system does not let it be read: no permission, or its disk is away), EMPTY (no byte, or
            no sample), NOT_AUDIO (text, a git-LFS pointer, an image, sound without a header, an
            unknown format), NO_AUDIO_STREAM (video without sound), UNDECODABLE, TRUNCATED (less
            there than the header promises, an MP4 without its index), INVALID_FORMAT (rate outside
            1 ... 768 kHz, more than 255 channels, a format that changes midway, samples that are
            not finite) or TOO_LONG.
        MachineError: Too many files are open, or memory is short.
    """
    extent = check_bytes(path)
    reading = _Reading(
        path=path,
        extent=extent,
        max_duration_ms=max_duration_ms,
    )
    try:
        consumed = _decode(reading, consume)
    except AudioError as error:
        if error.reason in _DOUBTFUL:
            require_readable(path)
        raise
    if remark is not None:
        for notice in (*reading.remarks, *remarks_on_bytes(path, extent)):
            remark(notice)
    return consumed


def _decode(reading: _Reading, consume: Callable[[Iterator[AudioBlock]], R]) -> R:
    """Read with FFmpeg, or with the second reader when that gives up."""
    try:
        return _read_first(reading, consume)
    except HeaderlessError:
        raise
    except AudioError as first:
        if first.reason not in _GIVEN_UP:
            raise
        reading.remarks.clear()
        try:
            return consume(_libsndfile_blocks(reading, at_least_s=reading.given_s))
        except _NothingFoundError:
            raise first from None


def _read_first(reading: _Reading, consume: Callable[[Iterator[AudioBlock]], R]) -> R:
    """FFmpeg's answer: all tracks side by side, or the best alone when they cannot be."""
    try:
        return consume(_ffmpeg_blocks(reading))
    except NotAlignedError as error:
        reading.alone = str(error)
        reading.remarks.clear()
        return consume(_ffmpeg_blocks(reading))


@dataclass(slots=True, kw_only=True)
class _Reading:
    """One try at a file.

    Attributes:
        alone: Why only the best track is read; "" when all may be.
        given_s: Seconds of sound given so far.
    """

    path: Path
    extent: Extent
    max_duration_ms: int
    alone: str = ""
    given_s: float = 0.0
    remarks: list[Remark] = field(default_factory=list)


def _ffmpeg_blocks(reading: _Reading) -> Iterator[AudioBlock]:
    av.logging.set_level(None)
    path = reading.path
    options = {"protocol_whitelist": "file"}
    if reading.extent.streamed:
        options["ignore_length"] = "1"
    try:
        with ExitStack() as opened:
            source: Any = "file:" + os.fspath(path)
            if reading.extent.patch:
                source = opened.enter_context(PatchedFile(path, reading.extent.patch))
            container: av.container.InputContainer = opened.enter_context(
                av.open(source, mode="r", metadata_errors="replace", container_options=options)
            )
            require_signature(path, container.format)
            yield from _read_container(reading, container)
    except _READER_ERRORS as error:
        _blame_machine(path, error)
        raise _undecodable(path, error) from error


def _undecodable(path: Path, error: Exception) -> AudioError:
    """Why FFmpeg cannot open a file, or cannot go on with it."""
    if begins_like_audio(path):
        trouble = "is damaged"
        reason = DropReason.UNDECODABLE
    else:
        wrap = f"headerless PCM needs a WAV header: {wrap_command(path, '')}"
        trouble = f"is in no format FFmpeg knows; {wrap}"
        reason = DropReason.NOT_AUDIO
    return AudioError(f"{path}: {trouble} ({_first_line(error)})", reason=reason)


def _blame_machine(path: Path, error: Exception) -> None:
    """Raise the machine's part in the error of a decoder.

    Decoders also report "no memory" for a damaged file that asks for too much.
    """
    fault = find_fault(error, place=path)
    if fault is None:
        return
    if not isinstance(fault, ShortageError) or memory_is_short():
        raise fault from error


def _read_container(
    reading: _Reading, container: av.container.InputContainer
) -> Iterator[AudioBlock]:
    path = reading.path
    name = container.format.name
    best = _best_track(path, container)
    choice = choose_tracks(best, container.streams.audio, alone=reading.alone)
    for track in choice.tracks:
        _check_format(path, track.rate or None, track.channels or None)
    num_channels = sum(track.channels for track in choice.tracks)
    _check_format(path, None, num_channels or None)

    several = len(choice.tracks) > 1
    length_s = None if several else _late_length_s(path, best)
    target_hz = best.rate if several else None
    lanes = []
    for track in choice.tracks:
        origin_s = recording_origin(container, track, length_s=length_s)
        lanes.append(Lane(track, origin_s=origin_s, target_hz=target_hz))
    first = next(lane for lane in lanes if lane.track.index == best.index)

    for blocks in _fill_lanes(reading, container, lanes, first):
        yield _block(path, blocks, first, name)
    _check_lane(path, first, name, fragmented=_is_fragmented(path, name))
    _finish_lanes(lanes, first)
    if first.queued:
        blocks = [lane.take(lane.queued) for lane in lanes]
        yield _block(path, blocks, first, name)

    reading.remarks += choice.remarks()
    for lane in lanes:
        of = f"track {lane.track.index + 1}: " if several else ""
        reading.remarks += _lane_remarks(lane, of=of)
    reading.remarks += _length_remarks(container, first, several=several)


def _best_track(path: Path, container: av.container.InputContainer) -> av.AudioStream:
    """The track that FFmpeg likes best, if it can be decoded."""
    name = container.format.name
    best = container.streams.best("audio")
    if not isinstance(best, av.AudioStream):
        if name in _MEDIALESS or name.endswith("_pipe"):
            wrap = f"sound without a header needs one: {wrap_command(path, '')}"
            message = f"{path}: is an image, text or headerless file, not audio; {wrap}"
            raise AudioError(message, reason=DropReason.NOT_AUDIO)
        raise AudioError(f"{path}: has no audio stream", reason=DropReason.NO_AUDIO_STREAM)
    if best.codec_context is None:
        message = f"{path}: FFmpeg has no decoder for its audio"
        raise AudioError(message, reason=DropReason.UNDECODABLE)
    return best


def _finish_lanes(lanes: Sequence[Lane], first: Lane) -> None:
    """Bring all tracks to the same length once everything is decoded."""
    for lane in lanes:
        if lane is not first and (not lane.heard or _is_damaged(lane)):
            raise NotAlignedError("a track holds no sound that can be decoded")
        lane.finish()
    total = max(lane.total for lane in lanes)
    for lane in lanes:
        lane.pad(total)


def _is_damaged(lane: Lane) -> bool:
    """Whether more of its packets are damaged than may be passed over."""
    return lane.damaged > max(1, lane.packets // 50)


def _fill_lanes(
    reading: _Reading,
    container: av.container.InputContainer,
    lanes: Sequence[Lane],
    first: Lane,
) -> Iterator[list[Channels]]:
    """Decode, and give out what all tracks have, about a block at a time."""
    path = reading.path
    by_index = {lane.track.index: lane for lane in lanes}
    for packet in container.demux([lane.track for lane in lanes]):
        lane = by_index[packet.stream.index]
        lane.packets += 1
        try:
            frames = packet.decode()
        except av.FFmpegError:
            lane.damaged += 1
            continue
        for frame in frames:
            if not isinstance(frame, av.AudioFrame) or frame.samples == 0:
                continue
            _add_frame(path, lane, frame)
            reading.given_s = first.total / first.rate_hz if first.total else 0.0
            _check_duration(path, lane.total, lane.rate_hz, max_duration_ms=reading.max_duration_ms)
        if len(lanes) > 1:
            total = max(lane.total for lane in lanes)
            for behind in lanes:
                behind.keep_up(total)

        ready = _ready(lanes)
        while ready >= BLOCK:
            size = min(ready, 4 * BLOCK)
            yield [lane.take(size) for lane in lanes]
            ready = _ready(lanes)


def _ready(lanes: Sequence[Lane]) -> int:
    """How many samples all tracks have."""
    return min(lane.queued for lane in lanes)


def _add_frame(path: Path, lane: Lane, frame: av.AudioFrame) -> None:
    samples = _frame_samples(path, frame)
    num_channels = samples.shape[1]
    if lane.timeline is None:
        _check_format(path, frame.rate, num_channels)
        lane.begin(frame.rate, num_channels)
    elif frame.rate != lane.timeline.rate_hz or num_channels != lane.num_channels:
        message = f"{path}: its rate or channels change midway; split it there"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)

    start_s = None
    if frame.pts is not None and frame.time_base is not None:
        start_s = float(frame.pts * frame.time_base)
    lane.add(samples, start_s)


def _check_lane(
    path: Path,
    lane: Lane,
    container: str,
    *,
    fragmented: bool,
) -> None:
    """Refuse a track of which too much is missing."""
    stream = lane.track
    heard = lane.heard
    if not heard:
        raise _no_sample(path, lane)

    promised = 0
    if stream.duration and stream.time_base is not None:
        promised = round(stream.duration * stream.time_base * lane.rate_of_track)
    much_missing = lane.damaged and heard < 0.9 * promised and not fragmented
    if promised > heard and (container in _EXACT_CONTAINERS or much_missing):
        message = f"{path}: promises {promised} samples, {heard} can be decoded; fetch it again"
        raise AudioError(message, reason=DropReason.TRUNCATED)
    if _is_damaged(lane):
        message = f"{path}: {lane.damaged} of its {lane.packets} packets are damaged"
        raise AudioError(message, reason=DropReason.UNDECODABLE)


def _no_sample(path: Path, lane: Lane) -> AudioError:
    """Why a track has no sound."""
    if lane.damaged:
        message = f"{path}: none of its {lane.packets} packets can be decoded"
        return AudioError(message, reason=DropReason.UNDECODABLE)
    if lane.track.duration:
        message = f"{path}: its header promises sound, but no sample is there; fetch it again"
        return AudioError(message, reason=DropReason.TRUNCATED)
    return AudioError(f"{path}: holds no sample", reason=DropReason.EMPTY)


def _is_fragmented(path: Path, container: str) -> bool:
    if not container.startswith("mov,"):
        return False
    boxes = read_mp4_boxes(path)
    return boxes is not None and boxes.fragmented


def _late_length_s(path: Path, track: av.AudioStream) -> float | None:
    """How long a late track sounds, by its packets; None for one that is not late."""
    start = track.start_time
    unit = track.time_base
    if not start or unit is None or start * unit <= LATE_S:
        return None
    options = {"protocol_whitelist": "file"}
    url = "file:" + os.fspath(path)
    with av.open(url, metadata_errors="replace", container_options=options) as again:
        end = start
        for packet in again.demux(again.streams[track.index]):
            packet_end = (packet.pts or 0) + (packet.duration or 0)
            end = max(end, packet_end)
    return float((end - start) * unit)


def _lane_remarks(lane: Lane, *, of: str) -> list[Remark]:
    """Remarks on one track.

    Args:
        of: What they begin with: the track's number, where there are several.
    """
    remarks = lane.timeline.remarks(of) if lane.timeline is not None else []
    if lane.damaged:
        packets = f"{of}{lane.damaged} of its {lane.packets} packets"
        detail = f"{packets} are damaged and were passed over"
        remarks.append(Remark(kind=RemarkKind.DAMAGED, detail=detail))
    return remarks


def _length_remarks(
    container: av.container.InputContainer,
    lane: Lane,
    *,
    several: bool,
) -> list[Remark]:
    """Remarks on the length in the header: one written when a recording ends shows a cut."""
    timeline = lane.timeline
    if timeline is None or several:
        return []
    name = container.format.name
    if name in _EXACT_CONTAINERS:
        more_ms = _surplus_ms(lane, timeline.rate_hz)
        if more_ms >= WORTH_A_REMARK_MS:
            more = f"{more_ms / 1000:.2f} s"
            detail = f"{more} lie after the end that the header names; they were read too"
            return [after_end(more_ms, detail)]

    is_alone = len(container.streams.audio) == 1 and not container.streams.video
    end_s = timeline.end_s
    if name in _STATED_CONTAINERS and is_alone and container.duration and end_s is not None:
        short_ms = round(container.duration / 1000 - end_s * 1000)
        if short_ms >= MIN_CUT_MS:
            length = f"its header names a length of {container.duration / 1e6:.2f} s"
            detail = f"{length}, the last {short_ms / 1000:.2f} s are not there"
            return [
                Remark(
                    kind=RemarkKind.CUT_OFF,
                    detail=detail,
                    amount_ms=short_ms,
                )
            ]
    return []


def _surplus_ms(lane: Lane, rate_hz: int) -> int:
    """How much longer a track is than its header names; 0 where it names no length."""
    stream = lane.track
    if not stream.duration or stream.time_base is None:
        return 0
    stated_ms = round(stream.duration * stream.time_base * 1000)
    return lane.total * 1000 // rate_hz - stated_ms


def _block(
    path: Path,
    lanes: Sequence[Channels],
    first: Lane,
    container: str,
) -> AudioBlock:
    """The samples of all tracks, channels side by side."""
    samples = lanes[0] if len(lanes) == 1 else np.concatenate(lanes, axis=1)
    codec = first.track.codec_context.name
    return _checked_block(path, samples, first.rate_hz, codec, container)


def _checked_block(
    path: Path,
    samples: Channels,
    rate_hz: int,
    codec: str,
    container: str,
) -> AudioBlock:
    if not np.isfinite(samples).all():
        message = f"{path}: holds samples that are not finite numbers; export it again"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)
    return AudioBlock(
        samples=samples,
        sample_rate_hz=rate_hz,
        codec=codec,
        container=container,
    )


def _frame_samples(path: Path, frame: av.AudioFrame) -> Channels:
    """(num_samples, num_channels) float32 of one frame."""
    kind = frame.format.packed.name
    raw: npt.NDArray[np.generic] = frame.to_ndarray()
    num_channels = frame.layout.nb_channels
    rows = raw.T if frame.format.is_planar else raw.reshape(-1, num_channels)
    if kind in ("flt", "dbl"):
        return rows.astype(np.float32)
    if kind not in _FULL_SCALE:
        message = f"{path}: samples of the unknown kind {kind!r}"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)
    full_scale = _FULL_SCALE[kind]
    if kind == "u8":
        centred = rows.astype(np.float32) - np.float32(full_scale)
        return centred / np.float32(full_scale)
    if kind == "s16":
        return rows.astype(np.float32) / np.float32(full_scale)
    scaled = rows.astype(np.float64) / full_scale
    return scaled.astype(np.float32)


class _NothingFoundError(Exception):
    """The second reader finds no sample either."""


def _libsndfile_blocks(reading: _Reading, *, at_least_s: float) -> Iterator[AudioBlock]:
    """The sound that libsndfile finds in the content of a file, whatever the file is called.

    Args:
        at_least_s: What the first reader had given: one that finds less is not believed.
    """
    path = reading.path
    num_samples = 0
    try:
        with (
            path.open("rb") as content,
            soundfile.SoundFile(content.fileno(), closefd=False) as file,
        ):
            if file.format == "MP3":  # FFmpeg knows all of them; what it does not know is none
                raise _NothingFoundError
            _check_format(path, file.samplerate, file.channels)
            rate_hz = file.samplerate
            codec = file.subtype.lower()
            container = file.format.lower()
            promised = file.frames
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                num_samples += len(block)
                _check_duration(path, num_samples, rate_hz, max_duration_ms=reading.max_duration_ms)
                yield _checked_block(path, block, rate_hz, codec, f"{container} (libsndfile)")
    except _READER_ERRORS as error:
        _blame_machine(path, error)
        raise _NothingFoundError from error
    if not num_samples or num_samples / rate_hz < at_least_s - LATE_S:
        raise _NothingFoundError
    if promised > num_samples and container in _COUNTED_FORMATS:
        counts = f"promises {promised} samples, {num_samples} can be decoded"
        raise AudioError(f"{path}: {counts}; fetch it again", reason=DropReason.TRUNCATED)


def _check_format(
    path: Path,
    rate_hz: int | None,
    num_channels: int | None,
) -> None:
    """Refuse what no recorder writes; None is "not known yet"."""
    if rate_hz is not None and not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        message = f"{path}: claims {rate_hz} Hz; {MIN_RATE_HZ} ... {MAX_RATE_HZ} Hz are read"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)
    if num_channels is not None and not 1 <= num_channels <= MAX_CHANNELS:
        message = f"{path}: claims {num_channels} channels; 1 ... {MAX_CHANNELS} are read"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)


def _check_duration(
    path: Path,
    num_samples: int,
    rate_hz: int,
    *,
    max_duration_ms: int,
) -> None:
    if num_samples * 1000 > max_duration_ms * rate_hz:
        message = f"{path}: is longer than {max_duration_ms} ms; split it, or allow more"
        raise AudioError(message, reason=DropReason.TOO_LONG)


def _first_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    lines = str(text).splitlines()
    return lines[0] if lines else type(error).__name__
