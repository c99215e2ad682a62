"""Personal data that leaves: spoken sentences through ingest, pre-labelling and push, and what can be read or heard of them.

    python -m benchmarks.leaks

The recordings lie in tests/data/spoken_secrets. Each muted clip is transcribed with the packaged Whisper model, and each place
is searched for the private words, with numbers and letters read alike however they are written.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import soundfile  # type: ignore[import-untyped]

import flows.push
from benchmarks.privacy import read_marks
from benchmarks.spoken_secrets import FOLDER, SPOKEN
from flows.ingest import ingest_sources
from flows.prelabel import prelabel_pending
from flows.push import push_pending
from flows.settings import FILE_NAME
from flows.workspace import Workspace, open_workspace
from voxdata.backends.spoken_forms import digits_view
from voxdata.backends.whisper_transcriber import WhisperTranscriber
from voxdata.ports import SpeechRequest
from voxdata.segment import Segment
from voxdata.sound import ArraySound, duration_ms
from voxdata.testing.annotation_queue import FakeQueue

SETTINGS = """
[diarizer]
backend = "voxdata.testing.backends:FakeDiarizer"
[transcriber]
backend = "whisper"
language = "en"
[quality]
mos = ""
[prelabel]
workers = 1
[[schemes]]
name = "intent"
version = 1
cold_start = "voxdata.testing.backends:FakeLabeler"
labels = [{ name = "ask" }, { name = "tell" }]
[training]
schemes = []
"""
PUBLIC = frozenset(["the", "of", "at", "dot", "com", "gmail", "street", "twenty", "four"])
"""Words of private parts that say nothing alone."""


def secret_keys(names: Iterable[str] = SPOKEN) -> dict[str, list[str]]:
    """Private part -> what of it is searched for: its words, or its digits."""
    keys: dict[str, list[str]] = {}
    for name in names:
        for marked in SPOKEN[name]:
            text, spans = read_marks(marked)
            for _, start, end in spans:
                secret = text[start:end]
                digits = re.sub(r"\D", "", digits_view(secret).text)
                words = [w for w in re.findall(r"[a-z]+", secret.lower()) if w not in PUBLIC]
                keys[secret] = [digits] if len(digits) >= 4 else words
    return keys


def find_secrets_in(text: str, keys: Mapping[str, Sequence[str]]) -> list[str]:
    """The private parts of which something stands in a text: a word, or a run of four of their digits."""
    runs = re.findall(r"\d{4,}", digits_view(re.sub(r"[.,]", "", text)).text)
    words = set(re.findall(r"[a-z]+", text.lower()))
    found = []
    for secret, parts in keys.items():
        for part in parts:
            if part.isdigit():
                pieces = {part[i : i + 4] for i in range(len(part) - 3)}
                hit = any(piece in run for run in runs for piece in pieces)
            else:
                hit = part in words
            if hit:
                found.append(secret)
                break
    return found


def hear_clips(paths: Sequence[Path]) -> dict[Path, str]:
    """What the packaged Whisper model hears in each clip."""
    whisper = WhisperTranscriber(language="en")
    requests = []
    for path in paths:
        samples, _rate = soundfile.read(path, dtype="float32")
        sound = ArraySound(samples)
        everything = Segment(start_ms=0, end_ms=duration_ms(sound))
        requests.append(SpeechRequest(sound=sound, speech=(everything,)))
    heard = whisper.transcribe(requests)
    return {
        path: "".join(word.text for word in transcript.words)
        for path, transcript in zip(paths, heard, strict=True)
    }  # fmt: skip


def send_out(root: Path, names: Iterable[str], *, lines: list[str], mask: bool = True) -> FakeQueue:
    """Ingest, pre-label and push recordings in a new workspace.

    Args:
        lines: Whatever the commands say is put here.
    """
    inbox = root / "calls"
    inbox.mkdir(parents=True)
    settings = SETTINGS if mask else SETTINGS + "[privacy]\nmask = false\n"
    (root / FILE_NAME).write_text(settings, encoding="utf-8")
    for name in names:
        shutil.copy(FOLDER / name, inbox / name)
    workspace: Workspace = open_workspace(root)
    ingest_sources(workspace, [str(inbox)], say=lines.append)
    prelabel_pending(open_workspace(root), say=lines.append)
    queue = FakeQueue(schemes=workspace.schemes, media_dir=workspace.media_dir)
    former = flows.push.build_queue
    flows.push.build_queue = lambda _workspace: queue  # no server is needed to see what is sent
    try:
        push_pending(open_workspace(root), say=lines.append)
    finally:
        flows.push.build_queue = former
    return queue


def count_leaks(root: Path, names: Sequence[str], *, mask: bool = True) -> dict[str, list[str]]:
    """Place -> the private parts that can be read or heard there."""
    keys = secret_keys(names)
    lines: list[str] = []
    queue = send_out(root, names, lines=lines, mask=mask)
    clips = sorted((root / "media").glob("clips/*/*.wav"))
    entries = list(queue.entries.values())
    return {
        "texts": find_secrets_in("\n".join(f"{e.text}\n{e.note}" for e in entries), keys),
        "clips": find_secrets_in("\n".join(hear_clips(clips).values()), keys),
        "said": find_secrets_in("\n".join(lines), keys),
    }


def main() -> int:
    """Print what leaks, with and without masking."""
    names = [name for name in SPOKEN if (FOLDER / name).is_file()]
    if not names:
        print(f"skipped: {FOLDER} holds no recordings")
        return 0
    wanted = len(secret_keys(names))
    for mask in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            for place, leaks in count_leaks(Path(folder) / "w", names, mask=mask).items():
                print(f"mask = {mask}, {place}: {len(leaks)} of {wanted} {leaks}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
