"""Commands as one types them: what they print, and with which code they end.

Two tests start a process, as a shell does. The others call in this one what that process calls.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.cli.main import run_command


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command has left."""

    returncode: int
    stdout: str
    stderr: str


Voxdata = Callable[..., Done]


@pytest.fixture
def voxdata(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Voxdata:
    """Runs a command in the test's folder and in this process."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["voxdata", *words])
        capsys.readouterr()
        returncode = run_command()
        printed = capsys.readouterr()
        return Done(
            returncode=returncode,
            stdout=printed.out,
            stderr=printed.err,
        )

    return run


@pytest.fixture
def workspace_dir(tmp_path: Path, voxdata: Voxdata) -> Path:
    """The test's folder, as `voxdata init` leaves it."""
    assert voxdata("init", ".").returncode == 0
    return tmp_path


def start_voxdata(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_process_ends_with_2_and_says_what_to_do_when_there_is_no_workspace(
    tmp_path: Path,
) -> None:
    done = start_voxdata("status", cwd=tmp_path)
    assert done.returncode == 2
    assert "voxdata init" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--dir", "nowhere", "status"], "nowhere"),
        (["nonsense"], "No such command"),
        (["inspect", "x.wav", "--format", "xml"], "rttm"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_to_do(
    voxdata: Voxdata, words: list[str], told: str
) -> None:
    done = voxdata(*words)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_init_writes_a_file_that_works_and_never_overwrites_it(
    tmp_path: Path, voxdata: Voxdata
) -> None:
    assert voxdata("init", "calls").returncode == 0
    path = tmp_path / "calls/voxdata.toml"
    path.write_text(path.read_text() + "# mine\n")
    again = voxdata("init", "calls")
    assert again.returncode == 2
    assert "# mine" in path.read_text()
    status = voxdata("--dir", "calls", "status", "--json")
    assert status.returncode == 0, status.stderr
    assert '"recordings": 0' in status.stdout


def test_a_misspelt_setting_ends_with_2_and_is_named(workspace_dir: Path, voxdata: Voxdata) -> None:
    path = workspace_dir / "voxdata.toml"
    path.write_text(path.read_text().replace("pause_ms", "pause_msec"))
    done = voxdata("status")
    assert done.returncode == 2
    assert "utterance.pause_msec" in done.stderr


@pytest.mark.usefixtures("workspace_dir")
def test_ingest_ends_with_2_when_a_path_matches_nothing(voxdata: Voxdata) -> None:
    done = voxdata("ingest", "missing.wav")
    assert done.returncode == 2
    assert "missing.wav" in done.stderr


def test_ingest_keeps_one_recording_for_two_names_and_a_ledger_row_for_a_bad_file(
    workspace_dir: Path, voxdata: Voxdata
) -> None:
    import numpy as np
    import soundfile

    samples = (9000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.int16)
    soundfile.write(workspace_dir / "inbox/a.wav", samples, 16_000, subtype="PCM_16")
    soundfile.write(workspace_dir / "inbox/b.flac", samples, 16_000, subtype="PCM_16")
    (workspace_dir / "inbox/c.wav").write_bytes(b"not audio at all")
    done = start_voxdata("ingest", "--json", cwd=workspace_dir)
    assert done.returncode == 0, done.stderr
    assert '"recordings": 1' in done.stdout
    assert '"duplicates": 1' in done.stdout
    assert '"dropped": 1' in done.stdout
    assert "c.wav" in voxdata("ledger", "--json").stdout
    assert '"known": 3' in voxdata("ingest", "--json").stdout


@pytest.mark.usefixtures("workspace_dir")
@pytest.mark.parametrize("words", [["push"], ["pull"]])
def test_push_and_pull_end_with_1_and_the_remedy_when_label_studio_is_not_up(
    voxdata: Voxdata, words: list[str]
) -> None:
    done = voxdata(*words)
    assert done.returncode == 1
    assert "voxdata up" in done.stderr


@pytest.mark.usefixtures("workspace_dir")
@pytest.mark.parametrize(
    "words", [["diff", "a", "b"], ["export", "a"], ["train", "intent", "--version", "a"]]
)
def test_unknown_version_ends_with_1_and_is_named(voxdata: Voxdata, words: list[str]) -> None:
    voxdata("status")
    done = voxdata(*words)
    assert done.returncode == 1
    assert "'a'" in done.stderr


@pytest.mark.usefixtures("workspace_dir")
def test_release_ends_with_1_and_the_next_step_when_nobody_has_voted(voxdata: Voxdata) -> None:
    done = voxdata("release", "calls")
    assert done.returncode == 1
    assert "voxdata pull" in done.stderr


def test_tables_show_names_that_look_like_markup_as_they_are(
    workspace_dir: Path, voxdata: Voxdata
) -> None:
    folder = workspace_dir / "in[bold]" / "x["
    folder.mkdir(parents=True)
    (folder / "b].wav").write_text("no audio")
    for words in (("ingest", "in[bold]", "--plan"), ("ingest", "in[bold]"), ("ledger",)):
        done = voxdata(*words)
        assert done.returncode == 0, done.stderr
    table = "".join(done.stdout.split()).replace("│", "").replace("┃", "")
    assert "in[bold]/x[/b].wav" in table


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("max_hours = 12.0", "max_hours = inf", "sources.max_hours"),
        ("decode_memory_gb = 2.0", "decode_memory_gb = 0.01", "sources.decode_memory_gb"),
        ("batch_minutes = 10.0", "batch_minutes = nan", "prelabel.batch_minutes"),
        ('inbox = ["inbox"]', 'inbox = [""]', "sources.inbox"),
        ("patience = 30.0", "patience = 0", "prelabel.patience"),
    ],
)
def test_a_setting_out_of_range_ends_with_2_and_is_named(
    workspace_dir: Path, voxdata: Voxdata, old: str, new: str, named: str
) -> None:
    path = workspace_dir / "voxdata.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    done = voxdata("status")
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
