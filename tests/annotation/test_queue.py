"""The contract of the annotation queue, on the fake one and on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation.label_studio import LabelStudioQueue
from voxdata.testing.annotation_queue import QUEUE_SCHEMES, FakeQueue, People
from voxdata.testing.queue_contract import QueueContract


class TestFakeQueue(QueueContract):
    @pytest.fixture
    def queue(self, tmp_path: Path) -> FakeQueue:
        (tmp_path / "clips").mkdir()
        (tmp_path / "clips" / "a.wav").write_bytes(b"sound")
        return FakeQueue(schemes=QUEUE_SCHEMES, media_dir=tmp_path)

    @pytest.fixture
    def people(self, queue: FakeQueue) -> People:
        return queue

    @pytest.fixture
    def audio_file(self) -> str:
        return "clips/a.wav"


@pytest.mark.slow
class TestLabelStudioQueue(QueueContract):
    @pytest.fixture
    def queue(self, real_queue: LabelStudioQueue) -> LabelStudioQueue:
        return real_queue

    @pytest.fixture
    def people(self, real_people: People) -> People:
        return real_people

    @pytest.fixture
    def audio_file(self, clip_file: str) -> str:
        return clip_file
