"""One strange entry never stops an ingest: each is named with its reason, and the others go on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from flows.ingest.flow import ingest_manifest, ingest_sources
from flows.ingest.plan import plan_ingest
from flows.ingest.sources import list_sources
from flows.workspace import Workspace
from tests.flows.conftest import UNTRAINED, ingest, quiet, run, workspace_with
from voxdata.errors import ConfigError, DropReason
from voxdata.testing import speech_like
from warehouse.ledger import list_drops
from warehouse.recordings import list_recordings

SETTINGS = """
[sources]
workers = 1
inbox = [{inbox}]
"""
MALFORMED = [
    "http://[",
    "http://[::1/a.wav",
    "https://host:port/a.wav",
    "file://[/a.wav",
    "s3://",
    "nosuch://x/a.wav",
    "://a.wav",
    "~nobody-of-that-name/a.wav",
]


def workspace_at(root: Path, *, inbox: tuple[str, ...] = ()) -> Workspace:
    return workspace_with(
        root,
        SETTINGS.format(inbox=", ".join(f"'{name}'" for name in inbox)) + UNTRAINED,
    )


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    soundfile.write(
        folder / "good.wav",
        speech_like(1_500),
        16_000,
        subtype="PCM_16",
    )
    return folder


def drops(workspace: Workspace) -> dict[str, tuple[DropReason, str]]:
    with workspace.warehouse() as con:
        return {Path(d.subject).name: (d.reason, d.detail) for d in list_drops(con)}


def test_ingest_names_a_tree_deeper_than_the_system_allows(tmp_path: Path, calls: Path) -> None:
    back = os.open(".", os.O_RDONLY)
    try:
        os.chdir(calls)
        for _ in range(25):
            os.mkdir("d" * 200)  # noqa: PTH102 - a path of this length cannot be given whole
            os.chdir("d" * 200)
            Path("x.wav").write_bytes(b"too deep")
    finally:
        os.chdir(back)
        os.close(back)
    workspace = workspace_at(tmp_path / "w")
    try:
        first = ingest(workspace, calls)
        assert first.recordings == 1
        with workspace.warehouse() as con:
            drops = list_drops(con)
        deep = [drop for drop in drops if drop.reason is DropReason.NOT_READABLE]
        assert deep
        assert all("File name too long" in drop.detail for drop in deep)
        summary = ingest(workspace, calls)
        assert summary.recordings == 0
    finally:
        subprocess.run(["rm", "-rf", str(calls)], check=False)


@pytest.mark.parametrize("url", MALFORMED)
def test_ingest_names_a_malformed_argument_and_takes_the_others(
    tmp_path: Path, calls: Path, url: str
) -> None:
    workspace = workspace_at(tmp_path / "w")
    summary = ingest(workspace, url, calls)
    assert summary.recordings == 1
    assert summary.dropped == 1
    with workspace.warehouse() as con:
        (drop,) = list_drops(con)
    assert url in (drop.subject, drop.subject.removeprefix(str(Path.cwd()) + "/"))
    again = ingest(workspace, url, calls)
    assert again.known == 1
    assert again.dropped == 1
    with pytest.raises(ConfigError) as caught:
        list_sources([url])
    assert url in str(caught.value)


def test_ingest_of_an_inbox_goes_on_when_one_of_its_entries_is_malformed(
    tmp_path: Path, calls: Path
) -> None:
    workspace = workspace_at(tmp_path / "w", inbox=("http://[", str(calls)))
    done = run(workspace, "ingest")
    assert done.exit_code == 0, done.output
    assert list(drops(workspace)) == ["["]
    with workspace.warehouse() as con:
        assert len(list_recordings(con)) == 1


def test_ingest_manifest_names_malformed_urls_and_takes_the_others(
    tmp_path: Path, calls: Path
) -> None:
    rows = [name for name in MALFORMED if name != "s3://"]
    table_file = calls / "m.csv"
    table_file.write_text("path\n" + "\n".join([*rows, "good.wav"]) + "\n", encoding="utf-8")
    workspace = workspace_at(tmp_path / "w")
    told: list[str] = []
    summary = ingest_manifest(
        workspace,
        calls / "m.csv",
        say=told.append,
        anywhere=True,
    )
    assert summary.recordings == 1
    assert summary.dropped == len(rows)
    for number in range(len(rows)):
        assert any(f"row {number + 2}:" in line for line in told)


def test_ingest_takes_names_that_are_no_text_whatever_is_in_them(
    tmp_path: Path, calls: Path
) -> None:
    odd = os.fsencode(calls)
    Path(os.fsdecode(odd + b"/caf\xe9.wav")).write_bytes((calls / "good.wav").read_bytes())
    Path(os.fsdecode(odd + b"/no\xff sound.wav")).write_bytes(b"RIFF\x00\x00no sound at all")
    Path(os.fsdecode(odd + b"/fold\xe9r")).mkdir()
    Path(os.fsdecode(odd + b"/fold\xe9r/empty\xfe.wav")).write_bytes(b"")
    Path(os.fsdecode(odd + b"/link\xfc.wav")).symlink_to(os.fsdecode(odd + b"/nowhere\xfd"))
    workspace = workspace_at(tmp_path / "w")
    summary = ingest(workspace, calls)
    assert summary.listed == 5
    assert summary.recordings == 1
    assert summary.duplicates == 1
    assert summary.dropped == 3
    assert set(drops(workspace)) == {"no%FF%20sound.wav", "empty%FE.wav", "link%FC.wav"}
    for command in (["ingest", str(calls), "--plan", "--json"], ["ledger", "--json"]):
        done = run(workspace, *command)
        assert done.exit_code == 0, done.output


def test_ingest_command_takes_an_argument_that_is_no_text(tmp_path: Path, calls: Path) -> None:
    name = os.fsencode(calls) + b"/caf\xe9.wav"
    os.rename(calls / "good.wav", name)  # noqa: PTH104 - bytes
    workspace = workspace_at(tmp_path / "w")
    code = "from flows.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--dir", str(workspace.root), "ingest", name],
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    with workspace.warehouse() as con:
        assert len(list_recordings(con)) == 1


def test_ingest_names_what_is_no_file(tmp_path: Path, calls: Path) -> None:
    os.mkfifo(calls / "pipe.wav")
    (calls / "loop a").symlink_to(calls / "loop b")
    (calls / "loop b").symlink_to(calls / "loop a")
    (calls / "round").symlink_to(calls)
    (calls / "device.wav").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        back = Path.cwd()
        os.chdir(calls)  # the name of a socket may only be short
        server.bind("socket.wav")
        os.chdir(back)
        workspace = workspace_at(tmp_path / "w")
        arguments = [str(calls), "/dev/zero", str(calls / "pipe.wav")]
        summary = ingest_sources(workspace, arguments, say=quiet)
    assert summary.recordings == 1
    wanted = {
        "pipe.wav": DropReason.NOT_AUDIO,
        "socket.wav": DropReason.NOT_AUDIO,
        "zero": DropReason.NOT_AUDIO,
        "device.wav": DropReason.OUTSIDE,
        "loop a": DropReason.MISSING,
        "loop b": DropReason.MISSING,
    }
    assert {name: reason for name, (reason, _) in drops(workspace).items()} == wanted


def test_ingest_goes_on_when_a_folder_lies_where_a_file_was(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = calls / "was.wav"
    was.write_bytes((calls / "good.wav").read_bytes()[:20_000])
    gone = calls / "gone.wav"
    gone.write_bytes((calls / "good.wav").read_bytes()[:20_000])
    listed = list_sources([str(calls)])
    (calls / "was.wav").unlink()
    (calls / "was.wav").mkdir()
    (calls / "gone.wav").unlink()
    monkeypatch.setattr("flows.ingest.listing.list_sources", lambda _patterns: listed)
    workspace = workspace_at(tmp_path / "w")
    summary = ingest(workspace, calls)
    assert summary.recordings == 1
    assert summary.dropped == 2
    reasons = {name: reason for name, (reason, _) in drops(workspace).items()}
    assert reasons == {"was.wav": DropReason.MISSING, "gone.wav": DropReason.MISSING}


def test_ingest_goes_on_when_a_folder_lies_where_canonical_audio_was(
    tmp_path: Path, calls: Path
) -> None:
    workspace = workspace_at(tmp_path / "w")
    ingest(workspace, calls)
    (flac,) = workspace.audio_dir.rglob("*.flac")
    flac.unlink()
    flac.mkdir()
    soundfile.write(
        calls / "two.wav",
        speech_like(1_200, seed=2),
        16_000,
        subtype="PCM_16",
    )
    (row, new) = plan_ingest(
        workspace,
        [str(calls)],
        say=quiet,
    )
    assert row["standing"] == "retry"
    assert new["standing"] == "new"
    summary = ingest(workspace, calls)
    assert summary.recordings == 1
    with workspace.warehouse() as con:
        (drop,) = list_drops(con)
    assert str(flac) in drop.detail
    flac.rmdir()
    assert ingest(workspace, calls).duplicates == 1
    assert flac.is_file()


def test_ingest_names_a_folder_that_may_not_be_entered(tmp_path: Path, calls: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    closed = calls / "closed"
    closed.mkdir()
    (closed / "x.wav").write_bytes(b"x")
    closed.chmod(0o000)
    code = (
        "import os, sys\nfrom flows.ingest.sources import list_sources\nos.setuid(65534)\n"
        "for s in list_sources(sys.argv[1:]): print(s.name, s.problem_reason if s.problem "
        "else 'fine')"
    )
    for folder in [calls, *calls.parents][:-1]:
        folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(
        [sys.executable, "-c", code, str(calls)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    closed.chmod(0o755)
    assert done.stdout.splitlines() == ["closed not_readable", "good.wav fine"], done.stderr
