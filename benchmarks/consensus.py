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
            print_crowd(
                [
                    row
                    for row in csv.DictReader(file)
                    if row[""].startswith("1") and len(row[""]) == 6
                ]
            )
    print_consensus(seeds=chosen.seeds)
    print_contests(seeds=chosen.seeds)
    return 0


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
    tied = {
        g.utterance_id
        for g in golds
        if list(g.distribution.values()).count(max(g.distribution.values())) > 1
    }
    acted = sum(
        g.utterance_id not in tied and g.label == g.utterance_id.split("_")[2][0] for g in golds
    )
    began = time.process_time()
    ours = krippendorff_alpha(votes)
    ours_s = time.process_time() - began
    began = time.process_time()
    theirs = AnnotationTask([(v.annotator, v.utterance_id, v.label) for v in votes]).alpha()
    theirs_s = time.process_time() - began
    interval = alpha_interval(
        votes,
        calls={v.utterance_id: v.utterance_id[:4] for v in votes},
        draws=1_000,
    )
    print(f"CREMA-D, voice only: {len(golds)} clips, {len(votes)} votes")
    print(
        f"  majority = acted: {acted / len(golds):.1%}; ties: {len(tied)}; Fleiss' kappa: "
        f"{fleiss_kappa(votes):.3f}"
    )
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
        found: dict[str, list[float]] = {method: [] for method in METHODS}
        for seed in range(seeds):
            votes, truth = simulate(
                clips=1_000,
                skills=skills,
                per_clip=3,
                seed=seed,
            )
            for method in METHODS:
                inferred = infer_consensus(votes, labels=LABELS, method=method)
                found[method].append(
                    sum(inferred.label(key) == label for key, label in truth.items()) / len(truth)
                )
        gains = [a - b for a, b in zip(found["dawid_skene"], found["majority"], strict=True)]
        cells = " | ".join(f"{mean(found[method]):.3f}" for method in METHODS)
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
                heard = second if key in ambiguous and rng.random() < 0.45 else first
                label = LABELS[heard] if rng.random() < skill else LABELS[rng.integers(len(LABELS))]
                votes.append(
                    Vote(
                        utterance_id=key,
                        annotator=f"p{person}",
                        labels=(label,),
                    )
                )
        contests = judge_contests(
            votes,
            infer_consensus(votes, labels=LABELS),
            labels=LABELS,
        )
        called = {
            contest.utterance_id for contest in contests if contest.standing is Standing.AMBIGUOUS
        }
        precisions.append(len(called & ambiguous) / max(len(called), 1))
        recalls.append(len(called & ambiguous) / len(ambiguous))
    print(f"\nAmbiguous or careless, {seeds} seeds (simulated), of ambiguous clips:")
    print(f"  precision {mean(precisions):.2f}, recall {mean(recalls):.2f}")


if __name__ == "__main__":
    sys.exit(main())
