"""A machine's fault is never a file's fault: nothing is noted about files that were not at fault,
and the next run does them.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flows.cli.main import run_command
from flows.ingest.flow import ingest_batch
from flows.ingest.sources import list_sources
from flows.ingest.worker import Refused, decode_file
from flows.place import FILE_NAME
from flows.prelabel.worker import Outcome
from flows.workers.pool import WorkerPool
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import ingest
from tests.flows.ingest.test_ingest import decode_or_die
from voxdata.canonicalise import Canonical
from voxdata.errors import DropReason, MachineError, ShortageError
from warehouse.ledger import list_drops
from warehouse.recordings import list_recordings
from warehouse.rows import read_rows

SETTINGS = """
[sources]
inbox = ["inbox"]
workers = 1
[storage]
{storage}
[[schemes]]
name = "intent"
version = 1
cold_start = "similarity"
labels = [{{ name = "ask" }}, {{ name = "tell" }}]
[training]
schemes = []
"""


def make_workspace(
    root: Path,
    *,
    num_files: int = 3,
    seconds: int = 2,
    storage: str = "",
) -> Workspace:
    (root / "inbox").mkdir(parents=True)
    for number in range(num_files):
        noise = (
            np.random.default_rng(number).uniform(-0.3, 0.3, seconds * 16_000).astype(np.float32)
        )
        soundfile.write(
            root / "inbox" / f"{number}.wav",
            noise,
            16_000,
            subtype="PCM_16",
        )
    settings_file = root / FILE_NAME
    settings_file.write_text(SETTINGS.format(storage=storage), encoding="utf-8")
    return open_workspace(root)


def noted(workspace: Workspace) -> tuple[int, int, int]:
    """(recordings, sources, rows of the ledger)."""
    with workspace.warehouse() as con:
        return (
            len(list_recordings(con)),
            len(read_rows(con, "select * from source")),
            len(list_drops(con)),
        )


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A folder on a small disk of its own; its size is changed by `mount -o remount,size=...`."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "-t", "tmpfs", "-o", "size=4m", "tmpfs")
    yield folder
    subprocess.run(
        ["umount", str(folder)],
        check=False,
        capture_output=True,
    )


def mount(folder: Path, *options: str) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a disk of its own")
    done = subprocess.run(
        ["mount", *options, str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")


def run_cli(
    workspace: Workspace, *arguments: str, before: str = ""
) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys\n{before}\nfrom flows.cli.main import main\nsys.argv = ['voxdata', "
        "*sys.argv[1:]]\nmain()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, "--dir", str(workspace.root), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_ingest_notes_nothing_about_files_for_which_the_audio_disk_has_no_room(
    tmp_path: Path, mounted: Path
) -> None:
    workspace = make_workspace(
        tmp_path / "w",
        num_files=6,
        seconds=40,
        storage=f'audio = "{mounted}/audio"',
    )
    full = run_cli(workspace, "ingest")
    assert full.returncode == 1
    told = [line for line in full.stderr.splitlines() if line.startswith("voxdata:")]
    assert len(told) == 1
    assert f"{mounted}/audio" in told[0]
    assert "No space left on device; make room there" in told[0]
    recordings, sources, drops = noted(workspace)
    assert (sources, drops) == (recordings, 0)
    assert recordings < 6
    assert len(list(mounted.rglob("*.flac"))) == recordings
    assert not list(mounted.rglob("*.partial"))
    mount(mounted, "-o", "remount,size=200m")
    again = ingest(workspace)
    assert again.known == recordings
    assert again.recordings == 6 - recordings


def test_ingest_notes_nothing_on_a_disk_that_is_mounted_read_only(
    tmp_path: Path, mounted: Path
) -> None:
    workspace = make_workspace(tmp_path / "w", storage=f'audio = "{mounted}/audio"')
    mount(mounted, "-o", "remount,ro")
    with pytest.raises(MachineError, match="Read-only file system; have it mounted for writing"):
        ingest(workspace)
    assert noted(workspace) == (0, 0, 0)
    mount(mounted, "-o", "remount,rw")
    assert ingest(workspace).recordings == 3


@pytest.mark.parametrize("place", ["/dev/null/audio", "inbox/0.wav/audio"])
def test_ingest_notes_nothing_when_the_audio_folder_cannot_be_made(
    tmp_path: Path, place: str
) -> None:
    workspace = make_workspace(tmp_path / "w", storage=f'audio = "{place}"')
    with pytest.raises(MachineError, match="name another place under"):
        ingest(workspace)
    assert noted(workspace) == (0, 0, 0)
    mended = open_again(workspace, storage="")
    assert ingest(mended).recordings == 3


def open_again(workspace: Workspace, *, storage: str) -> Workspace:
    settings_file = workspace.root / FILE_NAME
    settings_file.write_text(SETTINGS.format(storage=storage), encoding="utf-8")
    return open_workspace(workspace.root)


def decode_without_scratch(
    path: Path, audio_dir: Path, max_duration_ms: int
) -> Canonical | Refused:
    tempfile.tempdir = None
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    try:
        return decode_file(path, audio_dir, max_duration_ms)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def decode_with_small_files(
    path: Path, audio_dir: Path, max_duration_ms: int
) -> Canonical | Refused:
    tempfile.gettempdir()
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    try:
        return decode_file(path, audio_dir, max_duration_ms)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def decode_with_few_files(
    path: Path,
    audio_dir: Path,
    max_duration_ms: int,
) -> Canonical | Refused:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        return decode_file(path, audio_dir, max_duration_ms)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def decode_over_quota(
    path: Path,
    audio_dir: Path,
    max_duration_ms: int,
) -> Canonical | Refused:
    """A quota cannot be had to order; the number of the error is what counts."""

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    real, os.fsync = os.fsync, refuse  # type: ignore[assignment]
    try:
        return decode_file(path, audio_dir, max_duration_ms)
    finally:
        os.fsync = real


def decode_with_little_memory(
    path: Path, audio_dir: Path, max_duration_ms: int
) -> Canonical | Refused:
    """The machine has less than a worker may take, as `ulimit -v` or a small machine makes it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + (64 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return Refused(
        reason=DropReason.FAILED,
        detail=str(len(bytearray(1 << 30))),
    )


@pytest.mark.parametrize(
    ("decode", "words"),
    [
        (decode_without_scratch, "No usable temporary directory"),
        (decode_with_small_files, "File too large"),
        (decode_with_few_files, "Too many open files"),
        (decode_over_quota, "quota"),
    ],
)
def test_ingest_notes_nothing_when_the_machine_lacks_what_decoding_needs(
    tmp_path: Path, decode: object, words: str
) -> None:
    workspace = make_workspace(tmp_path / "w")
    with pytest.raises(MachineError, match=words):
        ingest(workspace, decode=decode)  # type: ignore[arg-type]
    assert noted(workspace) == (0, 0, 0)
    assert not list(workspace.audio_dir.rglob("*.flac"))
    assert ingest(workspace).recordings == 3


def test_ingest_tells_memory_that_the_machine_lacks_from_memory_that_a_file_may_not_have(
    tmp_path: Path,
) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=1)
    with pytest.raises(ShortageError, match="memory ran out"):
        ingest(workspace, decode=decode_with_little_memory)
    assert noted(workspace) == (0, 0, 0)
    sound_file = workspace.root / "inbox/0.wav"
    sound_file.rename(workspace.root / "inbox/swells.wav")
    summary = ingest(workspace, decode=decode_or_die)
    assert summary.dropped == 1
    with workspace.warehouse() as con:
        reasons = [drop.reason for drop in list_drops(con)]
        assert reasons == [DropReason.OUT_OF_MEMORY]


def decode_or_be_ended(
    path: Path,
    audio_dir: Path,
    max_duration_ms: int,
) -> Canonical | Refused:
    if path.name == "1.wav":
        os.kill(os.getpid(), signal.SIGKILL)
    return decode_file(path, audio_dir, max_duration_ms)


def test_ingest_leaves_a_file_untried_whose_process_was_killed_from_outside_and_does_the_others(
    tmp_path: Path,
) -> None:
    workspace = make_workspace(tmp_path / "w")
    with pytest.raises(ShortageError, match=r"1 file was not ingested.*1\.wav.*SIGKILL"):
        ingest(workspace, decode=decode_or_be_ended)
    assert noted(workspace) == (2, 2, 0)
    assert ingest(workspace).recordings == 1


FEW_FILES = """
import resource, flows.ingest.flow
from flows.workers.pool import WorkerPool
submit = WorkerPool.submit
def with_few_files(*arguments, **options):
    resource.setrlimit(resource.RLIMIT_NOFILE, (6, 4096))
    return submit(*arguments, **options)
WorkerPool.submit = with_few_files
"""


def test_ingest_stops_when_no_process_can_be_started(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    done = run_cli(workspace, "ingest", before=FEW_FILES)
    assert done.returncode == 1
    assert "Too many open files" in done.stderr
    assert noted(workspace) == (0, 0, 0)


@pytest.mark.parametrize("size", ["64k", "1m"])
def test_ingest_says_first_what_the_warehouse_disk_lacks_and_loses_nothing(
    tmp_path: Path, mounted: Path, size: str
) -> None:
    workspace = make_workspace(
        tmp_path / "w",
        num_files=8,
        storage=f'warehouse = "{mounted}/warehouse.duckdb"',
    )
    mount(mounted, "-o", f"remount,size={size}")
    full = run_cli(workspace, "ingest")
    assert full.returncode == 1
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    assert "cannot rollback" not in full.stderr
    mount(mounted, "-o", "remount,size=50m")
    ingest(workspace)
    assert noted(workspace) == (8, 8, 0)


def test_list_sources_says_that_a_folder_is_not_readable_when_access_is_denied(
    tmp_path: Path,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    workspace = make_workspace(tmp_path / "w")
    folder = workspace.root / "inbox"
    code = (
        "import os, sys\nfrom flows.ingest.sources import list_sources\nos.setuid(65534)\n"
        "for source in list_sources(sys.argv[1:]): print(source.problem_reason, source.problem)"
    )
    folder.chmod(0o000)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    folder.chmod(0o755)
    assert done.stdout.startswith("not_readable "), done.stderr
    assert "cannot be read (Permission denied)" in done.stdout


def refuse_to_read(
    path: Path,
    audio_dir: Path,
    max_duration_ms: int,
) -> Canonical | Refused:
    """As nobody, who may not read what root keeps to itself."""
    os.seteuid(65534)
    try:
        return decode_file(path, audio_dir, max_duration_ms)
    finally:
        os.seteuid(0)


def test_ingest_tries_a_file_again_that_could_not_be_read_for_lack_of_permission(
    tmp_path: Path,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    workspace = make_workspace(tmp_path / "w", num_files=1)
    for folder in [workspace.root / "inbox", *(workspace.root / "inbox").parents][:-1]:
        folder.chmod(folder.stat().st_mode | 0o055)
    (workspace.root / "inbox/0.wav").chmod(0o600)
    first = ingest(workspace, decode=refuse_to_read)
    assert first.dropped == 1
    with workspace.warehouse() as con:
        drops = [(drop.reason, "Permission denied" in drop.detail) for drop in list_drops(con)]
        assert drops == [(DropReason.NOT_READABLE, True)]
        assert read_rows(con, "select * from source") == []
    assert ingest(workspace).recordings == 1


def test_ingest_tries_a_file_again_whose_disk_reported_an_error(tmp_path: Path) -> None:
    """/proc/self/mem answers like a disk that is broken."""
    workspace = make_workspace(tmp_path / "w", num_files=1)
    summary = ingest(workspace, "/proc/self/mem")
    assert summary.dropped == 1
    with workspace.warehouse() as con:
        reasons = [drop.reason for drop in list_drops(con)]
        assert reasons == [DropReason.NOT_READABLE]
        assert read_rows(con, "select * from source") == []


def test_ingest_tries_files_again_whose_disk_went_away_while_it_ran(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=2)
    inbox = workspace.root / "inbox"
    away = workspace.root / "away"
    listed = list_sources([str(inbox)])
    inbox.rename(away)
    with WorkerPool(workers=1) as pool:
        summary, untried = ingest_batch.fn(workspace, listed, pool, decode_file)
    assert summary.dropped == 2
    assert untried == []
    away.rename(inbox)
    assert ingest(workspace).recordings == 2


def test_outcome_notes_nothing_about_a_recording_for_which_memory_was_short() -> None:
    from flows.prelabel.worker import _run
    from voxdata.prelabel import Models, RecordingWork

    class Greedy:
        model = None

        def diarize(self, sounds: object, **_options: object) -> list[object]:
            raise MemoryError

    work = RecordingWork(
        recording_id="r",
        sounds=(),
        source_rate_hz=16_000,
        wanted=frozenset({"diarize"}),
    )
    models = Models(
        diarizer=Greedy(),
        transcriber=None,
        labelers={},
    )  # type: ignore[arg-type]
    (outcome,) = _run([work], models)
    assert isinstance(outcome, Outcome)
    assert outcome.failure is None
    assert "memory ran out" in outcome.shortage


def test_import_command_says_that_there_is_no_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    monkeypatch.setattr("sys.argv", ["voxdata", "import", "anything", "--check"])
    assert run_command() == 1
    assert "name another in TMPDIR" in capsys.readouterr().err
