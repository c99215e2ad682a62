"""The part of ingestion that runs in a worker: one file in, canonical audio on disk or a reason out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from voxdata.canonicalise import Canonical, canonicalise
from voxdata.errors import AudioError, DropReason
from voxdata.recording import Recording, canonical_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a file gives no recording."""

    reason: DropReason
    detail: str


def audio_file_of(recording: Recording) -> str:
    """Where the canonical audio of a recording lies, relative to the audio folder."""
    return canonical_file(recording.recording_id)


def decode_file(path: Path, audio_dir: Path, max_duration_ms: int) -> Canonical | Refused:
    """Ingest one local file; what goes wrong with it is an answer, not an error."""
    return decode_to(path, lambda recording: audio_dir / audio_file_of(recording), max_duration_ms)


def decode_to(path: Path, target: Callable[[Recording], Path], max_duration_ms: int) -> Canonical | Refused:
    """Decode one local file to where `target` says that its recording goes; otherwise as `decode_file`."""
    try:
        return canonicalise(path, target, max_duration_ms=max_duration_ms)
    except AudioError as error:
        return Refused(reason=error.reason, detail=str(error))
    except Exception as error:  # a decoder's own bug is that file's trouble only
        detail = f"{path}: the decoder raised {type(error).__name__}: {error}; it is not tried again until the file or the decoder changes"
        return Refused(reason=DropReason.CRASHED, detail=detail)
