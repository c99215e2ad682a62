"""The bytes of an audited corpus: which rows name the same stretch of files that are equal byte for
byte. Cheap, so done for every row.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from voxdata.progress import Progress

TELL_EVERY = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFiles:
    """The files behind the rows of a table.

    Attributes:
        contents: Audio path as in the table -> what files of the same bytes have in common. Files
            that cannot be read are absent.
        problems: Audio path -> why the file cannot be read.
    """

    contents: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def hash_files(
    paths: Sequence[str], *, audio_root: Path, say: Callable[[str], None]
) -> CorpusFiles:
    """Find files that are equal byte for byte.

    A file whose size no other has is equal to none, and is not read.

    Args:
        paths: As in the table, each once.
        audio_root: What relative ones are relative to.
        say: Told the progress.
    """
    files = CorpusFiles()
    by_size: defaultdict[int, list[str]] = defaultdict(list)
    for audio in paths:
        try:
            by_size[_file_size(audio_root / audio)].append(audio)
        except (OSError, ValueError) as error:
            files.problems[audio] = str(error)
    done, total = 0, sum(len(alike) for alike in by_size.values() if len(alike) > 1)
    for size, alike in sorted(by_size.items()):
        if len(alike) == 1:
            files.contents[alike[0]] = f"alone {alike[0]}"
            continue
        for audio in alike:
            try:
                with (audio_root / audio).open("rb") as file:
                    files.contents[audio] = (
                        f"{size} {hashlib.file_digest(file, 'sha256').hexdigest()}"
                    )
            except OSError as error:
                files.problems[audio] = str(error)
            done += 1
            if done % TELL_EVERY == 0:
                line = f"audit: compared the bytes of {done} files"
                say(Progress(line, done=done, total=total))
    return files


def name_stretches(frame: pl.DataFrame, files: CorpusFiles) -> dict[int, str]:
    """Row number, from 0 -> its file's bytes and which stretch and channel of them.

    Rows whose file cannot be read are absent.

    Args:
        frame: As `voxdata.audit.findings.SCHEMA` says.
    """
    names = {}
    for at, (audio, start_s, end_s, channel) in enumerate(
        frame.select("audio", "start_s", "end_s", "channel").iter_rows()
    ):
        content = files.contents.get(audio)
        if content is not None:
            names[at] = f"{content} {start_s or 0.0} {end_s} {channel}"
    return names


def _file_size(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{os.fspath(path)}: is no file")
    if status.st_size == 0:
        raise OSError(f"{os.fspath(path)}: is empty")
    return status.st_size
