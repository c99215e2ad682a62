"""The report: one HTML file that says what a workspace holds.

It has no scripts and fetches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.locks import copying
from flows.pages import plots
from flows.pages import report_figures as figures
from flows.pages.page import picture, render_page
from flows.pages.report_content import MAX_RECORDINGS, ReportContent, read_content
from flows.pages.shown import shown_duration
from flows.pages.views import (
    baseline_rows,
    check_rows,
    model_rows,
    promotion_row,
    remark_row,
    show_score,
    version_row,
)
from flows.retrain.results import result_of, verdict_of
from flows.say import tell
from flows.workspace import Workspace
from training.judge.calibration import Calibration
from training.judge.paired import Difference
from training.judge.verdict import Verdict
from training.metrics import Interval, Scores
from training.result import TrainingResult
from voxdata.counted import counted
from voxdata.dataset import Split
from voxdata.identity import ModelRef
from voxdata.label import Gold
from voxdata.register import write_page
from voxdata.utterance import Utterance
from warehouse.recordings import StoredRecording
from warehouse.runs import TrainingRun

MAX_UTTERANCES = 120
MAX_RUNS = 8
MAX_REMARKS = 20
MAX_TEXT = 400
SCORE_COLORS = {"before": plots.PALETTE[6], "after": plots.PALETTE[0]}

Dot = tuple[str, float, Interval | None, str]
"""A row of `plots.plot_scores`."""


def write_report(workspace: Workspace) -> Path:
    """Write reports/report.html again; only its owner may read it, since it holds transcripts.

    Returns:
        Its path.

    Raises:
        WarehouseError: The warehouse cannot be read.
    """
    path = workspace.reports_dir / "report.html"
    with copying(workspace, say=tell):
        content = read_content(workspace, created_at=datetime.now(UTC))
        write_page(path, render_report(content), register=workspace.written)
    return path


def render_report(content: ReportContent) -> str:
    """The page. Everything that came from a file, a model or a person is escaped."""
    gold = figures.gold_labels(content)
    answered = {annotation.annotator for annotation in content.annotations}
    runs = list(reversed(content.runs))
    shown = content.recordings[:MAX_RECORDINGS]
    return render_page(
        "report",
        content=content,
        newest=content.versions[-1] if content.versions else None,
        total_length=shown_duration(content.counts.recording_minutes),
        simulated=_simulated(content, answered),
        num_people=len(answered - content.simulated.keys()),
        small_samples=_small_samples(runs),
        path=path_steps(content),
        recordings=[
            _recording_view(content, stored, number, gold) for number, stored in enumerate(shown)
        ],
        num_hidden=len(content.recordings) - len(shown),
        balances=_balances(content),
        agreement=figures.agreement_rows(content) if content.annotations else [],
        annotators=figures.annotator_rows(content, gold),
        acceptance=figures.acceptance_rows(content, gold),
        promotions=figures.promotion_rows(content, gold),
        splits=figures.split_rows(content.examples) if content.examples else [],
        divided={
            "voices": figures.divided(content.examples, "voice"),
            "recordings": figures.divided(content.examples, "recording_id"),
        },
        runs=[_run_view(run, number) for number, run in enumerate(runs[:MAX_RUNS])],
        run_rows=model_rows(runs, content.promotions),
        promotion_rows=[promotion_row(promotion) for promotion in content.promotions],
        drops=figures.drop_groups(content.drops),
        remarks=[remark_row(row) for row in content.remarks[:MAX_REMARKS]],
        more_remarks=max(0, len(content.remarks) - MAX_REMARKS),
        versions=[version_row(version) for version in reversed(content.versions)],
        models=[_model_row(model) for model in content.models],
    )


def _simulated(content: ReportContent, answered: set[str]) -> dict[str, float]:
    """Login -> error rate of the scripts among those who answered."""
    rates = sorted(content.simulated.items())
    return {login: rate for login, rate in rates if login in answered}


def _small_samples(runs: Sequence[TrainingRun]) -> list[str]:
    """A line for each run whose figures come with a warning."""
    lines: list[str] = []
    for run in runs:
        verdict = verdict_of(run)
        if verdict is not None and verdict.warning:
            lines.append(f"{run.scheme}: {verdict.warning}")
    return lines


def _balances(content: ReportContent) -> list[tuple[str, str]]:
    """(scheme, picture of its labels by split), where a label has an example."""
    splits = [split.value for split in Split]
    pictures: list[tuple[str, str]] = []
    for number, scheme in enumerate(content.schemes):
        counts = figures.balance(content.examples, scheme.name, scheme.label_names)
        if any(counts.values()):
            svg = plots.plot_balance(counts, splits=splits, salt=f"balance-{number}")
            pictures.append((scheme.name, picture(svg)))
    return pictures


def _model_row(model: ModelRef) -> dict[str, object]:
    kind = "weak" if model.weak else ""
    return {"model": model.name, "revision": model.revision, "kind": kind}


def path_steps(content: ReportContent) -> list[tuple[str, int, str]]:
    """(what, how many, a detail) for each station of the recordings' way."""
    counts = content.counts
    models = set[str]().union(*content.predictions.values())
    promoted = len(counts.promoted)
    return [
        ("files", counts.sources, f"{len(content.drops)} drops in the ledger"),
        ("recordings", counts.recordings, shown_duration(counts.recording_minutes)),
        ("utterances", counts.utterances, shown_duration(counts.utterance_minutes)),
        ("proposals", counts.predictions, f"by {len(models)} model(s)"),
        ("annotations", counts.annotations, f"by {counts.annotators} annotator(s)"),
        ("examples", len(content.examples), _newest_version(content)),
        ("models", counts.training_runs, f"trained; {promoted} scheme(s) promoted"),
    ]


def _newest_version(content: ReportContent) -> str:
    if not content.versions:
        return "no version yet"
    minutes = sum(example.segment.duration_ms for example in content.examples) / 60_000
    return f"{shown_duration(minutes)}, {content.versions[-1].ref}"


def _recording_view(
    content: ReportContent,
    stored: StoredRecording,
    number: int,
    gold: Mapping[str, Mapping[str, Gold]],
) -> dict[str, Any]:
    recording = stored.recording
    waveform = content.waveforms[recording.recording_id]
    turns = content.turns[recording.recording_id]
    utterances = [u for u in content.utterances if u.recording_id == recording.recording_id]
    svg = plots.plot_waveform(
        waveform.peaks, turns, duration_ms=recording.duration_ms, salt=f"wave-{number}"
    )
    return {
        "title": stored.uri.rstrip("/").rpartition("/")[2] or stored.uri,
        "id": recording.recording_id,
        "length": shown_duration(recording.duration_ms / 60_000),
        "facts": f"{recording.sample_rate_hz} Hz, {recording.num_channels} channel(s), "
        f"{recording.layout.value}, {recording.codec}",
        "speakers": len({(turn.channel, turn.speaker) for turn in turns}),
        "error": waveform.error,
        "svg": picture(svg),
        "utterances": [_utterance_view(content, u, gold) for u in utterances[:MAX_UTTERANCES]],
        "num_utterances": len(utterances),
        "is_cut": recording.recording_id in content.cut,
    }


def _utterance_view(
    content: ReportContent, utterance: Utterance, gold: Mapping[str, Mapping[str, Gold]]
) -> dict[str, Any]:
    labels: list[dict[str, str]] = []
    for scheme in content.schemes:
        settled = gold[scheme.name].get(utterance.utterance_id)
        labels.append(
            {
                "gold": settled.label if settled else "",
                "votes": _show_votes(settled) if settled else "",
                "proposed": _newest_proposal(content, scheme.name, utterance.utterance_id),
            }
        )
    segment = utterance.segment
    return {
        "time": f"{segment.start_ms / 1000:.1f}–{segment.end_ms / 1000:.1f}",
        "speaker": utterance.speaker,
        "text": plots.shorten(utterance.text, limit=MAX_TEXT),
        "language": utterance.language,
        "labels": labels,
    }


def _show_votes(gold: Gold) -> str:
    """Votes for the label, of all there were."""
    num_for = round(gold.distribution[gold.label] * gold.num_votes)
    return f"{num_for}/{gold.num_votes}"


def _newest_proposal(content: ReportContent, scheme: str, utterance_id: str) -> str:
    """What the newest model that looked at an utterance says; "" when none has."""
    by_model = content.predictions.get(scheme, {}).values()
    proposals = [
        predictions[utterance_id] for predictions in by_model if utterance_id in predictions
    ]
    if not proposals:
        return ""
    return proposals[-1].guess() or "no guess"


def _run_view(run: TrainingRun, number: int) -> dict[str, Any]:
    """A run with its pictures; a part that a run has not is "", and the page says nothing of it.

    Raises:
        TrainingError: Its stored result is malformed.
    """
    status = _outcome(run)
    result = result_of(run)
    if result is None:
        return {"run": run, "status": status, **NO_RESULT}
    verdict = result.verdict
    incumbent = result.incumbent
    return {
        "run": run,
        "status": status,
        "counts": result.counts,
        "voices": result.voices,
        "warning": verdict.warning,
        "note": result.note,
        "interval_notes": _interval_notes(verdict),
        "incumbent": "" if incumbent is None else incumbent.name,
        "incumbent_weak": incumbent is not None and incumbent.weak,
        "before": show_score(verdict.before),
        "after": show_score(verdict.after),
        "gain": _show_gain(verdict.difference),
        "checks": check_rows(verdict),
        "baselines": baseline_rows(verdict),
        "calibration": _show_calibration(verdict.calibration),
        "scores": _plot_scores(verdict, number),
        "curves": _plot_curves(result, number),
        "confusions": _plot_confusions(result, number),
    }


NO_RESULT: Mapping[str, Any] = {
    "counts": {},
    "voices": {},
    "warning": "",
    "note": "",
    "interval_notes": [],
    "incumbent": "",
    "incumbent_weak": False,
    "before": "",
    "after": "",
    "gain": "",
    "checks": [],
    "baselines": [],
    "calibration": "",
    "scores": "",
    "curves": "",
    "confusions": "",
}
"""What the page shows of a run that failed or was skipped."""


def _judged(verdict: Verdict) -> dict[str, Scores]:
    """The scores there are, by the moment they stand for."""
    scores = {"before": verdict.before, "after": verdict.after}
    return {name: value for name, value in scores.items() if value is not None}


def _interval_notes(verdict: Verdict) -> list[str]:
    notes = {scores.interval_note for scores in _judged(verdict).values()}
    return sorted(notes - {""})


def _show_gain(difference: Difference | None) -> str:
    if difference is None:
        return ""
    interval = difference.uar_interval
    if interval is None:
        return f"{difference.uar:+.3f}"
    return f"{difference.uar:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _show_calibration(calibration: Calibration | None) -> str:
    if calibration is None:
        return ""
    return (
        f"Expected calibration error {calibration.ece:.3f}; {calibration.scaled_ece:.3f} with the "
        f"temperature {calibration.temperature:.2f}, fitted on "
        f"{counted(calibration.num_clips, 'validation clip')}"
    )


def _plot_scores(verdict: Verdict, number: int) -> str:
    uar_dots: list[Dot] = []
    f1_dots: list[Dot] = []
    for name, scores in _judged(verdict).items():
        color = SCORE_COLORS[name]
        uar_dots.append((f"UAR, {name}", scores.uar, scores.uar_interval, color))
        f1_dots.append((f"macro-F1, {name}", scores.macro_f1, None, color))
    dots = uar_dots + f1_dots
    return picture(plots.plot_scores(dots, salt=f"scores-{number}")) if dots else ""


def _plot_curves(result: TrainingResult, number: int) -> str:
    if not result.curves:
        return ""
    rows = [asdict(epoch) for epoch in result.curves]
    return picture(plots.plot_curves(rows, best_epoch=result.best_epoch, salt=f"curves-{number}"))


def _plot_confusions(result: TrainingResult, number: int) -> str:
    matrices = [(name, scores.confusion) for name, scores in _judged(result.verdict).items()]
    if not matrices or not result.labels:
        return ""
    return picture(
        plots.plot_confusions(matrices, labels=result.labels, salt=f"confusion-{number}")
    )


def _outcome(run: TrainingRun) -> str:
    if run.state == "done":
        return "promoted" if run.promoted else "not promoted"
    return {"failed": "failed", "skipped": "not trained"}[run.state]
