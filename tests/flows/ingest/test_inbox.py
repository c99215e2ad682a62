from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from flows.ingest.flow import ingest_sources
from flows.ingest.inbox import watch_inbox
from flows.ingest.sources import STILL_S
from flows.workspace import Workspace
from tests.flows.ingest.test_ingest import workspace_at
from voxdata.errors import ConfigError
from voxdata.testing import speech_like
from warehouse.ledger import list_drops
from warehouse.rows import read_rows


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_at(tmp_path / "workspace")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def next_batch(watched: Iterator[list[str]], workspace: Workspace) -> None:
    """What the command line does with what the watcher gives."""
    ingest_sources(
        workspace,
        next(watched),
        say=lambda line: None,
        still_s=STILL_S,
    )


def names(workspace: Workspace) -> set[str]:
    with workspace.warehouse() as con:
        return {
            str(row["uri"]).rpartition("/")[2] for row in read_rows(con, "select uri from source")
        }


def test_watch_inbox_waits_until_a_file_has_arrived(
    workspace: Workspace, inbox: Path, said: list[str]
) -> None:
    soundfile.write(inbox.parent / "whole.wav", speech_like(1_500), 16_000)
    content = (inbox.parent / "whole.wav").read_bytes()

    def send() -> None:
        with (inbox / "电话.wav").open("wb") as file:
            for start in range(0, len(content), len(content) // 4):
                file.write(content[start : start + len(content) // 4])
                file.flush()
                time.sleep(0.8)

    watched = watch_inbox(
        workspace,
        [str(inbox)],
        say=said.append,
        poll_ms=200,
    )
    next_batch(watched, workspace)  # the empty inbox
    sender = threading.Thread(target=send)
    sender.start()
    next_batch(watched, workspace)
    sender.join()
    with workspace.warehouse() as con:
        assert list_drops(con) == []
    assert names(workspace) == {"电话.wav"}
    assert "watching" in said[0]


def test_watch_inbox_treats_what_arrives_as_a_listing_would(
    workspace: Workspace, inbox: Path, said: list[str]
) -> None:
    watched = watch_inbox(
        workspace,
        [str(inbox)],
        say=said.append,
        poll_ms=200,
    )
    next_batch(watched, workspace)
    moved = inbox.parent / "folder"
    moved.mkdir()
    soundfile.write(moved / "inside.wav", speech_like(1_200), 16_000)
    secret = inbox.parent / "secret.wav"
    soundfile.write(secret, speech_like(1_300), 16_000)
    (Path(os.fsdecode(os.fsencode(inbox) + b"/bad\xff.wav"))).write_bytes(secret.read_bytes())
    (inbox / "link.wav").symlink_to(secret)
    moved.rename(inbox / "folder")
    next_batch(watched, workspace)
    assert names(workspace) == {"inside.wav", "bad%FF.wav", "link.wav"}
    with workspace.warehouse() as con:
        drops = [(Path(d.subject).name, str(d.reason)) for d in list_drops(con)]
        assert drops == [("link.wav", "outside")]


@pytest.mark.parametrize("pattern", ["s3://bucket/calls", "/nowhere/at/all"])
def test_watch_inbox_refuses_what_cannot_be_watched(
    workspace: Workspace, said: list[str], pattern: str
) -> None:
    with pytest.raises(ConfigError, match="only folders"):
        next(watch_inbox(workspace, [pattern], say=said.append))
