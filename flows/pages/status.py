"""Status: counts at every stage, and what waits for whom."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from flows.forget.work import FINISH, list_work
from flows.workspace import Workspace
from voxdata.role import label_role
from warehouse.answers import open_answers
from warehouse.batches import list_batches
from warehouse.consent import barred_table
from warehouse.outbox import list_outbox
from warehouse.promotions import promoted_run
from warehouse.runs import list_training_runs
from warehouse.status import count_rows, count_waiting
from warehouse.versions import list_versions


def read_status(workspace: Workspace) -> dict[str, object]:
    """Count everything. Loads no model and asks no server, so it answers at once.

    What push would not give out is nobody's work: clips that are too short, and clips whose consent
    does not cover what [release] wants them for; the latter are counted by themselves.

    Returns:
        Counts by stage; "drops" by stage and reason; "promoted" by scheme; "waiting" by who has to
        act.
    """
    num_batches = len(list_batches(workspace.batches_dir))
    terms = workspace.settings.release
    today = datetime.now(UTC).date()
    with workspace.warehouse() as con:
        counts = count_rows(con)
        with (
            barred_table(con, purpose=terms.purpose, policy=terms.consent, today=today) as barred,
            open_answers(con, workspace.histories) as answers,
        ):
            waiting = count_waiting(
                con,
                answers,
                schemes=[scheme.name for scheme in workspace.schemes],
                votes_wanted=workspace.settings.annotation.votes_wanted,
                min_clip_ms=workspace.settings.annotation.min_clip_ms,
                barred=barred,
            )
        versions = list_versions(con)
        trained = {run.version_id for run in list_training_runs(con)}
        unsent = [row for row in list_outbox(con) if row.sent_at is None]
        promoted = {
            scheme.name: promoted_run(con, label_role(scheme.name)) for scheme in workspace.schemes
        }
    is_untrained = bool(versions) and versions[-1].version_id not in trained
    to_scan = waiting.to_scan if workspace.settings.privacy.mask else 0
    return {
        **asdict(counts),
        "drops": {f"{stage}: {reason}": count for (stage, reason), count in counts.drops.items()},
        "promoted": {
            scheme: None if run is None else run.model_name for scheme, run in promoted.items()
        },
        "waiting": {
            "models: recordings to pre-label": waiting.to_prelabel,
            "models: utterances without every proposal": waiting.without_proposal,
            "models: utterances to scan for personal data": to_scan,
            "push: utterances not in Label Studio": waiting.to_push,
            "annotators: clips with fewer votes than wanted": waiting.to_hear,
            "consent: clips held back until it covers their use": waiting.held_back,
            "the next writer: batches to merge": num_batches,
            f"{FINISH}: erasures that are not proven": len(list_work(workspace.state_dir)),
            "training: versions not announced": len(unsent),
            "training: newest version untrained": int(is_untrained),
        },
    }
