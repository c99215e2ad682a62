"""What a schedule missed, and what the scheduler's log says."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.deploy import build_deployments
from flows.doctor.examine import check_scheduler, check_schedules
from flows.services.schedules import (
    ScheduleStanding,
    configured_schedules,
    count_ticks,
    judge_schedule,
    read_schedules,
)
from flows.services.server_log import find_scheduler_errors
from flows.services.supervisor import Service, process_identity, write_services
from flows.settings import parse_settings, template
from flows.workspace import Workspace, open_workspace
from voxdata.errors import ConfigError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOURLY = ScheduleStanding(
    name="ingest",
    cron="0 * * * *",
    next_tick=NOON + timedelta(hours=1),
)
LOG = """\
04:43:40.100 | INFO    | prefect.server - ready
04:43:47.415 | ERROR   | docket.dependencies - schedule_recent_deployments(){recent}
Traceback (most recent call last):
  File "site-packages/docket/worker.py", line 1, in run
    await run()
sqlalchemy.exc.InvalidRequestError: Can't evaluate bulk DML statement
04:43:52.504 | ERROR   | prefect.events - a client went away
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    settings_file = tmp_path / "voxdata.toml"
    settings_file.write_text(template(), encoding="utf-8")
    return open_workspace(tmp_path)


def started(
    workspace: Workspace,
    name: str,
    *,
    alive: bool,
    log: str = "",
) -> Service:
    pid = os.getpid()
    identity = process_identity(pid) if alive else "another boot:1"
    return Service(
        name=name,
        pid=pid,
        started=str(identity),
        port=None,
        log=log,
        version="",
        log_start=0,
    )


@pytest.mark.parametrize(
    ("cron", "hours", "ticks"),
    [
        ("0 * * * *", 3, 3),
        ("* * * * *", 1, 60),
        ("0 2 * * *", 13, 0),
        ("*/5 * * * *", 1, 12),
    ],
)
def test_count_ticks_counts_those_that_were_due(cron: str, hours: int, ticks: int) -> None:
    assert count_ticks(cron, after=NOON, until=NOON + timedelta(hours=hours)) == ticks


def test_judge_schedule_has_no_problem_with_one_missed_tick() -> None:
    standing = judge_schedule(
        HOURLY,
        since=NOON,
        now=NOON + timedelta(hours=1, minutes=30),
    )
    assert standing.missed == 1
    assert standing.problem == ""


def test_judge_schedule_names_two_missed_ticks() -> None:
    standing = judge_schedule(
        HOURLY,
        since=NOON,
        now=NOON + timedelta(hours=2, minutes=30),
    )
    assert standing.missed == 2
    assert "2 ticks passed" in standing.problem


def test_judge_schedule_counts_from_the_last_success() -> None:
    ran = replace(HOURLY, last_success=NOON + timedelta(hours=1))
    standing = judge_schedule(
        ran,
        since=NOON,
        now=NOON + timedelta(hours=2, minutes=30),
    )
    assert standing.problem == ""


def test_judge_schedule_waits_for_a_run_that_is_at_work() -> None:
    busy = replace(HOURLY, running_since=NOON + timedelta(hours=1))
    standing = judge_schedule(
        busy,
        since=NOON,
        now=NOON + timedelta(hours=9),
    )
    assert standing.problem == ""


def test_judge_schedule_forgives_a_tick_that_was_just_now() -> None:
    now = NOON + timedelta(hours=2, seconds=60)
    standing = judge_schedule(HOURLY, since=NOON, now=now)
    assert standing.missed == 1


def test_judge_schedule_names_a_schedule_that_is_not_planned() -> None:
    idle = replace(HOURLY, next_tick=None)
    early = judge_schedule(
        idle,
        since=NOON,
        now=NOON + timedelta(seconds=30),
    )
    late = judge_schedule(
        idle,
        since=NOON,
        now=NOON + timedelta(minutes=5),
    )
    assert early.problem == ""
    assert "plans no run" in late.problem


def test_find_scheduler_errors_gives_the_exception() -> None:
    errors = find_scheduler_errors(LOG)
    assert errors.count == 1
    assert errors.newest.startswith("schedule_recent_deployments")
    assert "Can't evaluate bulk DML statement" in errors.newest


def test_find_scheduler_errors_passes_over_others() -> None:
    errors = find_scheduler_errors(LOG.split("\n")[-2])
    assert errors.count == 0


def test_check_scheduler_fails_on_errors_since_the_start(
    workspace: Workspace, tmp_path: Path
) -> None:
    log = tmp_path / "server.log"
    log.write_text(LOG, encoding="utf-8")
    workspace.state_dir.mkdir()
    server = started(
        workspace,
        "prefect-server",
        alive=True,
        log=str(log),
    )
    write_services(workspace.state_dir, {server.name: server})
    assert check_scheduler(workspace.root).ok is False
    later = replace(server, log_start=log.stat().st_size)
    write_services(workspace.state_dir, {server.name: later})
    assert check_scheduler(workspace.root).ok is True


def test_read_schedules_expects_nothing_before_services_were_started(workspace: Workspace) -> None:
    standings = read_schedules(workspace)
    names = [row.name for row in standings]
    assert names == ["ingest", "prelabel", "push", "pull", "release"]
    problems = [row.problem for row in standings]
    assert problems == [""] * 5


def test_read_schedules_names_a_service_that_died(workspace: Workspace) -> None:
    workspace.state_dir.mkdir()
    services = [started(workspace, name, alive=False) for name in ("prefect-server", "worker")]
    write_services(workspace.state_dir, {service.name: service for service in services})
    assert all("has ended" in row.problem for row in read_schedules(workspace))
    assert check_schedules(workspace.root).ok is False


def test_configured_schedules_leaves_out_what_is_switched_off(tmp_path: Path) -> None:
    text = template().replace('push = "20 * * * *"', 'push = ""').replace('["inbox"]', "[]")
    (tmp_path / "voxdata.toml").write_text(text, encoding="utf-8")
    assert list(configured_schedules(open_workspace(tmp_path))) == ["prelabel", "pull", "release"]


@pytest.mark.parametrize(
    "cron",
    ["61 * * * *", "* * * *", "hourly", "* * * * * *", "0 0 31 2 *"],
)
def test_parse_settings_refuses_what_is_no_cron_expression(cron: str) -> None:
    text = template().replace('push = "20 * * * *"', f'push = "{cron}"')
    with pytest.raises(ConfigError, match=r"schedules\.push"):
        parse_settings(text, origin="voxdata.toml")


def test_build_deployments_loads_flows_by_module(workspace: Workspace) -> None:
    """By path, their folder would land on sys.path of every child."""
    entrypoints = [deployment.entrypoint for deployment in build_deployments(workspace)]
    assert len(entrypoints) == 6
    for entrypoint in entrypoints:
        assert entrypoint is not None
        assert entrypoint.startswith("flows.")
        assert ":" not in entrypoint
