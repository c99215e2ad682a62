import subprocess
import sys
from pathlib import Path

import pytest


def voxdata(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["status"], "voxdata init"),
        (["--dir", "nowhere", "status"], "nowhere"),
        (["nonsense"], "No such command"),
        (["inspect", "x.wav", "--format", "xml"], "rttm"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_to_do(
    tmp_path: Path, words: list[str], told: str
) -> None:
    done = voxdata(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_init_writes_a_file_that_works_and_never_overwrites_it(tmp_path: Path) -> None:
    assert voxdata("init", "calls", cwd=tmp_path).returncode == 0
    (tmp_path / "calls/voxdata.toml").write_text(
        (tmp_path / "calls/voxdata.toml").read_text() + "# mine\n"
    )
    again = voxdata("init", "calls", cwd=tmp_path)
    assert again.returncode == 2
    assert "# mine" in (tmp_path / "calls/voxdata.toml").read_text()
    status = voxdata("--dir", "calls", "status", "--json", cwd=tmp_path)
    assert status.returncode == 0, status.stderr
    assert '"recordings": 0' in status.stdout


def test_a_misspelt_setting_ends_with_2_and_is_named(tmp_path: Path) -> None:
    voxdata("init", ".", cwd=tmp_path)
    path = tmp_path / "voxdata.toml"
    path.write_text(path.read_text().replace("pause_ms", "pause_msec"))
    done = voxdata("status", cwd=tmp_path)
    assert done.returncode == 2
    assert "utterance.pause_msec" in done.stderr


def test_ingest_ends_with_2_when_a_path_matches_nothing(tmp_path: Path) -> None:
    voxdata("init", ".", cwd=tmp_path)
    done = voxdata("ingest", "missing.wav", cwd=tmp_path)
    assert done.returncode == 2
    assert "missing.wav" in done.stderr


def test_ingest_keeps_one_recording_for_two_names_and_a_ledger_row_for_a_bad_file(
    tmp_path: Path,
) -> None:
    import numpy as np
    import soundfile

    voxdata("init", ".", cwd=tmp_path)
    samples = (9000 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.int16)
    soundfile.write(tmp_path / "inbox/a.wav", samples, 16_000, subtype="PCM_16")
    soundfile.write(tmp_path / "inbox/b.flac", samples, 16_000, subtype="PCM_16")
    (tmp_path / "inbox/c.wav").write_bytes(b"not audio at all")
    done = voxdata("ingest", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [
        f'"{name}": {count}' in done.stdout
        for name, count in (("recordings", 1), ("duplicates", 1), ("dropped", 1))
    ] == [True] * 3
    ledger = voxdata("ledger", "--json", cwd=tmp_path)
    assert "c.wav" in ledger.stdout
    again = voxdata("ingest", "--json", cwd=tmp_path)
    assert '"known": 3' in again.stdout


@pytest.mark.parametrize("words", [["push"], ["pull"]])
def test_push_and_pull_end_with_1_and_the_remedy_when_label_studio_is_not_up(
    tmp_path: Path, words: list[str]
) -> None:
    voxdata("init", ".", cwd=tmp_path)
    done = voxdata(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "voxdata up" in done.stderr


@pytest.mark.parametrize(
    "words", [["diff", "a", "b"], ["export", "a"], ["train", "intent", "--version", "a"]]
)
def test_unknown_version_ends_with_1_and_is_named(tmp_path: Path, words: list[str]) -> None:
    voxdata("init", ".", cwd=tmp_path)
    voxdata("status", cwd=tmp_path)
    done = voxdata(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "'a'" in done.stderr


def test_release_ends_with_1_and_the_next_step_when_nobody_has_voted(tmp_path: Path) -> None:
    voxdata("init", ".", cwd=tmp_path)
    done = voxdata("release", "calls", cwd=tmp_path)
    assert done.returncode == 1
    assert "voxdata pull" in done.stderr


def test_tables_show_names_that_look_like_markup_as_they_are(tmp_path: Path) -> None:
    voxdata("init", ".", cwd=tmp_path)
    (tmp_path / "in[bold]").mkdir()
    (tmp_path / "in[bold]" / "x[").mkdir()
    (tmp_path / "in[bold]" / "x[" / "b].wav").write_text("no audio")
    for words in (("ingest", "in[bold]", "--plan"), ("ingest", "in[bold]"), ("ledger",)):
        done = voxdata(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "in[bold]/x[/b].wav" in "".join(done.stdout.split()).replace("│", "").replace("┃", "")


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
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    voxdata("init", ".", cwd=tmp_path)
    path = tmp_path / "voxdata.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    done = voxdata("status", cwd=tmp_path)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
