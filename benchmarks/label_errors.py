"""Wrong labels found: noise put into 10 % of the labels of RAVDESS and FSDD:
python -m benchmarks.label_errors [--features DIR].

The figure is the review queue's precision at the number injected: of as many clips as have a wrong
label, how many of the queue's first do. At random it is the share injected.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import numpy as np
import numpy.typing as npt

from annotation.coverage import compact_embeddings
from annotation.label_errors import OutOfFold, find_label_errors, out_of_fold
from benchmarks.cached_features import FEATURES, CachedFeatures, cached_features

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NOISE_SHARE = 0.1
KINDS = ("uniform", "confusable")
TARGET = 0.5


def confusions(corpus: CachedFeatures, predicted: OutOfFold) -> Floats:
    """(num_labels, num_labels): how likely a label is taken for each other one, by models on the
    clean labels; the diagonal is 0.
    """
    table = np.full(
        (
            len(corpus.labels),
            len(corpus.labels),
        ),
        1e-3,
    )
    np.add.at(
        table,
        (corpus.targets, predicted.probabilities.argmax(axis=1)),
        1,
    )
    np.fill_diagonal(table, 0)
    return np.asarray(table / table.sum(axis=1, keepdims=True))


def inject(
    targets: Ints,
    flips: Floats,
    *,
    seed: int,
) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Give NOISE_SHARE of the clips another label.

    Args:
        flips: (num_labels, num_labels) probabilities of the wrong label given the right one.

    Returns:
        The labels, and which of them are now wrong.
    """
    draws = np.random.default_rng(seed)
    wrong = np.zeros(len(targets), dtype=bool)
    num_wrong = round(NOISE_SHARE * len(targets))
    wrong[draws.choice(len(targets), size=num_wrong, replace=False)] = True
    given = targets.copy()
    given[wrong] = [draws.choice(len(flips), p=flips[label]) for label in targets[wrong]]
    return given, wrong


def queue_precision(
    corpus: CachedFeatures,
    features: npt.NDArray[np.float32],
    given: Ints,
    wrong: npt.NDArray[np.bool_],
    *,
    seed: int,
) -> list[float]:
    """Precision at the number injected of the queue, of plain self-confidence, and of chance."""
    labels = [corpus.labels[i] for i in given]
    by_id = dict(zip(corpus.ids, wrong.tolist(), strict=True))
    size = int(wrong.sum())
    out = []
    for num_passes in (2, 1):
        predicted = out_of_fold(
            features,
            labels,
            corpus.voices.tolist(),
            num_passes=num_passes,
            seed=seed,
        )
        queue = find_label_errors(
            corpus.ids,
            labels,
            predicted,
            count=size,
        )
        out.append(sum(by_id[doubt.utterance_id] for doubt in queue) / size)
    draws = np.random.default_rng([seed, 1])
    order = draws.permutation(len(wrong))
    return [*out, float(wrong[order[:size]].mean())]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % bootstrap of the mean over seeds."""
    rng = np.random.default_rng(0)
    shape = (2000, len(values))
    draws = rng.choice(np.array(values), size=shape)
    low, high = np.percentile(draws.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def main() -> int:
    """Print one line a corpus and kind of noise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--features",
        type=Path,
        default=FEATURES,
        help="folder of feature files; computed when missing",
    )
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    began = monotonic()
    reached = []
    for name in ("ravdess", "fsdd"):
        corpus = cached_features(name, folder=options.features)
        if corpus is None:
            continue
        features = compact_embeddings(corpus.values)
        clean = out_of_fold(
            features,
            [corpus.labels[i] for i in corpus.targets],
            corpus.voices.tolist(),
            num_passes=1,
        )
        guessed = clean.probabilities.argmax(axis=1)
        accuracy = float((guessed == corpus.targets).mean())
        num_labels = len(corpus.labels)
        shares = np.full((num_labels, num_labels), 1 / (num_labels - 1))
        even = shares * (1 - np.eye(num_labels))
        injected = round(NOISE_SHARE * len(corpus.targets))
        print(
            f"\n{name.upper()}: {len(corpus.targets)} clips, {injected} wrong labels "
            f"injected, {options.seeds} draws;",
            end=" ",
        )
        print(f"models of other voices are right on {accuracy:.1%} of the clean labels")
        print(
            f"  {'noise':<12} {'review queue':<24} {'plain self-confidence':<24} "
            f"{'queue minus plain':<24} random order"
        )
        for kind, flips in zip(KINDS, (even, confusions(corpus, clean)), strict=True):
            runs = np.array(
                [
                    queue_precision(
                        corpus, features, *inject(corpus.targets, flips, seed=s), seed=s
                    )
                    for s in range(options.seeds)
                ]
            )
            queue, plain, at_random = runs[:, 0], runs[:, 1], runs[:, 2]
            cells = []
            for column in (queue, plain, queue - plain, at_random):
                low, high = interval(column)
                cells.append(f"{column.mean():6.1%} [{low:.1%}, {high:.1%}]")
            aligned = " ".join(f"{cell:<24}" for cell in cells)
            print(f"  {kind:<12} " + aligned, flush=True)
            reached.append(float(runs[:, 0].mean()))
    print(
        f"\n{monotonic() - began:.0f} s. Repeat: VOXDATA_CORPORA=... python -m "
        "benchmarks.label_errors"
    )
    return 0 if not reached or min(reached) >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
