"""`import voxdata`: what the README shows works as written, and is typed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import voxdata
from flows.settings import template
from voxdata.canonical import write_canonical
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.errors import ConfigError, NotFoundError
from voxdata.identity import digest
from voxdata.recording import canonical_file
from voxdata.segment import Segment
from warehouse.versions import create_version

ROOT = Path(__file__).parents[2]
TEXTS = {Split.TRAIN: "I want my money back", Split.TEST: "我想退款"}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a version of two examples, a table beside it, and the shell in their
    folder.
    """
    root = tmp_path / "calls"
    root.mkdir()
    (root / "voxdata.toml").write_text(template())
    workspace = voxdata.open_workspace(root)
    with workspace.warehouse():
        pass
    examples = []
    for split, text in TEXTS.items():
        recording = digest(split)
        path = workspace.audio_dir / canonical_file(recording)
        samples = np.full((16_000, 1), 0.25, dtype=np.float32)
        write_canonical(path, samples)
        segment = Segment(start_ms=100, end_ms=900)
        examples.append(
            Example(
                utterance_id=digest(recording, 0, 100, 900),
                recording_id=recording,
                channel=0,
                segment=segment,
                voice=f"{split}",
                group=f"{split}",
                audio_file=canonical_file(recording),
                text=text,
                language="en",
                gold={
                    "intent": GoldLabel(label="request", distribution={"request": 1.0}, num_votes=1)
                },
                split=split,
            )
        )
    with workspace.warehouse() as con:
        create_version(con, "calls", examples, recipe={}, run_id="t")
    rng = np.random.default_rng(1)
    lines = ["audio,label,split,speaker"]
    for number in range(8):
        soundfile.write(
            tmp_path / f"{number}.wav",
            rng.uniform(-0.5, 0.5, 16_000),
            16_000,
        )
        label = "on" if number % 2 else "off"
        split = "test" if number > 5 else "train"
        lines.append(f"{number}.wav,{label},{split},p{number}")
    labels_file = tmp_path / "labels.csv"
    labels_file.write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_of_the_readme_runs_as_written(calls: Path) -> None:
    code = re.search(
        r"```python\n(.*?)```",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert code is not None
    done = subprocess.run(
        [sys.executable, "-c", code.group(1)],
        cwd=calls,
        env={**_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, verdict = done.stdout.splitlines()
    assert first == "I want my money back 0.8 s"
    assert verdict


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_load_version_gives_a_row_for_each_example(calls: Path) -> None:
    frame = voxdata.load_version(voxdata.open_workspace("calls"), "calls@1")
    assert sorted(frame["text"]) == sorted(TEXTS.values())
    assert frame["intent"].to_list() == ["request", "request"]
    assert frame["start_ms"].to_list() == [100, 100]


def test_iter_examples_gives_the_sound_of_each(calls: Path) -> None:
    examples = list(voxdata.iter_examples(voxdata.open_workspace("calls"), "calls", split="test"))
    ((example, samples),) = examples
    assert example.text == TEXTS[Split.TEST]
    assert samples.dtype == np.float32
    assert samples.size == 12_800
    assert abs(float(samples.mean()) - 0.25) < 1e-4


def test_mistakes_are_told_in_words(calls: Path) -> None:
    workspace = voxdata.open_workspace("calls")
    with pytest.raises(NotFoundError, match="nobody"):
        voxdata.load_version(workspace, "nobody")
    with pytest.raises(ValueError, match="dev"):
        list(voxdata.iter_examples(workspace, "calls", split="dev"))
    with pytest.raises(ConfigError, match=r"holds no voxdata\.toml"):
        voxdata.open_workspace("elsewhere")
    with pytest.raises(ConfigError, match=r"labels\.tsv"):
        voxdata.audit_table("labels.tsv")
    with pytest.raises(AttributeError, match="open_workspaces"):
        voxdata.open_workspaces  # type: ignore[attr-defined]  # noqa: B018


def test_audit_table_opens_nothing_outside_its_folder(calls: Path) -> None:
    (calls / "far.csv").write_text(
        "audio,label,split\n/etc/hostname,a,train\n/etc/hostname,b,test\n"
    )
    with pytest.raises(ConfigError, match="outside"):
        voxdata.audit_table("far.csv")


@pytest.mark.slow
def test_the_names_handed_out_are_typed(tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        """from typing import assert_type

import polars as pl

import voxdata
from voxdata.dataset import Example
from voxdata.ports import Samples

workspace = voxdata.open_workspace("calls")
assert_type(voxdata.load_version(workspace, "calls"), pl.DataFrame)
for pair in voxdata.iter_examples(workspace, "calls"):
    assert_type(pair, tuple[Example, Samples])
assert_type(voxdata.audit_table("labels.csv").verdict, str)
assert_type(voxdata.RATE_HZ, int)
voxdata.load_version("calls", "calls")  # type: ignore[arg-type]
"""
    )
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    done = subprocess.run(
        [*command, str(snippet)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_stub_and_module_name_the_same() -> None:
    stub = (ROOT / "voxdata/__init__.pyi").read_text(encoding="utf-8")
    assert sorted(re.findall(r"import \w+ as (\w+)", stub)) == sorted(voxdata.__all__)
