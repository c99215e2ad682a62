"""Exports that somebody changed by hand: the answer names file, line, field and remedy, and no word
of Python.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flows.cli.main import run_command
from flows.exchange.export import open_bundle
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import open_workspace
from voxdata.canonical import write_canonical
from voxdata.recording import canonical_file
from voxdata.testing import make_example
from warehouse.exchange.bundle import HEADER, ROWS
from warehouse.exchange.write import export_bundle
from warehouse.versions import create_version

PYTHON = re.compile(r"\w+(Error|Exception)\b|Traceback|invalid literal|NoneType|indices must be")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export of two examples."""
    (tmp_path / "w").mkdir()
    settings_file = tmp_path / "w" / FILE_NAME
    settings_file.write_text(template())
    workspace = open_workspace(tmp_path / "w")
    examples = [make_example(number) for number in range(2)]
    with workspace.warehouse() as con:
        for example in examples:
            path = workspace.audio_dir / canonical_file(example.recording_id)
            samples = np.full((32_000, 1), 0.1, np.float32)
            write_canonical(path, samples)
        create_version(con, "calls", examples, recipe={}, run_id="t")
    return export_bundle(
        open_bundle(workspace, "calls"),
        format_name="jsonl",
        output=tmp_path / "export",
        audio="clips",
    )


def say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str]:
    """Exit code and stderr of a command, as the shell gives them."""
    monkeypatch.setattr("sys.argv", ["voxdata", *words])
    code = run_command()
    return code, capsys.readouterr().err


def change_row(change: Callable[[dict[str, object]], object]) -> Callable[[str], str]:
    def spoil(line: str) -> str:
        row = json.loads(line)
        change(row)
        return json.dumps(row)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "trouble"),
    [
        (change_row(lambda row: row.pop("recording_id")), "field 'recording_id' is missing"),
        (change_row(lambda row: row.pop("salt")), "field 'salt' is missing"),
        (
            change_row(lambda row: row.update(channel="left")),
            "field 'channel' is 'left' and should be a whole number",
        ),
        (
            change_row(lambda row: row.update(start_ms=None)),
            "field 'start_ms' is None and should be a whole number",
        ),
        (
            change_row(lambda row: row.update(split="practice")),
            "field 'split' is 'practice' and should be train, validation or test",
        ),
        (change_row(lambda row: row.update(gold="{")), "field 'gold' is '{' and should be"),
        (
            change_row(lambda row: row.update(gold='{"intent": {"label": "ask"}}')),
            "field 'gold' is ",
        ),
        (change_row(lambda row: row.update(gold='["ask"]')), "field 'gold' is "),
        (lambda line: line[:-5], "it is no JSON: "),
        (lambda line: "[" * 100_000, "it is no JSON of ours"),
        (lambda line: "[1, 2]", "it is [1, 2] and should be a JSON object"),
    ],
)
def test_import_command_names_line_and_field_of_a_malformed_row(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[str], str],
    trouble: str,
) -> None:
    lines = (folder / ROWS).read_text(encoding="utf-8").split("\n")
    (folder / ROWS).write_text("\n".join([lines[0], spoil(lines[1]), *lines[2:]]), encoding="utf-8")
    code, told = say(
        monkeypatch,
        capsys,
        "import",
        str(folder),
        "--check",
    )
    assert code == 1
    assert f"{folder}: line 2 of {ROWS}: {trouble}" in told
    assert "export the version again" in told
    assert not PYTHON.search(told)


@pytest.mark.parametrize(
    ("spoil", "trouble"),
    [
        (change_row(lambda header: header.pop("format")), "field 'format' is missing"),
        (change_row(lambda header: header.pop("root")), "field 'root' is missing"),
        (
            change_row(lambda header: header.update(files=["a"])),
            "field 'files' is ['a'] and should be SHA-256 by file",
        ),
        (
            change_row(lambda header: header.update(erased=7)),
            "field 'erased' is 7 and should be a list",
        ),
        (lambda text: text[: len(text) // 2], "it is no JSON: "),
        (lambda text: "[]", "it is [] and should be a JSON object"),
    ],
)
def test_import_command_names_the_field_of_a_malformed_header(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[str], str],
    trouble: str,
) -> None:
    (folder / HEADER).write_text(
        spoil((folder / HEADER).read_text(encoding="utf-8")),
        encoding="utf-8",
    )
    code, told = say(
        monkeypatch,
        capsys,
        "import",
        str(folder),
        "--check",
    )
    assert code == 1
    assert f"{folder}: {HEADER}: {trouble}" in told
    assert "export the version again" in told
    assert not PYTHON.search(told)
