"""Personal data that leaves: spoken sentences from ingest to a trained model, and what can be read
or heard of them.

    python -m benchmarks.leaks

The recordings lie in tests/data/spoken_secrets. Each clip is transcribed with the packaged Whisper
model, and each place is searched for the private words, with numbers and letters read alike however
they are written. Some places hold the words that were said by design; they are counted too, and
show that the search finds what is there.

Each find is printed with its table and row, or its file and line. Tasks and clips are searched
strictly. Elsewhere machines write numbers of their own: there a number of four digits counts where
it stands alone, and none counts inside addresses, process ids, digests and times; what only the
strict search finds is counted beside it, as perhaps by chance.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as parquet  # type: ignore[import-untyped]
import soundfile  # type: ignore[import-untyped]

from annotation.webhooks import WEBHOOK_PATH
from benchmarks.privacy import read_marks
from benchmarks.recorded_chain import DATASET
from benchmarks.spoken_secrets import FOLDER, SPOKEN
from benchmarks.stored_text import StoredText, leave_identities, read_texts
from flows.exchange.export import open_bundle
from flows.ingest.flow import ingest_sources
from flows.labelling.push import push_pending
from flows.pages.report import write_report
from flows.place import FILE_NAME
from flows.prelabel.flow import prelabel_pending
from flows.services.label_studio_server import label_studio_spec
from flows.services.start import prefect_home, prefect_spec, receiver_spec
from flows.services.supervisor import choose_port, ensure_running, stop_all
from flows.workspace import Workspace, open_workspace
from voxdata.backends.privacy.spoken_forms import digits_view
from voxdata.backends.transcription.whisper import WhisperTranscriber
from voxdata.context import CONTEXT_FILE
from voxdata.ports import SpeechRequest
from voxdata.segment import Segment
from voxdata.sound import ArraySound, duration_ms
from voxdata.testing.annotation_queue import FakeQueue
from warehouse.exchange.handoff import MANIFEST_FILE
from warehouse.exchange.write import export_bundle

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


STRICT = frozenset(["tasks", "clips", "export huggingface, clips"])
"""Places in which nothing but what was said is written, so that no find is by chance."""
NAMED = 5
"""So many finds of a place are printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A private part that was found.

    Attributes:
        where: As in `StoredText`.
        sure: Not perhaps by chance, as four digits in a number of a machine's own are.
    """

    secret: str
    where: str
    sure: bool


def find_secrets_in(
    text: str,
    keys: Mapping[str, Sequence[str]],
    *,
    strict: bool = True,
) -> list[str]:
    """The private parts of which something stands in a text: a word, or a run of four of their
    digits.

    Args:
        strict: Count a number of four digits also inside longer ones, where it may be by chance.
    """
    joined = re.sub(r"[.,]", "", text)
    digits = digits_view(joined).text
    runs = re.findall(r"\d{4,}", digits)
    words = set(re.findall(r"[a-z]+", text.lower()))
    standing = []
    for secret, parts in keys.items():
        if any(_stands(part, runs, words, strict=strict) for part in parts):
            standing.append(secret)
    return standing


def _stands(
    part: str,
    runs: Sequence[str],
    words: set[str],
    *,
    strict: bool,
) -> bool:
    if not part.isdigit():
        return part in words
    if len(part) == 4 and not strict:
        return part in runs
    pieces = {part[i : i + 4] for i in range(len(part) - 3)}
    return any(piece in run for run, piece in itertools.product(runs, pieces))


def find_leaks(
    texts: Iterable[StoredText],
    keys: Mapping[str, Sequence[str]],
    *,
    strict: bool,
) -> list[Leak]:
    """The private parts in some texts, each once for every place in which it stands."""
    found: dict[Leak, None] = {}
    for stored in texts:
        hits = find_secrets_in(stored.text, keys)
        sure = hits
        if hits and not strict:
            bare = leave_identities(stored.text)
            sure = find_secrets_in(bare, keys, strict=False)
        for secret in hits:
            leak = Leak(
                secret=secret,
                where=stored.where,
                sure=secret in sure,
            )
            found[leak] = None
    return list(found)


def count_secrets(leaks: Iterable[Leak]) -> list[str]:
    """The private parts that surely leak, sorted."""
    return sorted({leak.secret for leak in leaks if leak.sure})


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
    texts = {}
    for path, transcript in zip(paths, heard, strict=True):
        texts[path] = "".join(word.text for word in transcript.words)
    return texts


def make_workspace(
    root: Path,
    names: Iterable[str],
    *,
    more: str = "",
) -> Workspace:
    """A new workspace whose folder "calls" holds recordings.

    Args:
        more: Settings beside those of every chain here.
    """
    (root / "calls").mkdir(parents=True)
    (root / FILE_NAME).write_text(SETTINGS + more, encoding="utf-8")
    for name in names:
        shutil.copy(FOLDER / name, root / "calls" / name)
    return open_workspace(root)


def run_chain(root: Path, tasks: Path, *, label_studio: bool = False) -> str:
    """Run every step up to a trained model in a process of its own, recorded by a Prefect server
    that lives as long.

    Args:
        tasks: What an annotator would read is written here, as a JSON list.
        label_studio: Start a Label Studio server, too, with the receiver of its webhooks, and push
            into that.

    Returns:
        Whatever the steps said.
    """
    workspace = open_workspace(root)
    lines: list[str] = []
    try:
        server = ensure_running(
            workspace.state_dir,
            prefect_spec(workspace),
            say=lines.append,
        )
        command = [sys.executable, "-m", "benchmarks.recorded_chain", str(root), str(tasks)]
        if label_studio:
            receiver = ensure_running(
                workspace.state_dir,
                receiver_spec(workspace, server),
                say=lines.append,
            )
            spec = label_studio_spec(
                workspace,
                receiver=f"{receiver.url}{WEBHOOK_PATH}",
                say=lines.append,
            )
            ensure_running(workspace.state_dir, spec, say=lines.append)
            command.append("--label-studio")
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            check=False,
            capture_output=True,
            text=True,
        )
    finally:
        stop_all(
            workspace.state_dir,
            say=lines.append,
            grace_s=10,
        )
    if done.returncode:
        raise RuntimeError(f"the chain failed:\n{done.stdout}{done.stderr}")
    return "\n".join((*lines, done.stdout, done.stderr))


def export_all(workspace: Workspace) -> dict[str, Path]:
    """Format -> the export of the version in it; the folder of `huggingface` holds clips."""
    bundle = open_bundle(workspace, DATASET)
    formats: tuple[str, ...] = ("jsonl", "parquet", "huggingface")
    return {
        name: export_bundle(bundle, format_name=name, output=workspace.exports_dir / name)
        for name in formats
    }


def exported_clips(export: Path, folder: Path) -> list[Path]:
    """The clips inside a Hugging Face export, as files."""
    folder.mkdir()
    paths = []
    for shard in sorted(export.rglob("*.parquet")):
        for row in parquet.read_table(shard, columns=["utterance_id", "audio"]).to_pylist():
            paths.append(folder / f"{row['utterance_id']}.flac")
            paths[-1].write_bytes(row["audio"]["bytes"])
    return paths


SEARCHED_APART = frozenset(["prefect", "label-studio", "logs", "batches", "snapshots"])
"""Folders of .voxdata that are a place of their own, or hold what the warehouse holds."""


SERVERS_OWN = ("django_migrations", "core_asyncmigrationstatus")
"""Tables of Label Studio's database with the names of its own migrations, in which digits of ours
are found by chance.
"""


def _is_servers_own(text: StoredText) -> bool:
    return any(f"table {table}," in text.where for table in SERVERS_OWN)


def read_places(
    root: Path,
    names: Sequence[str],
    *,
    label_studio: bool = False,
) -> dict[str, list[StoredText]]:
    """Place -> the texts in it, or what is heard there, after every step from ingest to export was
    run.

    Args:
        label_studio: Push into a real server, and search its database and what it writes.
    """
    ports = "".join(
        f"{name}_port = {choose_port(0)}\n" for name in ("prefect", "label_studio", "receiver")
    )
    workspace = make_workspace(
        root,
        names,
        more=f"{TRAINED}{ports}",
    )
    tasks = root.with_name(f"{root.name}-tasks.json")
    lines = run_chain(root, tasks, label_studio=label_studio)
    report = write_report(workspace)
    exports = export_all(workspace)
    state = workspace.state_dir
    models = [path for path in workspace.models_dir.rglob("*") if path.is_file()]
    handed = [path for path in models if path.name in (MANIFEST_FILE, CONTEXT_FILE)]
    cards = [path for path in models if path.name == "model.json"]
    predictions = [path for path in models if path.name == "predictions.jsonl"]
    rest = [path for path in sorted(state.iterdir()) if path.name not in SEARCHED_APART]
    clips = sorted(workspace.media_dir.glob("clips/*/*.wav"))
    spoken = exported_clips(exports["huggingface"], root.with_name(f"{root.name}-clips"))
    places = {
        "tasks": _numbered("task", json.loads(tasks.read_text(encoding="utf-8"))),
        "clips": _heard(clips),
        "said": _numbered("line", lines.splitlines()),
        "logs": list(read_texts([state / "logs"])),
        "lineage": list(read_texts([workspace.root / workspace.settings.lineage.file])),
        "Prefect": list(read_texts([prefect_home(workspace)])),
        "model card": list(read_texts(cards)),
        "predictions": list(read_texts(predictions)),
        "training run": list(read_texts(set(models) - set(handed))),
        "training manifest": list(read_texts(handed)),
        "warehouse": list(read_texts([workspace.warehouse_path])),
        "report": list(read_texts([report])),
        "the rest of .voxdata": list(read_texts(rest)),
    }
    if label_studio:
        stored = read_texts([state / "label-studio"])
        places["Label Studio"] = [text for text in stored if not _is_servers_own(text)]
    for name, export in exports.items():
        places[f"export {name}"] = list(read_texts([export]))
    places["export huggingface, clips"] = _heard(spoken)
    return places


def _numbered(what: str, texts: Iterable[str]) -> list[StoredText]:
    return [
        StoredText(text=text, where=f"{what} {number}")
        for number, text in enumerate(texts, start=1)
    ]


def _heard(clips: Sequence[Path]) -> list[StoredText]:
    return [StoredText(text=text, where=clip.name) for clip, text in hear_clips(clips).items()]


def find_all(root: Path, names: Sequence[str]) -> dict[str, list[Leak]]:
    """Place -> the private parts that can be read or heard there, after every step, with a real
    Label Studio server.
    """
    keys = secret_keys(names)
    places = read_places(root, names, label_studio=True)
    return {
        place: find_leaks(texts, keys, strict=place in STRICT) for place, texts in places.items()
    }


def find_unmasked(root: Path, names: Sequence[str]) -> dict[str, list[Leak]]:
    """The same of what leaves for the annotators when masking is off."""
    keys = secret_keys(names)
    lines: list[str] = []
    workspace = make_workspace(
        root, names, more="[privacy]\nmask = false\n[training]\nschemes = []\n"
    )
    ingest_sources(
        workspace,
        [str(root / "calls")],
        say=lines.append,
    )
    prelabel_pending(open_workspace(root), say=lines.append)
    queue = FakeQueue(schemes=workspace.schemes, media_dir=workspace.media_dir)
    # No server is needed to see what is sent.
    push_pending(
        open_workspace(root),
        queue=queue,
        say=lines.append,
    )
    clips = sorted(workspace.media_dir.glob("clips/*/*.wav"))
    places = {
        "tasks": _numbered("task", [f"{e.text}\n{e.note}" for e in queue.entries.values()]),
        "clips": _heard(clips),
        "said": _numbered("line", lines),
    }
    return {
        place: find_leaks(texts, keys, strict=place in STRICT) for place, texts in places.items()
    }


def show_leaks(
    place: str,
    leaks: Sequence[Leak],
    *,
    wanted: int,
) -> None:
    """Print how many private parts leak in a place, and where the first ones stand."""
    sure = count_secrets(leaks)
    perhaps = [leak for leak in leaks if not leak.sure]
    print(f"{place}: {len(sure)} of {wanted} {sure}", flush=True)
    for leak in [leak for leak in leaks if leak.sure][:NAMED]:
        print(f"    {leak.secret!r} in {leak.where}")
    if perhaps:
        num_places = len({leak.where for leak in perhaps})
        print(f"    perhaps by chance, in {num_places} places more, such as:")
        for leak in perhaps[:NAMED]:
            print(f"    {leak.secret!r} in {leak.where}")


def main() -> int:
    """Print what leaks, with and without masking."""
    names = [name for name in SPOKEN if (FOLDER / name).is_file()]
    if not names:
        print(f"skipped: {FOLDER} holds no recordings")
        return 0
    wanted = len(secret_keys(names))
    print("the annotators are simulated: a script labels the clips in turn")
    with tempfile.TemporaryDirectory() as folder:
        for place, leaks in find_unmasked(Path(folder) / "open", names).items():
            show_leaks(f"masking off, {place}", leaks, wanted=wanted)
        for place, leaks in find_all(Path(folder) / "masked", names).items():
            show_leaks(place, leaks, wanted=wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
