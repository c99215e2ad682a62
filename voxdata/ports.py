"""Ports: what the loop needs from the outside. Each has a real adapter and a fake one, held to one contract suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from voxdata.identity import ModelRef
from voxdata.label import Annotation, Distribution, Prediction
from voxdata.segment import Segment
from voxdata.utterance import Transcript

Samples = npt.NDArray[np.float32]
"""(num_samples,) float32 in [-1, 1]."""

MODEL_RATE_HZ = 16_000
"""The rate of the canonical audio and of every backend's input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerSegment:
    """One stretch of one speaker, before it belongs to a recording."""

    speaker: str
    segment: Segment


class Diarizer(Protocol):
    """Says who spoke when."""

    @property
    def model(self) -> ModelRef:
        """What is running."""

    def diarize(self, samples: Samples, *, max_speakers: int | None = None) -> list[SpeakerSegment]:
        """Find the speakers of one channel.

        Args:
            samples: (num_samples,) float32 at MODEL_RATE_HZ; any length, also 0.
            max_speakers: Upper bound; 1 turns diarization into speech detection.

        Returns:
            Sorted by start; speakers "S0", "S1", ... in order of first appearance. Segments of different speakers
            may overlap, none ends after the audio. Empty when nobody speaks.
        """


class Transcriber(Protocol):
    """Writes down what was said."""

    @property
    def model(self) -> ModelRef:
        """What is running."""

    def transcribe(self, samples: Samples, *, speech: Sequence[Segment]) -> Transcript:
        """Transcribe one channel with word times.

        Args:
            samples: (num_samples,) float32 at MODEL_RATE_HZ.
            speech: Where speech is; nothing outside is transcribed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One utterance as a labeler sees it.

    Attributes:
        speaker: Unique within the batch passed to `Labeler.label` ("recording:channel:speaker").
        samples: (num_samples,) float32 at MODEL_RATE_HZ.
    """

    utterance_id: str
    speaker: str
    samples: Samples
    text: str
    language: str


class Labeler(Protocol):
    """Proposes a label under one scheme."""

    @property
    def model(self) -> ModelRef:
        """What is running; `weak` for a stand-in that nobody trained for this scheme."""

    def label(self, clips: Sequence[Clip]) -> list[Distribution]:
        """One distribution over the scheme's labels for each clip, in order.

        A clip's answer does not depend on the order of the clips.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEntry:
    """One clip on its way to the annotators.

    Attributes:
        audio_file: Path relative to the media folder served by the annotation server.
        text: The proposed transcript.
        note: One line of context shown above the clip, such as "call.wav · S0 · 00:12.3".
        predictions: At most one for each scheme.
    """

    utterance_id: str
    audio_file: str
    text: str
    note: str
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """What a push did.

    Attributes:
        pushed: Utterances newly on the server.
        already_there: Utterances the server had before.
        predictions_added: Utterances that were there and got newer proposals beside the old ones.
    """

    pushed: tuple[str, ...]
    already_there: tuple[str, ...]
    predictions_added: tuple[str, ...]


class AnnotationQueue(Protocol):
    """Where people label."""

    def push(self, entries: Sequence[QueueEntry]) -> PushResult:
        """Put clips into the queue; one that is there already is not added again.

        Raises:
            AnnotationError: The server refused an entry.
            TransientError: The server could not be reached; push again.
        """

    def pull(self, *, since: datetime | None) -> list[Annotation]:
        """Annotations created, changed, skipped or deleted since then (a little overlap is normal); all when None.

        Raises:
            TransientError: The server could not be reached; pull again.
        """

    def reconcile(self, known: Mapping[int, Annotation]) -> list[Annotation]:
        """Which of these annotations have vanished.

        Args:
            known: Annotation id -> the newest revision known; of this queue only.

        Returns:
            Those the server no longer has, marked `deleted`.

        Raises:
            TransientError: The server could not be reached.
        """

    def count(self) -> int:
        """Clips in the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One training run, as handed to a machine that has neither Prefect nor DuckDB.

    Attributes:
        config: TOML file for `python -m training`.
        manifest: JSONL file of `voxdata.manifest`.
        incumbent: JSONL file {"utterance_id", "distribution"} with the answers of the model to beat.
        output: Folder for checkpoint, metrics and curves; made when absent.
    """

    config: Path
    manifest: Path
    incumbent: Path
    output: Path


class TrainingLauncher(Protocol):
    """Runs a training job somewhere."""

    def launch(self, job: TrainingJob) -> Mapping[str, object]:
        """Run to the end.

        Returns:
            The content of `output/result.json`.

        Raises:
            TrainingError: The run failed; the message holds its last lines.
        """
