"""Deployments: schedules and triggers for one workspace, served by one runner process.

    python -m flows.deploy ROOT

Started by `voxdata up`. Each flow run is a child process. Flows are deployed by module path.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from prefect import Flow, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from flows.folders.private_files import keep_files_private
from flows.ingest.flow import ingest
from flows.ingest.sources import STILL_S
from flows.labelling.pull import pull
from flows.labelling.push import push
from flows.prelabel.flow import prelabel
from flows.quiet_exit import quiet_exit
from flows.release.flow import release
from flows.retrain.finetune import finetune
from flows.workspace import Workspace, open_workspace
from warehouse.versions import CREATED_EVENT

ONE_AT_A_TIME = ConcurrencyLimitConfig(
    limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
)
"""A tick that comes while the run before it is still at work is skipped: the next one finds all
there is.
"""


def build_deployments(workspace: Workspace) -> list[RunnerDeployment]:
    """Every deployment of a workspace: the flows on their schedules, and fine-tuning on the release
    of a version.
    """
    root, schedules = str(workspace.root), workspace.settings.schedules
    scheduled: list[tuple[Flow[Any, Any], str, dict[str, Any]]] = [
        (
            ingest,
            schedules.ingest if workspace.settings.sources.inbox else "",
            {"still_s": STILL_S},
        ),
        (prelabel, schedules.prelabel, {}),
        (push, schedules.push, {}),
        (pull, schedules.pull, {}),
        (release, schedules.release, {"name": workspace.settings.project.name, "scheduled": True}),
    ]
    deployments = []
    for flow, cron, parameters in scheduled:
        schedule = Cron(cron, timezone="UTC") if cron else None
        deployment = flow.to_deployment(
            name=workspace.settings.project.name,
            parameters={"root": root, **parameters},
            schedule=schedule,
            concurrency_limit=ONE_AT_A_TIME,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        deployments.append(deployment)
    trigger = DeploymentEventTrigger(
        name="finetune-on-version",
        expect={CREATED_EVENT},
        match={"prefect.resource.id": "voxdata.dataset.*"},
        for_each={"prefect.resource.id", "voxdata.version"},
        parameters={"root": _from_event("root"), "version_id": _from_event("version_id")},
    )
    deployments.append(
        finetune.to_deployment(
            name=workspace.settings.project.name,
            triggers=[trigger],
            concurrency_limit=1,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
    )
    return [deployment for deployment in deployments if isinstance(deployment, RunnerDeployment)]


def _from_event(field: str) -> dict[str, Any]:
    """A parameter taken from the event's payload.

    Wrapped as JSON, since a bare template would always give a string.
    """
    return {
        "__prefect_kind": "json",
        "value": {
            "__prefect_kind": "jinja",
            "template": "{{ event.payload." + field + " | tojson }}",
        },
    }


def main() -> None:
    """Serve the deployments of the workspace named on the command line until stopped."""
    quiet_exit()
    keep_files_private()
    serve(*build_deployments(open_workspace(Path(sys.argv[1]))), limit=2)


if __name__ == "__main__":
    main()
