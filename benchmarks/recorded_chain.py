"""The way of recordings from ingest to a trained model, each step a flow that the Prefect server of
the workspace records.

    python -m benchmarks.recorded_chain WORKSPACE TASKS.json [--label-studio]

Only the annotators are simulated: a script labels the clips in turn. The clips are pushed into a
queue in memory, or, with `--label-studio`, into the Label Studio server of the workspace, where the
script answers through the API.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from annotation.encode import KEY
from annotation.scripted import ScriptedAnnotator
from flows.run import connect_prefect, run_flow
from flows.say import tell
from flows.workspace import Workspace, open_workspace
from voxdata.label import Annotation
from voxdata.ports import Diarization, Sound
from voxdata.testing.annotation_queue import FakeQueue
from voxdata.testing.backends import FakeDiarizer
from warehouse.annotations import add_annotations

DATASET = "calls"
LABELS = ("ask", "tell")


class VoicelessDiarizer(FakeDiarizer):
    """Hears when somebody speaks, and knows no voice again: so recordings that share a voice can be
    held out.
    """

    def diarize(
        self,
        sounds: Sequence[Sound],
        *,
        max_speakers: int | None = None,
    ) -> list[Diarization]:
        """See `Diarizer.diarize`."""
        heard = super().diarize(sounds, max_speakers=max_speakers)
        return [replace(voice, embeddings={}) for voice in heard]


def push_recorded(workspace: Workspace, path: Path) -> list[str]:
    """Push into a queue in memory, and write what an annotator would read to a file.

    Returns:
        Ids of the utterances that arrived.
    """
    from prefect import flow

    from flows.labelling.push import push_pending

    queue = FakeQueue(schemes=workspace.schemes, media_dir=workspace.media_dir)

    @flow(
        name="push",
        flow_run_name="push",
        validate_parameters=False,
        log_prints=True,
    )
    def push_to_memory(root: str) -> dict[str, int]:
        # No server is needed to see what is sent.
        return asdict(push_pending(open_workspace(Path(root)), queue=queue, say=tell))

    push_to_memory(str(workspace.root))
    shown = [f"{entry.text}\n{entry.note}" for entry in queue.entries.values()]
    path.write_text(json.dumps(shown, ensure_ascii=False), encoding="utf-8")
    return sorted(queue.entries)


def push_to_server(workspace: Workspace, path: Path) -> list[str]:
    """Push into the Label Studio server of the workspace, and write to a file what an annotator
    would read there.

    Returns:
        Ids of the utterances that arrived.
    """
    from flows.labelling.queues import build_queue

    run_flow(workspace, "push", say=tell)
    queue = build_queue(workspace)
    tasks = list(queue.server.list_tasks(queue.project_id, include="id,data"))
    shown = [f"{task['data']['text']}\n{task['data']['note']}" for task in tasks]
    path.write_text(json.dumps(shown, ensure_ascii=False), encoding="utf-8")
    return sorted(task["data"][KEY] for task in tasks)


def answer_in_turn(workspace: Workspace, utterance_ids: list[str]) -> None:
    """Answer the clips on the server as a script does that takes the labels in turn, and pull the
    answers.
    """
    from flows.labelling.queues import build_queue
    from flows.services.label_studio_server import label_studio_credentials

    script = ScriptedAnnotator(
        email="script@voxdata.local",
        error_rate=0.0,
        seed=1,
    )
    answered = script.answer(
        build_queue(workspace),
        {
            utterance_id: {"intent": LABELS[number % 2]}
            for number, utterance_id in enumerate(utterance_ids)
        },
        utterance_ids,
        schemes=workspace.schemes,
        password=label_studio_credentials(workspace).password_for(script.email),
    )
    tell(f"annotate: {answered}")
    run_flow(workspace, "pull", say=tell)


def label_in_turn(workspace: Workspace, utterance_ids: list[str]) -> None:
    """Label utterances as a script does that takes the labels in turn."""
    scripted = [
        Annotation(
            annotation_id=number,
            project_id=1,
            utterance_id=utterance_id,
            annotator="script",
            labels={"intent": (LABELS[number % 2],)},
            updated_at=datetime(2026, 1, 1, tzinfo=UTC),
            simulated=0.0,
        )
        for number, utterance_id in enumerate(utterance_ids)
    ]
    with workspace.warehouse() as con:
        add_annotations(con, scripted, run_id=workspace.run_id)


def main(root: str, tasks: str, *options: str) -> int:
    """Run every step."""
    workspace = open_workspace(Path(root))
    connect_prefect(workspace)
    run_flow(
        workspace,
        "ingest",
        [str(workspace.root / "calls")],
        say=tell,
    )
    run_flow(workspace, "prelabel", say=tell)
    if "--label-studio" in options:
        answer_in_turn(workspace, push_to_server(workspace, Path(tasks)))
    else:
        label_in_turn(workspace, push_recorded(workspace, Path(tasks)))
    run_flow(workspace, "release", DATASET, say=tell)
    run_flow(workspace, "finetune", DATASET, say=tell)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
