"""The error tree. Every message names the id or file concerned and what to do about it.

VoxdataError
├── ConfigError            voxdata.toml or a command-line value is wrong (exit code 2)
├── AudioError             a file gives no usable audio; carries a `DropReason`
├── BackendError           a model backend is unknown, lacks weights, or failed
├── SchemeError            a label or scheme that is not defined
├── MixedRecordingsError   values of several recordings where one is expected
├── ManifestError          a manifest file is malformed
├── WarehouseError         the DuckDB file is too new or inconsistent
│   └── LockedError        somebody else has had it open for longer than one waits
├── NotFoundError          a name or id that is not there
├── SplitLossError         a split would lose what it held in the version before
├── AnnotationError        Label Studio refused or lost something
├── ServiceError           a background service did not start; carries its last log lines
├── TrainingError          a training run could not be done; says why
├── StatementError         a key or a signed statement that cannot be used or believed
├── WorkerError            a child process hung, died or ran out of memory; carries a `DropReason`
├── MachineError           the machine lacks room, rights, files or memory: no file is to blame
│   └── ShortageError      memory ran out, or the system ended a process, over one file
└── TransientError         a network hiccup: exactly what flows retry
    └── StalledError       nothing came over the network for too long: others may get through
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial

from voxdata.visible import visible


class VoxdataError(Exception):
    """Root of every error this project raises on purpose.

    Its message may be shown on a terminal and in a log as it is.
    """

    def __str__(self) -> str:
        return visible(super().__str__())


class ConfigError(VoxdataError):
    """The configuration or a command-line value is wrong."""


class DropReason(StrEnum):
    """Why a file or an utterance did not go on; the ledger stores the value."""

    MISSING = "missing"
    NOT_READABLE = "not_readable"
    NOT_AUDIO = "not_audio"
    UNDECODABLE = "undecodable"
    NO_AUDIO_STREAM = "no_audio_stream"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    ALTERED = "altered"
    SILENT = "silent"
    INVALID_FORMAT = "invalid_format"
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    NO_SPEECH = "no_speech"
    NO_TEXT = "no_text"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    KILLED = "killed"
    OUTSIDE = "outside"
    BAD_ROW = "bad_row"
    BAD_ANNOTATION = "bad_annotation"
    NO_CONSENT = "no_consent"
    FORGOTTEN = "forgotten"
    SPLIT_CONFLICT = "split_conflict"
    FAILED = "failed"


class AudioError(VoxdataError):
    """A file gives no usable audio.

    Attributes:
        reason: What the ledger records.
        recording_id: Whose canonical audio it is about; "" when it is about another file.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: DropReason,
        recording_id: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.recording_id = recording_id


class BackendError(VoxdataError):
    """A model backend is unknown, lacks its weights, or failed."""


class SchemeError(VoxdataError):
    """A label or scheme that is not defined."""


class MixedRecordingsError(VoxdataError):
    """Values of several recordings where one recording is expected."""


class ManifestError(VoxdataError):
    """A manifest file is malformed."""


class WarehouseError(VoxdataError):
    """The DuckDB file is written by a newer version, damaged or inconsistent."""


class OlderSchemaError(WarehouseError):
    """The DuckDB file is of an earlier release, and was opened for reading only."""


class LockedError(WarehouseError):
    """Somebody else has had the DuckDB file open for too long; the message names who."""


class NotFoundError(VoxdataError):
    """A name or id that is not there."""


class SplitLossError(VoxdataError):
    """A split would lose a label, or everything, that it held in the version before."""


class AnnotationError(VoxdataError):
    """Label Studio refused or lost something."""


class ServiceError(VoxdataError):
    """A background service did not start or could not be stopped.

    The message carries its last log lines.
    """


class TrainingError(VoxdataError):
    """A training run could not be done; the message says why."""


class StatementError(VoxdataError):
    """A key or a signed statement cannot be used, or is not to be believed."""


class WorkerError(VoxdataError):
    """A child process hung, died or ran out of memory while it worked.

    Attributes:
        reason: TIMED_OUT, CRASHED, OUT_OF_MEMORY or TOO_LONG.
    """

    def __init__(self, message: str, *, reason: DropReason) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[Callable[[str], WorkerError], tuple[str]]:
        """So that a child can hand it to its parent."""
        return partial(WorkerError, reason=self.reason), (str(self),)


class MachineError(VoxdataError):
    """The machine lacks something: room on a disk, the right to write, open files, memory.

    No file is to blame, so none is noted.

    Attributes:
        number: The system's number of the error; 0 when it gave none.
    """

    def __init__(self, message: str, *, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


class ShortageError(MachineError):
    """Memory ran out, or the system ended a process, while one file was worked on.

    The file waits for another run, and others may get through.

    Attributes:
        reason: OUT_OF_MEMORY or KILLED: what is noted about a file that does this on several days.
    """

    def __init__(
        self,
        message: str,
        *,
        number: int = 0,
        reason: DropReason = DropReason.OUT_OF_MEMORY,
    ) -> None:
        super().__init__(message, number=number)
        self.reason = reason


class TransientError(VoxdataError):
    """A network hiccup that is worth another try: exactly what flows retry."""


class StalledError(TransientError):
    """Nothing came over the network for too long.

    The file waits for another run, and others may get through.
    """
