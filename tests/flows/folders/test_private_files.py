"""Nobody else on this machine can read what a workspace holds, however lax the umask of the shell
is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flows.doctor.examine import check_rights
from flows.folders.private_files import make_private_folder
from flows.settings import template
from voxdata.testing import speech_like


def voxdata(*words: str) -> str:
    """A command as a user runs it, in a shell whose umask keeps nothing private."""
    command = [sys.executable, "-m", "flows.cli", *words]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        umask=0,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def open_paths(root: Path) -> list[str]:
    """What others can read below a folder, and the folder itself."""
    paths = [root, *root.rglob("*")]
    return [str(path.relative_to(root)) for path in paths if path.lstat().st_mode & 0o077]


@pytest.mark.slow
def test_commands_leave_nothing_that_others_can_read(tmp_path: Path) -> None:
    root = tmp_path / "new" / "calls"
    sound = tmp_path / "call.wav"
    soundfile.write(sound, speech_like(3_000).astype(np.float32), 16_000)
    voxdata("init", str(root))
    inside = ("--dir", str(root))
    voxdata(*inside, "ingest", str(sound))
    voxdata(*inside, "status")
    voxdata(*inside, "snapshot")
    voxdata(*inside, "report")
    made = [path for path in root.rglob("*") if path.is_file()]
    suffixes = {path.suffix for path in made}
    assert suffixes >= {".toml", ".duckdb", ".flac", ".html"}
    assert open_paths(root) == []


def test_init_closes_a_folder_that_is_there_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    folder.chmod(0o755)
    assert "closed to other accounts" in voxdata("init", str(folder))
    assert open_paths(folder) == []


def test_make_private_folder_leaves_a_private_one_alone(tmp_path: Path, said: list[str]) -> None:
    make_private_folder(tmp_path / "a", say=said.append)
    make_private_folder(tmp_path / "a", say=said.append)
    assert said == []


def workspace(folder: Path, *, audio: str = "audio") -> Path:
    folder.mkdir(mode=0o700)
    text = template().replace('audio = "audio"', f'audio = "{audio}"')
    (folder / "voxdata.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701])
def test_check_rights_names_an_open_workspace_and_the_remedy(tmp_path: Path, mode: int) -> None:
    root = workspace(tmp_path / "it's calls")
    root.chmod(mode)
    (check,) = check_rights(root)
    assert check.ok is False
    assert str(root) in check.detail
    subprocess.run(["bash", "-c", check.remedy], check=True)
    outcomes = [found.ok for found in check_rights(root)]
    assert outcomes == [True]
    assert open_paths(root) == []


def test_check_rights_looks_at_folders_outside_the_workspace(tmp_path: Path) -> None:
    root = workspace(tmp_path / "calls", audio="../elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere").chmod(0o755)
    (check,) = check_rights(root)
    assert check.ok is False
    assert "elsewhere" in check.detail


def test_check_rights_says_nothing_without_a_workspace(tmp_path: Path) -> None:
    assert check_rights(tmp_path) == check_rights(None) == []
