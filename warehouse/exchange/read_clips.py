"""The clips of an export, wherever its format keeps them: found under the ids of utterances, read
with bounds.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import soundfile  # type: ignore[import-untyped]

from voxdata.dataset import Example
from voxdata.errors import AudioError, ConfigError, DropReason, ManifestError
from voxdata.identity import is_digest
from voxdata.ports import MODEL_RATE_HZ, Samples

FOLDERS = ("audio", "wav")
_PER_MS = MODEL_RATE_HZ // 1000
_HEADER_BYTES = 1 << 16
"""What a clip's file may hold beside 16 bit a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """Where the clips of an export lie.

    Attributes:
        files: Utterance id -> its file.
        members: Utterance id -> the shard and the member in it.
        inside: Utterance id -> the bytes of its clip.
        origin: The export, for messages.
    """

    files: dict[str, Path]
    members: dict[str, tuple[Path, str]]
    inside: dict[str, bytes]
    origin: str

    def read(self, example: Example) -> Samples:
        """The sound of an example, at most as long as its segment.

        Returns:
            (num_samples,) float32 at MODEL_RATE_HZ.

        Raises:
            ConfigError: There is no clip of it.
            AudioError: The clip cannot be read, or is no such clip.
        """
        try:
            content = self._bytes(example)
            with soundfile.SoundFile(io.BytesIO(content)) as file:
                facts = (file.samplerate, file.channels, file.format)
                wanted = example.segment.duration_ms * _PER_MS
                if (
                    facts[:2] != (MODEL_RATE_HZ, 1)
                    or facts[2] not in ("FLAC", "WAV")
                    or not 0 < file.frames <= wanted
                ):
                    message = (
                        f"{self.origin}: the clip of {example.utterance_id} has {file.frames} "
                        f"samples of {facts[1]} channel(s) at "
                        f"{facts[0]} Hz; it must be 16 kHz, mono and at most {wanted} samples: "
                        "export the version again"
                    )
                    raise AudioError(message, reason=DropReason.INVALID_FORMAT)
                return np.asarray(file.read(dtype="float32"), dtype=np.float32)
        except (soundfile.SoundFileError, OSError, ValueError) as error:
            message = (
                f"{self.origin}: the clip of {example.utterance_id} cannot be read ({error}); "
                "export the version again"
            )
            raise AudioError(message, reason=DropReason.UNDECODABLE) from error

    def _bytes(self, example: Example) -> bytes:
        name = example.utterance_id
        most = example.segment.duration_ms * _PER_MS * 2 + _HEADER_BYTES
        if name in self.inside:
            content = self.inside[name]
        elif name in self.files:
            with self.files[name].open("rb") as file:
                content = file.read(most + 1)
        elif name in self.members:
            shard, member = self.members[name]
            with tarfile.open(shard) as tar:
                extracted = tar.extractfile(member)
                content = extracted.read(most + 1) if extracted else b""
        else:
            raise ConfigError(
                f"{self.origin}: has no clip of utterance {name}; export with --audio clips"
            )
        if len(content) > most:
            message = (
                f"{self.origin}: the clip of {name} is larger than {most} bytes, "
                "more than its segment can hold"
            )
            raise AudioError(message, reason=DropReason.INVALID_FORMAT)
        return content


def find_clips(folder: Path, names: Iterable[str], *, origin: str) -> Clips:
    """Find the clips of an export among files that were verified.

    Args:
        names: Its files, relative to `folder`, as its header lists them.

    Raises:
        ManifestError: An archive holds a link, or something that is not called like a clip.
    """
    files: dict[str, Path] = {}
    members: dict[str, tuple[Path, str]] = {}
    inside: dict[str, bytes] = {}
    for name in sorted(names):
        path = folder / name
        parent, _, last = name.rpartition("/")
        if parent in FOLDERS and path.suffix in (".flac", ".wav") and is_digest(path.stem):
            files[path.stem] = path
        elif last.endswith(".tar"):
            members |= {key: (path, member) for key, member in _members(path, origin=origin)}
        elif parent == "data" and last.endswith(".parquet"):
            inside |= _parquet_clips(path, origin=origin)
    return Clips(files=files, members=members, inside=inside, origin=origin)


def _members(shard: Path, *, origin: str) -> Sequence[tuple[str, str]]:
    clips: dict[str, str] = {}
    seen: set[str] = set()
    try:
        with tarfile.open(shard) as tar:
            for member in tar:
                stem, _, kind = member.name.partition(".")
                plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not getattr(
                    member, "sparse", None
                )
                if (
                    not (plain and is_digest(stem) and kind in ("flac", "json"))
                    or member.name in seen
                ):
                    raise ManifestError(
                        f"{origin}: {shard.name} holds {member.name!r}, which is a link, stands "
                        "there twice, or is not called like a clip; "
                        "do not import it, and export the version again"
                    )
                seen.add(member.name)
                if kind == "flac":
                    clips[stem] = member.name
    except (tarfile.TarError, OSError, ValueError) as error:
        raise ManifestError(
            f"{origin}: {shard.name} cannot be read ({error}); export the version again"
        ) from error
    return list(clips.items())


def _parquet_clips(path: Path, *, origin: str) -> dict[str, bytes]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(
            path, columns=["utterance_id", "audio"]
        ).to_pylist()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ManifestError(
            f"{origin}: {path.name} cannot be read ({error}); export the version again"
        ) from error
    # Sound that a row only names the path of is not taken: an export has it inside.
    return {
        str(row["utterance_id"]): row["audio"]["bytes"]
        for row in rows
        if row["audio"] and row["audio"].get("bytes")
    }
