"""What to hear next: strategies, quotas, and a control arm that stays random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.acquire import MIN_RANDOM_SHARE, Choice, Quota, choose_next, fair_sample
from annotation.candidate import Arm, Candidate, doubt, entropy
from annotation.coverage import (
    compact_embeddings,
    select_badge,
    select_core_set,
    select_diverse,
    select_typical,
)
from annotation.savings import ArmScore, labels_saved
from annotation.strategies import STRATEGIES, rank
from voxdata.errors import ConfigError

LABELS = ("生气", "calm", "sad")


def candidates(
    count: int,
    *,
    seed: int = 0,
    predicted: bool = True,
    embedded: bool = True,
    start: int = 0,
) -> list[Candidate]:
    draws = np.random.default_rng(seed)
    shares = draws.dirichlet(np.ones(len(LABELS)), size=count)
    vectors = draws.normal(size=(count, 6)).astype(np.float32)
    return [
        Candidate(
            utterance_id=f"u{start + i:04}",
            duration_ms=1000 + 10 * i,
            language="zh" if i % 5 == 0 else "en",
            distributions={"emotion": dict(zip(LABELS, shares[i].tolist(), strict=True))}
            if predicted
            else {},
            embedding=vectors[i] if embedded else None,
        )
        for i in range(count)
    ]


def ids(choices: Sequence[Choice], arm: str | None = None) -> list[str]:
    return [c.utterance_id for c in choices if arm in (None, c.arm)]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_choose_next_gives_each_clip_once_first_to_hear_first(strategy: str) -> None:
    pool = candidates(60)
    chosen = choose_next(
        pool,
        strategy=strategy,
        count=20,
        heard=candidates(10, seed=9, start=500),
        seed=3,
    )
    assert len(set(ids(chosen))) == 20
    assert set(ids(chosen)) <= {c.utterance_id for c in pool}
    assert chosen[0].score == 1.0
    scores = [c.score for c in chosen]
    assert scores == sorted({c.score for c in chosen}, reverse=True)
    assert min(c.score for c in chosen) > 0


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_choose_next_is_the_same_whatever_the_order_of_candidates(strategy: str) -> None:
    pool = candidates(60)
    heard = candidates(10, seed=9, start=500)
    one = choose_next(
        pool,
        strategy=strategy,
        count=15,
        heard=heard,
        seed=3,
    )
    assert ids(choose_next(pool[::-1], strategy=strategy, count=15, heard=heard, seed=3)) == ids(
        one
    )


@given(
    count=st.integers(1, 80),
    share=st.floats(MIN_RANDOM_SHARE, 1),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_choose_next_always_has_its_random_share(count: int, share: float, seed: int) -> None:
    chosen = choose_next(
        candidates(50),
        strategy="margin",
        count=count,
        random_share=share,
        seed=seed,
    )
    assert len(chosen) == min(count, 50)
    wanted = share * len(chosen)
    assert wanted - 1e-6 <= len(ids(chosen, "random")) < wanted + 1


def test_choose_next_refuses_to_turn_the_control_arm_off() -> None:
    with pytest.raises(ConfigError, match="never turned off"):
        choose_next(
            candidates(5),
            strategy="margin",
            count=2,
            random_share=0.0,
        )


def test_choose_next_draws_the_control_arm_without_looking() -> None:
    sharp = [
        replace(c, distributions={"emotion": {"sad": 1.0}}) if i % 2 else c
        for i, c in enumerate(candidates(2000))
    ]
    drawn = ids(
        choose_next(sharp, strategy="margin", count=1000, random_share=0.4, seed=1),
        "random",
    )
    certain = sum(int(utterance_id[1:]) % 2 for utterance_id in drawn)
    assert 160 < certain < 240  # 200 expected of 400, standard deviation 9
    assert drawn == ids(
        choose_next(candidates(2000), strategy="entropy", count=1000, random_share=0.4, seed=1),
        "random",
    )
    assert drawn != ids(
        choose_next(sharp, strategy="margin", count=1000, random_share=0.4, seed=2),
        "random",
    )


def test_choose_next_spreads_the_control_arm_over_the_batch() -> None:
    chosen = choose_next(
        candidates(400),
        strategy="margin",
        count=200,
        random_share=0.2,
        seed=0,
    )
    places = [i for i, choice in enumerate(chosen) if choice.arm == "random"]
    early = [place for place in places if place < 100]
    assert len(early) in range(10, 31)


def test_fair_sample_is_random_although_the_strategy_chose_most() -> None:
    pool = [
        replace(
            c,
            distributions={
                "emotion": {"sad": 0.9, "calm": 0.1} if i % 2 else {"sad": 0.5, "calm": 0.5}
            },
        )
        for i, c in enumerate(candidates(1200))
    ]
    heard: list[Candidate] = []
    for _ in range(5):
        taken = set(
            ids(
                choose_next(
                    pool,
                    strategy="margin",
                    count=120,
                    heard=heard,
                    random_share=0.3,
                    seed=4,
                )
            )
        )
        heard += [c for c in pool if c.utterance_id in taken]
        pool = [c for c in pool if c.utterance_id not in taken]
    fair = fair_sample(
        [c.utterance_id for c in heard],
        [c.utterance_id for c in pool],
        seed=4,
    )
    numbers = [int(utterance_id[1:]) for utterance_id in fair]
    easy = sum(number % 2 for number in numbers) / len(fair)
    assert len(fair) > 5 * 36  # the arm's own and those the strategy had taken in passing
    assert 0.4 < easy < 0.6
    numbers = [int(c.utterance_id[1:]) for c in heard]
    assert sum(number % 2 for number in numbers) / len(heard) < 0.35


def test_choose_next_fills_language_and_label_quotas() -> None:
    pool = candidates(200)
    quotas = [
        Quota(share=0.5, language="zh"),
        Quota(share=0.4, scheme="emotion", label="生气"),
    ]
    chosen = choose_next(
        pool,
        strategy="margin",
        count=40,
        quotas=quotas,
        seed=0,
    )
    assert len(chosen) == 40
    for q in quotas:
        assert sum(q.admits(c.candidate) for c in chosen) >= q.share * 40
    plain = choose_next(
        pool,
        strategy="margin",
        count=40,
        seed=0,
    )
    assert sum(quotas[0].admits(c.candidate) for c in plain) < 20
    assert any("quota language zh" in c.reason for c in chosen)
    assert ids(plain, "random") == ids(chosen, "random")


def test_choose_next_counts_the_control_arm_towards_a_quota() -> None:
    pool = candidates(200)
    chosen = choose_next(
        pool,
        strategy="margin",
        count=40,
        random_share=0.5,
        quotas=[Quota(share=0.5, language="zh")],
    )
    drawn = [c for c in chosen if c.arm == "random" and c.candidate.language == "zh"]
    assert drawn
    assert sum(c.candidate.language == "zh" for c in chosen) == 20


def test_choose_next_fills_a_quota_as_far_as_it_goes() -> None:
    languages = ["yue"] * 2 + ["en"] * 48
    pool = [
        replace(candidate, language=language)
        for candidate, language in zip(candidates(50), languages, strict=True)
    ]
    chosen = choose_next(
        pool,
        strategy="margin",
        count=20,
        quotas=[Quota(share=0.5, language="yue")],
    )
    languages = Counter(c.candidate.language for c in chosen)
    assert languages == {"yue": 2, "en": 18}


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        (Quota(share=1.5, language="zh"), "share is more than 0"),
        (Quota(share=0.5), "names a language, or"),
        (Quota(share=0.5, scheme="emotion"), "names a language, or"),
        (
            Quota(
                share=0.5,
                language="zh",
                scheme="emotion",
                label="sad",
            ),
            "names a language, or",
        ),
    ],
)
def test_choose_next_refuses_a_quota_that_makes_no_sense(quota: Quota, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_next(candidates(5), count=2, quotas=[quota])


def test_choose_next_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError, match=r"no acquisition strategy 'magic'.*hybrid"):
        choose_next(candidates(5), strategy="magic", count=2)
    with pytest.raises(ConfigError, match="utterance u0001 is a candidate twice"):
        choose_next(
            [*candidates(5), candidates(2)[1]],
            strategy="margin",
            count=2,
        )
    with pytest.raises(ConfigError, match="0 clips cannot be chosen"):
        choose_next(candidates(5), strategy="margin", count=0)
    pool = candidates(5, embedded=False)
    with pytest.raises(ConfigError, match="needs an embedding of utterance u000"):
        choose_next(pool, strategy="typiclust", count=2)
    nothing: list[dict[str, dict[str, float]]] = [{}, {"emotion": {}}]
    for none in nothing:
        with pytest.raises(ConfigError, match="needs predictions and there are none"):
            choose_next(
                [replace(c, distributions=none) for c in candidates(5)],
                strategy="badge",
                count=2,
            )
    mixed = [
        replace(c, embedding=np.zeros(3, np.float32)) if i == 0 else c
        for i, c in enumerate(candidates(5))
    ]
    with pytest.raises(ConfigError, match="different encoders"):
        choose_next(mixed, strategy="coverage", count=3)


def test_choose_next_of_nothing_is_nothing() -> None:
    assert choose_next([], count=5) == []


def test_hybrid_starts_by_spreading_and_goes_on_by_doubt() -> None:
    pool = candidates(60)
    assert rank(pool, strategy="hybrid", count=10)[0].reason.startswith("typiclust")
    assert rank(pool, strategy="hybrid", count=10, heard=candidates(6, seed=9, start=500))[
        0
    ].reason.startswith("hybrid")


def test_hybrid_does_with_what_there_is() -> None:
    pool = candidates(20, predicted=False)
    ranked = rank(pool, strategy="hybrid", count=5)
    assert ranked[0].reason == "typiclust: no prediction"
    assert rank(candidates(20, embedded=False), strategy="hybrid", count=5)[0].reason.startswith(
        "margin: doubt"
    )
    pool = candidates(20, embedded=False, predicted=False)
    ranked = rank(pool, strategy="hybrid", count=5)
    assert ranked[0].reason == "random"


def test_hybrid_starts_cold_when_what_was_heard_has_no_embedding() -> None:
    heard = candidates(
        3,
        seed=9,
        embedded=False,
        start=500,
    )
    assert rank(candidates(60), strategy="hybrid", count=10, heard=heard)[0].reason.startswith(
        "typiclust"
    )


def test_margin_and_entropy_put_the_most_doubtful_first() -> None:
    pool = candidates(30)
    assert [r.candidate for r in rank(pool, strategy="margin", count=5)] == sorted(
        pool, key=doubt, reverse=True
    )
    assert [r.candidate for r in rank(pool, strategy="entropy", count=5)] == sorted(
        pool, key=entropy, reverse=True
    )


def test_doubt_is_the_mean_over_schemes_and_full_without_a_prediction() -> None:
    both = Candidate(
        utterance_id="u",
        duration_ms=1,
        distributions={"emotion": {"sad": 1.0}, "intent": {"refund": 0.5, "other": 0.5}},
    )
    assert doubt(both) == pytest.approx(0.5)
    assert entropy(both) == pytest.approx(0.5)
    assert (
        doubt(Candidate(utterance_id="u", duration_ms=1))
        == entropy(Candidate(utterance_id="u", duration_ms=1))
        == 1.0
    )


def test_badge_takes_several_schemes_and_candidates_without_a_prediction() -> None:
    pool = [
        replace(
            c,
            distributions={**c.distributions, "intent": {"refund": 0.3, "other": 0.7}}
            if i % 2
            else {},
        )
        for i, c in enumerate(candidates(40))
    ]
    utterance_ids = {r.candidate.utterance_id for r in rank(pool, strategy="badge", count=12)[:12]}
    assert len(utterance_ids) == 12


@pytest.mark.parametrize("seed", range(5))
def test_badge_serves_every_scheme_in_turn(seed: int) -> None:
    sure = {"x": 1.0, "y": 0.0}
    unsure = {"x": 0.5, "y": 0.5}
    pool = [
        replace(
            c,
            distributions={
                "emotion": unsure if i < 10 else sure,
                "intent": sure if i < 10 else unsure,
            },
        )
        for i, c in enumerate(candidates(20))
    ]
    halves = {
        int(r.candidate.utterance_id[1:]) // 10
        for r in rank(pool, strategy="badge", count=2, seed=seed)[:2]
    }
    assert halves == {0, 1}


def clusters(num: int, each: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    points = []
    for i, centre in enumerate(np.eye(num)):
        noise = np.random.default_rng(i).normal(0, 0.02, (each, num))
        points.append(noise + centre)
    return np.concatenate(points)


def test_select_typical_and_core_set_visit_every_cluster() -> None:
    points = clusters(6, 15)
    for select in (select_typical, select_core_set):
        rows = select(
            points,
            np.zeros((0, 6)),
            count=6,
            seed=0,
        )
        assert sorted(row // 15 for row in rows) == list(range(6)), select.__name__


def test_select_typical_and_core_set_leave_clusters_that_were_heard() -> None:
    points = clusters(6, 15)
    for select in (select_typical, select_core_set):
        rows = select(
            points[30:],
            points[:30:15],
            count=4,
            seed=0,
        )
        assert sorted(row // 15 for row in rows) == list(range(4)), select.__name__


def test_selections_survive_equal_embeddings_and_too_small_pools() -> None:
    same = np.ones((8, 4))
    doubts = np.linspace(0, 1, 8)
    samples = np.zeros((0, 4))
    selected = select_typical(same, samples, count=3, seed=0)
    assert len(selected) == 1
    selected = select_typical(
        same,
        same[:2],
        count=3,
        seed=0,
    )
    assert selected == []
    selected = select_core_set(
        same[:0],
        same,
        count=3,
        seed=0,
    )
    assert selected == []
    selected = select_diverse(same, doubts, count=3, seed=0)
    assert selected == [7, 6, 5]
    selected = select_diverse(
        same[:2],
        doubts[:2],
        count=3,
        seed=0,
    )
    assert selected == [1, 0]
    unsure = np.full((2, 3), 1 / 3)
    assert set(select_badge(same[:2], unsure, count=5, seed=0)) == {0, 1}


def test_select_diverse_takes_the_most_doubtful_of_each_cluster() -> None:
    points = clusters(4, 5)
    by_place = np.array([0.9, 0.8, 0.7, 0.6, 0.5] * 4)
    doubts = by_place - np.repeat([0.0, 0.01, 0.02, 0.03], 5)
    selected = select_diverse(points, doubts, count=4, seed=0)
    assert selected == [0, 5, 10, 15]


def test_compact_embeddings_is_not_ruled_by_one_large_feature() -> None:
    draws = np.random.default_rng(0)
    sides = np.repeat([-1.0, 1.0], 50)
    large = 1e6 * draws.normal(size=100)
    small = [sides + 0.1 * draws.normal(size=100) for _ in range(9)]
    features = np.column_stack([large, *small])
    compact = compact_embeddings(features, num_dimensions=1)
    assert compact.shape == (100, 1)
    correlation = np.corrcoef(compact[:, 0], sides)[0, 1]
    assert abs(correlation) > 0.99


def test_rank_compacts_wide_embeddings() -> None:
    draws = np.random.default_rng(0)
    wide = []
    for candidate in candidates(30):
        embedding = draws.normal(size=400).astype(np.float32)
        wide.append(replace(candidate, embedding=embedding))
    ranked = rank(wide, strategy="typiclust", count=5)
    assert len(ranked) == 30


def curve(
    arm: Arm,
    scores: Sequence[float],
    *,
    unit: str = "a",
) -> list[ArmScore]:
    """Scores at 100, 200, ... labels."""
    return [
        ArmScore(
            arm=arm,
            num_labels=100 * place,
            score=score,
            unit=unit,
        )
        for place, score in enumerate(scores, start=1)
    ]


def test_labels_saved_compares_at_the_score_both_reach() -> None:
    saved = labels_saved(
        [*curve("active", [0.5, 0.7, 0.8]), *curve("random", [0.4, 0.5, 0.6, 0.7])]
    )
    assert saved.score == pytest.approx(0.7)
    assert saved.active_labels == pytest.approx(200)
    assert saved.random_labels == pytest.approx(400)
    assert saved.share == pytest.approx(0.5)
    assert saved.interval is None


def test_labels_saved_is_negative_when_choosing_costs() -> None:
    active = curve("active", [0.4, 0.5, 0.6])
    random = curve("random", [0.5, 0.6, 0.7])
    saved = labels_saved([*active, *random])
    assert saved.score == pytest.approx(0.6)
    assert saved.share == pytest.approx(1 - 300 / 200)


def test_labels_saved_does_not_take_one_lucky_round_for_an_arrival() -> None:
    lucky = labels_saved(
        [
            *curve("active", [0.5, 0.9, 0.5, 0.5, 0.7, 0.8]),
            *curve("random", [0.4, 0.5, 0.6, 0.65, 0.7, 0.75]),
        ]
    )
    assert lucky.active_labels > 500


def test_labels_saved_brackets_the_true_saving() -> None:
    draws = np.random.default_rng(0)
    rows = []
    for unit in range(20):
        noise = draws.normal(0, 0.02)
        for n in range(50, 1001, 50):
            rows.append(
                ArmScore(
                    arm="random",
                    num_labels=n,
                    score=1 - n**-0.3 + noise + draws.normal(0, 0.003),
                    unit=str(unit),
                )
            )
            rows.append(
                ArmScore(
                    arm="active",
                    num_labels=n,
                    score=1 - (n / 0.6) ** -0.3 + noise + draws.normal(0, 0.003),
                    unit=str(unit),
                )
            )
    saved = labels_saved(rows)
    assert saved.interval is not None
    assert saved.interval[0] <= 0.4 <= saved.interval[1]
    assert saved.interval[1] - saved.interval[0] < 0.15
    assert saved.num_units == 20


def test_labels_saved_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="random arm has 0 round"):
        labels_saved(curve("active", [0.5, 0.6]))
    with pytest.raises(ConfigError, match="same units; only one has b"):
        labels_saved(
            [
                *curve("active", [0.5, 0.6]),
                *curve("random", [0.5, 0.6]),
                *curve("random", [0.5, 0.6], unit="b"),
            ]
        )
    with pytest.raises(ConfigError, match="unit b has no score of the active arm at 200 labels"):
        labels_saved(
            [
                *curve("active", [0.5, 0.6]),
                *curve("active", [0.5], unit="b"),
                *curve("random", [0.5, 0.6]),
            ]
        )


def test_quota_admits_no_clip_about_which_the_model_abstains() -> None:
    nothing = Candidate(
        utterance_id="u",
        duration_ms=900,
        distributions={"emotion": dict.fromkeys(LABELS, 1 / 3)},
    )
    assert [
        label for label in LABELS if Quota(share=0.1, scheme="emotion", label=label).admits(nothing)
    ] == []


def test_choose_next_says_that_the_model_abstains_and_gives_such_clips_full_doubt() -> None:
    nothing = Candidate(
        utterance_id="u",
        duration_ms=900,
        distributions={"emotion": dict.fromkeys(LABELS, 1 / 3)},
    )
    (ranked,) = rank([nothing], strategy="margin", count=1)
    assert doubt(nothing) == 1.0
    assert ranked.reason == "margin: the model abstains"
