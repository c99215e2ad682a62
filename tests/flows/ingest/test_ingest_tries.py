"""A busy machine is no bad file: what hung, was killed or took too much is tried on several
days.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from flows.cli.main import app
from flows.ingest.flow import IngestSummary
from flows.ingest.plan import plan_ingest
from flows.ingest.worker import Refused, decode_file
from flows.workspace import Workspace
from tests.flows.conftest import UNTRAINED, ingest, quiet, workspace_with
from voxdata.canonicalise import Canonical
from voxdata.errors import DropReason, ShortageError
from voxdata.testing import speech_like
from warehouse.attempts import list_tries
from warehouse.ledger import list_drops
from warehouse.rows import read_rows

SETTINGS = """
[sources]
workers = 1
decode_seconds = {cpu_s}
stall_seconds = {stall_s}
decode_spool_gb = {spool_gb}
"""
MONDAY = date(2026, 1, 5)


def workspace_at(
    root: Path,
    *,
    cpu_s: float = 60,
    stall_s: float = 2,
    spool_gb: float = 1,
) -> Workspace:
    return workspace_with(
        root,
        SETTINGS.format(cpu_s=cpu_s, stall_s=stall_s, spool_gb=spool_gb) + UNTRAINED,
    )


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    soundfile.write(
        folder / "one.wav",
        speech_like(1_500),
        16_000,
        subtype="PCM_16",
    )
    return folder


def set_day(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("flows.workers.days.today", lambda: MONDAY + timedelta(days=number))


def write_silence(path: Path, *, minutes: int) -> None:
    """A WAV file whose zeros take no room on the disk."""
    size = minutes * 60 * 32_000
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + size,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        16_000,
        32_000,
        2,
        16,
        b"data",
        size,
    )
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)


def decode_slowly(
    path: Path,
    audio_dir: Path,
    max_duration_ms: int,
) -> Canonical | Refused:
    """As on a machine that is busy with other things: it gets on, and takes its time."""
    with (path.parent.parent / "moves").open("wb", buffering=0) as moves:
        for _ in range(14):
            time.sleep(0.5)
            moves.write(b"x")
    return decode_file(path, audio_dir, max_duration_ms)


def decode_never(
    _path: Path,
    _audio_dir: Path,
    _max_duration_ms: int,
) -> Canonical | Refused:
    time.sleep(600)
    raise AssertionError


def decode_and_be_killed(
    _path: Path,
    _dir: Path,
    _max_duration_ms: int,
) -> Canonical | Refused:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def decode_and_swell(
    _path: Path,
    _dir: Path,
    _max_duration_ms: int,
) -> Canonical | Refused:
    return Refused(
        reason=DropReason.OUT_OF_MEMORY,
        detail=str(len(bytearray(8 << 30))),
    )


def decode_and_crash(
    _path: Path,
    _dir: Path,
    _max_duration_ms: int,
) -> Canonical | Refused:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


@pytest.mark.slow
def test_ingest_takes_a_file_that_gets_on_slowly(tmp_path: Path, calls: Path) -> None:
    workspace = workspace_at(tmp_path / "w", cpu_s=1, stall_s=3)
    summary = ingest(workspace, calls, decode=decode_slowly)
    assert summary.recordings == 1
    assert summary.dropped == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("decode", "reason"),
    [(decode_never, DropReason.TIMED_OUT), (decode_and_swell, DropReason.OUT_OF_MEMORY)],
)
def test_ingest_tries_on_three_days_what_hung_or_swelled(
    tmp_path: Path,
    calls: Path,
    monkeypatch: pytest.MonkeyPatch,
    decode: object,
    reason: DropReason,
) -> None:
    workspace = workspace_at(tmp_path / "w", stall_s=1)

    def run(*, retry: DropReason | None = None) -> tuple[int, int, int]:
        summary: IngestSummary = ingest(workspace, calls, decode=decode, retry=retry)
        return summary.dropped, summary.waiting, summary.known

    for number in range(3):
        set_day(monkeypatch, number)
        (row,) = plan_ingest(
            workspace,
            [str(calls)],
            say=quiet,
        )
        assert row["standing"] == ("new" if number == 0 else "retry")
        assert run() == (1, 0, 0)
        if number < 2:
            (row,) = plan_ingest(
                workspace,
                [str(calls)],
                say=quiet,
            )
            assert row["standing"] == "waits"
            assert f"tried on {number + 1} of 3 days" in str(row["why"])
            assert run() == (0, 1, 0)
    set_day(monkeypatch, 3)
    plan = plan_ingest(workspace, [str(calls)], say=quiet)
    assert plan == []
    assert run() == (0, 0, 1)
    with workspace.warehouse() as con:
        drops = [(drop.reason, drop.tries) for drop in list_drops(con)]
        assert drops == [(reason, 3)]
    assert run(retry=DropReason.KILLED) == (0, 0, 1)
    (row,) = plan_ingest(workspace, [], say=quiet, retry=reason)
    assert row["standing"] == "retry"
    assert ingest(workspace, retry=reason).recordings == 1
    assert run() == (0, 0, 1)


def test_ingest_begins_the_days_anew_when_the_file_changes(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = workspace_at(tmp_path / "w", stall_s=1)
    set_day(monkeypatch, 0)
    summary = ingest(workspace, calls, decode=decode_never)
    assert summary.dropped == 1
    soundfile.write(
        calls / "one.wav",
        speech_like(1_400),
        16_000,
        subtype="PCM_16",
    )
    summary = ingest(workspace, calls)
    assert summary.recordings == 1


@pytest.mark.slow
def test_ingest_lets_rest_what_the_system_killed_on_three_days(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = workspace_at(tmp_path / "w")
    soundfile.write(
        calls / "two.wav",
        speech_like(1_400, seed=2),
        16_000,
        subtype="PCM_16",
    )
    assert ingest(workspace, calls / "two.wav").recordings == 1
    for number in range(2):
        set_day(monkeypatch, number)
        for _ in range(2):  # memory may be free again: it is tried whenever somebody asks
            with pytest.raises(ShortageError, match=r"1 file was not ingested.*SIGKILL"):
                ingest(workspace, calls, decode=decode_and_be_killed)
        with workspace.warehouse() as con:
            assert list_drops(con) == []
            days = [tries.days for tries in list_tries(con).values()]
            assert days == [number + 1]
    set_day(monkeypatch, 2)
    last = ingest(workspace, calls, decode=decode_and_be_killed)
    assert last.dropped == 1
    assert last.known == 1
    with workspace.warehouse() as con:
        (drop,) = list_drops(con)
    assert drop.reason == DropReason.KILLED
    assert drop.tries == 3
    assert "on 3 days" in drop.detail
    assert ingest(workspace, calls).known == 2
    summary = ingest(workspace, retry=DropReason.KILLED)
    assert summary.recordings == 1


def test_ingest_does_not_try_again_what_crashes_the_decoder(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = workspace_at(tmp_path / "w")
    set_day(monkeypatch, 0)
    assert ingest(workspace, calls, decode=decode_and_crash).dropped == 1
    set_day(monkeypatch, 1)
    assert ingest(workspace, calls).known == 1
    summary = ingest(workspace, calls, retry=DropReason.CRASHED)
    assert summary.recordings == 1


def test_ingest_refuses_what_takes_more_room_than_it_may(tmp_path: Path, calls: Path) -> None:
    write_silence(calls / "long.wav", minutes=10)
    workspace = workspace_at(tmp_path / "w", spool_gb=0.01)
    summary = ingest(workspace, calls)
    assert summary.recordings == 1
    assert summary.dropped == 1
    with workspace.warehouse() as con:
        (drop,) = list_drops(con)
    assert drop.reason is DropReason.TOO_LONG
    assert "decode_spool_gb" in drop.detail
    assert Path(drop.subject).name == "long.wav"


@pytest.mark.slow
def test_ingest_command_limits_cpu_time_and_tries_again(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's own limit: three hours of sound, and a second to decode them in."""
    (calls / "one.wav").unlink()
    write_silence(calls / "long.wav", minutes=180)
    workspace = workspace_at(tmp_path / "w", cpu_s=0.01)

    def run(*arguments: str) -> dict[str, object] | list[dict[str, object]]:
        command = ["--dir", str(workspace.root), *arguments, "--json"]
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    set_day(monkeypatch, 0)
    first = run("ingest", str(calls))
    assert isinstance(first, dict)
    assert first["dropped"] == 1
    (plan,) = run("ingest", str(calls), "--plan")
    assert isinstance(plan, dict)
    assert plan["standing"] == "waits"
    assert "--retry timed_out" in str(plan["why"])
    (row,) = run("ledger")
    assert isinstance(row, dict)
    assert row["reason"] == "timed_out"
    assert row["tries"] == 1
    assert "more CPU time" in str(row["detail"])
    workspace_at(tmp_path / "w", cpu_s=300)
    second = run("ingest", "--retry", "timed_out")
    assert isinstance(second, dict)
    assert second["listed"] == 1
    assert second["waiting"] == 0
    with workspace.warehouse() as con:
        assert len(read_rows(con, "select * from recording")) == 1


def test_ingest_command_says_which_reasons_there_are(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / "w")
    done = CliRunner().invoke(app, ["--dir", str(workspace.root), "ingest", "--retry", "slow"])
    assert done.exit_code == 2
    assert "timed_out" in done.output
