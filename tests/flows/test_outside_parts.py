"""A package of somebody else adds a backend and an export format by entry points, and changes
nothing here.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path

import numpy as np
import pytest

from flows.models import build_models, build_transcriber, model_specs
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from voxdata.backends import load_backend
from voxdata.canonical import write_canonical
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.errors import BackendError
from voxdata.identity import digest
from voxdata.recording import canonical_file
from voxdata.segment import Segment
from warehouse.versions import create_version

PACKAGE = '''
import json
from warehouse.exchange.bundle import FolderFormat


class Echo:
    """Says where it keeps its weights."""

    def __init__(self, *, cache_dir, api_key=None, shout=False):
        self.cache_dir, self.api_key, self.shout = cache_dir, api_key, shout


class Mimic:
    """Stands for a labeler, a scanner and a predictor."""

    def __init__(self, *, cache_dir, hf_token, scheme=None):
        self.cache_dir, self.hf_token, self.scheme = cache_dir, hf_token, scheme


def write(bundle, folder):
    for split, examples in bundle.splits():
        lines = [json.dumps([e.utterance_id, bundle.labels(e)]) for e in examples]
        (folder / f"{split.value}.list").write_text("\\n".join(lines))


LISTS = FolderFormat(write=write, taken=frozenset({"mood"}))
'''
RECORDING = digest("recording")
UTTERANCE = digest(RECORDING, 0, 0, 900)
ENTRY_POINTS = """
[voxdata.transcriber]
echo = echoes:Echo
[voxdata.labeler]
mimic = echoes:Mimic
[voxdata.privacy_scanner]
mimic = echoes:Mimic
[voxdata.mos_predictor]
mimic = echoes:Mimic
[voxdata.exporter]
lists = echoes:LISTS
odd = echoes:write
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the package installed in it, in reach of this process and its children."""
    folder = tmp_path / "site"
    (folder / "echoes-1.dist-info").mkdir(parents=True)
    (folder / "echoes-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: echoes\nVersion: 1\n"
    )
    (folder / "echoes-1.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "echoes.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv(
        "PYTHONPATH",
        os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
    )
    importlib.invalidate_caches()
    return folder


def build(
    root: Path,
    *,
    scheme: str = "intent",
    settings: str = "",
) -> Workspace:
    root.mkdir()
    settings_file = root / FILE_NAME
    settings_file.write_text(settings or template())
    workspace = open_workspace(root)
    with workspace.warehouse():
        pass
    recording = RECORDING
    write_canonical(
        workspace.audio_dir / canonical_file(recording),
        np.zeros((16_000, 1), dtype=np.float32),
    )
    example = Example(
        utterance_id=UTTERANCE,
        recording_id=recording,
        channel=0,
        segment=Segment(start_ms=0, end_ms=900),
        voice="v",
        group="g",
        audio_file=canonical_file(recording),
        text="hello",
        language="en",
        gold={
            scheme: GoldLabel(
                label="question",
                distribution={"question": 1.0},
                num_votes=1,
            )
        },
        split=Split.TRAIN,
    )
    with workspace.warehouse() as con:
        create_version(con, "calls", [example], recipe={}, run_id="t")
    return workspace


def voxdata(workspace: Workspace, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", "--dir", str(workspace.root), *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_format_of_another_package_is_exported_and_verified(site: Path, tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    output = tmp_path / "out"
    done = voxdata(
        workspace,
        "export",
        "calls",
        "--format",
        "lists",
        "--output",
        str(output),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(output), done.stderr
    content = json.loads((output / "train.list").read_text())
    assert content == [UTTERANCE, {"intent": "question"}]
    checked = voxdata(workspace, "import", str(output), "--check")
    assert checked.returncode == 0, checked.stderr
    (output / "train.list").write_text("[]")
    assert voxdata(workspace, "import", str(output), "--check").returncode != 0


def test_a_scheme_may_not_be_called_what_such_a_format_has_a_use_for(
    site: Path, tmp_path: Path
) -> None:
    workspace = build(tmp_path / "w", scheme="mood")
    done = voxdata(
        workspace,
        "export",
        "calls",
        "--format",
        "lists",
        "--output",
        str(tmp_path / "out"),
    )
    assert done.returncode == 1
    assert "'mood' clashes with what lists calls so" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [("odd", "echoes:write is no"), ("nothing", "there are parquet, jsonl, csv, huggingface")],
)
def test_what_is_no_format_is_refused_by_name(
    site: Path, tmp_path: Path, name: str, told: str
) -> None:
    done = voxdata(
        build(tmp_path / "w"),
        "export",
        "calls",
        "--format",
        name,
    )
    assert done.returncode == 2
    assert told in done.stderr


def test_a_backend_of_another_package_gets_cache_folder_and_key(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXDATA_TRANSCRIBER_KEY", "k-1")
    model = 'model = "packaged-base"'
    settings = (
        template().replace('backend = "whisper"', 'backend = "echo"').replace(model, "shout = true")
    )
    echo = build_transcriber(build(tmp_path / "w", settings=settings))
    assert type(echo).__name__ == "Echo"
    assert vars(echo)["api_key"] == "k-1"
    assert vars(echo)["shout"] is True
    assert Path(vars(echo)["cache_dir"]).name


def test_labeler_scanner_and_predictor_of_another_package_get_cache_folder_and_key(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf-1")
    settings = template()
    for ours in ('cold_start = "similarity"', 'scanner = "spoken"', 'mos = "dnsmos"'):
        assert ours in settings
        settings = settings.replace(ours, f'{ours.split()[0]} = "mimic"')
    workspace = build(tmp_path / "w", settings=settings)
    models = build_models(workspace, model_specs(workspace))
    for part in (models.labelers["intent"], models.scanner, models.mos):
        assert type(part).__name__ == "Mimic"
        assert vars(part)["cache_dir"] == str(workspace.secrets.cache_dir)
        assert vars(part)["hf_token"] == "hf-1"
    assert vars(models.labelers["intent"])["scheme"].name == "intent"


def test_load_backend_reads_the_installed_packages_once(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[str] = []

    def scan(**options: str) -> EntryPoints:
        scans.append(options["group"])
        return entry_points(**options)

    monkeypatch.setattr(importlib.metadata, "entry_points", scan)
    for _ in range(3):
        load_backend("transcriber", "echo", cache_dir="c")
        load_backend("transcriber", "echoes:Echo", cache_dir="c")
    assert scans == ["voxdata.transcriber"]


def test_load_backend_sees_what_was_installed_elsewhere_meanwhile(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(BackendError, match="'echo'"):
        load_backend("transcriber", "echo", cache_dir="c")
    request.getfixturevalue("site")
    assert type(load_backend("transcriber", "echo", cache_dir="c")).__name__ == "Echo"
