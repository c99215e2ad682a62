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

from voxdata.errors import AudioError, DropReason, MachineError, ShortageError
from voxdata.machine import find_fault, memory_is_short
from voxdata.mp4_boxes import Mp4Boxes, read_mp4_boxes
from voxdata.ogg_links import list_ogg_links
from voxdata.raw_sound import HeaderlessError, PatchedFile, require_signature, wrap_command
from voxdata.remark import Remark, RemarkKind
from voxdata.track_lanes import LATE_S, Lane, NotAlignedError, choose_tracks, recording_origin
from voxdata.truncation import Extent, measure_extent

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
"""Decoders say these also of a file whose disk fails while they read, since they hide what the system says."""

_MEDIALESS = ("rawvideo", "tty", "image2")
_EXACT_CONTAINERS = frozenset({"flac", "wv", "ape", "tta", "aiff", "caf", "nistsphere"})
_STATED_CONTAINERS = frozenset({"matroska,webm", "asf"})
"""Containers whose length is written when the recording ends, so that a shorter file was cut."""

WORTH_A_REMARK_MS = 20
MIN_CUT_MS = 1_000

_AUDIO_MAGIC = (
    b"RIFF",
    b"RIFX",
    b"RF64",
    b"BW64",
    b"FORM",
    b"fLaC",
    b"OggS",
    b"ID3",
    b"\xff\xfb",
    b"\xff\xf3",
    b"\xff\xfa",
    b"\x1aE\xdf\xa3",
    b"DSD ",
    b"FRM8",
    b"MP+",
    b"MPCK",
    b"wvpk",
    b"MAC ",
    b"OFR ",
    b"0&\xb2u",
    b".snd",
    b"caff",
    b"NIST",
    b"TTA1",
)
_FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}


Channels = npt.NDArray[np.float32]
"""(num_samples, num_channels) float32; integer PCM divided by its full scale, so 16-bit values are exact."""

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AudioBlock:
    """A piece of the sound of a file, exactly as its decoder gives it; all blocks of a file agree in all but the samples.

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
    codec = ".".join(str(part) for part in av.library_versions["libavcodec"])
    return f"voxdata-{RULES} libavcodec-{codec} libsndfile-{soundfile.__libsndfile_version__}"


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
        consume: Given the blocks in order. Called anew when those gave out half-way: with the best
            track alone when several cannot be laid side by side, with what the second reader finds
            when the first gives up.
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
    extent = _check_bytes(path)
    reading = _Reading(path=path, extent=extent, max_duration_ms=max_duration_ms)
    try:
        found = _decode(reading, consume)
    except AudioError as error:
        if error.reason in _DOUBTFUL:
            _require_readable(path)
        raise
    if remark is not None:
        for said in [*reading.remarks, *_remarks_on_bytes(path, extent)]:
            remark(said)
    return found


def _decode(reading: _Reading, consume: Callable[[Iterator[AudioBlock]], R]) -> R:
    """What FFmpeg finds, or the second reader when that gives up."""
    try:
        return _read_first(reading, consume)
    except HeaderlessError:
        raise
    except AudioError as first:
        if first.reason not in (DropReason.UNDECODABLE, DropReason.NOT_AUDIO, DropReason.EMPTY):
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


def _check_bytes(path: Path) -> Extent:
    """Refuse what needs no decoder to be refused."""
    try:
        if not path.is_file():
            state = "is not a regular file" if path.exists() else "there is no such file"
            raise AudioError(f"{path}: {state}", reason=DropReason.MISSING)
        with path.open("rb") as file:
            head = file.read(1024)
        boxes, extent, links = read_mp4_boxes(path), measure_extent(path), list_ogg_links(path)
    except OSError as error:
        raise explain_unreadable(path, error) from error
    except ValueError as error:
        raise AudioError(f"{path}: cannot be read ({error})", reason=DropReason.MISSING) from error
    if not head:
        raise AudioError(f"{path}: the file is empty (0 bytes)", reason=DropReason.EMPTY)
    kind = _text_kind(head)
    if kind:
        raise AudioError(f"{path}: is {kind}, not audio", reason=DropReason.NOT_AUDIO)
    if boxes is not None:
        _check_boxes(path, boxes)
    if extent.missing:
        raise _truncated(path, extent.missing)
    changes = [link for link in links if sorted(link.formats) != sorted(links[0].formats)]
    if changes:
        change = f"codec, rate or channels change at byte {changes[0].offset}, where another begins"
        message = f"{path}: holds several recordings, whose {change}; split it there"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)
    return extent


def _truncated(path: Path, missing: int) -> AudioError:
    promise = f"its header promises {missing} more bytes than the file has"
    return AudioError(f"{path}: {promise}; fetch it again", reason=DropReason.TRUNCATED)


def _check_boxes(path: Path, boxes: Mp4Boxes) -> None:
    if not boxes.index and not boxes.other_index:
        if boxes.fragmented:
            trouble = "is a piece of a stream without the index at its beginning"
            remedy = "put the stream's first segment before it"
        else:
            trouble = "the recording was cut off before its index was written"
            remedy = "fetch it again, or have a tool rebuild the index from the sound that is there"
        raise AudioError(f"{path}: {trouble}; {remedy}", reason=DropReason.TRUNCATED)
    if boxes.missing and not boxes.fragmented:
        raise _truncated(path, boxes.missing)


def _remarks_on_bytes(path: Path, extent: Extent) -> list[Remark]:
    """What the sizes in the header leave out."""
    found = []
    if extent.after_ms >= WORTH_A_REMARK_MS:
        seconds = f"{extent.after_ms / 1000:.2f} s"
        if extent.kept:
            detail = f"{seconds} lie after the end that the header names; they were read too"
        elif extent.joined:
            detail = _joined_on(extent.after_ms)
        else:
            detail = (
                f"bytes for {seconds} of sound lie after the end that the header names and were left "
                f"out; if they are sound, correct the header"
            )
        found.append(Remark(kind=RemarkKind.AFTER_END, detail=detail, amount_ms=extent.after_ms))
    boxes = read_mp4_boxes(path)
    if boxes is not None and boxes.joined_ms >= WORTH_A_REMARK_MS:
        detail = _joined_on(boxes.joined_ms)
        found.append(Remark(kind=RemarkKind.AFTER_END, detail=detail, amount_ms=boxes.joined_ms))
    if boxes is not None and boxes.fragmented and boxes.missing:
        lack = f"{boxes.missing} bytes of its last fragment are missing"
        detail = f"the recording was cut off, {lack}; what is there was kept"
        found.append(Remark(kind=RemarkKind.CUT_OFF, detail=detail))
    return found


def _joined_on(length_ms: int) -> str:
    other = f"another recording, of {length_ms / 1000:.2f} s, is joined on after the first"
    return f"{other} and was left out; split the file"


def explain_unreadable(path: Path, error: OSError) -> AudioError | MachineError:
    """Why a file of somebody else's cannot be read: it is not there, the system does not let us, or this machine lacks something."""
    if isinstance(error, FileNotFoundError):
        return AudioError(f"{path}: there is no such file", reason=DropReason.MISSING)
    fault = find_fault(error, place=path)
    if fault is not None:
        return fault
    why = f"{path}: cannot be read ({error.strerror or error}); give this user access, or see that its disk is there and sound"
    return AudioError(why, reason=DropReason.NOT_READABLE)


def _require_readable(path: Path) -> None:
    """Read a file to its end, so that a disk that fails is not taken for damaged audio."""
    try:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    except OSError as error:
        raise explain_unreadable(path, error) from error


def _text_kind(head: bytes) -> str:
    """What kind of text the first bytes are; "" when they are not text. Playlists are text too, so none is ever followed."""
    if head.startswith((b"NIST_1A", b"#!AMR")) or any(
        byte < 32 and byte not in b"\t\n\f\r\x1b" for byte in head
    ):
        return ""
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        if text.startswith("version https://git-lfs.github.com/spec/"):
            return "a git-LFS pointer (run `git lfs pull`)"
        if "\n" not in text.strip() and text.startswith(("../", "./", "/")):
            return "the text of a symbolic link (check it out on a file system that has links)"
        return "text"
    return ""


def _ffmpeg_blocks(reading: _Reading) -> Iterator[AudioBlock]:
    av.logging.set_level(None)
    path, streamed = reading.path, reading.extent.streamed
    options = {"protocol_whitelist": "file"} | ({"ignore_length": "1"} if streamed else {})
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
        known = _begins_like_audio(path)
        reason = DropReason.UNDECODABLE if known else DropReason.NOT_AUDIO
        wrap = f"headerless PCM needs a WAV header: {wrap_command(path, '')}"
        says = "is damaged" if known else f"is in no format FFmpeg knows; {wrap}"
        raise AudioError(f"{path}: {says} ({_first_line(error)})", reason=reason) from error


def _blame_machine(path: Path, error: Exception) -> None:
    """Raise the machine's part in what a decoder said; it also says "no memory" of a damaged file that asks for too much."""
    fault = find_fault(error, place=path)
    if fault is not None and (not isinstance(fault, ShortageError) or memory_is_short()):
        raise fault from error


def _begins_like_audio(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(_AUDIO_MAGIC)
    except OSError as error:
        raise explain_unreadable(path, error) from error


def _read_container(
    reading: _Reading, container: av.container.InputContainer
) -> Iterator[AudioBlock]:
    path, name = reading.path, container.format.name
    best = container.streams.best("audio")
    if not isinstance(best, av.AudioStream):
        if name in _MEDIALESS or name.endswith("_pipe"):
            wrap = f"sound without a header needs one: {wrap_command(path, '')}"
            message = f"{path}: is an image, text or headerless file, not audio; {wrap}"
            raise AudioError(message, reason=DropReason.NOT_AUDIO)
        raise AudioError(f"{path}: has no audio stream", reason=DropReason.NO_AUDIO_STREAM)
    if best.codec_context is None:
        raise AudioError(
            f"{path}: FFmpeg has no decoder for its audio", reason=DropReason.UNDECODABLE
        )
    choice = choose_tracks(best, container.streams.audio, alone=reading.alone)
    for track in choice.tracks:
        _check_format(path, track.rate or None, track.channels or None)
    _check_format(path, None, sum(track.channels for track in choice.tracks) or None)
    several = len(choice.tracks) > 1
    length_s = None if several else _late_length_s(path, best)
    lanes = [
        Lane(
            track,
            origin_s=recording_origin(container, track, length_s=length_s),
            target_hz=best.rate if several else None,
        )
        for track in choice.tracks
    ]
    first = next(lane for lane in lanes if lane.track.index == best.index)
    for blocks in _fill_lanes(reading, container, lanes, first):
        yield _block(path, blocks, first, name)
    _check_lane(path, first, name, fragmented=_is_fragmented(path, name))
    for lane in lanes:
        if lane is not first and (not lane.heard or lane.damaged > max(1, lane.packets // 50)):
            raise NotAlignedError("a track holds no sound that can be decoded")
        lane.finish()
    total = max(lane.total for lane in lanes)
    for lane in lanes:
        lane.pad(total)
    if first.queued:
        yield _block(path, [lane.take(lane.queued) for lane in lanes], first, name)
    reading.remarks += choice.remarks()
    for lane in lanes:
        of = f"track {lane.track.index + 1}: " if several else ""
        reading.remarks += _lane_remarks(lane, of=of)
    reading.remarks += _length_remarks(container, first, several=several)


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
        while (ready := min(lane.queued for lane in lanes)) >= BLOCK:
            ready = min(ready, 4 * BLOCK)
            yield [lane.take(ready) for lane in lanes]


def _add_frame(path: Path, lane: Lane, frame: av.AudioFrame) -> None:
    samples = _frame_samples(path, frame)
    if lane.timeline is None:
        _check_format(path, frame.rate, samples.shape[1])
        lane.begin(frame.rate, samples.shape[1])
    elif frame.rate != lane.timeline.rate_hz or samples.shape[1] != lane.num_channels:
        message = f"{path}: its rate or channels change midway; split it there"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)
    pts, time_base = frame.pts, frame.time_base
    lane.add(samples, None if pts is None or time_base is None else float(pts * time_base))


def _check_lane(path: Path, lane: Lane, container: str, *, fragmented: bool) -> None:
    """Refuse a track of which too much is missing."""
    stream, heard, damaged = lane.track, lane.heard, lane.damaged
    promised = 0
    if stream.duration and stream.time_base is not None and heard:
        promised = round(stream.duration * stream.time_base * lane.rate_of_track)
    if not heard:
        if stream.duration and not damaged:
            raise AudioError(
                f"{path}: its header promises sound, but no sample is there; fetch it again",
                reason=DropReason.TRUNCATED,
            )
        if damaged:
            message = f"{path}: none of its {lane.packets} packets can be decoded"
            raise AudioError(message, reason=DropReason.UNDECODABLE)
        raise AudioError(f"{path}: holds no sample", reason=DropReason.EMPTY)
    much_missing = damaged and heard < 0.9 * promised and not fragmented
    if promised > heard and (container in _EXACT_CONTAINERS or much_missing):
        message = f"{path}: promises {promised} samples, {heard} can be decoded; fetch it again"
        raise AudioError(message, reason=DropReason.TRUNCATED)
    if damaged > max(1, lane.packets // 50):
        message = f"{path}: {damaged} of its {lane.packets} packets are damaged"
        raise AudioError(message, reason=DropReason.UNDECODABLE)


def _is_fragmented(path: Path, container: str) -> bool:
    boxes = read_mp4_boxes(path) if container.startswith("mov,") else None
    return boxes is not None and boxes.fragmented


def _late_length_s(path: Path, track: av.AudioStream) -> float | None:
    """How long a late track sounds, by its packets; None for one that is not late."""
    start, unit = track.start_time, track.time_base
    if not start or unit is None or start * unit <= LATE_S:
        return None
    options = {"protocol_whitelist": "file"}
    url = "file:" + os.fspath(path)
    with av.open(url, metadata_errors="replace", container_options=options) as again:
        last = start
        for packet in again.demux(again.streams[track.index]):
            last = max(last, (packet.pts or 0) + (packet.duration or 0))
    return float((last - start) * unit)


def _lane_remarks(lane: Lane, *, of: str) -> list[Remark]:
    found = lane.timeline.remarks(of) if lane.timeline is not None else []
    if lane.damaged:
        some = f"{of}{lane.damaged} of its {lane.packets} packets"
        detail = f"{some} are damaged and were passed over"
        found.append(Remark(kind=RemarkKind.DAMAGED, detail=detail))
    return found


def _length_remarks(
    container: av.container.InputContainer, lane: Lane, *, several: bool
) -> list[Remark]:
    """What the header says of the length: where it is written at the end it tells of a cut."""
    stream, name = lane.track, container.format.name
    if lane.timeline is None or several:
        return []
    rate_hz = lane.timeline.rate_hz
    if name in _EXACT_CONTAINERS and stream.duration is not None and stream.time_base is not None:
        more_ms = lane.total * 1000 // rate_hz - round(stream.duration * stream.time_base * 1000)
        if stream.duration and more_ms >= WORTH_A_REMARK_MS:
            more = f"{more_ms / 1000:.2f} s"
            detail = f"{more} lie after the end that the header names; they were read too"
            return [Remark(kind=RemarkKind.AFTER_END, detail=detail, amount_ms=more_ms)]
    alone = len(container.streams.audio) == 1 and not container.streams.video
    end_s = lane.timeline.end_s
    if name in _STATED_CONTAINERS and alone and container.duration and end_s is not None:
        short_ms = round(container.duration / 1000 - end_s * 1000)
        if short_ms >= MIN_CUT_MS:
            length = f"its header names a length of {container.duration / 1e6:.2f} s"
            detail = f"{length}, the last {short_ms / 1000:.2f} s are not there"
            return [Remark(kind=RemarkKind.CUT_OFF, detail=detail, amount_ms=short_ms)]
    return []


def _block(path: Path, lanes: Sequence[Channels], first: Lane, container: str) -> AudioBlock:
    samples = lanes[0] if len(lanes) == 1 else np.concatenate(lanes, axis=1)
    codec = first.track.codec_context.name
    return _checked_block(path, samples, first.rate_hz, codec, container)


def _checked_block(
    path: Path, samples: Channels, rate_hz: int, codec: str, container: str
) -> AudioBlock:
    if not np.isfinite(samples).all():
        raise AudioError(
            f"{path}: holds samples that are not finite numbers; export it again",
            reason=DropReason.INVALID_FORMAT,
        )
    return AudioBlock(samples=samples, sample_rate_hz=rate_hz, codec=codec, container=container)


def _frame_samples(path: Path, frame: av.AudioFrame) -> Channels:
    """(num_samples, num_channels) float32 of one frame."""
    kind = frame.format.packed.name
    raw: npt.NDArray[np.generic] = frame.to_ndarray()
    rows = raw.T if frame.format.is_planar else raw.reshape(-1, frame.layout.nb_channels)
    if kind in ("flt", "dbl"):
        return rows.astype(np.float32)
    if kind not in _FULL_SCALE:
        raise AudioError(
            f"{path}: samples of the unknown kind {kind!r}", reason=DropReason.INVALID_FORMAT
        )
    if kind == "u8":
        return (rows.astype(np.float32) - np.float32(128)) / np.float32(128)
    if kind == "s16":
        return rows.astype(np.float32) / np.float32(_FULL_SCALE[kind])
    return (rows.astype(np.float64) / _FULL_SCALE[kind]).astype(np.float32)


class _NothingFoundError(Exception):
    """The second reader finds no sample either."""


def _libsndfile_blocks(reading: _Reading, *, at_least_s: float) -> Iterator[AudioBlock]:
    """What libsndfile makes of the content of a file; its name says nothing to it.

    Args:
        at_least_s: What the first reader had given: one that finds less is not believed.
    """
    path, num_samples = reading.path, 0
    try:
        with (
            path.open("rb") as content,
            soundfile.SoundFile(content.fileno(), closefd=False) as file,
        ):
            if file.format == "MP3":  # FFmpeg knows all of them; what it does not know is none
                raise _NothingFoundError
            _check_format(path, file.samplerate, file.channels)
            rate_hz, codec, container, promised = (
                file.samplerate,
                file.subtype.lower(),
                file.format.lower(),
                file.frames,
            )
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                num_samples += len(block)
                _check_duration(path, num_samples, rate_hz, max_duration_ms=reading.max_duration_ms)
                yield _checked_block(path, block, rate_hz, codec, f"{container} (libsndfile)")
    except _READER_ERRORS as error:
        _blame_machine(path, error)
        raise _NothingFoundError from error
    if not num_samples or num_samples / rate_hz < at_least_s - LATE_S:
        raise _NothingFoundError
    if promised > num_samples and container in ("wav", "flac", "aiff", "w64", "caf", "au"):
        raise AudioError(
            f"{path}: promises {promised} samples, {num_samples} can be decoded; fetch it again",
            reason=DropReason.TRUNCATED,
        )


def _check_format(path: Path, rate_hz: int | None, num_channels: int | None) -> None:
    """Refuse what no recorder writes; None is "not known yet"."""
    if rate_hz is not None and not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"{path}: claims {rate_hz} Hz; {MIN_RATE_HZ} ... {MAX_RATE_HZ} Hz are read",
            reason=DropReason.INVALID_FORMAT,
        )
    if num_channels is not None and not 1 <= num_channels <= MAX_CHANNELS:
        raise AudioError(
            f"{path}: claims {num_channels} channels; 1 ... {MAX_CHANNELS} are read",
            reason=DropReason.INVALID_FORMAT,
        )


def _check_duration(path: Path, num_samples: int, rate_hz: int, *, max_duration_ms: int) -> None:
    if num_samples * 1000 > max_duration_ms * rate_hz:
        raise AudioError(
            f"{path}: is longer than {max_duration_ms} ms; split it, or allow more",
            reason=DropReason.TOO_LONG,
        )


def _first_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return (str(text).splitlines() or [type(error).__name__])[0]
