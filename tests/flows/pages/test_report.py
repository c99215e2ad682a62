from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from flows.pages.plots import plot_balance, plot_waveform
from flows.pages.report import render_report, write_report
from flows.pages.report_content import ReportContent, Waveform, read_waveform
from flows.pages.report_figures import (
    acceptance_rows,
    annotator_rows,
    balance,
    divided,
    drop_groups,
    gold_labels,
    promotion_rows,
)
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import open_workspace
from tests.flows.results import make_result, make_scores
from training.judge.paired import Difference
from training.metrics import Interval
from training.result import Epoch, Incumbent, encode_result
from voxdata.canonical import write_canonical
from voxdata.dataset import Split
from voxdata.errors import DropReason
from voxdata.identity import ModelRef
from voxdata.label import Annotation, Prediction
from voxdata.remark import Remark, RemarkKind
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.testing.factories import make_example, make_recording, make_turn, make_utterance
from warehouse.ledger import LedgerRow
from warehouse.recordings import StoredRecording, add_recording
from warehouse.remarks import RemarkRow
from warehouse.runs import TrainingRun
from warehouse.status import Counts
from warehouse.versions import DatasetVersion

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>"
CHINESE = "退款 & 投诉"
RTL = "مرحبا بالعالم"
WEAK = ModelRef(
    name="words",
    revision="1",
    weak=True,
)
TRAINED = ModelRef(name="head", revision="2")
EMPTY = ReportContent(
    name="calls",
    created_at=NOON,
    schemes=(),
    recordings=(),
    turns={},
    waveforms={},
    utterances=(),
    predictions={},
    annotations=(),
    min_votes=1,
    drops=(),
    remarks=(),
    versions=(),
    examples=(),
    newest_diff=None,
    runs=(),
    models=(),
    simulated={},
    software={"voxdata": "0"},
    counts=Counts(
        sources=0,
        recordings=0,
        recording_minutes=0.0,
        utterances=0,
        utterance_minutes=0.0,
        predictions=0,
        pushed=0,
        annotations=0,
        annotators=0,
        drops={},
        remarks=0,
        versions=0,
        training_runs=0,
        promoted={},
    ),
)


def result(labels: list[str]) -> dict[str, object]:
    before = make_scores(
        uar=0.5,
        macro_f1=0.25,
        uar_interval=Interval(low=0.25, high=0.75),
        confusion=((1, 2), (0, 3)),
    )
    return encode_result(
        make_result(
            labels=tuple(labels),
            counts={"test": 6},
            voices={"test": 2},
            before=before,
            after=replace(before, uar=0.875),
            difference=Difference(uar=0.375, uar_interval=Interval(low=0.1, high=0.6)),
            warning="small sample: 6 test clips of 2 voices",
            curves=tuple(
                Epoch(
                    epoch=i,
                    train_loss=1 / i,
                    validation_loss=None,
                    validation_uar=i / 4,
                    learning_rate=0.001,
                )
                for i in (1, 2, 3)
            ),
            best_epoch=2,
            incumbent=Incumbent(
                name="words",
                key=WEAK.key,
                weak=True,
            ),
        )
    )


def vote(utterance_id: str, annotator: str, label: str) -> Annotation:
    return Annotation(
        annotation_id=1,
        project_id=1,
        utterance_id=utterance_id,
        annotator=annotator,
        labels={"s": (label,)},
        updated_at=NOON,
    )


def make_content(label: str = HOSTILE, other: str = CHINESE) -> ReportContent:
    recording = make_recording(0)
    texts = (HOSTILE, CHINESE, RTL, "long" * 5000)
    utterances = tuple(
        make_utterance(i * 2000, i * 2000 + 1500, text=text) for i, text in enumerate(texts)
    )
    ids = [u.utterance_id for u in utterances]
    answers = (
        (WEAK, [other] * 4),
        (TRAINED, [label, label, other, other]),
    )
    gold = make_example().gold["intent"]
    return replace(
        EMPTY,
        name=HOSTILE,
        schemes=(
            Scheme(
                name="s",
                version=1,
                labels=(
                    SchemeLabel(name=label),
                    SchemeLabel(name=other),
                ),
            ),
        ),
        recordings=(
            StoredRecording(
                recording=recording,
                audio_file="a.flac",
                uri=f"dir/{HOSTILE}.wav",
                created_at=NOON,
            ),
        ),
        turns={
            recording.recording_id: [make_turn(0, 4000), make_turn(3000, 8000, speaker=HOSTILE)]
        },
        waveforms={recording.recording_id: Waveform(peaks=((0.1, 0.9, 0.4),))},
        utterances=utterances,
        predictions={
            "s": {
                model.key: {
                    i: Prediction(utterance_id=i, scheme="s", distribution={said: 1.0}, model=model)
                    for i, said in zip(ids, labels, strict=True)
                }
                for model, labels in answers
            }
        },
        annotations=(
            *(vote(i, "ann@x", label) for i in ids),
            *(vote(i, "bot@x", label) for i in ids[:3]),
            vote(ids[3], "bot@x", other),
        ),
        examples=tuple(
            replace(
                make_example(n),
                utterance_id=i,
                gold={"s": replace(gold, label=label)},
                split=Split.TEST if n == 0 else Split.TRAIN,
            )
            for n, i in enumerate(ids)
        ),
        versions=(
            DatasetVersion(
                version_id="f" * 64,
                root="f" * 64,
                num_erased=0,
                name="calls",
                number=1,
                recipe={},
                num_examples=4,
                created_at=NOON,
                parent=None,
            ),
        ),
        drops=tuple(
            LedgerRow(
                stage="ingest",
                subject=f"{n}{HOSTILE}",
                reason=DropReason.EMPTY,
                detail=HOSTILE,
                recording_id=None,
                key="",
                value=None,
                threshold=None,
                created_at=NOON,
            )
            for n in range(6)
        ),
        remarks=(
            RemarkRow(
                remark=Remark(kind=RemarkKind.GAP, detail=HOSTILE, amount_ms=1),
                recording_id="r",
                stage="ingest",
                subject=HOSTILE,
                key="",
                created_at=NOON,
            ),
        ),
        runs=(
            TrainingRun(
                training_id="t" * 32,
                scheme="s",
                role="label:s",
                version_id="f" * 64,
                config_key="c",
                state="done",
                model_key=TRAINED.key,
                model_name=HOSTILE,
                checkpoint_dir="m",
                result=result([label, other]),
                promoted=True,
                reason=HOSTILE,
                seconds=3.0,
                created_at=NOON,
            ),
        ),
        models=(WEAK, TRAINED),
        simulated={"bot@x": 0.05},
    )


def test_render_report_escapes_everything_that_came_from_outside() -> None:
    page = render_report(make_content())
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "退款 &amp; 投诉" in page
    assert RTL in page
    assert "long" * 200 not in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


def test_render_report_shows_labels_with_dollars_as_they_are() -> None:
    page = render_report(make_content(label="$5$ off", other="a_b"))
    assert "$5$ off" in page[page.index("Class balance") : page.index("Agreement between")]


def test_render_report_shows_remarks_apart_from_drops() -> None:
    page = render_report(make_content())
    dropped = page.index("What was dropped, and why")
    assert dropped < page.index("What to know about what was kept") < page.rindex(">gap<")


def test_render_report_says_what_comes_next_when_empty() -> None:
    page = render_report(EMPTY)
    for command in ("ingest", "push", "release", "train"):
        assert f"voxdata {command}</code>" in page
    assert "Nothing was dropped." in page
    assert "What to know about what was kept" not in page
    assert "imulated" not in page


def test_render_report_names_simulated_annotators_and_small_samples() -> None:
    page = render_report(make_content())
    head = page[: page.index("<main>")]
    assert "bot@x (5 % errors)" in head
    assert "1 other annotator(s)" in head
    assert "6 test clips of 2 voices" in head


def test_render_report_is_deterministic() -> None:
    assert render_report(make_content()) == render_report(make_content())


def test_render_report_counts_voices_in_two_splits() -> None:
    content = make_content()
    assert "0 voices in two splits" in render_report(content)
    leaking = replace(content, examples=tuple(replace(e, voice="one") for e in content.examples))
    assert "1 voices in two splits" in render_report(leaking)
    assert "The split leaks: one." in render_report(leaking)


def test_render_report_copes_with_a_failed_run() -> None:
    content = make_content()
    failed = replace(
        content.runs[0],
        state="failed",
        result={},
        promoted=False,
        reason="one label only",
    )
    page = render_report(replace(content, runs=(failed,)))
    assert "one label only" in page
    assert '<span class="badge">failed</span>' in page


def test_acceptance_rows_compare_with_the_majority() -> None:
    content = make_content()
    rows = acceptance_rows(content, gold_labels(content))
    assert [(r["model"], r["accepted"], r["accepted, test split only"]) for r in rows] == [
        ("words", "0% (0 of 4)", "0% (0 of 1)"),
        ("head", "50% (2 of 4)", "100% (1 of 1)"),
    ]


def test_promotion_rows_compare_clips_that_both_models_labelled() -> None:
    content = make_content()
    rows = promotion_rows(content, gold_labels(content))
    assert [(r["clips"], r["proposal changed"], r["accepted after"]) for r in rows] == [
        ("all clips", "50% (2 of 4)", "50% (2 of 4)"),
        ("test split", "100% (1 of 1)", "100% (1 of 1)"),
    ]


def test_annotator_rows_mark_the_simulated() -> None:
    content = make_content()
    rows = annotator_rows(content, gold_labels(content))
    assert [(r["annotator"], r["kind"], r["s: with the majority"]) for r in rows] == [
        ("ann@x", "a person", "100% (4 of 4)"),
        ("bot@x", "SIMULATED, 5% errors", "75% (3 of 4)"),
    ]


def test_balance_keeps_labels_the_scheme_no_longer_has() -> None:
    assert balance([make_example(intent="old")], "intent", ["a"]) == {"a": {}, "old": {"train": 1}}


def test_divided_finds_what_is_in_two_splits() -> None:
    examples = [
        make_example(0, voice="v"),
        make_example(1, voice="v", split=Split.TEST),
        make_example(2),
    ]
    assert divided(examples, "voice") == ["v"]


def test_drop_groups_counts_and_caps() -> None:
    (group,) = drop_groups(make_content().drops)
    assert group["stage"] == "ingest"
    assert group["reason"] == "empty"
    assert group["count"] == 6
    assert group["more"] == 2


def test_plot_balance_has_text_and_follows_the_page_colour() -> None:
    svg = plot_balance(
        {CHINESE: {"train": 3}},
        splits=["train"],
        salt="a",
    )
    assert "退款 &amp; 投诉" in svg
    assert "currentColor" in svg
    assert svg.startswith("<svg")


def test_plot_waveform_draws_without_turns_or_peaks() -> None:
    assert "seconds" in plot_waveform((), (), duration_ms=0, salt="a")


def test_read_waveform_finds_the_peaks(tmp_path: Path) -> None:
    samples = np.zeros((160_000, 1), np.float32)
    samples[80_000] = 0.5
    write_canonical(tmp_path / "a.flac", samples)
    (peaks,) = read_waveform(tmp_path / "a.flac", make_recording()).peaks
    assert len(peaks) == 500
    assert {i: p for i, p in enumerate(peaks) if p} == {250: 0.5}


def test_read_waveform_says_why_there_is_none(tmp_path: Path) -> None:
    assert (
        "ingest its source again" in read_waveform(tmp_path / "gone.flac", make_recording()).error
    )


@pytest.mark.parametrize("with_recording", [False, True])
def test_write_report_covers_a_workspace_at_its_start(tmp_path: Path, with_recording: bool) -> None:
    settings_file = tmp_path / FILE_NAME
    settings_file.write_text(template(), encoding="utf-8")
    workspace = open_workspace(tmp_path)
    if with_recording:
        with workspace.warehouse() as con:
            add_recording(con, make_recording(), audio_file="gone.flac", run_id="r")
    path = write_report(workspace)
    page = path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert ("No recording yet" in page) is not with_recording
    assert ("voxdata prelabel" in page) is with_recording
