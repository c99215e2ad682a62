"""Intents by the sound, by what the machine heard, and by both, with voices held out:
python -m benchmarks.text_branch.

Coffee orders (barista: which drink; speakers are not named, so clips that sound alike are one) and
spoken digits (FSDD). The peer is the cold start, which compares the same texts with four example
phrases of each label. A quarter of the voices is tested, an eighth chooses how sound and text are
joined, and the rest is learnt from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import numpy as np

from benchmarks.intent_corpora import TRANSCRIBER, IntentCorpus, load_barista, load_digits
from benchmarks.speech_corpus import run_folds
from training.config import TrainingConfig, load_recipe
from training.metrics import Difference, Floats, Interval, Scores, paired_difference, score
from voxdata.backends.labelling.similarity import SimilarityLabeler
from voxdata.ports import Clip
from voxdata.sound import ArraySound

NUM_FOLDS = 4
TARGET = 0.87
"""UAR of the shipped recipe on barista; the interval of its gain over the cold start is above 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to tell the intents.

    Attributes:
        answers: (num_examples, num_labels) probabilities.
        cpu_s: For all folds; features that were computed before cost nothing.
    """

    name: str
    answers: Floats
    cpu_s: float


def main() -> int:
    """Print a table for each corpus."""
    passed = True
    for load in (load_barista, load_digits):
        passed = _measure(load) and passed
    print("Repeat: VOXDATA_CORPORA=... python -m benchmarks.text_branch")
    return 0 if passed else 1


def _measure(load: Callable[[], IntentCorpus | None]) -> bool:
    """Print the table of a corpus.

    Returns:
        Whether it reaches what must be reached.
    """
    corpus = load()
    if corpus is None:
        return True
    ways = compare(corpus)
    print(
        f"\n{corpus.name}: {len(corpus.examples)} clips, {len(corpus.voices)} voices, "
        f"{len(corpus.scheme.labels)} labels, {NUM_FOLDS} folds, heard by {TRANSCRIBER}"
    )
    print(f"  {'':<22}    UAR 95 % over voices ECE   over the cold start    CPU s")
    for way in ways:
        print(_row(corpus, way, before=ways[0]))
    if corpus.name != "barista":
        return True
    scores, gain = _judge(corpus, ways[-1], before=ways[0])
    low = gain.uar_interval.low if gain.uar_interval else 0.0
    return scores.uar >= TARGET and low > 0


def compare(corpus: IntentCorpus) -> list[Way]:
    """The cold start, the parts of the shipped recipe, and last the recipe itself."""
    recipe = load_recipe("intent")
    sound = replace(recipe, text=replace(recipe.text, enabled=False))
    text = replace(recipe, audio=replace(recipe.audio, enabled=False))
    letters = replace(text, text=replace(text.text, sentence_model=False))
    return [
        _ask_cold_start(corpus),
        _train(corpus, sound, name="sound"),
        _train(corpus, letters, name="text, n-grams alone"),
        _train(corpus, text, name="text"),
        _train(corpus, recipe, name="sound and text"),
    ]


def _ask_cold_start(corpus: IntentCorpus) -> Way:
    began = process_time()
    labeler = SimilarityLabeler(scheme=corpus.scheme)
    silence = ArraySound(np.zeros(1, np.float32))
    answers: list[list[float]] = []
    for example in corpus.examples:
        clip = Clip(
            utterance_id=example.utterance_id,
            speaker=example.voice,
            sound=silence,
            text=example.text,
            language=example.language,
        )
        (shares,) = labeler.label([clip])
        answers.append([shares[label] for label in corpus.scheme.label_names])
    return Way(name="cold start", answers=np.array(answers), cpu_s=process_time() - began)


def _train(corpus: IntentCorpus, config: TrainingConfig, *, name: str) -> Way:
    began = process_time()
    by_id = run_folds(
        Path(corpus.name),
        corpus.examples,
        config,
        make_folds(corpus.voices),
        labels=corpus.scheme.label_names,
    )
    answers = np.stack([by_id[example.utterance_id] for example in corpus.examples])
    return Way(name=name, answers=answers, cpu_s=process_time() - began)


def make_folds(voices: Sequence[str]) -> list[tuple[set[str], set[str]]]:
    """(test voices, validation voices) of each fold: half of the next fold's validate."""
    tests = [voices[number::NUM_FOLDS] for number in range(NUM_FOLDS)]
    folds: list[tuple[set[str], set[str]]] = []
    for number, test in enumerate(tests):
        following = tests[(number + 1) % NUM_FOLDS]
        num_validation = (len(following) + 1) // 2
        folds.append((set(test), set(following[:num_validation])))
    return folds


def _row(corpus: IntentCorpus, way: Way, *, before: Way) -> str:
    scores, gain = _judge(corpus, way, before=before)
    cells = [
        f"{way.name:<22}",
        f"{scores.uar:6.1%}",
        _in_brackets(scores.uar_interval),
        f"{scores.ece:6.1%}",
        f"{100 * gain.uar:+7.1f}",
        _in_brackets(gain.uar_interval, sign="+"),
        f"{way.cpu_s:7.1f}",
    ]
    return "  " + " ".join(cells)


def _in_brackets(interval: Interval | None, *, sign: str = "") -> str:
    if interval is None:
        return "[one voice]"
    low = f"{100 * interval.low:{sign}.1f}"
    high = f"{100 * interval.high:{sign}.1f}"
    return f"[{low}, {high}]"


def _judge(corpus: IntentCorpus, way: Way, *, before: Way) -> tuple[Scores, Difference]:
    """The scores of a way, and what it gains over another."""
    labels = corpus.scheme.label_names
    golds = [example.gold["intent"] for example in corpus.examples]
    truth = np.array([labels.index(gold.label) for gold in golds])
    voices = [example.voice for example in corpus.examples]
    scores = score(truth, way.answers, voices, labels=labels)
    gain = paired_difference(
        truth,
        before.answers,
        way.answers,
        voices,
        num_labels=len(labels),
    )
    return scores, gain


if __name__ == "__main__":
    sys.exit(main())
