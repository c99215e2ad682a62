"""Labels saved by choosing what to hear next, on held-out voices:
python -m benchmarks.active_learning [--features DIR].

Half of the held-out voices choose the strategy, the other half report. The learner is the same
everywhere: a logistic regression on frozen features, trained again in every round.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from annotation.acquire import choose_next
from annotation.candidate import Arm, Candidate
from annotation.coverage import MAX_DIMENSIONS
from annotation.savings import ArmScore, LabelsSaved, labels_saved
from annotation.strategies import rank
from benchmarks.cached_features import FEATURES, CachedFeatures, cached_features
from benchmarks.speech_corpus import OUT
from training.metrics import average_recall, confusion_matrix

Floats = npt.NDArray[np.float64]

WITH_CONTROL = "hybrid, 10 % at random"
STRATEGIES = (
    "random",
    "entropy",
    "margin",
    "coverage",
    "typiclust",
    "badge",
    "hybrid",
    WITH_CONTROL,
)
SPREADING = ("coverage", "typiclust", "hybrid", WITH_CONTROL)
"""They choose their first batch too; the others get random's first batch."""

REGULARISATION = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one corpus is played through.

    Attributes:
        start: Labels of the first batch.
        step: Labels of every later one.
        budget: Labels at the end.
        num_seeds: Repetitions of every split.
        choosing: Held-out voices of each split that picks the strategy; `reporting` shares no
            held-out voice with it.
    """

    start: int
    step: int
    budget: int
    num_seeds: int
    choosing: tuple[tuple[str, ...], ...]
    reporting: tuple[tuple[str, ...], ...]


def plan_corpus(corpus: CachedFeatures, *, num_seeds: int) -> Plan:
    """RAVDESS: four actors held out of sixteen, four ways a half. FSDD: one speaker of four, two
    ways a half, twice the seeds.
    """
    names = tuple(np.unique(corpus.voices).tolist())
    if corpus.name == "fsdd":
        choosing = ((names[0],), (names[1],))
        reporting = ((names[2],), (names[3],))
        return Plan(
            start=20,
            step=20,
            budget=300,
            num_seeds=2 * num_seeds,
            choosing=choosing,
            reporting=reporting,
        )

    def four_ways(half: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return half[:4], half[4:], half[::2], half[1::2]

    return Plan(
        start=40,
        step=40,
        budget=440,
        num_seeds=num_seeds,
        choosing=four_ways(names[::2]),
        reporting=four_ways(names[1::2]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """What may be labelled, and the held-out voices. Features are standardised and reduced by the
    pool alone, without its labels.
    """

    pool: Floats
    pool_targets: npt.NDArray[np.int64]
    pool_ids: tuple[str, ...]
    test: Floats
    test_targets: npt.NDArray[np.int64]
    labels: tuple[str, ...]
    scheme: str


def fold_corpus(corpus: CachedFeatures, held_out: Sequence[str]) -> Fold:
    """Split by voice."""
    held = np.isin(corpus.voices, held_out)
    scaler = StandardScaler().fit(corpus.values[~held])
    pool = scaler.transform(corpus.values[~held])
    test = scaler.transform(corpus.values[held])
    reduction = PCA(MAX_DIMENSIONS, random_state=0).fit(pool)
    return Fold(
        pool=reduction.transform(pool),
        pool_targets=corpus.targets[~held],
        pool_ids=tuple(np.array(corpus.ids)[~held].tolist()),
        test=reduction.transform(test),
        test_targets=corpus.targets[held],
        labels=corpus.labels,
        scheme=corpus.scheme,
    )


def play(
    fold: Fold,
    strategy: str,
    plan: Plan,
    *,
    seed: int,
) -> list[tuple[int, float]]:
    """Label, train and score round by round: (labels, UAR on the held-out voices)."""
    labelled = np.zeros(len(fold.pool), dtype=bool)
    answers: Floats = np.zeros((len(fold.pool), 0))
    curve: list[tuple[int, float]] = []
    while True:
        size = min(plan.step if curve else plan.start, plan.budget - int(labelled.sum()))
        labelled[_choose(fold, strategy, labelled, answers, size=size, seed=seed)] = True
        answers, uar = learn(fold, labelled)
        curve.append((int(labelled.sum()), uar))
        if labelled.sum() >= plan.budget:
            return curve


def learn(fold: Fold, labelled: npt.NDArray[np.bool_]) -> tuple[Floats, float]:
    """Train on what is labelled: (pool_size, num_labels) probabilities of the pool, and UAR on the
    held-out voices.
    """
    model = LogisticRegression(
        C=REGULARISATION,
        class_weight="balanced",
        max_iter=500,
        tol=1e-3,
    )
    model.fit(fold.pool[labelled], fold.pool_targets[labelled])
    shape = (len(fold.pool), len(fold.labels))
    answers = np.zeros(shape)
    answers[:, model.classes_] = model.predict_proba(fold.pool)
    confusion = confusion_matrix(
        fold.test_targets,
        model.predict(fold.test),
        num_labels=len(fold.labels),
    )
    return answers, float(average_recall(confusion))


def _choose(
    fold: Fold,
    strategy: str,
    labelled: npt.NDArray[np.bool_],
    answers: Floats,
    *,
    size: int,
    seed: int,
) -> npt.NDArray[np.int64]:
    """Rows of the pool to label next."""

    def candidate(row: int) -> Candidate:
        shares = (
            {fold.scheme: dict(zip(fold.labels, answers[row].tolist(), strict=True))}
            if answers.shape[1]
            else {}
        )
        return Candidate(
            utterance_id=fold.pool_ids[row],
            duration_ms=1000,
            distributions=shares,
            embedding=fold.pool[row],
        )

    waiting = [candidate(row) for row in np.flatnonzero(~labelled)]
    heard = [candidate(row) for row in np.flatnonzero(labelled)]
    if strategy == WITH_CONTROL:
        ids = [
            choice.utterance_id
            for choice in choose_next(
                waiting, count=size, heard=heard, strategy="hybrid", seed=seed
            )
        ]
    else:
        name = strategy if heard or strategy in SPREADING else "random"
        ids = [
            r.candidate.utterance_id
            for r in rank(waiting, strategy=name, count=size, heard=heard, seed=seed)[:size]
        ]
    rows = {utterance_id: row for row, utterance_id in enumerate(fold.pool_ids)}
    return np.array([rows[utterance_id] for utterance_id in ids])


Scores = Mapping[str, list[ArmScore]]
"""Strategy -> its scores; `arm` is "random" for random and "active" for the others."""


def play_all(
    corpus: CachedFeatures,
    splits: Sequence[Sequence[str]],
    plan: Plan,
    *,
    said: str,
) -> Scores:
    """Every strategy on every split and seed."""
    scores: dict[str, list[ArmScore]] = {name: [] for name in STRATEGIES}
    for number, held_out in enumerate(splits, start=1):
        fold = fold_corpus(corpus, held_out)
        for name in STRATEGIES:
            for seed in range(plan.num_seeds):
                for num_labels, uar in play(fold, name, plan, seed=seed):
                    arm: Arm = "random" if name == "random" else "active"
                    scores[name].append(
                        ArmScore(
                            arm=arm,
                            num_labels=num_labels,
                            score=uar,
                            unit=f"{'+'.join(held_out)}/{seed}",
                        )
                    )
        print(
            f"{corpus.name}, {said}: split {number} of {len(splits)} done",
            file=sys.stderr,
            flush=True,
        )
    return scores


def summarise(scores: Scores) -> dict[str, LabelsSaved]:
    """Labels saved by every strategy but random."""
    return {
        name: labels_saved([*rows, *scores["random"]])
        for name, rows in scores.items()
        if name != "random"
    }


def mean_curve(
    rows: Sequence[ArmScore], *, num_draws: int = 2000
) -> tuple[Floats, Floats, Floats, Floats]:
    """Labels, mean score, and the 95 % bootstrap interval over units, each (num_rounds,)."""
    units = sorted({row.unit for row in rows})
    rounds = sorted({row.num_labels for row in rows})
    table = np.zeros((len(units), len(rounds)))
    for row in rows:
        table[units.index(row.unit), rounds.index(row.num_labels)] = row.score
    shape = (num_draws, len(units))
    draws = np.random.default_rng(0).integers(len(units), size=shape)
    low, high = np.percentile(
        table[draws].mean(axis=1),
        [2.5, 97.5],
        axis=0,
    )
    return np.array(rounds, dtype=float), table.mean(axis=0), low, high


def print_table(
    name: str,
    scores: Scores,
    saved: Mapping[str, LabelsSaved],
    *,
    ceiling: float,
    pool: int,
) -> None:
    """One line a strategy.

    Args:
        ceiling: UAR with the whole pool labelled.
    """
    units = len({row.unit for row in scores["random"]})
    last = mean_curve(scores["random"])
    print(
        f"\n{name}, {units} runs (splits x seeds); random's score at {last[0][-1]:.0f} "
        f"labels: UAR {last[1][-1]:.3f};",
        end=" ",
    )
    print(f"at all {pool}: {ceiling:.3f}")
    print(
        f"  {'strategy':<24} {'labels for it':>13}   {'random':>6}   {'saved':>6}   95 %     "
        "          UAR at the end   mean UAR"
    )
    for strategy, rows in scores.items():
        _, mean, low, high = mean_curve(rows)
        end = f"{mean[-1]:.3f} [{low[-1]:.3f}, {high[-1]:.3f}]  {mean.mean():.3f}"
        if strategy == "random":
            print(f"  {strategy:<24} {'':>13}   {'':>6}   {'':>6}   {'':<17}  {end}")
            continue
        s = saved[strategy]
        low_share, high_share = s.interval or (float("nan"), float("nan"))
        interval = f"[{low_share:6.1%}, {high_share:6.1%}]"
        print(
            f"  {strategy:<24} {s.active_labels:13.0f}   {s.random_labels:6.0f}   "
            f"{s.share:6.1%}   {interval:<17}  {end}"
        )


def draw_curves(path: Path, figures: Mapping[str, Scores]) -> None:
    """Learning curves with their intervals, one panel a corpus."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    colours = dict(
        zip(
            STRATEGIES,
            (
                "#555555",
                "#b07aa1",
                "#f28e2b",
                "#9c755f",
                "#76b7b2",
                "#59a14f",
                "#d62728",
                "#ff9da7",
            ),
            strict=True,
        )
    )
    figure, panels = plt.subplots(
        1,
        len(figures),
        figsize=(7 * len(figures), 5),
        squeeze=False,
        layout="constrained",
    )
    for panel, (title, scores) in zip(panels[0], figures.items(), strict=True):
        for name, rows in scores.items():
            num_labels, mean, low, high = mean_curve(rows)
            strong = name in ("random", "hybrid")
            panel.plot(
                num_labels,
                mean,
                color=colours[name],
                label=name,
                linewidth=2.4 if strong else 1.2,
            )
            if strong:
                panel.fill_between(
                    num_labels,
                    low,
                    high,
                    color=colours[name],
                    alpha=0.15,
                    linewidth=0,
                )
        end = mean_curve(scores["random"])[1][-1]
        panel.axhline(
            end,
            color="#555555",
            linestyle=":",
            linewidth=1,
        )
        panel.set(
            title=f"{title}: held-out voices",
            xlabel="labels",
            ylabel="UAR",
        )
        panel.grid(alpha=0.25)
    panels[0][0].legend(loc="lower right", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> int:
    """Choose on one half of the held-out voices, report on the other; fail unless the chosen one
    beats random and margin alone.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--features",
        type=Path,
        default=FEATURES,
        help="folder of feature files; computed when missing",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=6,
        help="repetitions a split (FSDD, with fewer splits: twice as many)",
    )
    parser.add_argument("--picture", type=Path, default=OUT / "active_learning.png")
    options = parser.parse_args()
    began = monotonic()
    cached = [cached_features(name, folder=options.features) for name in ("ravdess", "fsdd")]
    corpora = [corpus for corpus in cached if corpus is not None]
    if not corpora:
        return 0
    plans = {c.name: plan_corpus(c, num_seeds=options.seeds) for c in corpora}
    rehearsals = {
        c.name: summarise(play_all(c, plans[c.name].choosing, plans[c.name], said="choosing"))
        for c in corpora
    }
    shares = {}
    for name in STRATEGIES:
        if name != "random":
            shares[name] = float(np.mean([saved[name].share for saved in rehearsals.values()]))
    best = max((name for name in shares if name != WITH_CONTROL), key=lambda name: shares[name])
    print(
        "Half that chooses, labels saved on average: "
        + ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    )
    print(f"Chosen: {best}. The other half, whose held-out voices took no part in that:")
    figures, beaten = {}, []
    for corpus in corpora:
        scores = play_all(
            corpus,
            plans[corpus.name].reporting,
            plans[corpus.name],
            said="reporting",
        )
        saved = summarise(scores)
        folds = [fold_corpus(corpus, held_out) for held_out in plans[corpus.name].reporting]
        ceilings = []
        for fold in folds:
            everything = np.ones(len(fold.pool), dtype=bool)
            _, score = learn(fold, everything)
            ceilings.append(score)
        ceiling = float(np.mean(ceilings))
        print_table(
            corpus.name.upper(),
            scores,
            saved,
            ceiling=ceiling,
            pool=len(folds[0].pool),
        )
        if best != "margin":
            alone = labels_saved(
                [*scores[best], *(replace(row, arm="random") for row in scores["margin"])]
            )
            low, high = alone.interval or (float("nan"), float("nan"))
            print(
                f"  {best} instead of margin alone, up to UAR {alone.score:.3f}: "
                f"{alone.share:.1%} of labels saved [{low:.1%}, {high:.1%}]"
            )
        figures[corpus.name.upper()] = scores
        low, _ = saved[best].interval or (float("nan"), float("nan"))
        beaten.append(low > 0 and saved[best].share >= saved["margin"].share)
    draw_curves(options.picture, figures)
    print(
        f"\nCurves: {options.picture}. {monotonic() - began:.0f} s. Repeat: "
        "VOXDATA_CORPORA=... python -m benchmarks.active_learning"
    )
    return 0 if all(beaten) else 1


if __name__ == "__main__":
    sys.exit(main())
