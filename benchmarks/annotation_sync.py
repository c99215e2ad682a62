"""The sync with a real Label Studio: push beside the raw import of the same payload, kills, pull,
and the proof.

    python -m benchmarks.annotation_sync [--clips 2000] [--kills 10] [--pull-clips 5000]

Starts a server of its own in a temporary folder. Nothing is simulated but the people: answers are
written through the server's API.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import httpx

import flows.labelling.push
from annotation.encode import encode_labels
from annotation.label_studio import IMPORT_CHUNK, LabelStudioQueue
from benchmarks.annotation_workspace import make_workspace, quiet, rename, running_server
from flows.labelling.pull import OVERLAP, pull_changes
from flows.labelling.push import push_pending
from flows.labelling.queues import build_queue
from flows.labelling.reconcile import verify_annotations
from flows.services.label_studio_server import label_studio_access
from flows.workspace import Workspace
from warehouse.annotations import current_annotations


def import_raw(
    workspace: Workspace,
    payload: Sequence[dict[str, Any]],
    *,
    title: str,
) -> float:
    """Seconds to import tasks by bare requests into a project of their own."""
    url, token = label_studio_access(workspace)
    queue = LabelStudioQueue(
        url=url,
        token=token,
        project_title=title,
        schemes=workspace.schemes,
        media_dir=workspace.media_dir,
    )
    address = f"{url}/api/projects/{queue.project_id}/import"
    with httpx.Client(
        headers={"Authorization": f"Token {token}"},
        timeout=600,
        trust_env=False,
    ) as session:
        began = time.perf_counter()
        for start in range(0, len(payload), IMPORT_CHUNK):
            session.post(address, json=payload[start : start + IMPORT_CHUNK]).raise_for_status()
        return time.perf_counter() - began


def measure_push(workspace: Workspace, *, repeats: int) -> dict[str, object]:
    """The raw import of a payload, and the push that sends the same, in turns.

    "push" is the step that validates, encodes, asks the tripwire, imports, confirms and records;
    "voxdata push" reads the warehouse and compares before it, and compares again after it.
    """
    began = time.perf_counter()
    summary = push_pending(workspace, say=quiet)
    first_s = time.perf_counter() - began
    payload = _payload(workspace)
    raw, steps, whole = [], [], []
    for number in range(repeats):
        raw.append(import_raw(workspace, payload, title=f"raw {number}"))
        workspace = rename(workspace, f"again-{number}")
        build_queue(workspace).project_id  # noqa: B018 - made beforehand, as the raw import's is
        with timed_steps(steps):
            began = time.perf_counter()
            push_pending(workspace, say=quiet)
            whole.append(time.perf_counter() - began)
    clips = summary.pushed
    return {
        "clips": clips,
        "raw import, s": raw,
        "push, s": steps,
        "voxdata push, s": whole,
        "raw, clips/s": clips / median(raw),
        "push, clips/s": clips / median(steps),
        "push / raw rate": median(raw) / median(steps),
        "voxdata push / raw rate": median(raw) / median(whole),
        "first push, cutting the clips' audio, s": first_s,
    }


@contextmanager
def timed_steps(into: list[float]) -> Iterator[None]:
    """Note how long the steps of `flows.labelling.push` take."""

    def call(step: Any, *args: Any) -> Any:
        began = time.perf_counter()
        result = step.fn(*args)
        into.append(time.perf_counter() - began)
        return result

    with mock.patch.object(flows.labelling.push, "call", call):
        yield


def measure_kills(
    workspace: Workspace,
    *,
    clips: int,
    kills: int,
    seed: int,
) -> dict[str, object]:
    """Kill `voxdata push` into an empty project at a random point, run it again, count copies on
    the server; and again.
    """
    rng = random.Random(seed)
    command = [sys.executable, "-m", "flows.cli", "--dir", str(workspace.root), "push"]
    workspace = rename(workspace, "not-killed")
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    whole_s = time.perf_counter() - began
    killed, kept, doubled, missing = 0, [], 0, 0
    while killed < kills:
        workspace = rename(workspace, f"killed-{len(kept)}-{rng.randrange(10**6)}")
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(timeout=rng.uniform(0.3, 1.0) * whole_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
            kept.append(build_queue(workspace).counts().clips)
        subprocess.run(command, capture_output=True, check=True)
        copies = build_queue(workspace).list_copies()
        doubled += sum(len(several) > 1 for several in copies.values())
        missing += clips - len(copies)
    return {
        "undisturbed `voxdata push`, s": whole_s,
        "kills": killed,
        "clips there just after each kill": kept,
        "doubled": doubled,
        "missing": missing,
    }


def measure_pull(workspace: Workspace, *, clips: int) -> dict[str, object]:
    """Pull three changes among many annotated clips, and prove that both sides are equal."""
    push_pending(workspace, say=quiet)
    queue = build_queue(workspace)
    everything = {"selectedItems": {"all": True, "excluded": []}, "project": queue.project_id}
    queue.server.request(
        "POST",
        "/api/dm/actions",
        params={"project": queue.project_id, "id": "predictions_to_annotations"},
        json=everything,
    )
    began = time.perf_counter()
    whole = pull_changes(workspace, say=quiet)
    whole_s = time.perf_counter() - began
    print(
        f"pulled {whole.current} annotations in {whole_s:.1f} s; waiting until the cursor "
        "has left them behind",
        flush=True,
    )
    time.sleep(OVERLAP.total_seconds() + 1)
    with workspace.warehouse(read_only=True) as con:
        numbers = [a.annotation_id for a in current_annotations(con)[:3]]
    for number in numbers:
        answer = {"result": encode_labels({"intent": ("tell",), "emotion": ("angry",)})}
        queue.server.request(
            "PATCH",
            f"/api/annotations/{number}/",
            json=answer,
        )
    began = time.perf_counter()
    three = pull_changes(workspace, say=quiet)
    three_s = time.perf_counter() - began
    time.sleep(OVERLAP.total_seconds() + 1)
    for number in numbers:
        answer = {"result": encode_labels({"intent": ("complain",), "emotion": ("happy",)})}
        queue.server.request(
            "PATCH",
            f"/api/annotations/{number}/",
            json=answer,
        )
    began = time.perf_counter()
    pull_changes(workspace, say=quiet)
    later_s = time.perf_counter() - began
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "flows.cli", "--dir", str(workspace.root), "pull"],
        capture_output=True,
        check=True,
    )
    command_s = time.perf_counter() - began
    began = time.perf_counter()
    proof = verify_annotations(workspace, say=quiet)
    return {
        "clips": clips,
        "annotations": whole.current,
        "pull of all, s": whole_s,
        "pull of 3 changes just after, s": three_s,
        "pull of 3 changes half a minute later, s": later_s,
        "new revisions": three.new_revisions,
        "`voxdata pull` with its start, s": command_s,
        "verify, s": time.perf_counter() - began,
        "clips compared": proof.clips,
        "annotations compared": proof.annotations,
        "unexplained": proof.unexplained,
    }


def _payload(workspace: Workspace) -> list[dict[str, Any]]:
    """What the server was sent, as it was sent."""
    queue = build_queue(workspace)
    keep = ("model_version", "score", "result")
    payload: list[dict[str, Any]] = []
    for task in queue.server.list_tasks(queue.project_id):
        predictions = []
        for prediction in task["predictions"]:
            predictions.append({name: prediction[name] for name in keep})
        payload.append({"data": task["data"], "predictions": predictions})
    return payload


def main() -> int:
    """Measure and print; exit code 1 when something was lost, doubled or not explained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--pull-clips", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small = make_workspace(
            Path(folder) / "small",
            clips=chosen.clips,
            name="first",
        )
        large = make_workspace(
            Path(folder) / "large",
            clips=chosen.pull_clips,
            name="large",
        )
        with running_server(small):
            push = measure_push(small, repeats=chosen.repeats)
            print(json.dumps(push, indent=2), flush=True)
            kills = measure_kills(
                small,
                clips=chosen.clips,
                kills=chosen.kills,
                seed=chosen.seed,
            )
            print(json.dumps(kills, indent=2), flush=True)
        with running_server(large):
            pull = measure_pull(large, clips=chosen.pull_clips)
            print(json.dumps(pull, indent=2), flush=True)
    return 1 if kills["doubled"] or kills["missing"] or pull["unexplained"] else 0


if __name__ == "__main__":
    sys.exit(main())
