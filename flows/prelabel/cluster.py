"""Pre-labelling on a Dask or Ray cluster, through Prefect's own task runners.

Workers need the environment of this project and see the workspace under the same path; only this
process writes to the warehouse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from prefect import flow, task
from prefect.futures import PrefectFuture

from flows.prelabel.worker import Outcome, Unit, run_unit
from flows.settings import PrelabelSettings
from flows.steps import in_flow_run
from flows.workspace import Workspace
from voxdata.errors import ConfigError, MachineError

UNITS_A_FLOW = 64

_unit_task = task(name="prelabel-unit-work", persist_result=False)(run_unit)


def run_on_cluster(
    workspace: Workspace, units: Iterator[Unit]
) -> Iterator[tuple[Unit, list[Outcome]]]:
    """Have units worked on by a cluster, and give back each in order.

    Raises:
        ConfigError: Prefect is not up, or the task runner is not installed.
    """
    settings = workspace.settings.prelabel
    if not in_flow_run():
        raise ConfigError(
            f'[prelabel] runner = "{settings.runner}" needs the Prefect server: '
            "run `voxdata up` first"
        )
    while batch := list(islice(units, UNITS_A_FLOW)):
        yield from zip(batch, _run_batch(workspace, batch), strict=True)


def _run_batch(workspace: Workspace, units: Sequence[Unit]) -> list[list[Outcome]]:
    """One flow run on the cluster.

    Its results are stored before the next begins, so that little is lost when the run is killed.
    """

    @flow(name="prelabel-units", task_runner=_task_runner(workspace), validate_parameters=False)
    def prelabel_units() -> list[list[Outcome]]:
        futures = [_unit_task.submit(unit) for unit in units]
        return [_outcomes(unit, future) for unit, future in zip(units, futures, strict=True)]

    return prelabel_units()


def _outcomes(unit: Unit, future: PrefectFuture[list[Outcome]]) -> list[Outcome]:
    result = future.result(raise_on_failure=False)
    if isinstance(result, list):
        return result
    if isinstance(result, MachineError):
        raise result
    # A cluster does not say how a worker ended; the unit waits for the next run, as one whose
    # worker was killed does here.
    return [
        Outcome(work=work, shortage=f"the cluster could not finish it: {result!r}")
        for work in unit.works
    ]


def _task_runner(workspace: Workspace) -> Any:
    settings: PrelabelSettings = workspace.settings.prelabel
    from flows.prelabel.worker import count_workers

    workers = count_workers(workspace)
    try:
        if settings.runner == "dask":
            from prefect_dask import DaskTaskRunner  # type: ignore[attr-defined]

            if settings.dask_address:
                return DaskTaskRunner(address=settings.dask_address)
            return DaskTaskRunner(
                cluster_kwargs={
                    "n_workers": workers,
                    "threads_per_worker": 1,
                    "dashboard_address": None,
                }
            )
        from prefect_ray import RayTaskRunner  # type: ignore[import-untyped]

        if settings.ray_address:
            return RayTaskRunner(address=settings.ray_address)
        return RayTaskRunner(init_kwargs={"num_cpus": workers, "include_dashboard": False})
    except ImportError as error:
        package = f"prefect-{settings.runner}"
        raise ConfigError(
            f'[prelabel] runner = "{settings.runner}" needs {package} ({error}); '
            "reinstall with `make`"
        ) from error
