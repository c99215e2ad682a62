"""Wiring: build the adapters that the settings ask for."""

from __future__ import annotations

from typing import Any

from annotation.label_studio import LabelStudioQueue
from flows.services import label_studio_access
from flows.settings import BackendSettings
from flows.workspace import Workspace
from training.labeler import TrainedLabeler
from voxdata.backends import load_backend
from voxdata.errors import ConfigError
from voxdata.ports import Diarizer, Labeler, Transcriber
from warehouse.runs import promoted_run


def build_diarizer(workspace: Workspace) -> Diarizer:
    """The diarizer of [diarizer]."""
    diarizer: Diarizer = _build(workspace, "diarizer", workspace.settings.diarizer, hf_token=workspace.secrets.hf_token)
    return diarizer


def build_transcriber(workspace: Workspace) -> Transcriber:
    """The transcriber of [transcriber]."""
    transcriber: Transcriber = _build(workspace, "transcriber", workspace.settings.transcriber)
    return transcriber


def _build(workspace: Workspace, port: str, settings: BackendSettings, **extra: Any) -> Any:
    if (port, settings.backend) in _TAKES_CACHE:
        extra["cache_dir"] = str(workspace.secrets.cache_dir)
    else:
        extra = {}
    return load_backend(port, settings.backend, **{**extra, **settings.options})


_TAKES_CACHE = {("diarizer", "pyannote"), ("transcriber", "whisper")}


def build_cold_start(workspace: Workspace, scheme_name: str) -> Labeler:
    """The stand-in that labels a scheme until a model is trained."""
    for settings in workspace.settings.schemes:
        if settings.name == scheme_name:
            labeler: Labeler = load_backend("labeler", settings.cold_start, scheme=settings.scheme)
            return labeler
    raise ConfigError(f"voxdata.toml defines no scheme {scheme_name!r}")


def build_labeler(workspace: Workspace, scheme_name: str) -> Labeler:
    """The promoted model of a scheme, or its cold start when none is promoted."""
    with workspace.warehouse() as con:
        run = promoted_run(con, scheme_name)
    if run is None:
        return build_cold_start(workspace, scheme_name)
    return TrainedLabeler(workspace.root / run.checkpoint_dir, cache_dir=workspace.secrets.cache_dir)


def build_labelers(workspace: Workspace) -> dict[str, Labeler]:
    """One labeler for each scheme."""
    return {scheme.name: build_labeler(workspace, scheme.name) for scheme in workspace.schemes}


def build_queue(workspace: Workspace) -> LabelStudioQueue:
    """The Label Studio project of the workspace, made when absent."""
    url, token = label_studio_access(workspace)
    return LabelStudioQueue(
        url=url,
        token=token,
        project_title=workspace.settings.project.name,
        schemes=workspace.schemes,
        media_dir=workspace.media_dir,
        guidelines=workspace.settings.annotation.guidelines,
        votes_wanted=workspace.settings.annotation.votes_wanted,
    )
