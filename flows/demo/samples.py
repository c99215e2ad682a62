"""The sample recordings: real speech that installed packages ship, and the answer key of the
scripted annotators.

The key (answers.jsonl) was written from the words alone, by reading. It is enough to turn the loop
and to test it; it is no statement about how the speakers felt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from voxdata.errors import NotFoundError
from voxdata.lines import split_lines
from voxdata.segment import Segment, overlap_ms
from voxdata.utterance import Utterance

SAMPLES = (
    ("pyannote.audio", "sample/sample.wav", "a telephone conversation, two voices"),
    ("moonshine_voice", "assets/endgame_nagg_nell.wav", "a dialogue, two voices"),
    ("moonshine_voice", "assets/two_cities.wav", "a reading, one voice"),
    ("moonshine_voice", "assets/beckett.wav", "a reading, one voice"),
    ("moonshine_voice", "assets/clone-test.wav", "an interview answer, one voice"),
)
"""(package, path inside it, what it is)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the key says about one stretch of a sample."""

    file: str
    segment: Segment
    labels: Mapping[str, str]


def sample_paths() -> list[Path]:
    """Where the installed packages keep the samples.

    Raises:
        NotFoundError: A package or its file is missing; install from requirements.lock.
    """
    paths = []
    for package, inside, _ in SAMPLES:
        spec = find_spec(package)
        folder = next(iter(spec.submodule_search_locations or ()), None) if spec else None
        path = Path(folder or "") / inside
        if folder is None or not path.is_file():
            raise NotFoundError(
                f"sample {inside} of package {package} is missing; "
                "install the versions of requirements.lock"
            )
        paths.append(path)
    return paths


def read_answers() -> list[Answer]:
    """The answer key."""
    lines = split_lines(files("flows.demo").joinpath("answers.jsonl").read_text(encoding="utf-8"))
    return [
        Answer(
            file=row["file"],
            segment=Segment(start_ms=row["start_ms"], end_ms=row["end_ms"]),
            labels={"intent": row["intent"], "emotion": row["emotion"]},
        )
        for row in map(json.loads, lines)
    ]


def match_answers(
    utterances: Sequence[Utterance], answers: Sequence[Answer], *, names: Mapping[str, str]
) -> dict[str, Mapping[str, str]]:
    """Give each utterance the answer it overlaps most.

    Args:
        utterances: As the models cut them.
        answers: The key.
        names: Recording id -> file name.

    Returns:
        Utterance id -> scheme -> label; utterances that no answer overlaps are absent (annotators
        skip those).
    """
    key: dict[str, Mapping[str, str]] = {}
    for utterance in utterances:
        rivals = [a for a in answers if a.file == names.get(utterance.recording_id)]
        best = max(rivals, key=lambda a: overlap_ms(a.segment, utterance.segment), default=None)
        if best is not None and overlap_ms(best.segment, utterance.segment) > 0:
            key[utterance.utterance_id] = best.labels
    return key
