"""Corpora with intents as a release would hand them to training: the text is what our transcriber
heard, and a voice is where the corpus names a speaker, otherwise a group of clips that sound alike.

Hearing is slow, so what was heard is kept under bench-out/.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from benchmarks.speech_corpus import OUT, find_corpus
from training.metrics import Floats
from voxdata.backends.diarization.voice_embedder import load_embedder
from voxdata.backends.transcription.whisper import WhisperTranscriber
from voxdata.canonical import read_clip, write_canonical
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.durable import write_file
from voxdata.identity import digest
from voxdata.ports import SpeechRequest
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.segment import Segment
from voxdata.sound import ArraySound
from voxdata.testing.recordings import read_recording

TRANSCRIBER = "packaged-base"
ALIKE = 0.70
"""Mean cosine of CAM++ vectors at which groups of clips are taken for one voice."""

TAKES = 10
"""Of each digit and speaker."""

ORDERS = ("{}", "a {} please", "can I get a {}", "I would like a {}")
DIGITS = ("{}", "number {}", "the digit {}", "it is {}")
"""What a person would write as example phrases of a label."""

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentCorpus:
    """Clips whose intents are to be told.

    Attributes:
        audio_root: Folder of the canonical audio.
        examples: All in the training split.
        scheme: With example phrases, for the cold start.
    """

    name: str
    audio_root: Path
    examples: tuple[Example, ...]
    scheme: Scheme

    @property
    def voices(self) -> list[str]:
        """The speakers, sorted."""
        return sorted({example.voice for example in self.examples})


def load_barista() -> IntentCorpus | None:
    """Coffee orders; the intent is which drink. None without the corpus."""
    folder = find_corpus("barista")
    if folder is None:
        return None
    rows = _read_rows(folder)
    drinks = [json.loads(row["slots_json"])["coffeeDrink"].strip() for row in rows]
    paths = [folder / row["path"] for row in rows]
    examples = [_make_example(path, drink) for path, drink in zip(paths, drinks, strict=True)]
    phrases = {drink: _fill(ORDERS, drink) for drink in sorted(set(drinks))}
    corpus = _make_corpus("barista", examples, phrases)
    return _group_by_voice(corpus)


def load_digits() -> IntentCorpus | None:
    """Spoken digits, the first takes of each. None without the corpus."""
    folder = find_corpus("fsdd")
    if folder is None:
        return None
    examples: list[Example] = []
    for row in _read_rows(folder):
        take = int(Path(row["path"]).stem.rpartition("_")[2])
        if take < TAKES:
            example = _make_example(folder / row["path"], row["intent"])
            voice = row["speaker"]
            examples.append(replace(example, voice=voice, group=voice))
    phrases: dict[str, tuple[str, ...]] = {}
    for digit, word in enumerate(DIGIT_WORDS):
        phrases[str(digit)] = _fill(DIGITS, word)
    return _make_corpus("fsdd", examples, phrases)


def _read_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def _fill(frames: Sequence[str], name: str) -> tuple[str, ...]:
    return tuple(frame.format(name) for frame in frames)


def _make_example(path: Path, label: str) -> Example:
    """A clip as an example without a text, its canonical FLAC under bench-out/."""
    recording, samples = read_recording(path)
    target = OUT / path.parent.parent.name / "audio" / f"{path.stem}.flac"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        write_canonical(target, samples)
    segment = Segment(start_ms=0, end_ms=-(-samples.shape[0] // 16))
    gold = GoldLabel(label=label, distribution={label: 1.0}, num_votes=1)
    return Example(
        utterance_id=digest(recording.recording_id, 0, segment.start_ms, segment.end_ms),
        recording_id=recording.recording_id,
        channel=0,
        segment=segment,
        voice=path.stem,
        group=path.stem,
        audio_file=target.name,
        text="",
        language="en",
        gold={"intent": gold},
        split=Split.TRAIN,
    )


def _make_corpus(
    name: str, examples: Sequence[Example], phrases: Mapping[str, tuple[str, ...]]
) -> IntentCorpus:
    """A corpus with what is heard in it; equal clips are one."""
    audio_root = OUT / name / "audio"
    unique = {example.utterance_id: example for example in examples}
    texts = _hear(name, list(unique.values()), audio_root)
    heard = [replace(example, text=texts[key]) for key, example in sorted(unique.items())]
    labels = [SchemeLabel(name=label, examples=said) for label, said in phrases.items()]
    return IntentCorpus(
        name=name,
        audio_root=audio_root,
        examples=tuple(heard),
        scheme=Scheme(name="intent", version=1, labels=tuple(labels)),
    )


def _hear(name: str, examples: Sequence[Example], audio_root: Path) -> dict[str, str]:
    """Utterance id -> what the transcriber hears, from bench-out/ where it was heard before."""
    path = OUT / name / f"heard-{TRANSCRIBER}.json"
    texts: dict[str, str] = {}
    if path.is_file():
        texts = json.loads(path.read_text(encoding="utf-8"))
    whisper = WhisperTranscriber(model=TRANSCRIBER, language="en")
    for number, example in enumerate(examples, start=1):
        if example.utterance_id in texts:
            continue
        sound = ArraySound(read_clip(audio_root / example.audio_file))
        request = SpeechRequest(sound=sound, speech=(example.segment,))
        (transcript,) = whisper.transcribe([request])
        texts[example.utterance_id] = "".join(word.text for word in transcript.words).strip()
        if number % 50 == 0 or number == len(examples):
            print(f"{name}: heard {number} of {len(examples)}", file=sys.stderr, flush=True)
            write_file(path, json.dumps(texts, ensure_ascii=False, indent=0).encode())
    return texts


def _group_by_voice(corpus: IntentCorpus) -> IntentCorpus:
    """Clips that sound alike get one voice; one too short to tell keeps its own."""
    path = OUT / corpus.name / "voices.npy"
    if not path.is_file():
        np.save(path, _embed(corpus))
    vectors = np.load(path)
    tree = linkage(vectors, method="average", metric="cosine")
    numbers = fcluster(tree, t=1 - ALIKE, criterion="distance")
    examples: list[Example] = []
    for example, number in zip(corpus.examples, numbers, strict=True):
        voice = f"voice-{number:03}"
        examples.append(replace(example, voice=voice, group=voice))
    return replace(corpus, examples=tuple(examples))


def _embed(corpus: IntentCorpus) -> Floats:
    """(num_examples, 192) unit vectors.

    Raises:
        ValueError: A clip is too short.
    """
    embed = load_embedder()
    vectors: list[Floats] = []
    for example in corpus.examples:
        vector = embed(read_clip(corpus.audio_root / example.audio_file))
        if vector is None:
            raise ValueError(f"{example.audio_file}: too short to tell a voice")
        vectors.append(vector)
    return np.stack(vectors)
