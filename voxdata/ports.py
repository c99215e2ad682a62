"""Ports: what the loop needs from the outside.

Each has a real adapter and a fake one, held to one contract suite.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from voxdata.identity import ModelRef
from voxdata.label import Annotation, Distribution, Prediction
from voxdata.segment import Segment
from voxdata.sound import MODEL_RATE_HZ, Samples, Sound
from voxdata.utterance import Transcript

__all__ = [
    "MODEL_RATE_HZ",
    "AnnotationQueue",
    "Clip",
    "Diarization",
    "Diarizer",
    "Labeler",
    "PrivacyScanner",
    "PrivateText",
    "PullResult",
    "PushResult",
    "QueueCounts",
    "QueueEntry",
    "Refusal",
    "Rival",
    "Samples",
    "Sound",
    "SpeakerSegment",
    "SpeechRequest",
    "TrainingJob",
    "TrainingLauncher",
    "Transcriber",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerSegment:
    """One stretch of one speaker, before it belongs to a recording."""

    speaker: str
    segment: Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Diarization:
    """Who spoke when on one channel, and what each voice is like.

    Attributes:
        segments: Sorted by start; speakers "S0", "S1", ... in order of first appearance.
        embeddings: Speaker -> unit vector; speakers heard too briefly have none. Only vectors of
            equal `voice_model` compare.
        voice_model: What made the embeddings; None when the backend makes none.
        doubtful_ms: How long somebody may speak though no turn was found; 0 where one was.
    """

    segments: tuple[SpeakerSegment, ...]
    embeddings: Mapping[str, tuple[float, ...]]
    voice_model: ModelRef | None = None
    doubtful_ms: int = 0


class Diarizer(Protocol):
    """Says who spoke when."""

    @property
    def model(self) -> ModelRef:
        """What is running."""

    def diarize(
        self,
        sounds: Sequence[Sound],
        *,
        max_speakers: int | None = None,
    ) -> list[Diarization]:
        """Find the speakers of each channel.

        Args:
            sounds: Any number of channels, each of any length, also 0. An answer does not depend on
                the neighbours.
            max_speakers: Upper bound for each; 1 turns diarization into speech detection.

        Returns:
            One for each sound, in order. Segments of different speakers may overlap, none ends
            after the audio. Without segments when nobody speaks.

        Raises:
            AudioError: A sound cannot be read.
            BackendError: The model cannot be loaded or failed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest:
    """One channel to be transcribed.

    Attributes:
        speech: Where speech is; nothing outside is transcribed.
    """

    sound: Sound
    speech: tuple[Segment, ...]


class Transcriber(Protocol):
    """Writes down what was said."""

    @property
    def model(self) -> ModelRef:
        """What is running."""

    def transcribe(self, requests: Sequence[SpeechRequest]) -> list[Transcript]:
        """Transcribe each channel with word times.

        Args:
            requests: Any number; an answer does not depend on the neighbours.

        Returns:
            One for each request, in order.

        Raises:
            AudioError: A sound cannot be read.
            BackendError: The model cannot be loaded or failed.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """One utterance as a labeler sees it.

    Attributes:
        speaker: Unique within the batch passed to `Labeler.label` ("recording:channel:speaker").
        sound: Read anew at each use, so that a batch of clips takes no memory.
    """

    utterance_id: str
    speaker: str
    sound: Sound
    text: str
    language: str

    @property
    def samples(self) -> Samples:
        """(num_samples,) float32 at MODEL_RATE_HZ.

        Raises:
            AudioError: The file behind it is gone or damaged.
        """
        return self.sound.read()


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
class PrivateText:
    """Personal data in a text.

    Attributes:
        kind: "name", "phone", "card", "email", "address", "number", ...
        start, end: Characters [start, end) of the text.
        score: The scanner's confidence, 0..1.
    """

    kind: str
    start: int
    end: int
    score: float


class PrivacyScanner(Protocol):
    """Finds personal data in what was said."""

    @property
    def model(self) -> ModelRef:
        """What is running."""

    def scan(self, text: str, *, language: str) -> list[PrivateText]:
        """Find personal data.

        Args:
            language: BCP 47 primary subtag; one the scanner does not know gets the rules that need
                no language.

        Returns:
            Sorted by start, not overlapping.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """One of several answers to the same clip, as an expert sees it.

    Attributes:
        pseudonym: Stands for the annotator, such as "Listener A".
        labels: Scheme -> labels, the main one first.
        ratings: "scheme.scale" -> 1..5.
        text: The transcript as this person left it.
    """

    pseudonym: str
    labels: Mapping[str, tuple[str, ...]]
    ratings: Mapping[str, int] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEntry:
    """One clip on its way to the annotators.

    Attributes:
        utterance_id: Key of the clip, unique in its queue.
        audio_file: Path relative to the media folder served by the annotation server.
        text: The proposed transcript.
        note: One line of context shown above the clip, such as "call.wav · S0 · 00:12.3".
        predictions: At most one for each scheme.
        blind: Withhold the proposed labels (the transcript stays), so that the effect of showing
            them can be measured.
        min_confidence: A proposal whose label is less probable is shown and not ticked; one that
            abstains never is.
        rivals: Answers to decide between, instead of a proposal.
        priority: 0..1, smaller is heard earlier.
        votes_wanted: People who should hear it.
        answers: What people said about it in a project that was lost; they come back with the clip.
    """

    utterance_id: str
    audio_file: str
    text: str
    note: str
    predictions: tuple[Prediction, ...]
    blind: bool = False
    min_confidence: float = 0.0
    rivals: tuple[Rival, ...] = ()
    priority: float = 0.5
    votes_wanted: int = 1
    answers: tuple[Annotation, ...] = ()

    @property
    def sure(self) -> tuple[Prediction, ...]:
        """The proposals that stand for one label with enough confidence."""
        return tuple(p for p in self.predictions if p.guess(min_confidence=self.min_confidence))

    @property
    def ticked(self) -> tuple[Prediction, ...]:
        """The proposals whose label is ticked when a person opens the clip."""
        return () if self.blind else self.sure


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """What a push did.

    Attributes:
        pushed: Utterances newly on the server.
        already_there: Utterances the server had before.
        predictions_added: Utterances that were there and got newer proposals beside the old ones,
            or, while nobody had answered, the same proposals with other ticks.
        replaced: Utterances that were there with another text or clip; they show the new one now,
            and no proposal from before.
    """

    pushed: tuple[str, ...]
    already_there: tuple[str, ...]
    predictions_added: tuple[str, ...]
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """How much a queue holds: a cheap tripwire that tells whether anything happened behind our
    back.

    Attributes:
        clips: Copies included.
        annotations: Answers and skips.
    """

    clips: int
    annotations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An annotation that cannot be taken as it is.

    Attributes:
        why: Names what is wrong and what to do.
    """

    annotation_id: int
    utterance_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PullResult:
    """What a pull found.

    Attributes:
        annotations: As they stand, sorted by time of change.
        clips: Clips looked at: whatever is known of them beyond `annotations` and `refused` has
            vanished.
        refused: One bad annotation does not stop the others.
        marks: Clip -> mark of its state; the next pull need not read a clip that still has it.
        read_at: When the queue was read for changes, by its own clock: the cursor of the next pull.
            None when only some clips were read.
    """

    annotations: tuple[Annotation, ...]
    clips: frozenset[str]
    refused: tuple[Refusal, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)
    read_at: datetime | None = None


class AnnotationQueue(Protocol):
    """Where people label."""

    def push(
        self,
        entries: Sequence[QueueEntry],
        *,
        recorded: Collection[str] | None = None,
        done: Callable[[PushResult], None] | None = None,
    ) -> PushResult:
        """Put clips into the queue; one that is there already is not added again.

        Args:
            recorded: Keys that are on record as being in the queue, none left out. When the queue
                holds exactly as many clips, the other entries need no look-up; without it every
                entry is looked up.
            done: Told of each part as soon as it is in the queue, perhaps in another thread. No
                other push may run meanwhile.

        Raises:
            AnnotationError: The server refused an entry.
            TransientError: The server could not be reached; push again.
        """

    def pull(
        self,
        *,
        since: datetime | None,
        seen: Mapping[str, str] | None = None,
    ) -> PullResult:
        """What was created, changed, skipped or deleted since then (a little overlap is normal).

        Everything when None.

        Args:
            seen: Clip -> mark of an earlier pull; clips that still have theirs are left out.

        A clip that was deleted with its annotations is not seen: `counts` and `list_copies` tell.

        Raises:
            TransientError: The server could not be reached; pull again.
        """

    def pull_clips(self, utterance_ids: Sequence[str]) -> PullResult:
        """As `pull`, for these clips.

        Raises:
            TransientError: The server could not be reached.
        """

    def list_copies(self) -> dict[str, list[tuple[int, ...]]]:
        """Key of every clip in the queue -> for each copy of it the ids of its annotations.

        "" for clips without a key of ours.

        Raises:
            TransientError: The server could not be reached.
        """

    def remove_doubles(self, utterance_ids: Sequence[str]) -> tuple[str, ...]:
        """Remove further copies of these clips that nobody has worked on.

        Returns:
            A key for each copy removed.

        Raises:
            TransientError: The server could not be reached.
        """

    def erase(self, utterance_ids: Sequence[str]) -> int:
        """Delete clips with every copy, proposal and annotation of theirs.

        Those that are not there are passed over.

        Returns:
            How many clips, copies counted, went.

        Raises:
            TransientError: The server could not be reached; erase again.
        """

    def restore(self, annotations: Sequence[Annotation]) -> None:
        """Write annotations again, of clips that are in the queue, in the names of those who made
        them.

        Raises:
            AnnotationError: Somebody has no account there.
            TransientError: The server could not be reached.
        """

    def counts(self) -> QueueCounts:
        """How much there is.

        Raises:
            TransientError: The server could not be reached.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One training run, as handed to a machine that has neither Prefect nor DuckDB.

    Attributes:
        config: TOML file for `python -m training`.
        manifest: JSONL file of `voxdata.manifest`.
        incumbent: JSONL file {"utterance_id", "distribution"} with the answers of the model to
            beat.
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
