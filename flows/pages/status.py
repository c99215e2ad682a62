"""Status: counts at every stage, and what waits for whom."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime

from duckdb import DuckDBPyConnection

from flows.forget.work import FINISH, list_work
from flows.labelling.answers import read_answers
from flows.settings import Settings
from flows.workspace import Workspace
from voxdata.agreement import collect_votes, group_votes
from voxdata.utterance import Utterance
from warehouse.batches import list_batches
from warehouse.consent import find_barred
from warehouse.labels import list_predictions
from warehouse.ledger import list_drops
from warehouse.outbox import list_outbox
from warehouse.privacy import list_private_spans
from warehouse.pushes import list_projects, list_pushed
from warehouse.recordings import list_recordings
from warehouse.runs import list_training_runs, promoted_run
from warehouse.status import count_rows
from warehouse.utterances import list_utterances
from warehouse.versions import list_versions


def read_status(workspace: Workspace) -> dict[str, object]:
    """Count everything. Loads no model and asks no server, so it answers at once.

    What push would not give out is nobody's work: clips that are too short, and clips whose consent does not cover what
    [release] wants them for; the latter are counted by themselves.

    Returns:
        Counts by stage; "drops" by stage and reason; "promoted" by scheme; "waiting" by who has to act.
    """
    num_batches = len(list_batches(workspace.batches_dir))
    with workspace.warehouse() as con:
        counts = count_rows(con)
        utterances = list_utterances(con)
        annotations = read_answers(con, workspace.histories).labels
        predicted = {s.name: set(list_predictions(con, scheme=s.name)) for s in workspace.schemes}
        drops = list_drops(con)
        settled = {u.recording_id for u in utterances} | {row.recording_id for row in drops}
        there = _given_out(con)
        refused = _refused(con, workspace.settings, utterances)
        waiting_prelabel = [
            r for r in list_recordings(con) if r.recording.recording_id not in settled
        ]
        versions, runs = list_versions(con), list_training_runs(con)
        outbox = [row for row in list_outbox(con) if row.sent_at is None]
        promoted = {
            s.name: run.model_name if (run := promoted_run(con, s.name)) else None
            for s in workspace.schemes
        }
        scanned = list_private_spans(con) if workspace.settings.privacy.mask else None
    long = [
        u for u in utterances if u.segment.duration_ms >= workspace.settings.annotation.min_clip_ms
    ]
    to_hear = [u for u in long if u.utterance_id not in refused]
    held_back = [u for u in long if u.utterance_id in refused and u.utterance_id not in there]
    wanted = workspace.settings.annotation.votes_wanted
    votes = group_votes(collect_votes(annotations, scheme=workspace.schemes[0].name))
    return {
        **asdict(counts),
        "drops": {f"{stage}: {reason}": count for (stage, reason), count in counts.drops.items()},
        "promoted": promoted,
        "waiting": {
            "models: recordings to pre-label": len(waiting_prelabel),
            "models: utterances without every proposal": sum(
                any(u.utterance_id not in p for p in predicted.values()) for u in utterances
            ),
            "models: utterances to scan for personal data": 0
            if scanned is None
            else sum(u.utterance_id not in scanned for u in long),
            "push: utterances not in Label Studio": sum(
                u.utterance_id not in there for u in to_hear
            ),
            "annotators: clips with fewer votes than wanted": sum(
                len(votes.get(u.utterance_id, ())) < wanted for u in to_hear
            ),
            "consent: clips held back until it covers their use": len(held_back),
            "the next writer: batches to merge": num_batches,
            f"{FINISH}: erasures that are not proven": len(list_work(workspace.state_dir)),
            "training: versions not announced": len(outbox),
            "training: newest version untrained": int(
                bool(versions) and versions[-1].version_id not in {r.version_id for r in runs}
            ),
        },
    }


def _given_out(con: DuckDBPyConnection) -> set[str]:
    """Utterances that are in the project in which people label."""
    current = [
        project.project_id
        for project in list_projects(con)
        if project.purpose == "label" and project.current
    ]
    return {
        key
        for project_id in current
        for key, clip in list_pushed(con, project_id=project_id).items()
        if not clip.gone
    }


def _refused(
    con: DuckDBPyConnection, settings: Settings, utterances: Collection[Utterance]
) -> set[str]:
    """Utterances whose consent does not cover what releases are for today."""
    terms = settings.release
    barred = find_barred(
        con, purpose=terms.purpose, policy=terms.consent, today=datetime.now(UTC).date()
    )
    return {u.utterance_id for u in utterances if u.recording_id in barred}
