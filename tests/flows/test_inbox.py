from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from flows.inbox import Arrivals, watch_inbox
from flows.workspace import Workspace
from tests.flows.test_ingest import workspace_at
from voxdata.errors import ConfigError


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_at(tmp_path / "workspace")


def test_arrivals_waits_until_a_file_stops_growing(tmp_path: Path) -> None:
    path, arrivals = tmp_path / "a.wav", Arrivals(still_s=0.2)
    path.write_bytes(b"one")
    arrivals.see([path, tmp_path / "gone.wav"])
    assert arrivals.settled() == []
    time.sleep(0.25)
    path.write_bytes(b"one, two")
    assert arrivals.settled() == []
    assert arrivals.settled() == []
    time.sleep(0.25)
    assert arrivals.settled() == [str(path)]
    assert arrivals.settled() == []


def test_watch_inbox_names_a_file_once_it_has_arrived(workspace: Workspace, tmp_path: Path, said: list[str]) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()

    def send() -> None:
        with (inbox / "电话.wav").open("wb") as file:
            for _ in range(4):
                file.write(bytes(1000))
                file.flush()
                time.sleep(0.3)

    sender = threading.Timer(0.5, send)
    sender.start()
    (batch,) = next(zip(watch_inbox(workspace, [str(inbox)], say=said.append, poll_ms=200), strict=False))
    sender.join()
    assert batch == [str(inbox / "电话.wav")]
    assert (inbox / "电话.wav").stat().st_size == 4000
    assert "watching" in said[0]


@pytest.mark.parametrize("pattern", ["s3://bucket/calls", "/nowhere/at/all"])
def test_watch_inbox_refuses_what_cannot_be_watched(workspace: Workspace, said: list[str], pattern: str) -> None:
    with pytest.raises(ConfigError, match="only folders"):
        next(watch_inbox(workspace, [pattern], say=said.append))
