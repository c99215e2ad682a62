"""Pre-labelling: from canonical audio to turns, utterances, measures and proposals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from voxdata.identity import ModelRef
from voxdata.label import Prediction
from voxdata.quality import Quality
from voxdata.turn import Turn
from voxdata.utterance import Utterance


@dataclass(frozen=True, slots=True, kw_only=True)
class Prelabels:
    """Everything the models say about one recording.

    Attributes:
        turns: Sorted by start.
        utterances: Sorted by start.
        quality: Utterance id -> measures.
        predictions: One for each utterance and scheme.
        models: Stage ("diarizer", "transcriber") -> the model that ran.
    """

    recording_id: str
    turns: tuple[Turn, ...]
    utterances: tuple[Utterance, ...]
    quality: Mapping[str, Quality]
    predictions: tuple[Prediction, ...]
    models: Mapping[str, ModelRef]
