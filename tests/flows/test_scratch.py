"""What a killed process leaves half-written is in one folder, and the next command sweeps it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.folders.known import is_mark
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import run

KILLED = {
    "a recording": """
from voxdata.canonical import write_canonical_blocks
def blocks():
    yield np.full((200_000, 1), 0.1, dtype=np.float32)
    die()
write_canonical_blocks(workspace.audio_dir / "ab" / "ab.flac", blocks(), num_channels=1)
""",
    "features": """
from voxdata.durable import replacing
with replacing(workspace.models_dir / "features" / "e" / "a.npz") as file:
    file.write(b"PK numbers of a voice")
    file.flush()
    die()
""",
    "a batch": """
import warehouse.batches as batches, polars
batches.move = die
rows = polars.DataFrame({"stage": ["s"], "subject": ["x"]})
batches.leave_batch(workspace.batches_dir, {"ledger": rows}, run_id="r")
""",
    "a repair": """
import warehouse.repair as repair
from datetime import datetime
def copy_and_die(path, snapshots, folder, known):
    (folder / "0.duckdb").write_bytes(path.read_bytes())
    die()
repair._candidates = copy_and_die
repair.repair_warehouse(workspace.warehouse_path, snapshots=workspace.snapshots_dir,
                        batches=workspace.batches_dir, now=datetime(2026, 1, 1), run_id="r")
""",
    "a compaction": """
import warehouse.compact as compact
compact.move = die
compact._copy(workspace.warehouse_path, workspace.warehouse_path)
""",
    "a source that was fetched": """
import fsspec
from flows.ingest.listed import Source
from flows.ingest.sources import open_local
fsspec.filesystem("memory").pipe_file("/calls/a.wav", b"RIFF")
source = Source(uri="memory:///calls/a.wav", name="a.wav", size_bytes=4, modified_ns=0)
with open_local(source, near=workspace.root) as path:
    assert path.read_bytes() == b"RIFF"
    die()
""",
}

BEGIN = """
import os, signal, sys
from pathlib import Path
import numpy as np
from flows.workspace import open_workspace
workspace = open_workspace(Path(sys.argv[1]))
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / FILE_NAME).write_text(template())
    made = open_workspace(tmp_path)
    with made.warehouse():
        pass
    return made


def files(workspace: Workspace) -> set[str]:
    paths = (path for path in workspace.root.rglob("*") if path.is_file() and not is_mark(path))
    return {str(path.relative_to(workspace.root)) for path in paths}


@pytest.mark.parametrize("what", KILLED)
def test_what_a_killed_process_left_is_swept_by_the_next_command(
    workspace: Workspace, what: str
) -> None:
    before = files(workspace)
    died = subprocess.run(
        [sys.executable, "-c", BEGIN + KILLED[what], str(workspace.root)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    left = files(workspace) - before
    assert left != set()
    assert all(name.startswith(".voxdata/scratch/") for name in left)
    run(workspace, "status")
    assert files(workspace) == before


def test_a_storage_folder_elsewhere_has_a_scratch_folder_of_its_own(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    audio = tmp_path_factory.mktemp("disk") / "audio"
    audio.mkdir()
    settings_file = tmp_path / FILE_NAME
    settings_file.write_text(template().replace('audio = "audio"', f'audio = "{audio}"'))
    workspace = open_workspace(tmp_path)
    assert workspace.scratch_dirs == (
        tmp_path / ".voxdata" / "scratch",
        audio / ".voxdata" / "scratch",
    )
    scratch_folder = audio / ".voxdata" / "scratch"
    scratch_folder.mkdir(parents=True)
    (audio / ".voxdata" / "scratch" / "0011223344556677.partial").write_bytes(b"a voice")
    with workspace.warehouse():
        assert list((audio / ".voxdata" / "scratch").iterdir()) == []
