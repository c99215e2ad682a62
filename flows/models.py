"""Wiring of models: build the backends that the settings ask for.

Workers import this, so it imports little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.settings import BackendSettings
from flows.workspace import Workspace
from voxdata.backends import load_backend
from voxdata.errors import ConfigError
from voxdata.ports import Diarizer, Labeler, Transcriber
from voxdata.prelabel import Models
from warehouse.runs import promoted_run


def build_diarizer(workspace: Workspace) -> Diarizer:
    """The diarizer of [diarizer]."""
    diarizer: Diarizer = _build(workspace, "diarizer", workspace.settings.diarizer)
    return diarizer


def build_transcriber(workspace: Workspace) -> Transcriber:
    """The transcriber of [transcriber]."""
    transcriber: Transcriber = _build(workspace, "transcriber", workspace.settings.transcriber)
    return transcriber


def _build(workspace: Workspace, port: str, settings: BackendSettings) -> Any:
    return _load(workspace, port, settings.backend, **settings.options)


def _load(workspace: Workspace, port: str, name: str, **options: Any) -> Any:
    """A backend with the cache folder and the keys of this workspace, where it asks for them."""
    secrets = workspace.secrets
    offers: dict[str, object] = {"cache_dir": str(secrets.cache_dir), "hf_token": secrets.hf_token}
    if port == "transcriber":
        offers["api_key"] = secrets.transcriber_key
    return load_backend(port, name, offers=offers, **options)


def build_cold_start(workspace: Workspace, scheme_name: str) -> Labeler:
    """The stand-in that labels a scheme until a model is trained."""
    for settings in workspace.settings.schemes:
        if settings.name == scheme_name:
            labeler: Labeler = _load(
                workspace, "labeler", settings.cold_start, scheme=settings.scheme
            )
            return labeler
    raise ConfigError(f"voxdata.toml defines no scheme {scheme_name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerSpec:
    """What labels a scheme, as a value that a worker can build it from.

    Attributes:
        checkpoint: Folder of the promoted model; "" for the cold start.
    """

    scheme: str
    checkpoint: str = ""


def labeler_specs(workspace: Workspace) -> dict[str, LabelerSpec]:
    """Scheme name -> its promoted model, or its cold start when none is promoted."""
    if workspace.known_warehouse() is None and not workspace.warehouse_path.exists():
        return {scheme.name: LabelerSpec(scheme=scheme.name) for scheme in workspace.schemes}
    with workspace.warehouse() as con:
        runs = {scheme.name: promoted_run(con, scheme.name) for scheme in workspace.schemes}
    if any(run is not None for run in runs.values()):
        workspace.require_folders("models")
    specs: dict[str, LabelerSpec] = {}
    for name, run in runs.items():
        checkpoint = "" if run is None else str(workspace.root / run.checkpoint_dir)
        specs[name] = LabelerSpec(scheme=name, checkpoint=checkpoint)
    return specs


def build_labeler(workspace: Workspace, spec: LabelerSpec) -> Labeler:
    """The labeler of a spec."""
    if not spec.checkpoint:
        return build_cold_start(workspace, spec.scheme)
    from training.labeler import TrainedLabeler

    return TrainedLabeler(
        Path(spec.checkpoint),
        cache_dir=workspace.secrets.cache_dir,
        compute=workspace.settings.training.compute,
    )


def build_labelers(workspace: Workspace) -> dict[str, Labeler]:
    """One labeler for each scheme."""
    return {name: build_labeler(workspace, spec) for name, spec in labeler_specs(workspace).items()}


def build_models(workspace: Workspace, specs: Mapping[str, LabelerSpec]) -> Models:
    """Everything that pre-labelling runs. Weights are loaded at first use."""
    second = workspace.settings.second_transcriber
    privacy, mos = workspace.settings.privacy.scanner, workspace.settings.quality.mos
    cutting, chinese = workspace.settings.utterance, workspace.settings.transcriber.chinese
    if chinese != "as heard":
        from voxdata.backends.transcription.chinese_script import load_script
    if second is not None:
        from voxdata.backends.transcription.text_agreement import error_rate
    return Models(
        diarizer=build_diarizer(workspace),
        transcriber=build_transcriber(workspace),
        second_transcriber=None if second is None else _build(workspace, "transcriber", second),
        agreement=None if second is None else error_rate,
        scanner=_load(workspace, "privacy_scanner", privacy) if privacy else None,
        mos=_load(workspace, "mos_predictor", mos) if mos else None,
        labelers={name: build_labeler(workspace, spec) for name, spec in specs.items()},
        cutting={"pause_ms": cutting.pause_ms, "min_ms": cutting.min_ms, "max_ms": cutting.max_ms},
        chinese=None if chinese == "as heard" else load_script(chinese),
    )
