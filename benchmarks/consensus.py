"""Agreement and consensus: the CREMA-D crowd's figures beside nltk's, and consensus methods on
simulated annotators of known skill.

    python -m benchmarks.consensus [--seeds 5]

The annotators of the second table are SIMULATED: each names the truth at the stated rate, and any
other label otherwise.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np
from nltk.metrics.agreement import AnnotationTask

from annotation.consensus import Method, Standing, infer_consensus, judge_contests
from voxdata.agreement import Vote, resolve
from voxdata.label import Gold
from voxdata.reliability import alpha_interval, fleiss_kappa, krippendorff_alpha

LABELS = ("angry", "disgusted", "fearful", "happy", "neutral", "sad")
METHODS: tuple[Method, ...] = ("majority", "dawid_skene", "mace", "glad")
CREWS: dict[str, tuple[float, ...]] = {
    "alike (6 x 0.7)": (0.7,) * 6,
    "two good, four weak": (0.95, 0.9, 0.45, 0.4, 0.35, 0.3),
    "one spammer of six": (0.85, 0.85, 0.8, 0.8, 0.75, 1 / 6),
}


def main() -> int:
    """Print both tables; the first only with the corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    folder = Path(os.environ.get("VOXDATA_CORPORA", "")) / "cremad_votes"
    if not (folder / "tabulatedVotes.csv").is_file():
        print("VOXDATA_CORPORA has no cremad_votes: no table of the CREMA-D crowd")
    else:
        with (folder / "tabulatedVotes.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        print_crowd([row for row in rows if is_voice_only(row[""])])
    print_consensus(seeds=chosen.seeds)
    print_contests(seeds=chosen.seeds)
    return 0


def is_voice_only(number: str) -> bool:
    """Whether a row of CREMA-D's votes is of the sound without the picture."""
    return number.startswith("1") and len(number) == 6


def is_tied(gold: Gold) -> bool:
    """Whether several labels have most votes."""
    shares = list(gold.distribution.values())
    return shares.count(max(shares)) > 1


def print_crowd(rows: Sequence[dict[str, str]]) -> None:
    """CREMA-D, voice only: what the crowd said, against what was acted."""
    votes = []
    for row in rows:
        answers = "".join(label * int(row[label]) for label in "ADFHNS")
        for i, label in enumerate(answers):
            votes.append(
                Vote(
                    utterance_id=row["fileName"],
                    annotator=str(i),
                    labels=(label,),
                )
            )
    golds = resolve(votes, scheme="emotion")
    clear = [gold for gold in golds if not is_tied(gold)]
    num_tied = len(golds) - len(clear)
    num_as_acted = 0
    for gold in clear:
        _, _, acted, *_ = gold.utterance_id.split("_")
        num_as_acted += gold.label == acted[0]
    began = time.process_time()
    ours = krippendorff_alpha(votes)
    ours_s = time.process_time() - began
    began = time.process_time()
    rows_of_nltk = [(v.annotator, v.utterance_id, v.label) for v in votes]
    theirs = AnnotationTask(rows_of_nltk).alpha()
    theirs_s = time.process_time() - began
    interval = alpha_interval(
        votes,
        calls={v.utterance_id: v.utterance_id[:4] for v in votes},
        draws=1_000,
    )
    print(f"CREMA-D, voice only: {len(golds)} clips, {len(votes)} votes")
    share = num_as_acted / len(golds)
    kappa = fleiss_kappa(votes)
    print(f"  majority = acted: {share:.1%}; ties: {num_tied}; Fleiss' kappa: {kappa:.3f}")
    cost = f"{ours_s:.2f} CPU-s against {theirs_s:.2f} ({theirs_s / ours_s:.0f}x)"
    print(f"  Krippendorff's alpha: voxdata {ours:.4f}, nltk {theirs:.4f}; {cost}")
    if interval is not None:
        print(f"  95 % over speakers: {interval.low:.3f} to {interval.high:.3f}")


def simulate(
    *,
    clips: int,
    skills: Sequence[float],
    per_clip: int,
    seed: int,
    labels: Sequence[str] = LABELS,
) -> tuple[list[Vote], dict[str, str]]:
    """Votes of annotators who name the truth at their rate of skill, and another label at random
    otherwise.
    """
    rng = np.random.default_rng(seed)
    votes, truth = [], {}
    for clip in range(clips):
        key = f"u{clip:05}"
        truth[key] = labels[rng.integers(len(labels))]
        for person in rng.choice(len(skills), size=per_clip, replace=False):
            others = [label for label in labels if label != truth[key]]
            label = truth[key]
            if rng.random() >= skills[person]:
                label = others[rng.integers(len(others))]
            votes.append(
                Vote(
                    utterance_id=key,
                    annotator=f"p{person}",
                    labels=(label,),
                )
            )
    return votes, truth


def print_consensus(*, seeds: int) -> None:
    """Share of clips whose inferred label is the true one."""
    print(
        f"\nConsensus, 1,000 clips with 3 votes each, {len(LABELS)} labels, mean of {seeds} "
        "seeds (simulated annotators)"
    )
    print(
        "| annotators | "
        + " | ".join(METHODS)
        + " | Dawid-Skene minus majority, lowest and highest seed |"
    )
    for crew, skills in CREWS.items():
        shares: dict[str, list[float]] = {method: [] for method in METHODS}
        for seed in range(seeds):
            votes, truth = simulate(
                clips=1_000,
                skills=skills,
                per_clip=3,
                seed=seed,
            )
            for method in METHODS:
                inferred = infer_consensus(votes, labels=LABELS, method=method)
                right = [inferred.label(key) == label for key, label in truth.items()]
                shares[method].append(mean(right))
        by_method = zip(shares["dawid_skene"], shares["majority"], strict=True)
        gains = [ours - majority for ours, majority in by_method]
        cells = " | ".join(f"{mean(shares[method]):.3f}" for method in METHODS)
        print(f"| {crew} | {cells} | {min(gains):+.3f} to {max(gains):+.3f} |")


def print_contests(*, seeds: int) -> None:
    """A quarter of the clips are truly ambiguous; five good annotators and two careless ones hear
    all.
    """
    precisions, recalls = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        votes, ambiguous = [], set()
        for clip in range(400):
            key = f"u{clip:05}"
            first, second = rng.choice(
                len(LABELS),
                size=2,
                replace=False,
            )
            if clip % 4 == 0:
                ambiguous.add(key)
            for person, skill in enumerate((0.95, 0.95, 0.93, 0.92, 0.9, 0.4, 0.35)):
                is_second = key in ambiguous and rng.random() < 0.45
                label = LABELS[second if is_second else first]
                if rng.random() >= skill:
                    label = LABELS[rng.integers(len(LABELS))]
                votes.append(
                    Vote(
                        utterance_id=key,
                        annotator=f"p{person}",
                        labels=(label,),
                    )
                )
        inferred = infer_consensus(votes, labels=LABELS)
        contests = judge_contests(votes, inferred, labels=LABELS)
        called = {c.utterance_id for c in contests if c.standing is Standing.AMBIGUOUS}
        num_right = len(called & ambiguous)
        precisions.append(num_right / max(len(called), 1))
        recalls.append(num_right / len(ambiguous))
    print(f"\nAmbiguous or careless, {seeds} seeds (simulated), of ambiguous clips:")
    print(f"  precision {mean(precisions):.2f}, recall {mean(recalls):.2f}")


if __name__ == "__main__":
    sys.exit(main())
