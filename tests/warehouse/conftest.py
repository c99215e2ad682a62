from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection

from voxdata.dataset import Example, GoldLabel, Split
from voxdata.identity import ModelRef
from voxdata.label import Prediction
from voxdata.prelabel import Prelabels
from voxdata.quality import Quality
from voxdata.recording import ChannelLayout, Recording
from voxdata.segment import Segment
from voxdata.turn import Turn
from voxdata.utterance import Utterance, Word
from warehouse.connection import open_warehouse

MODEL = ModelRef(name="diarizer", revision="1", params={"threshold": 0.5})


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
            recording_id=recording_id, sample_rate_hz=8000, num_samples=480_000, num_channels=2, layout=ChannelLayout.PER_CHANNEL,
            canonical_channels=2, codec="pcm_s16le", container="wav",
        )  # fmt: skip

    return make


@pytest.fixture
def prelabels() -> Callable[..., Prelabels]:
    def make(recording_id: str = "r1", text: str = "你好 there", starts: tuple[int, ...] = (0, 2000), revision: str = "1") -> Prelabels:
        spans = [Segment(start_ms=start, end_ms=start + 1500) for start in starts]
        utterances = tuple(
            Utterance(recording_id=recording_id, channel=0, speaker="S0", segment=span, text=text, language="zh",
                      words=(Word(text=text, segment=span, probability=0.25),))
            for span in spans
        )  # fmt: skip
        model = ModelRef(name="labeler", revision=revision)
        return Prelabels(
            recording_id=recording_id,
            turns=tuple(Turn(recording_id=recording_id, channel=0, speaker="S0", segment=span) for span in spans),
            utterances=utterances,
            quality={u.utterance_id: Quality(level_db=-20.5, snr_db=30.25, clipping_ratio=0.0, bandwidth_hz=3400) for u in utterances},
            predictions=tuple(
                Prediction(utterance_id=u.utterance_id, scheme="intent", distribution={"ask": 0.7, "tell": 0.3}, model=model)
                for u in utterances
            ),
            models={"diarizer": MODEL},
        )

    return make


@pytest.fixture
def example() -> Callable[..., Example]:
    def make(number: int = 1, label: str = "ask", split: Split = Split.TRAIN, text: str = "it's 天气") -> Example:
        return Example(
            utterance_id=f"u{number:03d}", recording_id=f"r{number}", channel=0, segment=Segment(start_ms=0, end_ms=60_000),
            voice=f"v{number}",
            group=f"g{number}", audio_file=f"r{number}.flac", text=text, language="en", split=split,
            gold={"intent": GoldLabel(label=label, distribution={label: 2 / 3, "other": 1 / 3}, num_votes=3)},
        )  # fmt: skip

    return make
