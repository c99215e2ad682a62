"""Canonical audio on the disk, compared with what was stored: all of it, a part of it each day, a
sample, or one version's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random

from flows.workspace import Say, Workspace
from voxdata.audio_digest import AudioDigest, AudioGuard, check_whole, read_digest
from voxdata.canonical import check_samples, open_canonical
from voxdata.counted import counted
from voxdata.errors import AudioError, ConfigError
from voxdata.progress import Progress
from voxdata.recording import Recording
from voxdata.sound import MODEL_RATE_HZ
from warehouse.audio_digests import StoredAudio, add_audio_digests, list_audio, list_audio_digests
from warehouse.connection import transaction
from warehouse.ledger import record_drop
from warehouse.versions import find_version, load_examples

STORED_AT_ONCE = 500
SAMPLE_FILES, SAMPLE_BYTES = 20, 200_000_000
"""What `voxdata doctor` reads at most: a second or so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioReport:
    """What was found.

    Attributes:
        files: How many were read.
        size_bytes: The size of these.
        adopted: Recordings from before digests, which have theirs now.
        bad: Recording id -> what is wrong with its file.
    """

    files: int
    size_bytes: int
    adopted: tuple[str, ...]
    bad: Mapping[str, AudioError]

    @property
    def summary(self) -> str:
        """In a line."""
        words = (
            f"{counted(self.files, 'recording')} read ({self.size_bytes / 1e6:.1f} MB), "
            f"{len(self.bad)} bad"
        )
        if self.adopted:
            adopted = counted(
                len(self.adopted),
                "had no digest yet and has one",
                "had no digest yet and have one",
            )
            words += f"; {adopted} now"
        if self.bad:
            words += "; `voxdata ingest` makes the audio of a recording again from its source"
        return words

    def as_row(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "recordings": self.files,
            "size_bytes": self.size_bytes,
            "adopted": list(self.adopted),
            "bad": {recording_id: str(error) for recording_id, error in self.bad.items()},
        }


def parse_part(text: str) -> tuple[int, int]:
    """Which part of how many: "3/7" is the third of seven.

    Raises:
        ConfigError: It is none.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= parts:
        raise ConfigError(
            f"--part {text!r} is no part of a whole; write 3/7 for the third of seven"
        )
    return part, parts


def choose_part(stored: Iterable[StoredAudio], part: int, parts: int) -> list[StoredAudio]:
    """The recordings of one part; a recording stays in its part whatever comes in later."""
    return [one for one in stored if int(one.recording_id[:8], 16) % parts == part - 1]


def verify_audio(
    workspace: Workspace,
    *,
    part: tuple[int, int] = (1, 1),
    only: Collection[str] | None = None,
    say: Say,
) -> AudioReport:
    """Read canonical files whole and compare them; recordings from before digests get theirs.

    Bad ones go to the ledger.

    Args:
        part: Which of how many.
        only: These recordings; None: all.

    Raises:
        MachineError: The audio folder is away, or the disk does not let a file be read.
    """
    with workspace.warehouse(read_only=True) as con:
        chosen = [
            one
            for one in choose_part(list_audio(con), *part)
            if only is None or one.recording_id in only
        ]
    if chosen:
        workspace.require_folders("audio")
    bad: dict[str, AudioError] = {}
    adopted: list[str] = []
    waiting: list[AudioDigest] = []
    size_bytes = 0
    for number, one in enumerate(chosen, start=1):
        path = workspace.audio_dir / one.audio_file
        try:
            if one.digest is None:
                waiting.append(_adopt(path, one))
                adopted.append(one.recording_id)
                size_bytes += waiting[-1].size_bytes
            else:
                check_whole(path, one.digest)
                size_bytes += one.digest.size_bytes
        except AudioError as error:
            bad[one.recording_id] = error
        if len(waiting) >= STORED_AT_ONCE:
            _store(workspace, waiting)
        if number % 1_000 == 0:
            line = f"verify: {number}/{len(chosen)} recordings read, {len(bad)} bad"
            say(Progress(line, done=number, total=len(chosen)))
    _store(workspace, waiting)
    note_bad(workspace, bad, stage="verify")
    return AudioReport(files=len(chosen), size_bytes=size_bytes, adopted=tuple(adopted), bad=bad)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSample:
    """What a look at a few recordings found.

    Attributes:
        stored: Recordings there are.
        files: How many were read.
        undigested: Recordings from before digests.
        bad: Recording id -> what is wrong with its file.
    """

    stored: int
    files: int
    undigested: int
    bad: Mapping[str, AudioError]


def sample_audio(workspace: Workspace) -> AudioSample:
    """Read a few files whole, others each time; writes nothing.

    Raises:
        MachineError: The audio folder is away, or the disk does not let a file be read.
    """
    with workspace.warehouse(read_only=True) as con:
        stored = list_audio(con)
    digested = [one for one in stored if one.digest is not None]
    if stored:
        workspace.require_folders("audio")
    bad: dict[str, AudioError] = {}
    files = size_bytes = 0
    for one in Random().sample(digested, len(digested)):  # noqa: S311  (no secret)
        if one.digest is None or files == SAMPLE_FILES or size_bytes > SAMPLE_BYTES:
            break
        files, size_bytes = files + 1, size_bytes + one.digest.size_bytes
        try:
            check_whole(workspace.audio_dir / one.audio_file, one.digest)
        except AudioError as error:
            bad[one.recording_id] = error
    return AudioSample(
        stored=len(stored), files=files, undigested=len(stored) - len(digested), bad=bad
    )


def recordings_of(workspace: Workspace, refs: Iterable[str]) -> set[str]:
    """The recordings that some versions are made of.

    Raises:
        NotFoundError: There is no such version.
    """
    with workspace.warehouse(read_only=True) as con:
        versions = [load_examples(con, find_version(con, ref).version_id) for ref in refs]
    return {example.recording_id for example in chain.from_iterable(versions)}


def _adopt(path: Path, one: StoredAudio) -> AudioDigest:
    """The digest of a file from before digests, if it decodes and is as long as its recording.

    Raises:
        AudioError: MISSING, UNDECODABLE, ALTERED or INVALID_FORMAT.
    """
    digest = read_digest(path, one.recording_id)
    check_samples(path, expected=digest, **_shape(one.recording))
    return digest


def _shape(recording: Recording | None) -> dict[str, int | None]:
    if recording is None:
        return {"num_samples": None, "num_channels": None}
    rate_hz = recording.sample_rate_hz
    num_samples = max(1, (2 * recording.num_samples * MODEL_RATE_HZ + rate_hz) // (2 * rate_hz))
    return {"num_samples": num_samples, "num_channels": recording.canonical_channels}


def _store(workspace: Workspace, waiting: list[AudioDigest]) -> None:
    if waiting:
        with workspace.warehouse() as con:
            add_audio_digests(con, waiting, run_id=workspace.run_id)
        waiting.clear()


def note_bad(workspace: Workspace, bad: Mapping[str, AudioError], *, stage: str) -> None:
    """Write down which recordings a stage could not go on with.

    Ingestion then reads their files whole, and makes them again.
    """
    if not bad:
        return
    with workspace.warehouse() as con, transaction(con):
        for recording_id, error in bad.items():
            record_drop(
                con,
                stage=stage,
                subject=recording_id,
                reason=error.reason,
                detail=str(error),
                recording_id=recording_id,
                run_id=workspace.run_id,
            )


def find_bad(
    workspace: Workspace, files: Mapping[str, str], guard: AudioGuard
) -> dict[str, AudioError]:
    """Recording id -> what is wrong with its file, which is read whole when its digest is on
    record.

    Args:
        files: Recording id -> canonical file.
    """
    bad: dict[str, AudioError] = {}
    for recording_id, audio_file in files.items():
        try:
            path = workspace.audio_dir / audio_file
            if guard.admit(path, recording_id) is None:
                open_canonical(path)
        except AudioError as error:
            bad[recording_id] = error
    return bad


def open_guard(workspace: Workspace, recording_ids: Collection[str]) -> AudioGuard:
    """What lets some recordings be read.

    Raises:
        MachineError: The audio folder is away, and there are recordings.
    """
    if recording_ids:
        workspace.require_folders("audio")
    with workspace.warehouse(read_only=True) as con:
        return AudioGuard(list_audio_digests(con, recording_ids))
