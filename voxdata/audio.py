"""All audio file access: decoding whatever comes in, the canonical 16 kHz FLAC, and clips cut from it.

FFmpeg (through PyAV) reads first. When it finds no decoder or no sample, libsndfile (through soundfile) is asked as a second
reader; `DecodedAudio.container` then ends in "(libsndfile)", so it is always on record which of the two read a file.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import av.container
import av.logging
import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]
import soxr  # type: ignore[import-untyped]

from voxdata.errors import AudioError, DropReason
from voxdata.layout import detect_layout, is_flat, mix_down
from voxdata.ports import MODEL_RATE_HZ, Samples
from voxdata.recording import ChannelLayout, Recording
from voxdata.segment import Segment
from voxdata.truncation import missing_bytes

MIN_RATE_HZ = 1_000
MAX_RATE_HZ = 768_000
MAX_CHANNELS = 255
MAX_CANONICAL_CHANNELS = 8
"""What a FLAC file can hold."""

_READER_ERRORS = (av.FFmpegError, soundfile.SoundFileError, OSError, ValueError, ArithmeticError, LookupError, RuntimeError, TypeError)
_MEDIALESS = ("rawvideo", "tty", "image2")
_EXACT_CONTAINERS = frozenset({"flac", "wv", "ape", "tta", "aiff", "caf", "nistsphere"})
_AUDIO_MAGIC = (
    b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xfa", b"\x1aE\xdf\xa3",
    b"DSD ", b"FRM8", b"MP+", b"MPCK", b"wvpk", b"MAC ", b"OFR ", b"0&\xb2u", b".snd", b"caff", b"NIST", b"TTA1",
)  # fmt: skip
_FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedAudio:
    """The sound of a file, exactly as its decoder gives it.

    Attributes:
        samples: (num_samples, num_channels) float32; integer PCM divided by its full scale, so 16-bit values are exact.
        sample_rate_hz: MIN_RATE_HZ ... MAX_RATE_HZ.
        codec: The decoder's name, such as "pcm_s16le".
        container: The demuxer's name, such as "wav".
    """

    samples: npt.NDArray[np.float32]
    sample_rate_hz: int
    codec: str
    container: str


def decode_audio(path: Path, *, max_duration_ms: int = 12 * 3600 * 1000) -> DecodedAudio:
    """Decode a whole file.

    Of several audio tracks FFmpeg's best is taken: the one marked default, else the one with most channels and the highest rate.
    A damaged packet of a lossy stream is passed over, as players do, as long as there are few of them.

    Args:
        path: A local file in any format FFmpeg or libsndfile reads.
        max_duration_ms: Longer files are refused.

    Raises:
        AudioError: Its `reason` is MISSING (not there, not a readable regular file), EMPTY (no byte, or no sample),
            NOT_AUDIO (text, a git-LFS pointer, an image, headerless PCM, an unknown format), NO_AUDIO_STREAM (video without sound),
            UNDECODABLE, TRUNCATED (less there than the header promises), INVALID_FORMAT (rate outside 1 ... 768 kHz, more than
            255 channels, a format that changes midway, samples that are not finite) or TOO_LONG.
    """
    _check_bytes(path)
    try:
        decoded = _decode(path, max_duration_ms=max_duration_ms)
    except MemoryError as error:
        message = f"{path}: does not fit into memory; split it, or lower the longest duration allowed"
        raise AudioError(message, reason=DropReason.TOO_LONG) from error
    if not np.isfinite(decoded.samples).all():
        raise AudioError(f"{path}: holds samples that are not finite numbers; export it again", reason=DropReason.INVALID_FORMAT)
    return decoded


def _check_bytes(path: Path) -> None:
    """Refuse what needs no decoder to be refused."""
    try:
        if not path.is_file():
            state = "is not a regular file" if path.exists() else "there is no such file"
            raise AudioError(f"{path}: {state}", reason=DropReason.MISSING)
        with path.open("rb") as file:
            head = file.read(1024)
        missing = missing_bytes(path)
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: cannot be read ({error})", reason=DropReason.MISSING) from error
    if not head:
        raise AudioError(f"{path}: the file is empty (0 bytes)", reason=DropReason.EMPTY)
    kind = _text_kind(head)
    if kind:
        raise AudioError(f"{path}: is {kind}, not audio", reason=DropReason.NOT_AUDIO)
    if missing:
        raise AudioError(f"{path}: its header promises {missing} more bytes than the file has; fetch it again", reason=DropReason.TRUNCATED)


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


def _decode(path: Path, *, max_duration_ms: int) -> DecodedAudio:
    try:
        return _decode_ffmpeg(path, max_duration_ms=max_duration_ms)
    except AudioError as first:
        if first.reason not in (DropReason.UNDECODABLE, DropReason.NOT_AUDIO, DropReason.EMPTY):
            raise
        second = _decode_libsndfile(path, max_duration_ms=max_duration_ms)
        if second is None:
            raise
        return second


def _decode_ffmpeg(path: Path, *, max_duration_ms: int) -> DecodedAudio:
    av.logging.set_level(None)
    try:
        with av.open("file:" + os.fspath(path), metadata_errors="replace", container_options={"protocol_whitelist": "file"}) as container:
            return _read_container(path, container, max_duration_ms=max_duration_ms)
    except _READER_ERRORS as error:
        with path.open("rb") as file:
            known = file.read(4).startswith(_AUDIO_MAGIC)
        reason = DropReason.UNDECODABLE if known else DropReason.NOT_AUDIO
        says = "is damaged" if known else "is in no format FFmpeg knows; headerless PCM needs a WAV header"
        raise AudioError(f"{path}: {says} ({_first_line(error)})", reason=reason) from error


def _read_container(path: Path, container: av.container.InputContainer, *, max_duration_ms: int) -> DecodedAudio:
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
    blocks: list[npt.NDArray[np.float32]] = []
    rate_hz = num_samples = packets = damaged = 0
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
            if not blocks:
                rate_hz = frame.rate
                _check_format(path, rate_hz, block.shape[1])
            elif frame.rate != rate_hz or block.shape[1] != blocks[0].shape[1]:
                raise AudioError(f"{path}: its rate or channels change midway; split it there", reason=DropReason.INVALID_FORMAT)
            blocks.append(block)
            num_samples += block.shape[0]
            _check_duration(path, num_samples, rate_hz, max_duration_ms=max_duration_ms)
    known_length = stream.duration is not None and stream.time_base is not None and rate_hz > 0
    promised = round(stream.duration * stream.time_base * rate_hz) if known_length and stream.duration and stream.time_base else 0
    if not blocks:
        if stream.duration and not damaged:
            raise AudioError(f"{path}: its header promises sound, but no sample is there; fetch it again", reason=DropReason.TRUNCATED)
        if damaged:
            raise AudioError(f"{path}: none of its {packets} packets can be decoded", reason=DropReason.UNDECODABLE)
        raise AudioError(f"{path}: holds no sample", reason=DropReason.EMPTY)
    if promised > num_samples and (name in _EXACT_CONTAINERS or (damaged and num_samples < 0.9 * promised)):
        raise AudioError(f"{path}: promises {promised} samples, {num_samples} can be decoded; fetch it again", reason=DropReason.TRUNCATED)
    if damaged > max(1, packets // 50):
        raise AudioError(f"{path}: {damaged} of its {packets} packets are damaged", reason=DropReason.UNDECODABLE)
    return DecodedAudio(samples=np.concatenate(blocks), sample_rate_hz=rate_hz, codec=codec, container=name)


def _frame_samples(path: Path, frame: av.AudioFrame) -> npt.NDArray[np.float32]:
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


def _decode_libsndfile(path: Path, *, max_duration_ms: int) -> DecodedAudio | None:
    """The second reader; None when libsndfile finds no sample either."""
    blocks: list[npt.NDArray[np.float32]] = []
    num_samples = 0
    try:
        with soundfile.SoundFile(os.fspath(path)) as file:
            _check_format(path, file.samplerate, file.channels)
            while True:
                block = file.read(1 << 16, dtype="float32", always_2d=True)
                if not len(block):
                    break
                blocks.append(block)
                num_samples += len(block)
                _check_duration(path, num_samples, file.samplerate, max_duration_ms=max_duration_ms)
            rate_hz, codec, container, promised = file.samplerate, file.subtype.lower(), file.format.lower(), file.frames
    except _READER_ERRORS:
        return None
    if not blocks:
        return None
    if promised > num_samples and container in ("wav", "flac", "aiff", "w64", "caf", "au"):
        raise AudioError(f"{path}: promises {promised} samples, {num_samples} can be decoded; fetch it again", reason=DropReason.TRUNCATED)
    return DecodedAudio(samples=np.concatenate(blocks), sample_rate_hz=rate_hz, codec=codec, container=f"{container} (libsndfile)")


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


def content_id(decoded: DecodedAudio) -> str:
    """Identity of the sound, whatever file carried it: 128 bits of SHA-256 over rate, channels and samples, 32 hex characters.

    Raises:
        AudioError: INVALID_FORMAT, when a sample is not finite.
    """
    if not np.isfinite(decoded.samples).all():
        raise AudioError("samples that are not finite have no identity", reason=DropReason.INVALID_FORMAT)
    hasher = hashlib.sha256(f"voxdata-audio/1\x1f{decoded.sample_rate_hz}\x1f{decoded.samples.shape[1]}\x1f".encode())
    for start in range(0, decoded.samples.shape[0], 1 << 20):
        block = decoded.samples[start : start + (1 << 20)] + np.float32(0)  # adding 0 turns -0.0 into 0.0
        hasher.update(block.astype("<f4").tobytes())
    return hasher.hexdigest()[:32]


def is_silent(decoded: DecodedAudio) -> bool:
    """Whether every channel is digital silence, a constant, or stays under -80 dBFS at its peaks."""
    return all(is_flat(decoded.samples[:, channel]) for channel in range(decoded.samples.shape[1]))


def canonicalise(decoded: DecodedAudio) -> tuple[Recording, npt.NDArray[np.float32]]:
    """Bring a recording to 16 kHz and to the channels that matter.

    Returns:
        The recording, and (num_samples, canonical_channels) float32 in [-1, 1] at MODEL_RATE_HZ with
        round(original samples * 16000 / rate) rows, at least one. Sound above full scale is scaled down as a whole.

    Raises:
        AudioError: INVALID_FORMAT, when a sample is not finite or more than MAX_CANONICAL_CHANNELS parties are recorded apart.
    """
    recording_id = content_id(decoded)
    num_samples, num_channels = decoded.samples.shape
    layout, kept = detect_layout(decoded.samples, decoded.sample_rate_hz)
    if layout is ChannelLayout.PER_CHANNEL and len(kept) > MAX_CANONICAL_CHANNELS:
        message = f"{len(kept)} parties on channels of their own; at most {MAX_CANONICAL_CHANNELS} are kept: split the recording"
        raise AudioError(message, reason=DropReason.INVALID_FORMAT)
    chosen = decoded.samples if len(kept) == num_channels else decoded.samples[:, list(kept)]
    if layout is ChannelLayout.ROOM:
        chosen = mix_down(chosen)[:, None]
    recording = Recording(
        recording_id=recording_id,
        sample_rate_hz=decoded.sample_rate_hz,
        num_samples=num_samples,
        num_channels=num_channels,
        layout=layout,
        canonical_channels=chosen.shape[1],
        codec=decoded.codec,
        container=decoded.container,
    )
    return recording, _fit_full_scale(_resample(chosen, decoded.sample_rate_hz))


def _resample(samples: npt.NDArray[np.float32], rate_hz: int) -> npt.NDArray[np.float32]:
    if rate_hz == MODEL_RATE_HZ:
        return np.ascontiguousarray(samples)
    wanted = max(1, (2 * samples.shape[0] * MODEL_RATE_HZ + rate_hz) // (2 * rate_hz))
    resampled = np.asarray(soxr.resample(np.ascontiguousarray(samples), rate_hz, MODEL_RATE_HZ), dtype=np.float32)
    if resampled.shape[0] < wanted:
        resampled = np.concatenate([resampled, np.zeros((wanted - resampled.shape[0], samples.shape[1]), np.float32)])
    return resampled[:wanted]


def _fit_full_scale(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    peak = float(np.abs(samples).max())
    return samples if peak <= 1 else np.clip(samples / np.float32(peak), -1, 1)


def write_canonical(path: Path, samples: npt.NDArray[np.float32]) -> None:
    """Write a canonical recording: 16 kHz FLAC, 16 bit. Atomic; parent folders are made.

    Args:
        path: Where to; replaced when there.
        samples: (num_samples, num_channels) float32 in [-1, 1], 1 ... 8 channels.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    _write_atomic(path, samples, container="FLAC")


def write_clip_wav(path: Path, samples: Samples) -> None:
    """Write a clip as browsers play it: 16 kHz mono WAV, 16 bit. Atomic; parent folders are made.

    Args:
        path: Where to; replaced when there.
        samples: (num_samples,) float32 in [-1, 1].

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    _write_atomic(path, samples, container="WAV")


def _write_atomic(path: Path, samples: npt.NDArray[np.float32], *, container: str) -> None:
    pcm = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(number, "w+b") as file:
            try:
                soundfile.write(file, pcm, MODEL_RATE_HZ, format=container, subtype="PCM_16")
            except soundfile.SoundFileError as error:
                raise OSError(f"{path}: cannot be written ({error})") from error
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_clip(path: Path, *, channel: int = 0, segment: Segment | None = None) -> Samples:
    """Read one channel of a canonical recording, or a stretch of it.

    Args:
        path: A file that `write_canonical` wrote.
        channel: 0-based.
        segment: Which stretch; the part after the end of the recording is left out. None: all of it.

    Returns:
        (num_samples,) float32 at MODEL_RATE_HZ.

    Raises:
        AudioError: MISSING, UNDECODABLE, INVALID_FORMAT (not canonical, or no such channel) or TOO_SHORT (`segment` begins after the end).
    """
    if not path.is_file():
        raise AudioError(f"{path}: the canonical audio is gone; ingest its source again", reason=DropReason.MISSING)
    try:
        with soundfile.SoundFile(os.fspath(path)) as file:
            if file.samplerate != MODEL_RATE_HZ or not 0 <= channel < file.channels:
                message = (
                    f"{path}: has {file.channels} channel(s) at {file.samplerate} Hz; channel {channel} at {MODEL_RATE_HZ} Hz was asked for"
                )
                raise AudioError(message, reason=DropReason.INVALID_FORMAT)
            start, stop = 0, file.frames
            if segment is not None:
                start = segment.start_ms * MODEL_RATE_HZ // 1000
                stop = min(stop, math.ceil(segment.end_ms * MODEL_RATE_HZ / 1000))
            if start >= file.frames and segment is not None:
                raise AudioError(f"{path}: ends before {segment.start_ms} ms", reason=DropReason.TOO_SHORT)
            file.seek(start)
            block = file.read(stop - start, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise AudioError(
            f"{path}: the canonical audio is damaged ({_first_line(error)}); ingest its source again", reason=DropReason.UNDECODABLE
        ) from error
    return np.ascontiguousarray(block[:, channel])
