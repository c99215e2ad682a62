"""The report: one HTML file that says what a workspace holds, without scripts or anything to fetch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.locks import copying
from flows.pages import plots
from flows.pages import report_figures as figures
from flows.pages.page import picture, render_page
from flows.pages.report_content import MAX_RECORDINGS, ReportContent, read_content
from flows.pages.shown import shown_duration
from flows.pages.views import remark_row, run_row, show_score, version_row
from flows.say import tell
from flows.workspace import Workspace
from voxdata.dataset import Split
from voxdata.register import write_page
from voxdata.utterance import Utterance
from warehouse.recordings import StoredRecording
from warehouse.runs import TrainingRun

MAX_UTTERANCES = 120
MAX_RUNS = 8
MAX_REMARKS = 20
MAX_TEXT = 400


def write_report(workspace: Workspace) -> Path:
    """Write reports/report.html anew; only its owner may read it, since it holds transcripts.

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
    newest = content.versions[-1] if content.versions else None
    took_part = {a.annotator for a in content.annotations}
    runs = list(reversed(content.runs))
    shown = content.recordings[:MAX_RECORDINGS]
    return render_page(
        "report",
        content=content,
        newest=newest,
        total_length=shown_duration(content.counts.recording_minutes),
        simulated={
            login: rate for login, rate in sorted(content.simulated.items()) if login in took_part
        },
        num_people=len(took_part - content.simulated.keys()),
        small_samples=[
            f"{r.scheme}: {r.result['warning']}" for r in runs if r.result.get("warning")
        ],
        path=path_steps(content),
        recordings=[
            _recording_view(content, stored, number, gold) for number, stored in enumerate(shown)
        ],
        num_hidden=len(content.recordings) - len(shown),
        balances=[
            (
                s.name,
                picture(
                    plots.plot_balance(
                        counts, splits=[split.value for split in Split], salt=f"balance-{number}"
                    )
                ),
            )
            for number, s in enumerate(content.schemes)
            if any((counts := figures.balance(content.examples, s.name, s.label_names)).values())
        ],
        agreement=figures.agreement_rows(content) if content.annotations else [],
        annotators=figures.annotator_rows(content, gold),
        acceptance=figures.acceptance_rows(content, gold),
        promotions=figures.promotion_rows(content, gold),
        splits=figures.split_rows(content.examples) if content.examples else [],
        divided={
            kind: figures.divided(content.examples, name)
            for kind, name in (("voices", "voice"), ("recordings", "recording_id"))
        },
        runs=[_run_view(run, number) for number, run in enumerate(runs[:MAX_RUNS])],
        run_rows=[run_row(run) for run in runs],
        drops=figures.drop_groups(content.drops),
        remarks=[remark_row(row) for row in content.remarks[:MAX_REMARKS]],
        more_remarks=max(0, len(content.remarks) - MAX_REMARKS),
        versions=[version_row(version) for version in reversed(content.versions)],
        models=[
            {"model": m.name, "revision": m.revision, "kind": "weak" if m.weak else ""}
            for m in content.models
        ],
    )


def path_steps(content: ReportContent) -> list[tuple[str, int, str]]:
    """(what, how many, a detail) for each station of the recordings' way."""
    counts = content.counts
    example_minutes = sum(e.segment.duration_ms for e in content.examples) / 60_000
    promoted = len(counts.promoted)
    return [
        ("files", counts.sources, f"{len(content.drops)} drops in the ledger"),
        ("recordings", counts.recordings, shown_duration(counts.recording_minutes)),
        ("utterances", counts.utterances, shown_duration(counts.utterance_minutes)),
        (
            "proposals",
            counts.predictions,
            f"by {len({k for found in content.predictions.values() for k in found})} model(s)",
        ),
        ("annotations", counts.annotations, f"by {counts.annotators} annotator(s)"),
        (
            "examples",
            len(content.examples),
            f"{shown_duration(example_minutes)}, {content.versions[-1].ref}"
            if content.versions
            else "no version yet",
        ),
        ("models", counts.training_runs, f"trained; {promoted} scheme(s) promoted"),
    ]


def _recording_view(
    content: ReportContent,
    stored: StoredRecording,
    number: int,
    gold: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    recording = stored.recording
    waveform, turns = (
        content.waveforms[recording.recording_id],
        content.turns[recording.recording_id],
    )
    utterances = [u for u in content.utterances if u.recording_id == recording.recording_id]
    return {
        "title": stored.uri.rstrip("/").rpartition("/")[2] or stored.uri,
        "id": recording.recording_id,
        "length": shown_duration(recording.duration_ms / 60_000),
        "facts": f"{recording.sample_rate_hz} Hz, {recording.num_channels} channel(s), {recording.layout.value}, {recording.codec}",
        "speakers": len({(t.channel, t.speaker) for t in turns}),
        "error": waveform.error,
        "svg": picture(
            plots.plot_waveform(
                waveform.peaks, turns, duration_ms=recording.duration_ms, salt=f"wave-{number}"
            )
        ),
        "utterances": [_utterance_view(content, u, gold) for u in utterances[:MAX_UTTERANCES]],
        "num_utterances": len(utterances),
        "is_cut": recording.recording_id in content.cut,
    }


def _utterance_view(
    content: ReportContent, utterance: Utterance, gold: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    labels = []
    for scheme in content.schemes:
        found = gold[scheme.name].get(utterance.utterance_id)
        proposals = [
            p[utterance.utterance_id]
            for p in content.predictions.get(scheme.name, {}).values()
            if utterance.utterance_id in p
        ]
        labels.append(
            {
                "gold": found.label if found else "",
                "votes": f"{round(found.distribution[found.label] * found.num_votes)}/{found.num_votes}"
                if found
                else "",
                "proposed": (proposals[-1].guess() or "no guess") if proposals else "",
            }
        )
    return {
        "time": f"{utterance.segment.start_ms / 1000:.1f}–{utterance.segment.end_ms / 1000:.1f}",
        "speaker": utterance.speaker,
        "text": plots.shorten(utterance.text, limit=MAX_TEXT),
        "language": utterance.language,
        "labels": labels,
    }


def _run_view(run: TrainingRun, number: int) -> dict[str, Any]:
    """A run with its pictures; a part that the result lacks is "" and the page says nothing of it."""
    result: Mapping[str, Any] = run.result
    scores = {
        name: found
        for name in ("before", "after")
        if isinstance(found := result.get(name), Mapping)
    }
    colors = {"before": plots.PALETTE[6], "after": plots.PALETTE[0]}
    dots = [
        (
            f"{title}, {name}",
            float(found[key]),
            tuple(found[f"{key}_interval"]) if found.get(f"{key}_interval") else None,
            colors[name],
        )
        for key, title in (("uar", "UAR"), ("macro_f1", "macro-F1"))
        for name, found in scores.items()
        if found.get(key) is not None
    ]
    matrices = [
        (name, found["confusion"]) for name, found in scores.items() if found.get("confusion")
    ]
    labels = [str(label) for label in result.get("labels", ())]
    difference: Any = result.get("difference") or {}
    incumbent: Any = result.get("incumbent") or {}
    gain = f"{difference['uar']:+.3f}" if difference.get("uar") is not None else ""
    if gain and difference.get("uar_interval"):
        gain += " [{:+.3f}, {:+.3f}]".format(*difference["uar_interval"])
    return {
        "run": run,
        "status": _outcome(run),
        "counts": result.get("counts") or {},
        "voices": result.get("voices") or {},
        "warning": result.get("warning", ""),
        "note": result.get("note", ""),
        "interval_notes": sorted(
            {str(found["interval_note"]) for found in scores.values() if found.get("interval_note")}
        ),
        "incumbent": incumbent.get("name", ""),
        "incumbent_weak": bool(incumbent.get("weak")),
        "before": show_score(scores.get("before")),
        "after": show_score(scores.get("after")),
        "gain": gain,
        "scores": picture(plots.plot_scores(dots, salt=f"scores-{number}")) if dots else "",
        "curves": picture(
            plots.plot_curves(
                result["curves"], best_epoch=result.get("best_epoch"), salt=f"curves-{number}"
            )
        )
        if result.get("curves")
        else "",
        "confusions": picture(
            plots.plot_confusions(matrices, labels=labels, salt=f"confusion-{number}")
        )
        if matrices and labels
        else "",
    }


def _outcome(run: TrainingRun) -> str:
    if run.state == "done":
        return "promoted" if run.promoted else "not promoted"
    return {"failed": "failed", "skipped": "not trained"}[run.state]
