"""Recipes for a head on a frozen encoder, with voices held out: python -m benchmarks.recipes
[--work DIR].

Acted emotions (RAVDESS) in four folds: test and validation actors are held out. Spoken digits
(FSDD) leave one speaker out; three are left, none of whom validates. The features are cached in the
folder of --work, so that a second run only trains.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.speech_corpus import OUT, find_corpus, load_corpus
from training.config import TrainingConfig, load_recipe
from training.encoder import load_encoder
from training.features import load_features
from training.judge.paired import Difference, paired_difference
from training.loop import fit_head, predict
from training.metrics import Floats, Interval, Ints, Scores, score
from training.models.pool import Features
from voxdata.audio_digest import AudioGuard
from voxdata.dataset import Example

NUM_FOLDS = 4
NUM_VALIDATION = 2
"""Actors of the next fold."""

TAKES = 10
"""Of each digit and speaker."""

MIDDLE = (2, 3, 4)
PENALTY = 0.02
"""`C` of the linear probe, an inverse penalty."""

MIN_GAIN = 0.04
MIN_DIGITS = 0.97

CANDIDATE = {
    "audio": {"layers": list(MIDDLE)},
    "head": {"hidden_units": 128, "seeds": 3},
    "fit": {
        "learning_rate": 1e-3,
        "max_epochs": 30,
        "fixed_epochs": 30,
        "patience": 30,
        "mixup": 0.4,
        "label_smoothing": 0.1,
        "feature_noise": 0.3,
    },
}
"""What differs from the shipped recipe: the middle layers, and small networks that learn with noise
and mixing.
"""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Clips with their features.

    Attributes:
        features: (num_clips, num_layers, dim).
        gold: (num_clips,) indices into `labels`.
    """

    name: str
    labels: tuple[str, ...]
    features: Features
    gold: Ints
    voices: tuple[str, ...]
    folds: tuple[Fold, ...]

    @property
    def targets(self) -> Floats:
        """(num_clips, num_labels), one-hot."""
        return np.eye(len(self.labels))[self.gold]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Which clips are tested, and which validate; the others are learnt from."""

    test: Mask
    validation: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What one recipe said.

    Attributes:
        answers: (num_clips, num_labels) probabilities.
        cpu_s: To train and answer, for all folds.
    """

    name: str
    answers: Floats
    cpu_s: float


def main() -> int:
    """Print a table for each corpus.

    Returns:
        1 when a bound is not reached.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=OUT)
    options = parser.parse_args()
    # Steps this small are slower on several threads.
    torch.set_num_threads(1)
    passed = True
    for measure in (_measure_emotion, _measure_digits):
        passed = measure(options.work) and passed
    print("Repeat: VOXDATA_CORPORA=... make bench-training")
    return 0 if passed else 1


def _measure_emotion(work: Path) -> bool:
    corpus = _load("ravdess", "emotion", work=work, keep=_keep_all, split=_split_actors)
    if corpus is None:
        return True
    shipped, candidate = _compare(corpus)[:2]
    gain = _gain(corpus, candidate, shipped).uar
    return _tell(f"gain of the candidate {100 * gain:+.1f}", gain, MIN_GAIN)


def _measure_digits(work: Path) -> bool:
    corpus = _load("fsdd", "intent", work=work, keep=_keep_takes, split=_leave_one_out)
    if corpus is None:
        return True
    candidate = _compare(corpus)[1]
    uar = _score(corpus, candidate).uar
    return _tell(f"UAR of the candidate {uar:.1%}", uar, MIN_DIGITS)


def _tell(figure: str, value: float, bound: float) -> bool:
    reached = value >= bound
    verdict = "reached" if reached else "NOT REACHED"
    print(f"  {figure}; at least {100 * bound:.0f} wanted: {verdict}")
    return reached


def _load(
    name: str,
    scheme: str,
    *,
    work: Path,
    keep: Callable[[Example], bool],
    split: Callable[[Sequence[str]], tuple[Fold, ...]],
) -> Corpus | None:
    """A corpus; None when it is not at hand, after saying so."""
    folder = find_corpus(name)
    if folder is None:
        return None
    examples = list(filter(keep, load_corpus(folder, scheme=scheme)))
    golds = [example.gold[scheme].label for example in examples]
    labels, gold = np.unique(golds, return_inverse=True)
    features = load_features(
        load_encoder(load_recipe("emotion").encoder),
        examples,
        audio_root=OUT / name / "audio",
        cache_dir=work / "features",
        guard=AudioGuard({}),
        progress=_say,
    )
    voices = tuple(example.voice for example in examples)
    return Corpus(
        name=name,
        labels=tuple(labels.tolist()),
        features=features.values,
        gold=gold.astype(np.int64),
        voices=voices,
        folds=split(voices),
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _keep_all(_example: Example) -> bool:
    return True


def _keep_takes(example: Example) -> bool:
    take = Path(example.audio_file).stem.rpartition("_")[2]
    return int(take) < TAKES


def _split_actors(voices: Sequence[str]) -> tuple[Fold, ...]:
    """Every fourth actor is tested; two of the next fold validate."""
    names = sorted(set(voices))
    tests = [names[number::NUM_FOLDS] for number in range(NUM_FOLDS)]
    folds: list[Fold] = []
    for test, following in zip(tests, [*tests[1:], tests[0]], strict=True):
        validation = following[:NUM_VALIDATION]
        folds.append(Fold(test=np.isin(voices, test), validation=np.isin(voices, validation)))
    return tuple(folds)


def _leave_one_out(voices: Sequence[str]) -> tuple[Fold, ...]:
    """Every speaker is tested in turn; nobody validates."""
    nobody = np.zeros(len(voices), dtype=bool)
    folds: list[Fold] = []
    for name in sorted(set(voices)):
        folds.append(Fold(test=np.isin(voices, [name]), validation=nobody))
    return tuple(folds)


def _compare(corpus: Corpus) -> list[Way]:
    """Print the table: the shipped recipe, the candidate, a linear probe, the majority."""
    print(
        f"\n{corpus.name}: {len(corpus.gold)} clips, {len(set(corpus.voices))} voices, "
        f"{len(corpus.labels)} labels, {len(corpus.folds)} folds"
    )
    print(f"  {'':<24} UAR  95 % over voices   ECE   over the recipe before   CPU s")
    shipped = load_recipe("emotion")
    candidate = load_recipe("emotion", overrides=CANDIDATE)
    ways = [_train(corpus, shipped, name="shipped recipe")]
    ways.append(_train(corpus, candidate, name="candidate"))
    ways.append(_probe(corpus))
    ways.append(_guess_majority(corpus))
    for way in ways:
        print(_row(corpus, way, before=ways[0]), flush=True)
    return ways


def _train(corpus: Corpus, config: TrainingConfig, *, name: str) -> Way:
    began = process_time()
    answers = np.zeros_like(corpus.targets)
    for fold in corpus.folds:
        train = ~(fold.test | fold.validation)
        fit = fit_head(
            corpus.features[train],
            corpus.targets[train],
            validation_features=corpus.features[fold.validation],
            validation_targets=corpus.targets[fold.validation],
            config=config,
        )
        answers[fold.test] = predict(fit.head, corpus.features[fold.test])
    return Way(name=name, answers=answers, cpu_s=process_time() - began)


def _probe(corpus: Corpus) -> Way:
    """A logistic regression on the middle layers, which learns from the validation voices too."""
    began = process_time()
    answers = np.zeros_like(corpus.targets)
    inputs = corpus.features[:, list(MIDDLE)].reshape(len(corpus.gold), -1)
    for fold in corpus.folds:
        classifier = LogisticRegression(C=PENALTY, max_iter=1000, class_weight="balanced")
        model = make_pipeline(StandardScaler(), classifier)
        model.fit(inputs[~fold.test], corpus.gold[~fold.test])
        answers[fold.test] = model.predict_proba(inputs[fold.test])
    return Way(name="linear probe, layers 2-4", answers=answers, cpu_s=process_time() - began)


def _guess_majority(corpus: Corpus) -> Way:
    began = process_time()
    answers = np.zeros_like(corpus.targets)
    for fold in corpus.folds:
        answers[fold.test] = corpus.targets[~fold.test].mean(axis=0)
    return Way(name="majority class", answers=answers, cpu_s=process_time() - began)


def _row(corpus: Corpus, way: Way, *, before: Way) -> str:
    scores = _score(corpus, way)
    gain = _gain(corpus, way, before)
    cells = [
        f"{way.name:<24}",
        f"{scores.uar:6.1%}",
        _in_brackets(scores.uar_interval),
        f"{scores.ece:6.1%}",
        f"{100 * gain.uar:+6.1f}",
        _in_brackets(gain.uar_interval, sign="+"),
        f"{way.cpu_s:7.1f}",
    ]
    return "  " + " ".join(cells)


def _score(corpus: Corpus, way: Way) -> Scores:
    return score(corpus.gold, way.answers, corpus.voices, labels=corpus.labels)


def _gain(corpus: Corpus, way: Way, before: Way) -> Difference:
    return paired_difference(
        corpus.gold,
        before.answers,
        way.answers,
        corpus.voices,
        num_labels=len(corpus.labels),
    )


def _in_brackets(interval: Interval | None, *, sign: str = "") -> str:
    if interval is None:
        return "[one voice]"
    low = f"{100 * interval.low:{sign}.1f}"
    high = f"{100 * interval.high:{sign}.1f}"
    return f"[{low}, {high}]"


if __name__ == "__main__":
    sys.exit(main())
