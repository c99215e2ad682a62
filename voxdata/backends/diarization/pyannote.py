"""Diarization by pyannote.audio.

Either its packaged weights run in a fast engine that gives the same turns, or any hub pipeline by
name in pyannote's own.

Source: H. Bredin, pyannote.audio 2.1 speaker diarization pipeline, INTERSPEECH 2023; segmentation
by powerset classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from voxdata.backends.diarization.telemetry import import_pyannote
from voxdata.backends.weights import revision
from voxdata.errors import BackendError
from voxdata.identity import ModelRef
from voxdata.ports import MODEL_RATE_HZ, Diarization, Samples, Sound, SpeakerSegment
from voxdata.segment import Segment, union

PACKAGED = "packaged"
MIN_SAMPLES = MODEL_RATE_HZ // 10
"""Anything shorter holds no turn."""


class PyannoteDiarizer:
    """The Diarizer port on pyannote.audio.

    Args:
        pipeline: "packaged" for the weights that Python packages ship, or a hub id or folder such
            as "pyannote/speaker-diarization-community-1", which runs in pyannote's own pipeline,
            one sound after another, each read whole.
        threshold: Cosine distance at which two voices are taken for one (packaged pipeline).
        segmentation_step: Hop between 10 s windows, as a share of the window, in whole thousandths
            (packaged pipeline).
        min_cluster_size: Windows a voice needs to count as one (packaged pipeline).
        device: A torch device; "auto" takes CUDA when there is one.
        hf_token: For gated hub pipelines.
        cache_dir: Where hub downloads and exported graphs go.

    Raises:
        BackendError: Weights are missing, or the hub pipeline cannot be had.
    """

    def __init__(
        self,
        *,
        pipeline: str = PACKAGED,
        threshold: float = 0.31,
        segmentation_step: float = 0.25,
        min_cluster_size: int = 4,
        device: str = "auto",
        hf_token: str | None = None,
        cache_dir: str | None = None,
    ) -> None:
        for name, value, low, high in (
            ("threshold", threshold, 0, 2),
            ("segmentation_step", segmentation_step, 0.001, 1),
            ("min_cluster_size", min_cluster_size, 1, 100_000),
        ):
            if not isinstance(value, int | float) or not low <= value <= high:
                raise BackendError(
                    f"[diarizer] {name} is a number from {low} to {high}, not {value!r}"
                )
        self._name = pipeline
        self._options = {
            "threshold": threshold,
            "segmentation_step": segmentation_step,
            "min_cluster_size": min_cluster_size,
        }
        self._device = device
        self._token = hf_token
        self._cache_dir = cache_dir
        self._loaded: Any = None

    @property
    def model(self) -> ModelRef:
        """What is running. A hub pipeline's revision is its id: pin it with "id@revision"."""
        if self._name == PACKAGED:
            return ModelRef(
                name="pyannote/segmentation-3.0+cam++",
                revision=revision("segmentation-3.0", "cam++", "cam++.code"),
                params=self._options,
            )
        _, _, pinned = self._name.partition("@")
        return ModelRef(
            name=self._name,
            revision=pinned or "hub",
        )

    @property
    def voice_model(self) -> ModelRef:
        """What makes the embeddings."""
        if self._name == PACKAGED:
            return ModelRef(
                name="cam++",
                revision=revision("cam++", "cam++.code"),
            )
        return ModelRef(
            name=f"{self._name}#voices",
            revision=self.model.revision,
        )

    def diarize(
        self,
        sounds: Sequence[Sound],
        *,
        max_speakers: int | None = None,
    ) -> list[Diarization]:
        """See `Diarizer.diarize`."""
        if self._name == PACKAGED:
            diarizations = self._diarize_packaged(sounds, max_speakers)
        else:
            diarizations = [self._diarize_hub(sound.read(), max_speakers) for sound in sounds]
        return [replace(diarization, voice_model=self.voice_model) for diarization in diarizations]

    def _diarize_packaged(
        self,
        sounds: Sequence[Sound],
        max_speakers: int | None,
    ) -> list[Diarization]:
        from voxdata.backends.diarization.engine import diarize_sounds
        from voxdata.backends.diarization.speech_windows import WINDOW_SAMPLES
        from voxdata.backends.filterbank import HOP_SAMPLES

        long_places = [i for i, sound in enumerate(sounds) if sound.num_samples >= MIN_SAMPLES]
        diarizations = [SILENCE] * len(sounds)
        if not long_places:
            return diarizations

        step = self._options["segmentation_step"] * WINDOW_SAMPLES
        answers = diarize_sounds(
            [sounds[place] for place in long_places],
            self._nets(),
            threshold=self._options["threshold"],
            min_cluster_size=int(self._options["min_cluster_size"]),
            step_samples=round(step / HOP_SAMPLES) * HOP_SAMPLES,
            max_speakers=max_speakers,
        )
        for place, answer in zip(long_places, answers, strict=True):
            diarizations[place] = answer
        return diarizations

    def _nets(self) -> Any:
        if self._loaded is None:
            from voxdata.backends.diarization.nets import OnnxNets, TorchNets

            device = self._torch_device()
            if device == "cpu":
                cache_dir = Path(self._cache_dir) / "diarization" if self._cache_dir else None
                self._loaded = OnnxNets(cache_dir)
            else:
                self._loaded = TorchNets(device)
        return self._loaded

    def _torch_device(self) -> str:
        if self._device != "auto":
            return self._device
        from voxdata.backends.diarization.nets import has_cuda

        return "cuda" if has_cuda() else "cpu"

    def _diarize_hub(self, samples: Samples, max_speakers: int | None) -> Diarization:
        if len(samples) < MIN_SAMPLES or not samples.any():
            return SILENCE
        import torch

        if self._loaded is None:
            self._loaded = self._load_hub().to(torch.device(self._torch_device()))
        waveform = torch.from_numpy(np.ascontiguousarray(samples))
        file = {
            "waveform": waveform[None],
            "sample_rate": MODEL_RATE_HZ,
            "uri": "recording",
        }
        output = self._loaded(file, max_speakers=max_speakers)
        return encode_annotation(
            getattr(output, "speaker_diarization", output),
            getattr(output, "speaker_embeddings", None),
            end_ms=len(samples) * 1000 // MODEL_RATE_HZ,
        )

    def _load_hub(self) -> Any:
        import_pyannote()
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )
        from pyannote.audio import Pipeline

        remedy = (
            "set HF_TOKEN, accept the model's terms on its page and check the network, "
            'or use pipeline = "packaged"'
        )
        name, _, pinned = self._name.partition("@")
        try:
            pipeline = Pipeline.from_pretrained(
                name,
                revision=pinned or None,
                token=self._token,
                cache_dir=self._cache_dir,
            )
        except (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            OSError,
            ValueError,
        ) as error:
            reason = str(error).splitlines()[0]
            raise BackendError(
                f"diarization pipeline {self._name!r} cannot be loaded ({reason}); {remedy}"
            ) from error
        if pipeline is None:
            raise BackendError(f"diarization pipeline {self._name!r} is not accessible; {remedy}")
        return pipeline


SILENCE = Diarization(segments=(), embeddings={})


def encode_annotation(annotation: Any, vectors: Any, *, end_ms: int) -> Diarization:
    """A pyannote annotation as a `Diarization` without a voice model.

    Args:
        annotation: A `pyannote.core.Annotation`.
        vectors: (num_speakers, dimension) in the order of `annotation.labels()`, or None.
        end_ms: Nothing lies after it.
    """
    from voxdata.backends.diarization.engine import unit_vector

    spans: dict[str, list[Segment]] = {}
    for turn, _, label in annotation.itertracks(yield_label=True):
        start_ms = max(0, round(turn.start * 1000))
        stop_ms = min(end_ms, round(turn.end * 1000))
        if start_ms < stop_ms:
            segment = Segment(start_ms=start_ms, end_ms=stop_ms)
            spans.setdefault(str(label), []).append(segment)
    joined = {label: union(parts) for label, parts in spans.items()}

    vector_of: dict[str, tuple[float, ...]] = {}
    if vectors is not None:
        for label, row in zip(annotation.labels(), vectors, strict=False):
            vector_of[str(label)] = unit_vector(row)

    segments: list[SpeakerSegment] = []
    embeddings: dict[str, tuple[float, ...]] = {}
    by_appearance = sorted(joined, key=lambda label: (joined[label][0], label))
    for i, label in enumerate(by_appearance):
        speaker = f"S{i}"
        segments += [SpeakerSegment(speaker=speaker, segment=s) for s in joined[label]]
        if vector_of.get(label):
            embeddings[speaker] = vector_of[label]
    return Diarization(
        segments=tuple(sorted(segments, key=lambda s: (s.segment, s.speaker))),
        embeddings=embeddings,
    )
