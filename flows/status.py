"""Status: counts at every stage, and what waits for whom."""

from __future__ import annotations

from dataclasses import asdict

from flows.forget.work import FINISH, list_work
from flows.votes import read_answers
from flows.workspace import Workspace
from voxdata.agreement import collect_votes, group_votes
from warehouse.batches import list_batches
from warehouse.labels import list_predictions
from warehouse.ledger import list_drops
from warehouse.outbox import list_outbox
from warehouse.privacy import list_private_spans
from warehouse.recordings import list_recordings
from warehouse.runs import list_training_runs, promoted_run
from warehouse.status import count_rows
from warehouse.utterances import list_utterances
from warehouse.versions import list_versions


def read_status(workspace: Workspace) -> dict[str, object]:
    """Count everything. Loads no model and asks no server, so it answers at once.

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
        held_back = {row.subject for row in drops if row.stage == "push"}
        waiting_prelabel = [r for r in list_recordings(con) if r.recording.recording_id not in settled]
        versions, runs = list_versions(con), list_training_runs(con)
        outbox = [row for row in list_outbox(con) if row.sent_at is None]
        promoted = {s.name: run.model_name if (run := promoted_run(con, s.name)) else None for s in workspace.schemes}
        scanned = list_private_spans(con) if workspace.settings.privacy.mask else None
    to_hear = [u for u in utterances if u.utterance_id not in held_back]
    wanted = workspace.settings.annotation.votes_wanted
    votes = group_votes(collect_votes(annotations, scheme=workspace.schemes[0].name))
    return {
        **asdict(counts),
        "drops": {f"{stage}: {reason}": count for (stage, reason), count in counts.drops.items()},
        "promoted": promoted,
        "waiting": {
            "models: recordings to pre-label": len(waiting_prelabel),
            "models: utterances without every proposal": sum(any(u.utterance_id not in p for p in predicted.values()) for u in utterances),
            "models: utterances to scan for personal data": 0 if scanned is None else sum(u.utterance_id not in scanned for u in to_hear),
            "push: utterances not in Label Studio": max(0, len(to_hear) - counts.pushed),
            "annotators: clips with fewer votes than wanted": sum(len(votes.get(u.utterance_id, ())) < wanted for u in to_hear),
            "the next writer: batches to merge": num_batches,
            f"{FINISH}: forgettings that are not proven": len(list_work(workspace.state_dir)),
            "training: versions not announced": len(outbox),
            "training: newest version untrained": int(bool(versions) and versions[-1].version_id not in {r.version_id for r in runs}),
        },
    }
