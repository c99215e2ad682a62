"""What the tests of flows share: settings with fakes, workspaces that hold something, and services
that never outlive a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from click.testing import Result
from typer.testing import CliRunner

from flows.place import FILE_NAME
from flows.services.supervisor import stop_all
from flows.workspace import Workspace, open_workspace
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.label import Annotation
from voxdata.segment import Segment
from voxdata.utterance import Utterance

if TYPE_CHECKING:
    from flows.ingest.flow import IngestSummary

FAKES = """
[diarizer]
backend = "voxdata.testing.backends:FakeDiarizer"
[transcriber]
backend = "voxdata.testing.backends:FakeTranscriber"
[quality]
mos = ""
[[schemes]]
name = "intent"
version = 1
cold_start = "voxdata.testing.backends:FakeLabeler"
labels = [{ name = "ask" }, { name = "tell" }]
"""
"""Tables of settings: models that need no weights."""

UNTRAINED = """
[[schemes]]
name = "intent"
version = 1
cold_start = "similarity"
labels = [{ name = "ask" }, { name = "tell" }]
[training]
schemes = []
"""
"""Tables of settings for who only ingests."""


def quiet(_line: str) -> None:
    """Say nothing of a line of status."""


def run(workspace: Workspace, *words: str | Path) -> Result:
    """What a command of voxdata answers in this workspace, in this process."""
    from flows.cli.main import app

    return CliRunner().invoke(app, ["--dir", str(workspace.root), *map(str, words)])


def ingest(workspace: Workspace, *sources: str | Path, **options: Any) -> IngestSummary:
    """Ingest these sources, or those of the settings, without a word.

    Args:
        workspace: Where they go.
        sources: Files, folders, patterns; none are those of the settings.
        options: More of what `ingest_sources` takes.
    """
    from flows.ingest.flow import ingest_sources

    return ingest_sources(
        workspace,
        [str(source) for source in sources],
        say=quiet,
        **options,
    )


def workspace_with(root: Path, settings: str) -> Workspace:
    """A workspace with these settings, and nothing in it."""
    root.mkdir(exist_ok=True)
    (root / FILE_NAME).write_text(settings, encoding="utf-8")
    return open_workspace(root)


def example(number: int) -> Example:
    """The example of one caller; each has a recording and a voice of its own."""
    return Example(
        utterance_id=f"{number:032x}",
        recording_id=f"{number + 500:064x}",
        channel=0,
        segment=Segment(start_ms=0, end_ms=1_000),
        voice=f"v{number}",
        group=f"v{number}",
        audio_file=f"{number}.flac",
        text=f"the secret words of caller {number}",
        language="en",
        split=Split.TRAIN,
        gold={
            "intent": GoldLabel(
                label="question",
                distribution={"question": 1.0},
                num_votes=1,
            )
        },
    )


def release_calls(workspace: Workspace, callers: Iterable[str]) -> None:
    """Release one call of each caller as "calls": an utterance that a manifest says something about
    and somebody labelled and corrected.

    What the warehouse stores of them is not compressed, so that bytes can be found.
    """
    from flows.ingest.flow import ingest_sources
    from flows.release.flow import release_version
    from warehouse.annotations import add_annotations
    from warehouse.metadata import store_metadata
    from warehouse.recordings import list_recordings
    from warehouse.stages import record_stage
    from warehouse.utterances import store_utterances

    inbox = workspace.root / "inbox"
    inbox.mkdir()
    rng = np.random.default_rng(3)
    for caller in callers:
        soundfile.write(
            inbox / f"caller-{caller}-private.wav",
            rng.uniform(-0.3, 0.3, 32_000),
            16_000,
        )
    ingest_sources(workspace, [str(inbox)], say=lambda _: None)
    with workspace.warehouse() as con:
        con.execute("pragma force_compression = 'uncompressed'")
        for i, stored in enumerate(sorted(list_recordings(con), key=lambda s: s.uri)):
            key = stored.recording.recording_id
            utterance = Utterance(
                recording_id=key,
                channel=0,
                speaker="S0",
                segment=Segment(start_ms=0, end_ms=1500),
                text=f"my secret is number {i} 秘密在这里{i}",
                language="en",
            )
            store_utterances(con, [utterance], key="c", run_id="t")
            for stage in ("diarize", "cut"):
                record_stage(
                    con,
                    recording_id=key,
                    stage=stage,
                    key="c",
                    model_key=None,
                    num_rows=1,
                    audio_ms=1,
                    seconds=1.0,
                    run_id="t",
                )
            store_metadata(
                con,
                key,
                {"customer": f"Customer Number {i} Smith"},
                manifest="m",
                run_id="t",
            )
            vote = Annotation(
                annotation_id=i,
                project_id=1,
                utterance_id=utterance.utterance_id,
                annotator="a",
                labels={"intent": ("question",)},
                text=f"corrected words of caller {i}",
                updated_at=datetime(2026, 1, 1, 12, tzinfo=UTC),
            )
            add_annotations(con, [vote], run_id="t")
    release_version(workspace, "calls", say=lambda _: None)


@pytest.fixture
def said() -> list[str]:
    """Lines of status, in order; pass its `append` as `say`."""
    return []


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """A state folder whose services are stopped after the test."""
    folder = tmp_path / ".voxdata"
    yield folder
    stop_all(folder, say=lambda line: None, grace_s=2)
