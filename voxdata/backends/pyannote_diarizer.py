"""Diarization by the pyannote.audio SpeakerDiarization pipeline.

Source: H. Bredin, pyannote.audio 2.1 speaker diarization pipeline, INTERSPEECH 2023; segmentation by powerset classes.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from voxdata.backends.weights import revision
from voxdata.errors import BackendError
from voxdata.identity import ModelRef
from voxdata.ports import MODEL_RATE_HZ, Samples, SpeakerSegment
from voxdata.segment import Segment, union

PACKAGED = "packaged"
MIN_SAMPLES = MODEL_RATE_HZ // 10
"""Anything shorter holds no turn."""

MIN_EMBEDDING_FRAMES = 20
EMBEDDING_BATCH = 16


class PyannoteDiarizer:
    """The Diarizer port on pyannote.audio.

    Args:
        pipeline: "packaged" for the weights that Python packages ship, or a hub id or folder such as
            "pyannote/speaker-diarization-community-1".
        threshold: Cosine distance at which two voices are taken for one (packaged pipeline).
        segmentation_step: Hop between 10 s windows, as a share of the window (packaged pipeline).
        min_cluster_size: Windows a voice needs to count as one (packaged pipeline).
        device: A torch device; "auto" takes CUDA when there is one.
        hf_token: For gated hub pipelines.
        cache_dir: Where hub downloads go.

    Raises:
        BackendError: Weights are missing, or the hub pipeline cannot be had.
    """

    def __init__(
        self,
        *,
        pipeline: str = PACKAGED,
        threshold: float = 0.40,
        segmentation_step: float = 0.25,
        min_cluster_size: int = 4,
        device: str = "auto",
        hf_token: str | None = None,
        cache_dir: str | None = None,
    ) -> None:
        self._name = pipeline
        self._options = {"threshold": threshold, "segmentation_step": segmentation_step, "min_cluster_size": min_cluster_size}
        self._device = device
        self._token = hf_token
        self._cache_dir = cache_dir
        self._pipeline: Any = None

    @property
    def model(self) -> ModelRef:
        """What is running. A hub pipeline's revision is its id: pin it with "id@revision"."""
        if self._name == PACKAGED:
            return ModelRef(
                name="pyannote/segmentation-3.0+cam++", revision=revision("segmentation-3.0", "cam++", "cam++.code"), params=self._options
            )
        return ModelRef(name=self._name, revision=self._name.partition("@")[2] or "hub")

    def diarize(self, samples: Samples, *, max_speakers: int | None = None) -> list[SpeakerSegment]:
        """See `Diarizer.diarize`."""
        if len(samples) < MIN_SAMPLES or not samples.any():
            return []
        import torch

        pipeline = self._load()
        file = {"waveform": torch.from_numpy(np.ascontiguousarray(samples))[None], "sample_rate": MODEL_RATE_HZ, "uri": "recording"}
        if max_speakers == 1:
            annotation = _detect_speech(pipeline, file)
        else:
            output = pipeline(file, max_speakers=max_speakers)
            annotation = getattr(output, "speaker_diarization", output)
        return _to_segments(annotation, end_ms=len(samples) * 1000 // MODEL_RATE_HZ)

    def _load(self) -> Any:
        if self._pipeline is None:
            import_pyannote()
            import torch

            pipeline = _packaged_pipeline(self._options) if self._name == PACKAGED else self._hub_pipeline()
            name = ("cuda" if torch.cuda.is_available() else "cpu") if self._device == "auto" else self._device
            pipeline.to(torch.device(name))
            self._pipeline = pipeline
        return self._pipeline

    def _hub_pipeline(self) -> Any:
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
        from pyannote.audio import Pipeline

        remedy = 'set HF_TOKEN, accept the model\'s terms on its page and check the network, or use pipeline = "packaged"'
        name, _, pinned = self._name.partition("@")
        try:
            pipeline = Pipeline.from_pretrained(name, revision=pinned or None, token=self._token, cache_dir=self._cache_dir)
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, ValueError) as error:
            raise BackendError(f"diarization pipeline {self._name!r} cannot be loaded ({str(error).splitlines()[0]}); {remedy}") from error
        if pipeline is None:
            raise BackendError(f"diarization pipeline {self._name!r} is not accessible; {remedy}")
        return pipeline


def import_pyannote() -> None:
    """Import pyannote.audio with its telemetry off.

    It reads the switch from the environment while it is imported, and sends unless told otherwise: hence the one exception to the
    rule that this package leaves the environment alone (docs/decisions/0004-env-in-backends.md).
    """
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyannote.audio  # noqa: F401


def _packaged_pipeline(options: Mapping[str, Any]) -> Any:
    """SpeakerDiarization on segmentation-3.0 and CAM++, embedding only speakers who speak."""
    from pyannote.audio import Model
    from pyannote.audio.core.plda import PLDA
    from pyannote.audio.pipelines import SpeakerDiarization

    from voxdata.backends.campplus import CamPlusPlus
    from voxdata.backends.weights import locate

    class PackagedDiarization(SpeakerDiarization):
        def get_embeddings(
            self, file: Any, binary_segmentations: Any, exclude_overlap: bool = False, hook: Callable[..., None] | None = None
        ) -> npt.NDArray[np.float32]:
            return _embed_speakers(self._embedding.model_, file["waveform"], binary_segmentations, exclude_overlap=exclude_overlap)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The file's hash was checked: it is a pickle, and only this one is ever loaded.
        segmentation: Any = Model.from_pretrained(locate("segmentation-3.0"))
        pipeline = PackagedDiarization(
            segmentation=segmentation,
            segmentation_step=options["segmentation_step"],
            segmentation_batch_size=8,
            embedding=CamPlusPlus().eval(),
            embedding_exclude_overlap=True,
            # Agglomerative clustering never asks it, yet the constructor would fetch one from the hub.
            plda=PLDA.__new__(PLDA),
            clustering="AgglomerativeClustering",
        )
    pipeline.instantiate(
        {
            "segmentation": {"min_duration_off": 0.0},
            "clustering": {"method": "average", "threshold": options["threshold"], "min_cluster_size": options["min_cluster_size"]},
        }
    )
    return pipeline


def _embed_speakers(model: Any, waveform: Any, segmentations: Any, *, exclude_overlap: bool) -> npt.NDArray[np.float32]:
    """One embedding for each window and speaker who is active in it.

    Args:
        model: A `CamPlusPlus`.
        waveform: (1, num_samples) tensor.
        segmentations: (num_windows, num_frames, num_speakers) SlidingWindowFeature of 0, 1 and NaN.
        exclude_overlap: Use the frames in which nobody else speaks, where there are enough.

    Returns:
        (num_windows, num_speakers, 192), NaN where a speaker is silent or too brief.
    """
    import torch

    from voxdata.backends.campplus import DIMENSION, FRAMES_PER_SECOND, filterbank

    active = np.nan_to_num(segmentations.data, nan=0.0) > 0.5
    num_windows, num_frames, num_speakers = active.shape
    window = segmentations.sliding_window
    per_window = round(window.duration * FRAMES_PER_SECOND)
    index = np.minimum(np.arange(per_window) * num_frames // per_window, num_frames - 1)
    alone = active.sum(axis=2) < 2
    device = next(model.parameters()).device
    features = filterbank(waveform.to("cpu"))
    jobs: list[tuple[int, int, npt.NDArray[np.intp]]] = []
    for w in range(num_windows):
        first = round(window[w].start * FRAMES_PER_SECOND)
        for s in range(num_speakers):
            mask = active[w, :, s]
            clean = mask & alone[w]
            if exclude_overlap and clean.sum() * per_window >= MIN_EMBEDDING_FRAMES * num_frames:
                mask = clean
            frames = np.nonzero(mask[index])[0] + first
            frames = frames[(frames >= 0) & (frames < len(features))]
            if len(frames) >= MIN_EMBEDDING_FRAMES:
                jobs.append((w, s, frames))
    embeddings = np.full((num_windows, num_speakers, DIMENSION), np.nan, dtype=np.float32)
    jobs.sort(key=lambda job: (len(job[2]), job[0], job[1]))
    at = 0
    with torch.inference_mode():
        while at < len(jobs):
            # Neighbours in length share a batch, cropped to the shortest: padding would change an embedding.
            length = len(jobs[at][2])
            batch = [job for job in jobs[at : at + EMBEDDING_BATCH] if len(job[2]) <= length * 1.1 + 5]
            rows = [features[torch.from_numpy(frames[:length])] for _, _, frames in batch]
            inputs = torch.stack([row - row.mean(dim=0, keepdim=True) for row in rows]).to(device)
            for (w, s, _), row in zip(batch, model.network(inputs).cpu().numpy(), strict=True):
                embeddings[w, s] = row
            at += len(batch)
    return embeddings


def _detect_speech(pipeline: Any, file: dict[str, Any]) -> Any:
    """Where anybody speaks, by the pipeline's own segmentation; no embedding is computed."""
    from pyannote.core import Annotation, SlidingWindowFeature  # type: ignore[import-untyped]

    if not hasattr(pipeline, "get_segmentations"):
        return getattr(pipeline(file, max_speakers=1), "speaker_diarization", Annotation())
    segmentations = pipeline.get_segmentations(file)
    model = pipeline._segmentation.model
    if not model.specifications.powerset:
        from pyannote.audio.utils.signal import binarize

        segmentations = binarize(segmentations, onset=pipeline.segmentation.threshold, initial_state=False)
    count = pipeline.speaker_count(segmentations, model.receptive_field, warm_up=(0.0, 0.0))
    anybody = SlidingWindowFeature(np.minimum(np.nan_to_num(count.data), 1), count.sliding_window)
    return pipeline.to_annotation(anybody, min_duration_on=0.0, min_duration_off=0.0)


def _to_segments(annotation: Any, *, end_ms: int) -> list[SpeakerSegment]:
    spans: dict[str, list[Segment]] = {}
    for turn, _, speaker in annotation.itertracks(yield_label=True):
        start, end = max(0, round(turn.start * 1000)), min(end_ms, round(turn.end * 1000))
        if end > start:
            spans.setdefault(str(speaker), []).append(Segment(start_ms=start, end_ms=end))
    joined = {speaker: union(segments) for speaker, segments in spans.items()}
    order = sorted(joined, key=lambda speaker: (joined[speaker][0], speaker))
    found = [SpeakerSegment(speaker=f"S{i}", segment=segment) for i, speaker in enumerate(order) for segment in joined[speaker]]
    return sorted(found, key=lambda s: (s.segment, s.speaker))
