import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxdata.audit.findings import (
    SCHEMA,
    Audit,
    Finding,
    Severity,
    limit_evidence,
    name_split,
    sort_findings,
)
from voxdata.audit.groups import (
    find_conflicting_copies,
    find_imbalance,
    find_labels_in_names,
    find_overlaps,
    find_shared,
    find_shared_phrases,
    judge_speakers,
)
from voxdata.audit.predictors import encode_codes, group_purity, predict_across, predict_within
from voxdata.dataset import Split


def table(rows: list[dict[str, object]]) -> pl.DataFrame:
    full = [{"row": i, "audio": f"{i}.wav", **row} for i, row in enumerate(rows, start=2)]
    columns = {}
    for name in SCHEMA:
        columns[name] = [row.get(name) for row in full]
    return pl.DataFrame(columns, schema=dict(SCHEMA), strict=False)


def corpus(
    *,
    num_speakers: int,
    per_speaker: int,
    faithful: float,
    disjoint: bool,
    seed: int = 0,
) -> pl.DataFrame:
    """Each speaker says its own label with probability `faithful`, else any."""
    draws = np.random.default_rng(seed)
    rows: list[dict[str, object]] = []
    for speaker in range(num_speakers):
        for _ in range(per_speaker):
            label = speaker % 4 if draws.random() < faithful else int(draws.integers(4))
            test = speaker >= num_speakers * 3 // 4 if disjoint else draws.random() < 0.25
            rows.append(
                {
                    "label": f"L{label}",
                    "speaker": f"s{speaker}",
                    "split": "test" if test else "train",
                }
            )
    return table(rows)


def of_check(findings: list[Finding], check: str) -> list[Finding]:
    return [finding for finding in findings if finding.check == check]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Dev", Split.VALIDATION),
        (" eval ", Split.TEST),
        ("训练集", Split.TRAIN),
        ("fold3", None),
    ],
)
def test_name_split_knows_what_people_write(name: str, split: Split | None) -> None:
    assert name_split(name) is split


def test_verdict_is_leak_when_any_finding_is() -> None:
    note = Finding(
        check="a",
        severity=Severity.NOTE,
        title="",
        remedy="",
    )
    leak = Finding(
        check="b",
        severity=Severity.LEAK,
        title="",
        remedy="",
    )
    audit = Audit(
        name="x",
        num_rows={},
        findings=sort_findings([note, leak]),
        checks={},
    )
    assert audit.findings[0] is leak
    assert audit.has_leak
    assert audit.verdict == "leak found: 1, with 1 note"
    assert Audit(name="x", num_rows={}, findings=[note], checks={}).verdict == "clean, with 1 note"


def test_limit_evidence_keeps_the_first() -> None:
    evidence = limit_evidence([{"i": i} for i in range(99)])
    assert [row["i"] for row in evidence] == list(range(25))


def test_find_shared_names_the_speakers_of_two_splits() -> None:
    frame = table(
        [
            {"label": "a", "speaker": "李", "split": "train"},
            {"label": "a", "speaker": "李", "split": "test"},
            {"label": "b", "speaker": "b", "split": "test"},
            {"label": "b", "speaker": None, "split": "train"},
        ]
    )
    findings = find_shared(
        frame,
        "speaker",
        check="speakers",
        what="speakers",
        remedy="",
    )
    assert findings is not None
    assert findings.severity is Severity.LEAK
    assert findings.count == 1
    assert findings.evidence[0]["speaker"] == "李"
    assert findings.evidence[0]["train"] == 1
    assert findings.evidence[0]["test"] == 1


def test_find_shared_takes_missing_speakers_for_nobody() -> None:
    frame = table(
        [
            {"label": "a", "split": "train"},
            {"label": "a", "split": "test"},
        ]
    )
    assert find_shared(frame, "speaker", check="speakers", what="speakers", remedy="") is None


def test_judge_speakers_calls_it_a_leak_where_the_speaker_gives_96_percent_of_labels_away() -> None:
    frame = corpus(
        num_speakers=40,
        per_speaker=30,
        faithful=0.947,
        disjoint=False,
    )
    _, findings = judge_speakers(
        frame,
        column="speaker",
        what="speaker",
        seed=0,
    )
    (finding,) = of_check(findings, "speaker_gives_label")
    assert finding.severity is Severity.LEAK
    assert finding.statistics[0].value == pytest.approx(0.96, abs=0.02)


def test_judge_speakers_calls_it_a_leak_with_two_speakers_of_one_label_each() -> None:
    rows: list[dict[str, object]] = [
        {"label": "ab"[i % 2], "speaker": "xy"[i % 2], "split": "test" if i % 4 > 1 else "train"}
        for i in range(40)
    ]
    _, (finding,) = judge_speakers(
        table(rows),
        column="speaker",
        what="speaker",
        seed=0,
    )
    assert finding.severity is Severity.LEAK


def test_judge_speakers_warns_where_no_speaker_is_shared_but_each_has_its_label() -> None:
    _, findings = judge_speakers(
        corpus(num_speakers=40, per_speaker=30, faithful=0.96, disjoint=True),
        column="speaker",
        what="speaker",
        seed=0,
    )
    (finding,) = findings
    assert finding.severity is Severity.WARNING


@pytest.mark.parametrize("disjoint", [True, False])
def test_judge_speakers_is_silent_where_speakers_say_everything(disjoint: bool) -> None:
    for seed in range(5):
        frame = corpus(
            num_speakers=16,
            per_speaker=60,
            faithful=0.0,
            disjoint=disjoint,
            seed=seed,
        )
        assert judge_speakers(frame, column="speaker", what="speaker", seed=seed)[1] == []


def test_predict_across_is_none_without_a_shared_group() -> None:
    groups = encode_codes(["a", "a", "b"])
    labels = encode_codes(["x", "y", "x"])
    assert predict_across(groups, labels, np.array([True, True, False]), name="", seed=0) is None


def test_predict_across_falls_back_to_the_most_common_label_for_new_groups() -> None:
    groups = encode_codes(["a", "a", "a", "b", "a", "c"])
    labels = encode_codes(["x", "x", "x", "y", "x", "x"])
    prediction = predict_across(
        groups,
        labels,
        np.array([True, True, True, True, False, False]),
        name="",
        seed=0,
    )
    assert prediction is not None
    assert prediction.value == 1.0
    assert prediction.baseline == 1.0
    assert prediction.num_rows == 2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 3)),
        min_size=4,
        max_size=40,
    )
)
def test_predict_within_equals_leaving_each_row_out_by_hand(pairs: list[tuple[int, int]]) -> None:
    groups = np.array([g for g, _ in pairs])
    labels = np.array([label for _, label in pairs])
    prediction = predict_within(
        groups,
        labels,
        name="",
        seed=0,
        num_permutations=1,
    )
    judged = [i for i in range(len(pairs)) if (groups == groups[i]).sum() > 1]
    if len({int(groups[i]) for i in judged}) < 2:
        assert prediction is None
        return
    right = 0.0
    for i in judged:
        counts = np.bincount(np.delete(labels, i)[np.delete(groups, i) == groups[i]], minlength=4)
        right += (
            0.0
            if counts[labels[i]] < counts.max() or counts[labels[i]] == 0
            else (0.5 if (counts == counts.max()).sum() > 1 else 1.0)
        )
    assert prediction is not None
    assert prediction.value == pytest.approx(right / len(judged), abs=1e-4)


def test_group_purity_is_the_share_of_the_most_common_label() -> None:
    assert group_purity(np.array([0, 0, 0, 2]), np.array([1, 1, 0, 0])).tolist() == pytest.approx(
        [2 / 3, np.nan, 1.0],
        nan_ok=True,
    )


def phrases(*, telling: bool) -> pl.DataFrame:
    rows: list[dict[str, object]] = []
    for i in range(200):
        phrase = i % 8
        label = (i % 8 if telling else i // 8 % 4) % 4
        rows.append(
            {
                "label": f"L{label}",
                "split": "test" if i % 5 == 0 else "train",
                "text": f"我想第{'一二三四五六七八'[phrase]}个退款。",
            }
        )
    return table(rows)


def test_find_shared_phrases_is_a_leak_where_the_words_tell_the_label() -> None:
    _, (finding,) = find_shared_phrases(phrases(telling=True), seed=0)
    assert finding.severity is Severity.LEAK
    assert finding.count == 8


def test_find_shared_phrases_is_a_note_where_all_labels_say_the_same_words() -> None:
    _, (finding,) = find_shared_phrases(phrases(telling=False), seed=0)
    assert finding.severity is Severity.NOTE


def test_find_overlaps_names_stretches_of_a_file_in_two_splits() -> None:
    base = {"audio": "a.wav", "label": "x"}
    apart = [
        {**base, "split": "train", "start_s": 0, "end_s": 2},
        {**base, "split": "test", "start_s": 2, "end_s": 4},
    ]
    assert find_overlaps(table(apart)) is None
    findings = find_overlaps(
        table([*apart, {**base, "split": "test", "start_s": 1.5, "end_s": 2.5}])
    )
    assert findings is not None
    assert findings.count == 1
    assert findings.severity == Severity.LEAK
    assert findings.evidence[0]["row"] == 2
    assert findings.evidence[0]["other row"] == 4


def test_find_overlaps_takes_a_row_without_times_for_the_whole_file() -> None:
    rows: list[dict[str, object]] = [
        {"audio": "a.wav", "label": "x", "split": "train"},
        {"audio": "a.wav", "label": "x", "split": "test", "start_s": 9},
    ]
    findings = find_overlaps(table(rows))
    assert findings is not None
    assert findings.count == 1


def test_find_imbalance_names_a_label_that_training_lacks() -> None:
    rows: list[dict[str, object]] = [
        {"label": "a", "split": s} for s in ["train"] * 20 + ["test"] * 5
    ] + [{"label": "b", "split": "test"}]
    findings = find_imbalance(table(rows))
    assert {f.check for f in findings} == {"missing_labels", "imbalance"}
    assert findings[0].evidence == [{"label": "b", "train": 0, "test": 1}]


def test_find_labels_in_names_wants_whole_words() -> None:
    said: list[dict[str, object]] = [
        {"audio": f"angry_{i:03d}.wav", "label": "angry", "split": "train"} for i in range(10)
    ]
    part: list[dict[str, object]] = [
        {"audio": f"cat{i}.wav", "label": "at", "split": "train"} for i in range(10)
    ]
    assert find_labels_in_names(table(said)) is not None
    assert find_labels_in_names(table(part)) is None


def test_find_conflicting_copies_names_the_labels() -> None:
    frame = table(
        [
            {"label": "a", "split": "train"},
            {"label": "b", "split": "test"},
            {"label": "b", "split": "test"},
        ]
    )
    findings = find_conflicting_copies(frame, ["k", "k", None])
    assert findings is not None
    assert findings.evidence == [{"rows": "2 3", "labels": "a, b"}]
    assert find_conflicting_copies(frame, [None, "k", "k"]) is None
