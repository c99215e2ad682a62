"""The training configuration: what decides a run besides its examples."""

from __future__ import annotations

from training.config.file import (
    RECIPES,
    encode_config,
    load_recipe,
    parse_config,
    read_config,
    write_config,
)
from training.config.schema import (
    AudioConfig,
    FitConfig,
    GateConfig,
    HeadConfig,
    TextConfig,
    TrainingConfig,
)

__all__ = [
    "RECIPES",
    "AudioConfig",
    "FitConfig",
    "GateConfig",
    "HeadConfig",
    "TextConfig",
    "TrainingConfig",
    "encode_config",
    "load_recipe",
    "parse_config",
    "read_config",
    "write_config",
]
