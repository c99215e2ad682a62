"""Export: open a version of a workspace, to be written in any format."""

from __future__ import annotations

from flows.workspace import Workspace
from warehouse.exchange.bundle import Bundle, read_bundle
from warehouse.exchange.terms import Terms


def open_bundle(workspace: Workspace, ref: str) -> Bundle:
    """Read a version for export, under the terms that the project states; see `read_bundle`."""
    project = workspace.settings.project
    terms = Terms(description=project.description, creator=project.creator, licence=project.license)
    with workspace.warehouse(read_only=True) as con:
        return read_bundle(
            con,
            ref,
            schemes=workspace.schemes,
            audio_root=workspace.audio_dir,
            register=workspace.written,
            terms=terms,
        )
