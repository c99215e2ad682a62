"""The loop turned by schedules alone, as a user meets it: `voxdata up`, and nothing else by
hand.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flows.demo.loop import answer_clips, prepare_workspace
from flows.services.prefect_api import ask_prefect
from flows.services.start import prefect_access
from flows.workspace import Workspace
from warehouse.runs import list_training_runs
from warehouse.status import count_rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

EVERY_MINUTE = "* * * * *"
FLOWS = ("ingest", "prelabel", "push", "pull", "release")
RECORDING_WITHIN_S = 120.0
PATIENCE_S = 600.0


def voxdata(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "--dir", str(root), *words],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def schedule(root: Path, *names: str, cron: str = EVERY_MINUTE) -> None:
    """Switch the schedules named on, and every other off; `voxdata up` applies it."""
    path = root / "voxdata.toml"
    text = path.read_text(encoding="utf-8")
    for name in FLOWS:
        line = f'{name} = "{cron if name in names else ""}"'
        text = re.sub(
            rf'^{name} = ".*"$',
            line,
            text,
            flags=re.MULTILINE,
        )
    path.write_text(text, encoding="utf-8")
    done = voxdata(root, "up")
    assert done.returncode == 0, done.stderr[-3000:]


def count(workspace: Workspace) -> Any:
    with workspace.warehouse() as con:
        return count_rows(con)


def filled(workspace: Workspace, stage: str) -> bool:
    return bool(getattr(count(workspace), stage))


def runs_of(
    workspace: Workspace,
    name: str,
    state: str,
) -> list[Any]:
    """Runs of a flow in a state, as Prefect tells them."""
    access = prefect_access(workspace)
    assert access is not None
    query = {
        "flows": {"name": {"any_": [name]}},
        "flow_runs": {"state": {"type": {"any_": [state]}}},
    }
    return ask_prefect(access, "flow_runs", query)


def scheduled_runs(workspace: Workspace, name: str, state: str = "COMPLETED") -> int:
    return sum(run["auto_scheduled"] for run in runs_of(workspace, name, state))


def wait(
    what: str,
    reached: Callable[[], bool | int],
    *,
    within_s: float,
) -> float:
    """Seconds until something is reached."""
    began = time.monotonic()
    while not reached():
        if time.monotonic() - began > within_s:
            pytest.fail(f"{what} was not reached within {within_s:.0f} s")
        time.sleep(1)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def turned(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Workspace, dict[str, float]]]:
    """A workspace in which schedules alone turned the loop, and the seconds each stage took."""
    root = tmp_path_factory.mktemp("schedules") / "demo"
    workspace = prepare_workspace(root)
    recordings = sorted((root / "inbox").iterdir())
    waiting = {path: path.rename(root / path.name) for path in recordings}
    seconds: dict[str, float] = {}

    def turn(name: str, stage: str) -> None:
        seconds[stage] = wait(
            stage,
            partial(filled, workspace, stage),
            within_s=PATIENCE_S,
        )
        wait(
            f"the end of {name}",
            partial(scheduled_runs, workspace, name),
            within_s=PATIENCE_S,
        )

    try:
        # One schedule after the other: five flows a minute are more than two busy cores can start.
        schedule(root, "ingest")
        for home, path in waiting.items():
            path.rename(home)
        turn("ingest", "recordings")
        wait(
            "all recordings",
            lambda: count(workspace).recordings == 5,
            within_s=PATIENCE_S,
        )
        schedule(root, "prelabel")
        turn("prelabel", "predictions")
        schedule(root, "push")
        turn("push", "pushed")
        answer_clips(workspace)
        schedule(root, "pull")
        turn("pull", "annotations")
        schedule(root, "release")
        turn("release", "versions")
        seconds["training"] = wait(
            "a training",
            partial(trained, workspace),
            within_s=PATIENCE_S,
        )
        wait("the end of the training", partial(finetuned, workspace), within_s=PATIENCE_S)
        schedule(root, *FLOWS, cron="30 3 * * *")
        yield workspace, seconds
    finally:
        voxdata(root, "down")


def finetuned(workspace: Workspace) -> bool:
    return bool(runs_of(workspace, "finetune", "COMPLETED"))


def trained(workspace: Workspace) -> bool:
    with workspace.warehouse() as con:
        return any(run.state == "done" for run in list_training_runs(con))


def test_a_scheduled_run_makes_a_recording_in_time(
    turned: tuple[Workspace, dict[str, float]], record_property: Callable[[str, object], None]
) -> None:
    workspace, seconds = turned
    told = ", ".join(f"{stage} {s:.0f} s" for stage, s in seconds.items())
    record_property("measured", f"schedules alone, seconds after the stage before: {told}")
    assert scheduled_runs(workspace, "ingest") > 0
    assert seconds["recordings"] < RECORDING_WITHIN_S


@pytest.mark.parametrize("name", FLOWS)
def test_every_schedule_ends_well(turned: tuple[Workspace, dict[str, float]], name: str) -> None:
    workspace, _ = turned
    assert scheduled_runs(workspace, name) > 0
    assert scheduled_runs(workspace, name, "FAILED") == 0


def test_worker_keeps_its_log_free_of_noise_at_the_end_of_runs(
    turned: tuple[Workspace, dict[str, float]],
) -> None:
    workspace, _ = turned
    assert "nanobind" not in (workspace.state_dir / "logs" / "worker.log").read_text(
        encoding="utf-8"
    )


def test_status_shows_schedules_that_are_on_time(
    turned: tuple[Workspace, dict[str, float]],
) -> None:
    workspace, _ = turned
    done = voxdata(workspace.root, "status", "--json")
    rows = {row["schedule"]: row for row in json.loads(done.stdout)["schedules"]}
    assert done.returncode == 0, done.stderr
    assert set(rows) == set(FLOWS)
    assert all(row["last success"] and row["next tick"] for row in rows.values())


def test_doctor_finds_no_error_of_the_scheduler(
    turned: tuple[Workspace, dict[str, float]],
) -> None:
    workspace, _ = turned
    checks = {
        row["name"]: row for row in json.loads(voxdata(workspace.root, "doctor", "--json").stdout)
    }
    names = ("scheduler", "schedules", "prefect-server", "worker", "label-studio", "receiver")
    outcomes = {name: checks[name]["ok"] for name in names}
    assert outcomes == dict.fromkeys(names, True)


def test_ingest_by_hand_shows_on_the_server_that_is_up(
    turned: tuple[Workspace, dict[str, float]], tmp_path: Path
) -> None:
    workspace, _ = turned

    def by_hand() -> int:
        runs = runs_of(workspace, "ingest", "COMPLETED")
        return sum(not run["auto_scheduled"] for run in runs)

    before = by_hand()
    done = voxdata(workspace.root, "ingest")
    assert done.returncode == 0, done.stderr
    assert by_hand() == before + 1
