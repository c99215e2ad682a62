"""Personal data that leaves: spoken sentences from ingest to a trained model, and what can be read or heard of them.

    python -m benchmarks.leaks

The recordings lie in tests/data/spoken_secrets. Each clip is transcribed with the packaged Whisper model, and each place
is searched for the private words, with numbers and letters read alike however they are written. Some places hold the
words that were said by design; they are counted too, and show that the search finds what is there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as parquet  # type: ignore[import-untyped]
import soundfile  # type: ignore[import-untyped]

import flows.push
from benchmarks.privacy import read_marks
from benchmarks.recorded_chain import DATASET
from benchmarks.spoken_secrets import FOLDER, SPOKEN
from benchmarks.stored_text import leave_identities, read_texts
from flows.exchange.bundle import open_bundle
from flows.exchange.export import Format, export_bundle
from flows.ingest import ingest_sources
from flows.prelabel import prelabel_pending
from flows.push import push_pending
from flows.report import write_report
from flows.services import prefect_home, prefect_spec
from flows.settings import FILE_NAME
from flows.supervisor import choose_port, ensure_running, stop_all
from flows.workspace import Workspace, open_workspace
from voxdata.backends.spoken_forms import digits_view
from voxdata.backends.whisper_transcriber import WhisperTranscriber
from voxdata.ports import SpeechRequest
from voxdata.segment import Segment
from voxdata.sound import ArraySound, duration_ms
from voxdata.testing.annotation_queue import FakeQueue

SETTINGS = """
[diarizer]
backend = "benchmarks.recorded_chain:VoicelessDiarizer"
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
"""
REPOSITORY = Path(__file__).resolve().parent.parent
TRAINED = """
[training]
schemes = ["intent"]
min_examples = 1
min_voices = 1
recipe = { encoder = "whisper-tiny.en", max_epochs = 3 }
[release]
ratios = { train = 0.5, validation = 0.0, test = 0.5 }
[services]
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
    """The private parts of which something stands in a text: a word, or a run of four of their digits.

    A number of four digits has to stand alone: inside longer ones it is found by chance.
    """
    runs = re.findall(r"\d{4,}", digits_view(re.sub(r"[.,]", "", text)).text)
    words = set(re.findall(r"[a-z]+", text.lower()))
    found = []
    for secret, parts in keys.items():
        for part in parts:
            if part.isdigit() and len(part) == 4:
                hit = part in runs
            elif part.isdigit():
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


def make_workspace(root: Path, names: Iterable[str], *, more: str = "") -> Workspace:
    """A new workspace whose folder "calls" holds recordings.

    Args:
        more: Settings beside those of every chain here.
    """
    (root / "calls").mkdir(parents=True)
    (root / FILE_NAME).write_text(SETTINGS + more, encoding="utf-8")
    for name in names:
        shutil.copy(FOLDER / name, root / "calls" / name)
    return open_workspace(root)


def run_chain(root: Path, tasks: Path) -> str:
    """Run every step up to a trained model in a process of its own, recorded by a Prefect server that lives as long.

    Args:
        tasks: What an annotator would read is written here, as a JSON list.

    Returns:
        Whatever the steps said.
    """
    workspace = open_workspace(root)
    lines: list[str] = []
    try:
        ensure_running(workspace.state_dir, prefect_spec(workspace), say=lines.append)
        command = [sys.executable, "-m", "benchmarks.recorded_chain", str(root), str(tasks)]
        done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True)
    finally:
        stop_all(workspace.state_dir, say=lines.append, grace_s=10)
    if done.returncode:
        raise RuntimeError(f"the chain failed:\n{done.stdout}{done.stderr}")
    return "\n".join((*lines, done.stdout, done.stderr))


def export_all(workspace: Workspace) -> dict[str, Path]:
    """Format -> the export of the version in it; the folder of `huggingface` holds clips."""
    bundle = open_bundle(workspace, DATASET)
    formats: tuple[Format, ...] = ("jsonl", "parquet", "huggingface")
    return {name: export_bundle(bundle, format_name=name, output=workspace.exports_dir / name) for name in formats}


def exported_clips(export: Path, folder: Path) -> list[Path]:
    """The clips inside a Hugging Face export, as files."""
    folder.mkdir()
    paths = []
    for shard in sorted(export.rglob("*.parquet")):
        for row in parquet.read_table(shard, columns=["utterance_id", "audio"]).to_pylist():
            paths.append(folder / f"{row['utterance_id']}.flac")
            paths[-1].write_bytes(row["audio"]["bytes"])
    return paths


def read_places(root: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Place -> the texts in it, or what is heard there, after every step from ingest to export was run."""
    workspace = make_workspace(root, names, more=f"{TRAINED}prefect_port = {choose_port(0)}\n")
    tasks = root.with_name(f"{root.name}-tasks.json")
    said = run_chain(root, tasks)
    report = write_report(workspace)
    exports = export_all(workspace)
    state = workspace.state_dir
    models = [path for path in workspace.models_dir.rglob("*") if path.is_file()]
    handed = [path for path in models if path.name == "manifest.jsonl"]
    clips = sorted(workspace.media_dir.glob("clips/*/*.wav"))
    spoken = exported_clips(exports["huggingface"], root.with_name(f"{root.name}-clips"))
    places = {
        "tasks": json.loads(tasks.read_text(encoding="utf-8")),
        "clips": list(hear_clips(clips).values()),
        "said": list(leave_identities(said.splitlines())),
        "logs": list(read_texts([state / "logs"])),
        "lineage": list(read_texts([workspace.root / workspace.settings.lineage.file])),
        "Prefect": list(read_texts([prefect_home(workspace)])),
        "model card": list(read_texts(path for path in models if path.name == "model.json")),
        "predictions": list(read_texts(path for path in models if path.name == "predictions.jsonl")),
        "training run": list(read_texts(set(models) - set(handed))),
        "training manifest": list(read_texts(handed)),
        "warehouse": list(read_texts([workspace.warehouse_path])),
        "report": list(read_texts([report])),
    }
    for name, export in exports.items():
        places[f"export {name}"] = list(read_texts([export]))
    places["export huggingface, clips"] = list(hear_clips(spoken).values())
    return places


def count_leaks(root: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Place -> the private parts that can be read or heard there, after every step."""
    keys = secret_keys(names)
    return {place: find_any(texts, keys) for place, texts in read_places(root, names).items()}


def find_any(texts: Iterable[str], keys: Mapping[str, Sequence[str]]) -> list[str]:
    """The private parts of which something stands in any of some texts."""
    found: set[str] = set()
    for text in texts:
        found.update(find_secrets_in(text, keys))
    return [secret for secret in keys if secret in found]


def count_unmasked(root: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """The same of what leaves for the annotators when masking is off."""
    keys = secret_keys(names)
    lines: list[str] = []
    workspace = make_workspace(root, names, more="[privacy]\nmask = false\n[training]\nschemes = []\n")
    ingest_sources(workspace, [str(root / "calls")], say=lines.append)
    prelabel_pending(open_workspace(root), say=lines.append)
    queue = FakeQueue(schemes=workspace.schemes, media_dir=workspace.media_dir)
    former = flows.push.build_queue
    flows.push.build_queue = lambda _workspace: queue  # no server is needed to see what is sent
    try:
        push_pending(open_workspace(root), say=lines.append)
    finally:
        flows.push.build_queue = former
    clips = sorted(workspace.media_dir.glob("clips/*/*.wav"))
    return {
        "tasks": find_any([f"{e.text}\n{e.note}" for e in queue.entries.values()], keys),
        "clips": find_any(hear_clips(clips).values(), keys),
        "said": find_any(lines, keys),
    }


def main() -> int:
    """Print what leaks, with and without masking."""
    names = [name for name in SPOKEN if (FOLDER / name).is_file()]
    if not names:
        print(f"skipped: {FOLDER} holds no recordings")
        return 0
    wanted = len(secret_keys(names))
    print("the annotators are simulated: a script labels the clips in turn")
    with tempfile.TemporaryDirectory() as folder:
        for place, leaks in count_unmasked(Path(folder) / "open", names).items():
            print(f"masking off, {place}: {len(leaks)} of {wanted} {leaks}", flush=True)
        for place, leaks in count_leaks(Path(folder) / "masked", names).items():
            print(f"{place}: {len(leaks)} of {wanted} {leaks}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
