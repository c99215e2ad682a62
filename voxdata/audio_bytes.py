"""What the bytes of a file tell before a decoder reads it, and of what it left unread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from voxdata.errors import AudioError, DropReason, MachineError
from voxdata.machine import find_fault
from voxdata.mp4_boxes import Mp4Boxes, read_mp4_boxes
from voxdata.ogg_links import OggLink, list_ogg_links
from voxdata.remark import Remark, RemarkKind
from voxdata.truncation import Extent, measure_extent

WORTH_A_REMARK_MS = 20

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


def check_bytes(path: Path) -> Extent:
    """Refuse what needs no decoder to be refused.

    Returns:
        Where in the file its sound lies.

    Raises:
        AudioError: Its `reason` is MISSING, NOT_READABLE, EMPTY, NOT_AUDIO (text), TRUNCATED, or
            INVALID_FORMAT (recordings of several formats joined into one).
        MachineError: Too many files are open, or memory is short.
    """
    try:
        if not path.is_file():
            state = "is not a regular file" if path.exists() else "there is no such file"
            raise AudioError(f"{path}: {state}", reason=DropReason.MISSING)
        with path.open("rb") as file:
            head = file.read(1024)
        boxes = read_mp4_boxes(path)
        extent = measure_extent(path)
        links = list_ogg_links(path)
    except OSError as error:
        raise _explain_unreadable(path, error) from error
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
    _check_links(path, links)
    return extent


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


def _check_links(path: Path, links: Sequence[OggLink]) -> None:
    """Refuse an Ogg file whose recordings, joined one after another, differ in format."""
    for link in links:
        if sorted(link.formats) != sorted(links[0].formats):
            change = f"codec, rate or channels change at byte {link.offset}, where another begins"
            message = f"{path}: holds several recordings, whose {change}; split it there"
            raise AudioError(message, reason=DropReason.INVALID_FORMAT)


def _truncated(path: Path, missing: int) -> AudioError:
    promise = f"its header promises {missing} more bytes than the file has"
    return AudioError(f"{path}: {promise}; fetch it again", reason=DropReason.TRUNCATED)


def _text_kind(head: bytes) -> str:
    """What kind of text the first bytes are; "" when they are not text.

    Playlists are text too, so none is ever followed.
    """
    if head.startswith((b"NIST_1A", b"#!AMR")):
        return ""
    if any(byte < 32 and byte not in b"\t\n\f\r\x1b" for byte in head):
        return ""
    text = _decode_begin(head)
    if text is None:
        return ""
    if text.startswith("version https://git-lfs.github.com/spec/"):
        return "a git-LFS pointer (run `git lfs pull`)"
    if "\n" not in text.strip() and text.startswith(("../", "./", "/")):
        return "the text of a symbolic link (check it out on a file system that has links)"
    return "text"


def _decode_begin(head: bytes) -> str | None:
    """The first bytes of a text in UTF-8, in which the last character may be cut; else None."""
    for num_cut in range(4):
        try:
            return head[: len(head) - num_cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return None


def begins_like_audio(path: Path) -> bool:
    """Whether the first four bytes are those of a format of sound.

    Raises:
        AudioError: The file cannot be read.
        MachineError: Too many files are open, or memory is short.
    """
    try:
        with path.open("rb") as file:
            return file.read(4).startswith(_AUDIO_MAGIC)
    except OSError as error:
        raise _explain_unreadable(path, error) from error


def require_readable(path: Path) -> None:
    """Read a file to its end, so that a disk that fails is not taken for damaged audio.

    Raises:
        AudioError: The file cannot be read.
        MachineError: Too many files are open, or memory is short.
    """
    try:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    except OSError as error:
        raise _explain_unreadable(path, error) from error


def _explain_unreadable(path: Path, error: OSError) -> AudioError | MachineError:
    """Why a file of somebody else's cannot be read.

    It is not there, the system does not let us, or this machine lacks something.
    """
    if isinstance(error, FileNotFoundError):
        return AudioError(f"{path}: there is no such file", reason=DropReason.MISSING)
    fault = find_fault(error, place=path)
    if fault is not None:
        return fault
    why = error.strerror or error
    remedy = "give this user access, or see that its disk is there and sound"
    message = f"{path}: cannot be read ({why}); {remedy}"
    return AudioError(message, reason=DropReason.NOT_READABLE)


def remarks_on_bytes(path: Path, extent: Extent) -> list[Remark]:
    """Remarks on what the sizes in the header leave out."""
    remarks = []
    if extent.after_ms >= WORTH_A_REMARK_MS:
        remarks.append(after_end(extent.after_ms, _surplus(extent)))
    boxes = read_mp4_boxes(path)
    if boxes is None:
        return remarks
    if boxes.joined_ms >= WORTH_A_REMARK_MS:
        remarks.append(after_end(boxes.joined_ms, _joined_on(boxes.joined_ms)))
    if boxes.fragmented and boxes.missing:
        lack = f"{boxes.missing} bytes of its last fragment are missing"
        detail = f"the recording was cut off, {lack}; what is there was kept"
        remarks.append(Remark(kind=RemarkKind.CUT_OFF, detail=detail))
    return remarks


def after_end(length_ms: int, detail: str) -> Remark:
    """A remark on sound after the end that a header names."""
    return Remark(
        kind=RemarkKind.AFTER_END,
        detail=detail,
        amount_ms=length_ms,
    )


def _surplus(extent: Extent) -> str:
    """What became of the sound after the end that the header names."""
    seconds = f"{extent.after_ms / 1000:.2f} s"
    if extent.kept:
        return f"{seconds} lie after the end that the header names; they were read too"
    if extent.joined:
        return _joined_on(extent.after_ms)
    return (
        f"bytes for {seconds} of sound lie after the end that the header names and were left out; "
        "if they are sound, correct the header"
    )


def _joined_on(length_ms: int) -> str:
    other = f"another recording, of {length_ms / 1000:.2f} s, is joined on after the first"
    return f"{other} and was left out; split the file"
