"""Wiring of models: build the backends that the settings ask for.

Workers import this, so it imports little.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.settings import BackendSettings
from flows.workspace import Workspace
from voxdata.backends import load_backend
from voxdata.errors import ConfigError, TrainingError
from voxdata.ports import Diarizer, Labeler, Transcriber
from voxdata.prelabel import Models
from voxdata.role import TRANSCRIBE, label_role
from warehouse.promotions import promoted_run
from warehouse.runs import TrainingRun


def build_diarizer(workspace: Workspace) -> Diarizer:
    """The diarizer of [diarizer]."""
    diarizer: Diarizer = _build(workspace, "diarizer", workspace.settings.diarizer)
    return diarizer


TRANSCRIBER_FORMATS: Mapping[str, Callable[[Path], Transcriber]] = {}
"""Format of a checkpoint, as its model.json says -> what loads a transcriber from its folder. A
recipe that trains one adds a line.
"""


def build_transcriber(workspace: Workspace, *, checkpoint: str = "") -> Transcriber:
    """The promoted transcriber, or the one of [transcriber] while none is.

    Args:
        checkpoint: Folder of the promoted model; "" when there is none.

    Raises:
        TrainingError: The checkpoint is of another kind, or cannot be read.
    """
    if checkpoint:
        return _load_transcriber(Path(checkpoint))
    transcriber: Transcriber = _build(workspace, "transcriber", workspace.settings.transcriber)
    return transcriber


def _load_transcriber(folder: Path) -> Transcriber:
    remedy = f"`voxdata demote {TRANSCRIBE}` goes back to the one of [transcriber]"
    try:
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        found = str(card["format"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{folder}: is no readable checkpoint ({error!r}); {remedy}") from error
    if found not in TRANSCRIBER_FORMATS:
        raise TrainingError(
            f"{folder}: its format {found!r} is none of a transcriber that this release reads; "
            f"{remedy}"
        )
    return TRANSCRIBER_FORMATS[found](folder)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpecs:
    """Which models are in use, as a value that a worker can build them from.

    Attributes:
        labelers: One for each scheme.
        transcriber: Folder of the promoted model; "" for the one of [transcriber].
    """

    labelers: tuple[LabelerSpec, ...] = ()
    transcriber: str = ""


def model_specs(workspace: Workspace) -> ModelSpecs:
    """The promoted models; where none is, the cold start of a scheme, and [transcriber]."""
    schemes = [scheme.name for scheme in workspace.schemes]
    if workspace.known_warehouse() is None and not workspace.warehouse_path.exists():
        return ModelSpecs(labelers=tuple(LabelerSpec(scheme=name) for name in schemes))
    with workspace.warehouse() as con:
        runs = {name: promoted_run(con, label_role(name)) for name in schemes}
        transcriber = promoted_run(con, TRANSCRIBE)
    if transcriber is not None or any(run is not None for run in runs.values()):
        workspace.require_folders("models")
    labelers: list[LabelerSpec] = []
    for name, run in runs.items():
        labelers.append(LabelerSpec(scheme=name, checkpoint=_find_checkpoint(workspace, run)))
    return ModelSpecs(
        labelers=tuple(labelers),
        transcriber=_find_checkpoint(workspace, transcriber),
    )


def _find_checkpoint(workspace: Workspace, run: TrainingRun | None) -> str:
    """The folder of a run's model; "" without a run."""
    return "" if run is None else str(workspace.root / run.checkpoint_dir)


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
    return _label_with(workspace, model_specs(workspace))


def _label_with(workspace: Workspace, specs: ModelSpecs) -> dict[str, Labeler]:
    return {spec.scheme: build_labeler(workspace, spec) for spec in specs.labelers}


def build_models(workspace: Workspace, specs: ModelSpecs) -> Models:
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
        transcriber=build_transcriber(workspace, checkpoint=specs.transcriber),
        second_transcriber=None if second is None else _build(workspace, "transcriber", second),
        agreement=None if second is None else error_rate,
        scanner=_load(workspace, "privacy_scanner", privacy) if privacy else None,
        mos=_load(workspace, "mos_predictor", mos) if mos else None,
        labelers=_label_with(workspace, specs),
        cutting={"pause_ms": cutting.pause_ms, "min_ms": cutting.min_ms, "max_ms": cutting.max_ms},
        chinese=None if chinese == "as heard" else load_script(chinese),
    )
