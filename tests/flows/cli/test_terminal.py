"""What files are called and people say never acts on a terminal, and never becomes a formula in a
spreadsheet.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import soundfile

from flows.place import FILE_NAME
from flows.run import _make_visible
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import FAKES, ingest, run
from voxdata.errors import AudioError, DropReason
from voxdata.segment import Segment
from voxdata.testing import speech_like
from voxdata.visible import visible
from warehouse.exchange.table import write_table
from warehouse.recordings import list_recordings

SETTINGS = (
    FAKES
    + """
[privacy]
mask = false
[sources]
workers = 1
[training]
schemes = []
"""
)
NAME = "a\x1b[2J\x1b]0;owned\x07\u202egpj\x9b31m.wav"
BAD = ("\x1b", "\x07", "\x9b", "\u202e", "\r")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A recording and a file that is none, both called so that a terminal would act."""
    root = tmp_path_factory.mktemp("w")
    (root / "calls").mkdir()
    (root / FILE_NAME).write_text(SETTINGS, encoding="utf-8")
    soundfile.write(
        root / "good.wav",
        speech_like(1_000),
        16_000,
        subtype="PCM_16",
    )
    good_file = root / "good.wav"
    good_file.rename(root / "calls" / NAME)
    (root / "calls" / f"no audio {NAME}").write_bytes(b"nothing")
    workspace = open_workspace(root)
    ingest(workspace, root / "calls")
    return workspace


def acts(text: str) -> list[str]:
    return [repr(bad) for bad in BAD if bad in text]


@pytest.mark.parametrize(
    "words",
    [
        ["recordings"],
        ["ledger"],
        ["ledger", "--json"],
        ["recordings", "--json"],
        ["query", "select placed(uri) as uri from source"],
    ],
)
def test_commands_show_names_of_files_as_escapes(workspace: Workspace, words: list[str]) -> None:
    done = run(workspace, *words)
    assert done.exit_code == 0
    assert acts(done.output) == []
    folded = "".join(done.stdout.replace("│", "").split())
    assert "\\x1b[2J" in folded or "\\u001b[2J" in folded


def test_json_is_exact(workspace: Workspace) -> None:
    rows = json.loads(
        run(
            workspace, "query", "--json", "select uri from source where uri not like '%no audio%'"
        ).stdout
    )
    assert rows[0]["uri"].endswith(NAME)


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", NAME],
        ["ingest", f"missing {NAME}"],
        ["status", NAME],
        ["status", f"--{NAME}"],
        [NAME],
    ],
)
def test_messages_of_errors_show_names_as_escapes(workspace: Workspace, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "--dir", str(workspace.root), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode != 0
    assert acts(done.stdout + done.stderr) == []
    assert "\\x1b" in done.stderr


def test_errors_and_log_records_show_names_as_escapes() -> None:
    error = AudioError(f"{NAME}: broken", reason=DropReason.NOT_AUDIO)
    assert acts(str(error)) == []
    record = logging.makeLogRecord({"msg": "lost %s", "args": (NAME,)})
    assert _make_visible(record)
    assert acts(record.getMessage()) == []


def test_a_name_with_a_line_feed_passes_for_no_line_of_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from flows.say import tell

    tell("ingest: a\nvoxdata: everything is well.wav cannot be read")
    assert not any(line.startswith("voxdata") for line in capsys.readouterr().err.splitlines())


def test_visible_keeps_what_people_write() -> None:
    text = "退款 it's مرحبا שלום 👩‍👩‍👧 naïve\tline\nfeed"
    assert visible(text) == text


def test_a_name_that_is_no_text_is_shown(tmp_path: Path) -> None:
    assert visible(b"caf\xe9.wav".decode("utf-8", "surrogateescape")) == "caf\\xe9.wav"


FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "plain", "a=b", "你好")


def query_of(texts: tuple[str, ...]) -> str:
    escaped = (
        t.replace("\t", "' || chr(9) || '").replace("\r", "' || chr(13) || '") for t in texts
    )
    values = ", ".join(f"('{text}', -{number})" for number, text in enumerate(escaped))
    return f"select * from (values {values}) t(said, number)"


def test_query_for_excel_makes_formulas_inert(workspace: Workspace) -> None:
    done = run(workspace, "query", "--csv", "--for-excel", query_of(FORMULAS))
    assert done.stdout_bytes.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(done.stdout_bytes.decode("utf-8-sig"), newline="")))
    texts = [row["said"] for row in rows]
    assert texts == [*(f"'{text}" for text in FORMULAS[:6]), *FORMULAS[6:]]
    numbers = [row["number"] for row in rows]
    assert numbers == ["0", *(f"-{n}" for n in range(1, len(FORMULAS)))]


def test_query_without_for_excel_is_exact(workspace: Workspace) -> None:
    done = run(workspace, "query", "--csv", query_of(FORMULAS))
    rows = list(csv.DictReader(io.StringIO(done.stdout_bytes.decode("utf-8"), newline="")))
    texts = [row["said"] for row in rows]
    assert texts == list(FORMULAS)


def test_export_for_excel_makes_formulas_inert(tmp_path: Path) -> None:
    from voxdata.dataset import Example, Split

    examples = [
        Example(
            utterance_id=f"{n:032x}",
            recording_id=f"{n:032x}",
            channel=0,
            segment=Segment(start_ms=0, end_ms=9),
            voice="v",
            group="v",
            audio_file="a.flac",
            text=text,
            language="",
            gold={},
            split=Split.TRAIN,
        )
        for n, text in enumerate(FORMULAS)
    ]
    for_excel = tmp_path / "e.csv"
    plain = tmp_path / "p.csv"
    write_table(
        examples,
        kind="csv",
        path=for_excel,
        version_id="v",
        for_excel=True,
    )
    write_table(
        examples,
        kind="csv",
        path=plain,
        version_id="v",
    )
    assert for_excel.read_bytes().startswith(b"\xef\xbb\xbf")
    assert pl.read_csv(for_excel)["text"].to_list() == [
        *(f"'{text}" for text in FORMULAS[:6]),
        *FORMULAS[6:],
    ]
    assert pl.read_csv(plain)["text"].to_list() == list(FORMULAS)


@pytest.mark.parametrize(
    "words",
    [["query", "select 1", "--for-excel"], ["export", "calls", "--format", "jsonl", "--for-excel"]],
)
def test_for_excel_is_refused_where_there_is_no_csv(workspace: Workspace, words: list[str]) -> None:
    done = run(workspace, *words)
    assert done.exit_code != 0
    assert "--for-excel is about CSV" in str(done.exception)


def test_recordings_keep_the_name_as_it_is(workspace: Workspace) -> None:
    with workspace.warehouse(read_only=True) as con:
        (stored,) = list_recordings(con)
    assert stored.uri.endswith(NAME)
