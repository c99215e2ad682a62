from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection

from voxdata.dataset import Example, GoldLabel, Split
from voxdata.identity import ModelRef
from voxdata.label import Prediction
from voxdata.recording import ChannelLayout, Recording
from voxdata.segment import Segment
from voxdata.turn import Turn
from voxdata.utterance import Utterance, Word
from warehouse.connection import open_warehouse, transaction
from warehouse.labels import add_predictions
from warehouse.stages import has_result, record_stage
from warehouse.utterances import store_turns, store_utterances
from warehouse.versions import DatasetVersion, create_version


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.duckdb"


@pytest.fixture
def con(path: Path) -> Iterator[DuckDBPyConnection]:
    with open_warehouse(path) as connection:
        yield connection


@pytest.fixture
def recording() -> Callable[[str], Recording]:
    def make(recording_id: str = "r1") -> Recording:
        return Recording(
            recording_id=recording_id,
            sample_rate_hz=8000,
            num_samples=480_000,
            num_channels=2,
            layout=ChannelLayout.PER_CHANNEL,
            canonical_channels=2,
            codec="pcm_s16le",
            container="wav",
        )

    return make


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What the models say about one recording, for tests."""

    recording_id: str
    turns: tuple[Turn, ...]
    utterances: tuple[Utterance, ...]
    predictions: tuple[Prediction, ...]

    def store(self, con: DuckDBPyConnection, *, key: str = "k") -> None:
        """As one run of pre-labelling does."""
        with transaction(con):
            for stage, rows in (
                ("diarize", len(self.turns)),
                ("cut", len(self.utterances)),
            ):
                if has_result(con, recording_id=self.recording_id, stage=stage, key=key):
                    continue
                if stage == "diarize":
                    store_turns(
                        con,
                        self.recording_id,
                        self.turns,
                        key=key,
                        run_id="t",
                    )
                else:
                    store_utterances(con, self.utterances, key=key, run_id="t")
                record_stage(
                    con,
                    recording_id=self.recording_id,
                    stage=stage,
                    key=key,
                    model_key=None,
                    num_rows=rows,
                    audio_ms=60_000,
                    seconds=1.5,
                    run_id="t",
                )
            add_predictions(
                con,
                self.predictions,
                scheme_versions={"intent": 1},
                run_id="t",
            )


@pytest.fixture
def heard() -> Callable[..., Heard]:
    def make(
        recording_id: str = "r1",
        text: str = "你好 there",
        starts: tuple[int, ...] = (0, 2000),
        revision: str = "1",
    ) -> Heard:
        spans = [Segment(start_ms=start, end_ms=start + 1500) for start in starts]
        utterances = tuple(
            Utterance(
                recording_id=recording_id,
                channel=0,
                speaker="S0",
                segment=span,
                text=text,
                language="zh",
                words=(Word(text=text, segment=span, probability=0.25),),
                marks=("repetition",),
            )
            for span in spans
        )
        model = ModelRef(name="labeler", revision=revision)
        return Heard(
            recording_id=recording_id,
            turns=tuple(
                Turn(
                    recording_id=recording_id,
                    channel=0,
                    speaker="S0",
                    segment=span,
                )
                for span in spans
            ),
            utterances=utterances,
            predictions=tuple(
                Prediction(
                    utterance_id=u.utterance_id,
                    scheme="intent",
                    distribution={"ask": 0.7, "tell": 0.3},
                    model=model,
                )
                for u in utterances
            ),
        )

    return make


def create_calls(
    con: DuckDBPyConnection, examples: Sequence[Example]
) -> tuple[DatasetVersion, bool]:
    """Create a version of "calls" by a recipe that says nothing."""
    return create_version(con, "calls", examples, recipe={}, run_id="t")


@pytest.fixture
def example() -> Callable[..., Example]:
    def make(
        number: int = 1,
        label: str = "ask",
        split: Split = Split.TRAIN,
        text: str = "it's 天气",
    ) -> Example:
        return Example(
            utterance_id=f"u{number:03d}",
            recording_id=f"r{number}",
            channel=0,
            segment=Segment(start_ms=0, end_ms=60_000),
            voice=f"v{number}",
            group=f"g{number}",
            audio_file=f"r{number}.flac",
            text=text,
            language="en",
            split=split,
            gold={
                "intent": GoldLabel(
                    label=label,
                    distribution={label: 0.666667, "other": 0.333333},
                    num_votes=3,
                )
            },
        )

    return make
