"""Lineage for the outside: OpenLineage events of releases and training runs.

They are sent by the official client.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from voxdata.identity import digest

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient

    from flows.workspace import Workspace
    from warehouse.runs import TrainingRun
    from warehouse.versions import DatasetVersion

PRODUCER = "urn:voxdata"


def emit_release(workspace: Workspace, version: DatasetVersion) -> bool:
    """Tell that a version was cut from the annotations there were.

    Returns:
        False when [lineage] asks for nothing.
    """
    return _emit(
        workspace,
        job="release",
        run=digest("release", version.ref, version.root),
        inputs={"annotations": str(version.recipe.get("ledger_head", ""))},
        outputs={version.name: version.root},
        rows=version.num_examples,
    )


def emit_training(workspace: Workspace, run: TrainingRun, version: DatasetVersion) -> bool:
    """Tell that a model was trained on a version, or failed to be."""
    return _emit(
        workspace,
        job=f"finetune.{run.scheme}",
        run=run.training_id,
        inputs={version.name: version.root},
        outputs={f"model.{run.scheme}": run.model_key} if run.state == "done" else {},
        rows=None,
        failed=run.state == "failed",
    )


def _emit(
    workspace: Workspace,
    *,
    job: str,
    run: str,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    rows: int | None,
    failed: bool = False,
) -> bool:
    from openlineage.client.event_v2 import (
        InputDataset,
        Job,
        OutputDataset,
        Run,
        RunEvent,
        RunState,
    )
    from openlineage.client.generated.dataset_version_dataset import DatasetVersionDatasetFacet
    from openlineage.client.generated.output_statistics_output_dataset import (
        OutputStatisticsOutputDatasetFacet,
    )

    client = _client(workspace)
    if client is None:
        return False
    namespace = workspace.settings.project.name

    def versioned(version: str) -> dict[str, DatasetVersionDatasetFacet]:
        return {"version": DatasetVersionDatasetFacet(datasetVersion=version, producer=PRODUCER)}

    statistics = (
        {}
        if rows is None
        else {
            "outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=rows, producer=PRODUCER)
        }
    )
    client.emit(
        RunEvent(
            eventTime=datetime.now(UTC).isoformat(),
            eventType=RunState.FAIL if failed else RunState.COMPLETE,
            producer=PRODUCER,
            run=Run(runId=str(UUID(run))),
            job=Job(namespace=namespace, name=job),
            inputs=[
                InputDataset(namespace=namespace, name=name, facets={**versioned(version)})
                for name, version in inputs.items()
            ],
            outputs=[
                OutputDataset(
                    namespace=namespace,
                    name=name,
                    facets={**versioned(version)},
                    outputFacets={**statistics},
                )
                for name, version in outputs.items()
            ],
        )
    )
    return True


def _client(workspace: Workspace) -> OpenLineageClient | None:
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport.file import FileConfig, FileTransport
    from openlineage.client.transport.http import HttpConfig, HttpTransport

    settings = workspace.settings.lineage
    if settings.url:
        return OpenLineageClient(transport=HttpTransport(HttpConfig(url=settings.url)))
    if settings.file:
        path = workspace.root / Path(settings.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        return OpenLineageClient(
            transport=FileTransport(FileConfig(log_file_path=str(path), append=True))
        )
    return None
