"""What a run learns from the texts of its examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from training.config import TrainingConfig
from training.metrics import Floats
from training.text.heard import MachineTexts, hear, note_source
from training.text.text_head import Heard, TextHead, TextReader, fit_text_head
from voxdata.dataset import Example, Split
from voxdata.errors import TrainingError

TOO_LITTLE = "fewer than two labels have a training example with a word in its transcript"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A text head and what it reads.

    Attributes:
        heard: Of every split.
        targets: (num_examples, num_labels) of every split; rows add up to 1.
        head: None when the texts say nothing that could be learnt.
        note: What the reader must know of the texts; "" when there is nothing.
    """

    heard: Mapping[Split, Heard]
    targets: Mapping[Split, Floats]
    head: TextHead | None
    note: str

    @property
    def count(self) -> str:
        """How many training clips can be read, in words."""
        is_readable = self.heard[Split.TRAIN].is_readable
        return f"{is_readable.sum()} of {len(is_readable)} clips can be read"


def learn_to_read(
    parts: Mapping[Split, Sequence[Example]],
    targets: Mapping[Split, Floats],
    machine_texts: MachineTexts | None,
    config: TrainingConfig,
) -> Reading:
    """Fit a head on the training texts.

    Args:
        parts: The examples of every split.
        targets: See `Reading`.
        machine_texts: None: the text of the manifest is read.

    Raises:
        TrainingError: There is nothing to read, and no sound is listened to.
    """
    heard: dict[Split, Heard] = {}
    for split, examples in parts.items():
        heard[split] = hear(examples, machine_texts)
    head = fit_text_head(heard[Split.TRAIN], targets[Split.TRAIN], config)
    note = note_source(list(chain.from_iterable(parts.values())), machine_texts)
    if head is None:
        if not config.audio.enabled:
            raise TrainingError(
                f"{TOO_LITTLE}; transcribe the recordings, or set audio.enabled = true"
            )
        note = f"{TOO_LITTLE}: the model listens and does not read"
    return Reading(heard=heard, targets=targets, head=head, note=note)


def learn_from_validation(reading: Reading, config: TrainingConfig) -> Reading:
    """Fit the head again, on the validation texts too.

    To be called when nothing more has to be chosen by them.
    """
    heard = Heard(
        texts=[*reading.heard[Split.TRAIN].texts, *reading.heard[Split.VALIDATION].texts],
        languages=[
            *reading.heard[Split.TRAIN].languages,
            *reading.heard[Split.VALIDATION].languages,
        ],
    )
    targets = np.concatenate([reading.targets[Split.TRAIN], reading.targets[Split.VALIDATION]])
    return replace(reading, head=fit_text_head(heard, targets, config))


def read_split(reading: Reading, split: Split) -> Floats | None:
    """(num_examples, num_labels) probabilities by the text; None without a head."""
    if reading.head is None:
        return None
    return TextReader(reading.head).answer(reading.heard[split])
