"""Run a flow on the workspace's Prefect server when that is up, and its plain function when it is not."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from flows.services import prefect_access
from flows.workspace import Say, Workspace

if TYPE_CHECKING:
    from prefect import Flow


def connect_prefect(workspace: Workspace) -> bool:
    """Point this process at the workspace's Prefect server. Call it before anything imports Prefect.

    Returns:
        False when no server of this workspace is up.
    """
    environment = prefect_access(workspace)
    if environment is None:
        # A half-configured client would start a server of its own in the user's home.
        os.environ.setdefault("DO_NOT_TRACK", "1")
        return False
    os.environ.update(environment)
    return True


def run_flow(workspace: Workspace, name: str, *args: Any, say: Say) -> Any:
    """Run the flow called `name` of the module `flows.<name>`.

    Returns:
        What the flow returns: a summary of plain values.
    """
    connected = connect_prefect(workspace)
    flow: Flow[Any, Any] = getattr(import_module(f"flows.{name}"), name)
    if connected:
        return flow(str(workspace.root), *args)
    say(f"{name}: Prefect is not up (`voxdata up`), so this run is not recorded there")
    return flow.fn(str(workspace.root), *args)
