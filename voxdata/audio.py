"""Decoding whatever comes in.

FFmpeg (through PyAV) reads first. When it finds no decoder or no sample, libsndfile (through soundfile) is asked as a second
reader; `AudioBlock.container` then ends in "(libsndfile)", so it is always on record which of the two read a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import av
import av.container
import av.logging
import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]

from voxdata.errors import AudioError, DropReason, MachineError, ShortageError
from voxdata.machine import find_fault, memory_is_short
from voxdata.truncation import missing_bytes

RULES = 2
"""Raised when our own rules decode a file differently."""

BLOCK = 1 << 16
"""Samples of a block, about."""

MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 768_000
MAX_CHANNELS = 255
_READER_ERRORS = (av.FFmpegError, soundfile.SoundFileError, OSError, ValueError, ArithmeticError, LookupError, RuntimeError, TypeError)
_DOUBTFUL = frozenset({DropReason.UNDECODABLE, DropReason.NOT_AUDIO, DropReason.EMPTY, DropReason.TRUNCATED, DropReason.NO_AUDIO_STREAM})
"""Decoders say these also of a file whose disk fails while they read, since they hide what the system says."""

_MEDIALESS = ("rawvideo", "tty", "image2")
_EXACT_CONTAINERS = frozenset({"flac", "wv", "ape", "tta", "aiff", "caf", "nistsphere"})
_AUDIO_MAGIC = (
    b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xfa", b"\x1aE\xdf\xa3",
    b"DSD ", b"FRM8", b"MP+", b"MPCK", b"wvpk", b"MAC ", b"OFR ", b"0&\xb2u", b".snd", b"caff", b"NIST", b"TTA1",
)  # fmt: skip
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


def decode_audio(path: Path, consume: Callable[[Iterator[AudioBlock]], R], *, max_duration_ms: int = 12 * 3600 * 1000) -> R:
    """Decode a file piece by piece, so that memory does not grow with its length.

    Of several audio tracks FFmpeg's best is taken: the one marked default, else the one with most channels and the highest rate.
    A damaged packet of a lossy stream is passed over, as players do, as long as there are few of them.

    Args:
        path: A local file in any format FFmpeg or libsndfile reads.
        consume: Given the blocks in order. Called anew with those of the second reader when the first gives up half-way.
        max_duration_ms: Longer files are refused.

    Returns:
        What `consume` returns.

    Raises:
        AudioError: Its `reason` is MISSING (not there, not a regular file), NOT_READABLE (the system does not let it be read: no
            permission, or its disk is away), EMPTY (no byte, or no sample),
            NOT_AUDIO (text, a git-LFS pointer, an image, headerless PCM, an unknown format), NO_AUDIO_STREAM (video without sound),
            UNDECODABLE, TRUNCATED (less there than the header promises), INVALID_FORMAT (rate outside 1 ... 768 kHz, more than
            255 channels, a format that changes midway, samples that are not finite) or TOO_LONG.
        MachineError: Too many files are open, or memory is short.
    """
    _check_bytes(path)
    try:
        return _decode_audio(path, consume, max_duration_ms=max_duration_ms)
    except AudioError as error:
        if error.reason in _DOUBTFUL:
            _require_readable(path)
        raise


def _decode_audio(path: Path, consume: Callable[[Iterator[AudioBlock]], R], *, max_duration_ms: int) -> R:
    try:
        return consume(_ffmpeg_blocks(path, max_duration_ms=max_duration_ms))
    except AudioError as first:
        if first.reason not in (DropReason.UNDECODABLE, DropReason.NOT_AUDIO, DropReason.EMPTY):
            raise
        try:
            return consume(_libsndfile_blocks(path, max_duration_ms=max_duration_ms))
        except _NothingFoundError:
            raise first from None


def _check_bytes(path: Path) -> None:
    """Refuse what needs no decoder to be refused."""
    try:
        if not path.is_file():
            state = "is not a regular file" if path.exists() else "there is no such file"
            raise AudioError(f"{path}: {state}", reason=DropReason.MISSING)
        with path.open("rb") as file:
            head = file.read(1024)
        missing = missing_bytes(path)
    except OSError as error:
        raise explain_unreadable(path, error) from error
    except ValueError as error:
        raise AudioError(f"{path}: cannot be read ({error})", reason=DropReason.MISSING) from error
    if not head:
        raise AudioError(f"{path}: the file is empty (0 bytes)", reason=DropReason.EMPTY)
    kind = _text_kind(head)
    if kind:
        raise AudioError(f"{path}: is {kind}, not audio", reason=DropReason.NOT_AUDIO)
    if missing:
        raise AudioError(f"{path}: its header promises {missing} more bytes than the file has; fetch it again", reason=DropReason.TRUNCATED)


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
    if head.startswith((b"NIST_1A", b"#!AMR")) or any(byte < 32 and byte not in b"\t\n\f\r\x1b" for byte in head):
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


def _ffmpeg_blocks(path: Path, *, max_duration_ms: int) -> Iterator[AudioBlock]:
    av.logging.set_level(None)
    try:
        with av.open("file:" + os.fspath(path), metadata_errors="replace", container_options={"protocol_whitelist": "file"}) as container:
            yield from _read_container(path, container, max_duration_ms=max_duration_ms)
    except _READER_ERRORS as error:
        _blame_machine(path, error)
        known = _begins_like_audio(path)
        reason = DropReason.UNDECODABLE if known else DropReason.NOT_AUDIO
        says = "is damaged" if known else "is in no format FFmpeg knows; headerless PCM needs a WAV header"
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


def _read_container(path: Path, container: av.container.InputContainer, *, max_duration_ms: int) -> Iterator[AudioBlock]:
    name = container.format.name
    stream = container.streams.best("audio")
    if not isinstance(stream, av.AudioStream):
        if name in _MEDIALESS or name.endswith("_pipe"):
            raise AudioError(f"{path}: is an image, text or headerless file, not audio", reason=DropReason.NOT_AUDIO)
        raise AudioError(f"{path}: has no audio stream", reason=DropReason.NO_AUDIO_STREAM)
    if stream.codec_context is None:
        raise AudioError(f"{path}: FFmpeg has no decoder for its audio", reason=DropReason.UNDECODABLE)
    codec = stream.codec_context.name
    _check_format(path, stream.rate or None, stream.channels or None)
    rate_hz = num_channels = num_samples = packets = damaged = 0
    waiting: list[Channels] = []
    for packet in container.demux(stream):
        packets += 1
        try:
            frames = packet.decode()
        except av.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            if not isinstance(frame, av.AudioFrame) or frame.samples == 0:
                continue
            block = _frame_samples(path, frame)
            if not num_samples:
                rate_hz, num_channels = frame.rate, block.shape[1]
                _check_format(path, rate_hz, num_channels)
            elif frame.rate != rate_hz or block.shape[1] != num_channels:
                raise AudioError(f"{path}: its rate or channels change midway; split it there", reason=DropReason.INVALID_FORMAT)
            waiting.append(block)
            num_samples += block.shape[0]
            _check_duration(path, num_samples, rate_hz, max_duration_ms=max_duration_ms)
            if sum(len(b) for b in waiting) >= BLOCK:
                yield _block(path, waiting, rate_hz, codec, name)
                waiting = []
    known_length = stream.duration is not None and stream.time_base is not None and rate_hz > 0
    promised = round(stream.duration * stream.time_base * rate_hz) if known_length and stream.duration and stream.time_base else 0
    if not num_samples:
        if stream.duration and not damaged:
            raise AudioError(f"{path}: its header promises sound, but no sample is there; fetch it again", reason=DropReason.TRUNCATED)
        if damaged:
            raise AudioError(f"{path}: none of its {packets} packets can be decoded", reason=DropReason.UNDECODABLE)
        raise AudioError(f"{path}: holds no sample", reason=DropReason.EMPTY)
    if promised > num_samples and (name in _EXACT_CONTAINERS or (damaged and num_samples < 0.9 * promised)):
        raise AudioError(f"{path}: promises {promised} samples, {num_samples} can be decoded; fetch it again", reason=DropReason.TRUNCATED)
    if damaged > max(1, packets // 50):
        raise AudioError(f"{path}: {damaged} of its {packets} packets are damaged", reason=DropReason.UNDECODABLE)
    if waiting:
        yield _block(path, waiting, rate_hz, codec, name)


def _block(path: Path, parts: Sequence[Channels], rate_hz: int, codec: str, container: str) -> AudioBlock:
    samples = np.concatenate(parts)
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds samples that are not finite numbers; export it again", reason=DropReason.INVALID_FORMAT)
    return AudioBlock(samples=samples, sample_rate_hz=rate_hz, codec=codec, container=container)


def _frame_samples(path: Path, frame: av.AudioFrame) -> Channels:
    """(num_samples, num_channels) float32 of one frame."""
    kind = frame.format.packed.name
    raw: npt.NDArray[np.generic] = frame.to_ndarray()
    rows = raw.T if frame.format.is_planar else raw.reshape(-1, frame.layout.nb_channels)
    if kind in ("flt", "dbl"):
        return rows.astype(np.float32)
    if kind not in _FULL_SCALE:
        raise AudioError(f"{path}: samples of the unknown kind {kind!r}", reason=DropReason.INVALID_FORMAT)
    if kind == "u8":
        return (rows.astype(np.float32) - np.float32(128)) / np.float32(128)
    if kind == "s16":
        return rows.astype(np.float32) / np.float32(_FULL_SCALE[kind])
    return (rows.astype(np.float64) / _FULL_SCALE[kind]).astype(np.float32)


class _NothingFoundError(Exception):
    """The second reader finds no sample either."""


def _libsndfile_blocks(path: Path, *, max_duration_ms: int) -> Iterator[AudioBlock]:
    num_samples = 0
    try:
        with soundfile.SoundFile(os.fspath(path)) as file:
            _check_format(path, file.samplerate, file.channels)
            rate_hz, codec, container, promised = file.samplerate, file.subtype.lower(), file.format.lower(), file.frames
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                num_samples += len(block)
                _check_duration(path, num_samples, rate_hz, max_duration_ms=max_duration_ms)
                yield _block(path, [block], rate_hz, codec, f"{container} (libsndfile)")
    except _READER_ERRORS as error:
        _blame_machine(path, error)
        raise _NothingFoundError from error
    if not num_samples:
        raise _NothingFoundError
    if promised > num_samples and container in ("wav", "flac", "aiff", "w64", "caf", "au"):
        raise AudioError(f"{path}: promises {promised} samples, {num_samples} can be decoded; fetch it again", reason=DropReason.TRUNCATED)


def _check_format(path: Path, rate_hz: int | None, num_channels: int | None) -> None:
    """Refuse what no recorder writes; None is "not known yet"."""
    if rate_hz is not None and not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(f"{path}: claims {rate_hz} Hz; {MIN_RATE_HZ} ... {MAX_RATE_HZ} Hz are read", reason=DropReason.INVALID_FORMAT)
    if num_channels is not None and not 1 <= num_channels <= MAX_CHANNELS:
        raise AudioError(f"{path}: claims {num_channels} channels; 1 ... {MAX_CHANNELS} are read", reason=DropReason.INVALID_FORMAT)


def _check_duration(path: Path, num_samples: int, rate_hz: int, *, max_duration_ms: int) -> None:
    if num_samples * 1000 > max_duration_ms * rate_hz:
        raise AudioError(f"{path}: is longer than {max_duration_ms} ms; split it, or allow more", reason=DropReason.TOO_LONG)


def _first_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return (str(text).splitlines() or [type(error).__name__])[0]
