"""The schedules of a workspace: what ran by them, when they run next, and which have stopped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
from cronsim import CronSim

from flows.services.prefect_api import ask_prefect
from flows.services.start import prefect_access
from flows.services.supervisor import Service, read_services
from flows.workspace import Workspace
from voxdata.errors import ServiceError, TransientError

PICK_UP = timedelta(seconds=90)
"""A run may begin and end so long after its tick and still be on time."""

PLANNED_WITHIN_S = 120.0
"""Prefect plans new schedules every few seconds; a loaded machine may need longer."""

MISSED = 2
"""A schedule that missed so many ticks in a row has stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStanding:
    """How one schedule does.

    Attributes:
        name: The flow it runs, such as "ingest".
        cron: When, in UTC.
        last_success: Tick of the newest run that ended well, UTC.
        running_since: Start of the run that is at work now, UTC.
        next_tick: When Prefect will run it next, UTC; None when nothing is planned.
        missed: Ticks since the last success, or since the worker started, without a success.
        problem: Why it does not run as it should; empty when it does.
    """

    name: str
    cron: str
    last_success: datetime | None = None
    running_since: datetime | None = None
    next_tick: datetime | None = None
    missed: int = 0
    problem: str = ""


def configured_schedules(workspace: Workspace) -> dict[str, str]:
    """Flow -> cron expression, for the schedules that voxdata.toml switches on."""
    settings = workspace.settings
    crons = settings.schedules.model_dump()
    if not settings.sources.inbox:
        crons["ingest"] = ""
    return {name: cron for name, cron in crons.items() if cron}


def count_ticks(cron: str, *, after: datetime, until: datetime) -> int:
    """Ticks of a cron expression in (after, until]; counting stops at 1,000.

    Args:
        cron: Five fields, in UTC.
        after: UTC.
        until: UTC.
    """
    count = 0
    for tick in CronSim(cron, after.astimezone(UTC)):
        if tick > until or count == 1_000:
            break
        count += 1
    return count


def read_schedules(workspace: Workspace, *, now: datetime | None = None) -> list[ScheduleStanding]:
    """How each schedule of voxdata.toml does, in the order of the loop.

    Without services that were started nothing is expected to run, so nothing is a problem.

    Args:
        now: UTC; the clock's when None.
    """
    crons = configured_schedules(workspace)
    services = read_services(workspace.state_dir)
    if not services:
        return [ScheduleStanding(name=name, cron=cron) for name, cron in crons.items()]
    worker = services.get("worker")
    access = prefect_access(workspace)
    if access is None or worker is None or not worker.alive:
        dead = "the worker" if access is not None else "Prefect"
        problem = f"{dead} has ended; `voxdata up` starts it again"
        return [
            ScheduleStanding(name=name, cron=cron, problem=problem) for name, cron in crons.items()
        ]
    since = _started_at(worker)
    try:
        deployments = _list_deployments(access, workspace.settings.project.name)
        return _ask_standings(access, crons, deployments, since=since, now=now or datetime.now(UTC))
    except TransientError as error:
        return [
            ScheduleStanding(name=name, cron=cron, problem=str(error))
            for name, cron in crons.items()
        ]


def schedule_rows(standings: list[ScheduleStanding]) -> list[dict[str, object]]:
    """Rows for people and programs; times are UTC."""
    return [
        {
            "schedule": row.name,
            "cron": row.cron,
            "last success": _minute(row.last_success),
            "running since": _minute(row.running_since),
            "next tick": _minute(row.next_tick),
            "missed": row.missed,
            "problem": row.problem,
        }
        for row in standings
    ]


def wait_planned(workspace: Workspace, *, timeout_s: float = PLANNED_WITHIN_S) -> None:
    """Wait until Prefect has planned a run for every schedule.

    Raises:
        ServiceError: It has not in time, so its scheduler is not at work.
    """
    if not configured_schedules(workspace):
        return
    deadline = time.monotonic() + timeout_s
    while True:
        standings = read_schedules(workspace)
        missing = [row.name for row in standings if row.next_tick is None]
        if not missing:
            return
        if time.monotonic() > deadline:
            log = workspace.state_dir / "logs" / "prefect-server.log"
            raise ServiceError(
                f"Prefect has planned no run of {', '.join(missing)} within {timeout_s:.0f} s, so "
                f"no schedule will fire; `voxdata doctor` gives the reason (log {log})"
            )
        time.sleep(1)


def judge_schedule(
    standing: ScheduleStanding, *, since: datetime, now: datetime
) -> ScheduleStanding:
    """Count what a schedule missed, and say what is wrong with it.

    Args:
        standing: As Prefect tells it.
        since: When the worker started, UTC; ticks before it are nobody's fault.
        now: UTC.
    """
    base = max(since, standing.last_success or since)
    missed = count_ticks(standing.cron, after=base, until=now - PICK_UP)
    problem = ""
    if standing.next_tick is None and now - since > timedelta(seconds=PLANNED_WITHIN_S):
        problem = "Prefect plans no run of it; `voxdata doctor` looks into the scheduler's log"
    elif missed >= MISSED and standing.running_since is None:
        problem = f"{missed} ticks passed without a run that ended well; see the worker's log"
    return replace(standing, missed=missed, problem=problem)


def _list_deployments(access: Mapping[str, str], project: str) -> dict[str, str]:
    """Flow -> id of its deployment for this project."""
    rows = ask_prefect(access, "deployments", {"deployments": {"name": {"any_": [project]}}})
    return {str(row["entrypoint"]).rpartition(".")[2]: str(row["id"]) for row in rows}


def _ask_standings(
    access: Mapping[str, str],
    crons: Mapping[str, str],
    deployments: Mapping[str, str],
    *,
    since: datetime,
    now: datetime,
) -> list[ScheduleStanding]:
    standings = []
    for name, cron in crons.items():
        deployment = deployments.get(name)
        standing = ScheduleStanding(name=name, cron=cron)
        if deployment is not None:
            standing = replace(
                standing,
                last_success=_run_time(access, deployment, "COMPLETED", "END_TIME_DESC"),
                running_since=_at_work(access, deployment, since=since),
                next_tick=_run_time(access, deployment, "SCHEDULED", "EXPECTED_START_TIME_ASC"),
            )
        standings.append(judge_schedule(standing, since=since, now=now))
    return standings


def _minute(time_utc: datetime | None) -> str | None:
    return None if time_utc is None else f"{time_utc:%Y-%m-%d %H:%M}"


def _at_work(access: Mapping[str, str], deployment: str, *, since: datetime) -> datetime | None:
    """Since when a run is at work; one from before the worker started has died with that worker."""
    began = _run_time(access, deployment, "RUNNING", "START_TIME_DESC")
    return began if began is not None and began >= since else None


def _run_time(access: Mapping[str, str], deployment: str, state: str, sort: str) -> datetime | None:
    query: dict[str, Any] = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": [state]}}},
        "sort": sort,
        "limit": 1,
    }
    for run in ask_prefect(access, "flow_runs", query):
        told = run["start_time"] if state == "RUNNING" else run["expected_start_time"]
        return None if told is None else datetime.fromisoformat(told).astimezone(UTC)
    return None


def _started_at(service: Service) -> datetime:
    try:
        return datetime.fromtimestamp(psutil.Process(service.pid).create_time(), UTC)
    except psutil.Error:
        return datetime.now(UTC)
