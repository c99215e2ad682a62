"""Prefect where it helps: a step is a plain function that a flow run retries and shows, and a
command calls directly.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext
from prefect.tasks import exponential_backoff

from flows.say import tell
from flows.services.prefect_api import prefect_answers
from voxdata.errors import TransientError

P = ParamSpec("P")
R = TypeVar("R")


async def _is_transient(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    outcome = await state.aresult(raise_on_failure=False)
    return isinstance(outcome, TransientError)


def step(name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a step: retried three times with back-off and jitter, on
    TransientError only.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        decorated: Task[P, R] = task(
            name=name,
            retries=3,
            retry_delay_seconds=exponential_backoff(2),
            retry_jitter_factor=0.5,
            retry_condition_fn=_is_transient,
            persist_result=False,
            cache_policy=NO_CACHE,
        )(function)
        return decorated

    return decorate


def in_flow_run() -> bool:
    """Whether this runs inside a flow run, so that there is a server to report to."""
    return FlowRunContext.get() is not None


def call(step: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a step inside a flow run, or its plain function when there is none."""
    if not in_flow_run():
        return step.fn(*args, **kwargs)
    return step(*args, **kwargs)


def show_table(key: str, rows: list[dict[str, object]], *, description: str) -> None:
    """Publish a table on the page of the current flow run.

    Outside a flow run there is no page, so nothing happens.
    """
    if in_flow_run():
        _publish(lambda: create_table_artifact(key=key, table=rows, description=description))


def show_text(key: str, markdown: str, *, description: str) -> None:
    """Publish Markdown on the page of the current flow run, if there is one."""
    if in_flow_run():
        _publish(
            lambda: create_markdown_artifact(key=key, markdown=markdown, description=description)
        )


def _publish(create: Callable[[], object]) -> None:
    """Show something on the run's page; the work does not depend on it, so it is never its end."""
    if not prefect_answers(os.environ):
        tell("Prefect does not answer, so its page of this run lacks a table")
        return
    try:
        create()
    except Exception as error:  # whatever a server in trouble brings about
        tell(f"Prefect refused what its page of this run should show ({error})")
