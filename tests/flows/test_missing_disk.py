"""A disk that is away is not an empty one: nothing is made, deleted or noted in its place."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from flows.cli.main import run_command
from flows.doctor.examine import check_storage
from flows.folders.known import FILE, read_known
from flows.folders.storage_folders import FOLDERS
from flows.forget.flow import forget
from flows.forget.work import list_work
from flows.place import FILE_NAME
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import ingest, quiet
from tests.flows.ingest.test_machine_faults import SETTINGS, make_workspace, noted
from voxdata.errors import DropReason, MachineError, WarehouseError
from warehouse.chain import check_chain
from warehouse.commits import commits_path
from warehouse.connection import open_warehouse
from warehouse.guards import sidecar_path
from warehouse.ledger import list_drops
from warehouse.recordings import list_recordings

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command as a person does; its exit code, and what it said."""

    def run(root: Path, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["voxdata", "--dir", str(root), *arguments])
        code = run_command()
        return code, capsys.readouterr().err

    return run


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings, one of them forgotten, clips, files in every folder; the warehouse on a
    disk of its own.
    """
    folder = tmp_path_factory.mktemp("template")
    (folder / "disk").mkdir()
    workspace = make_workspace(folder / "w", storage='warehouse = "../disk/warehouse.duckdb"')
    ingest(workspace)
    with workspace.warehouse() as con:
        names = [stored.recording.recording_id for stored in list_recordings(con)]
    forget(
        workspace,
        "recording",
        names[0],
        reason="asked",
        say=quiet,
    )
    for name in names[1:]:
        clip = workspace.media_dir / "clips" / name / f"{'0' * 32}.wav"
        clip.parent.mkdir(parents=True)
        clip.write_bytes(b"a voice")
    for place in (workspace.models_dir, workspace.exports_dir, workspace.reports_dir):
        place.mkdir()
        (place / "kept").write_text("kept")
    with workspace.warehouse():
        pass
    return folder


@pytest.fixture
def used(template: Path, tmp_path: Path) -> Workspace:
    """A copy of it."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return open_workspace(tmp_path / "w")


def take_away(disk: Path, *, leave_mount_point: bool = True) -> Path:
    """As when a disk is not mounted: the folder is empty, or is not there."""
    away = disk.with_name("away")
    disk.rename(away)
    if leave_mount_point:
        disk.mkdir()
    return away


def contents(root: Path) -> dict[str, bytes]:
    """What must stay; not the locks and logs of a command that refuses."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix not in (".lock", ".log")
    }


@pytest.mark.parametrize("leave_mount_point", [True, False])
@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest",),
        ("prelabel",),
        ("push",),
        ("pull",),
        ("release", "calls"),
        ("status",),
        ("recordings",),
        ("snapshot",),
        ("snapshot", "copy.duckdb"),
        ("forget", "--voice", "x", "--yes"),
    ],
    ids=" ".join,
)
def test_commands_refuse_while_the_disk_of_the_warehouse_is_away(
    used: Workspace,
    command: Command,
    arguments: tuple[str, ...],
    leave_mount_point: bool,
) -> None:
    disk = used.warehouse_path.parent.resolve()
    before = contents(used.root)
    away = take_away(disk, leave_mount_point=leave_mount_point)
    code, printed = command(used.root, *arguments)
    assert code == 1, printed
    assert "mount its disk" in printed
    assert contents(used.root) == before
    assert not list(disk.glob("*"))
    shutil.rmtree(disk, ignore_errors=True)
    away.rename(disk)
    assert ingest(used).recordings == 0
    with used.warehouse() as con:
        assert len(list_recordings(con)) == 2


def test_ingest_keeps_out_the_forgotten_when_the_disk_is_back(
    used: Workspace, command: Command
) -> None:
    disk = used.warehouse_path.parent.resolve()
    away = take_away(disk)
    for _ in range(2):
        assert command(used.root, "ingest")[0] == 1
    assert len(list(used.audio_dir.rglob("*.flac"))) == 2
    disk.rmdir()
    away.rename(disk)
    assert command(used.root, "ingest")[0] == 0
    assert len(list(used.audio_dir.rglob("*.flac"))) == 2


def test_commands_refuse_where_an_earlier_release_had_a_warehouse(
    used: Workspace, command: Command
) -> None:
    """Nothing is known yet, but audio, clips and snapshots are there."""
    (used.state_dir / FILE).unlink()
    for mark in used.root.rglob(".voxdata-*"):
        mark.unlink()
    disk = used.warehouse_path.parent.resolve()
    before = contents(used.root)
    take_away(disk)
    code, printed = command(used.root, "ingest")
    assert code == 1, printed
    assert "so this workspace had one: mount its disk" in printed, printed
    assert contents(used.root) == before
    assert not list(disk.iterdir())


def test_commands_refuse_a_link_to_a_disk_that_is_away(tmp_path: Path, command: Command) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=1)
    warehouse_file = workspace.root / "warehouse.duckdb"
    warehouse_file.symlink_to(tmp_path / "away" / "warehouse.duckdb")
    code, printed = command(workspace.root, "ingest")
    assert code == 1, printed
    assert "this link leads nowhere: mount the disk" in printed, printed
    assert not (tmp_path / "away").exists()


def test_init_makes_the_warehouse_and_later_commands_make_no_other(
    tmp_path: Path, command: Command
) -> None:
    root = tmp_path / "calls"
    assert command(root, "init", str(root))[0] == 0
    assert (root / "warehouse.duckdb").exists()
    assert (root / ".voxdata" / FILE).stat().st_mode & 0o777 == 0o600
    (root / "warehouse.duckdb").unlink()
    code, printed = command(root, "status")
    assert code == 1, printed
    assert "is not there" in printed, printed
    assert not (root / "warehouse.duckdb").exists()


def test_warehouse_is_made_elsewhere_when_its_place_is_changed_before_it_is_used(
    tmp_path: Path, command: Command
) -> None:
    root = tmp_path / "calls"
    command(root, "init", str(root))
    path = root / FILE_NAME
    path.write_text(
        path.read_text().replace('warehouse = "warehouse.duckdb"', 'warehouse = "big/calls.duckdb"')
    )
    assert command(root, "status")[0] == 0
    assert (root / "big" / "calls.duckdb").exists()
    shutil.rmtree(root / "big")
    assert command(root, "status")[0] == 1


@pytest.mark.parametrize("size", [0, 1])
def test_warehouse_refuses_an_empty_file_in_its_place(used: Workspace, size: int) -> None:
    used.warehouse_path.write_bytes(b"\0" * size)
    with pytest.raises(WarehouseError, match="voxdata repair"), used.warehouse():
        pass
    assert used.warehouse_path.stat().st_size == size


def test_warehouse_refuses_a_fresh_file_in_its_place(used: Workspace) -> None:
    """As a release that knew nothing of this made it on a mount point."""
    for path in used.warehouse_path.parent.iterdir():
        path.unlink()
    with open_warehouse(used.warehouse_path):
        pass
    with pytest.raises(WarehouseError, match="another warehouse"), used.warehouse():
        pass


def test_another_warehouse_is_refused_until_it_is_accepted(
    used: Workspace, tmp_path: Path, command: Command
) -> None:
    other = make_workspace(tmp_path / "other", num_files=1)
    ingest(other)
    own = used.warehouse_path.read_bytes()
    put_warehouse(other.warehouse_path, used.warehouse_path)
    code, printed = command(used.root, "ingest")
    assert code == 1, printed
    assert "this is another warehouse" in printed, printed
    with used.warehouse_path.open("rb") as file:
        assert file.read() == other.warehouse_path.read_bytes()
    code, printed = command(used.root, "repair", "--accept", "warehouse")
    assert code == 0, printed
    assert "1 recording of who was forgotten came back with it" in printed, printed
    with used.warehouse() as con:
        assert list_recordings(con) == []
    used.warehouse_path.write_bytes(own)
    code, printed = command(used.root, "status")
    assert code == 1, printed
    assert "repaired or exchanged" in printed, printed


def put_warehouse(source: Path, target: Path) -> None:
    """Put a backup back: the file, and what lies beside it."""
    for part in (target, sidecar_path(target), commits_path(target)):
        part.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    for beside in (sidecar_path, commits_path):
        if beside(source).exists():
            shutil.copyfile(beside(source), beside(target))


@pytest.mark.parametrize("schema", ["this", "earlier"])
def test_an_older_copy_is_refused_until_it_is_accepted(
    tmp_path: Path, command: Command, schema: str
) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=1)
    ingest(workspace)
    backup = tmp_path / "backup.duckdb"
    put_warehouse(workspace.warehouse_path, backup)
    if schema == "earlier":
        as_an_earlier_release(backup)
    with workspace.warehouse() as con:
        (stored,) = list_recordings(con)
    forget(
        workspace,
        "recording",
        stored.recording.recording_id,
        reason="asked",
        say=quiet,
    )
    put_warehouse(backup, workspace.warehouse_path)
    before = workspace.warehouse_path.read_bytes()
    code, printed = command(workspace.root, "ingest")
    assert code == 1, printed
    assert "whoever was forgotten since is in it again" in printed, printed
    assert workspace.warehouse_path.read_bytes() == before
    code, printed = command(workspace.root, "repair", "--accept", "warehouse")
    assert code == 0, printed
    assert "repair: 1 recording of who was forgotten came back with it" in printed, printed
    assert "is proven" in printed, printed
    with workspace.warehouse() as con:
        assert list_recordings(con) == []
        assert check_chain(con) == []
    assert list_work(workspace.state_dir) == []
    # Nor does it come back by the file, which is still there.
    assert ingest(workspace).recordings == 0


def test_an_older_copy_from_before_somebody_came_keeps_them_out_as_well(
    tmp_path: Path, command: Command
) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=1)
    with workspace.warehouse():
        pass
    backup = tmp_path / "backup.duckdb"
    put_warehouse(workspace.warehouse_path, backup)
    ingest(workspace)
    with workspace.warehouse() as con:
        (stored,) = list_recordings(con)
    forget(
        workspace,
        "recording",
        stored.recording.recording_id,
        reason="asked",
        say=quiet,
    )
    put_warehouse(backup, workspace.warehouse_path)
    code, printed = command(workspace.root, "repair", "--accept", "warehouse")
    assert code == 0, printed
    assert (
        "entry of who must stay out added" in printed
        or "entries of who must stay out added" in printed
    ) is True, printed
    assert ingest(workspace).recordings == 0
    with workspace.warehouse() as con:
        reasons = [row.reason for row in list_drops(con)]
        assert reasons == [DropReason.FORGOTTEN]


def as_an_earlier_release(path: Path) -> None:
    """Take away the id and whatever came after it."""
    with duckdb.connect(path) as con:
        for view in ("current_audio_digest", "current_promotion"):
            con.execute(f"drop view {view}")
        for table in (
            "identity",
            "attempt",
            "audio_digest",
            "private_leak",
            "erasure_proof",
            "push_pass",
            "promotion",
            "pseudonym_salt",
        ):
            con.execute(f"drop table {table}")
        con.execute("alter table training_run drop column role")
        con.execute("delete from schema_version where version >= 14")


def test_repair_makes_a_lost_warehouse_anew_and_refuses_the_old_one_when_it_turns_up(
    used: Workspace, command: Command
) -> None:
    assert command(used.root, "snapshot")[0] == 0
    disk = used.warehouse_path.parent.resolve()
    away = take_away(disk)
    code, printed = command(used.root, "repair")
    assert code == 0, printed
    with used.warehouse() as con:
        assert len(list_recordings(con)) == 2
    used.require_folders()
    shutil.rmtree(disk)
    away.rename(disk)
    code, printed = command(used.root, "ingest")
    assert code == 1, printed
    assert "repaired or exchanged" in printed, printed


def test_a_workspace_of_an_earlier_release_learns_its_warehouse_once(
    tmp_path: Path, command: Command
) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=1)
    ingest(workspace)
    as_an_earlier_release(workspace.warehouse_path)
    (workspace.state_dir / FILE).unlink()
    first = command(workspace.root, "ingest")
    second = command(workspace.root, "ingest")
    assert first[0] == 0
    assert second[0] == 0
    assert "from now on" in first[1]
    assert "from now on" not in second[1]
    assert read_known(workspace.state_dir) is not None


@pytest.mark.parametrize("how", ["copied", "moved", "without what it knew"])
def test_a_copied_or_moved_workspace_knows_its_warehouse(
    tmp_path: Path, command: Command, how: str
) -> None:
    workspace = make_workspace(tmp_path / "w", num_files=1)
    ingest(workspace)
    target = tmp_path / "there"
    if how == "moved":
        workspace.root.rename(target)
    else:
        shutil.copytree(workspace.root, target)
    if how == "without what it knew":
        shutil.rmtree(target / ".voxdata")
    assert command(target, "ingest")[0] == 0
    assert noted(open_workspace(target)) == (1, 1, 0)


@pytest.mark.parametrize(
    ("folder", "arguments"),
    [
        ("audio", ("ingest",)),
        ("audio", ("prelabel",)),
        ("media", ("push",)),
        *[(folder, ("forget", "--source", "inbox", "--yes")) for folder in FOLDERS],
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_nothing_is_noted_or_deleted_while_a_storage_folder_is_away(
    tmp_path: Path,
    command: Command,
    folder: str,
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = tmp_path / "disk"
    workspace = make_workspace(
        tmp_path / "w",
        storage=f'{folder} = "{disk}"',
        num_files=1,
    )
    settings = workspace.root / FILE_NAME
    settings.write_text(settings.read_text().replace('" }', '", examples = ["say it"] }'))
    workspace = open_workspace(workspace.root)
    ingest(workspace)
    disk.mkdir(exist_ok=True)
    with workspace.warehouse():
        pass
    before = noted(workspace)
    if arguments == ("push",):
        # Nobody listens there: a push that went on to Label Studio would say that, and nothing
        # about the folder.
        monkeypatch.setenv("VOXDATA_LABEL_STUDIO_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("VOXDATA_LABEL_STUDIO_TOKEN", "nobody")
    away = take_away(disk)
    monkeypatch.chdir(workspace.root)
    code, printed = command(workspace.root, *arguments)
    assert code == 1, printed
    assert f"repair --accept {folder}" in printed, printed
    assert not list(disk.iterdir())
    assert noted(workspace) == before
    disk.rmdir()
    away.rename(disk)
    assert ingest(workspace).known == 1


def test_a_folder_that_goes_away_while_files_are_decoded_is_no_files_fault(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    workspace = make_workspace(
        tmp_path / "w",
        storage=f'audio = "{disk}"',
        num_files=1,
    )
    ingest(workspace)
    for number in range(3):
        shutil.copyfile(
            workspace.root / "inbox/0.wav",
            workspace.root / "inbox" / f"later-{number}.txt",
        )
    take_away(disk)
    with pytest.raises(MachineError, match="mount it"):
        ingest(workspace)
    assert noted(workspace) == (1, 1, 0)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_that_is_gone_for_good_is_begun_anew(
    used: Workspace, command: Command, folder: str
) -> None:
    shutil.rmtree(used.storage_folders[folder])
    with pytest.raises(MachineError, match=f"repair --accept {folder}"):
        used.require_folders()
    assert command(used.root, "repair", "--accept", folder)[0] == 0
    used.require_folders()
    assert command(used.root, "ingest")[0] == 0
    assert len(list(used.audio_dir.rglob("*.flac"))) == 2


def test_accept_names_what_there_is(used: Workspace, command: Command) -> None:
    code, printed = command(used.root, "repair", "--accept", "attic")
    assert code == 2
    assert "warehouse, audio, media" in printed


ODD: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "invalid JSON": lambda path: path.write_text("{"),
    "deep JSON": lambda path: path.write_text("[" * 100_000),
    "another type": lambda path: path.write_text('["a", 1]'),
    "wrong values": lambda path: path.write_text(
        '{"warehouse": {"warehouse_id": 1, "commits": "x", "former": 3}}'
    ),
    "huge": lambda path: path.write_bytes(b" " * (2 << 20)),
    "a folder": lambda path: path.mkdir(),
    "a link to nowhere": lambda path: path.symlink_to("/nowhere/at/all"),
}


@pytest.mark.parametrize("shape", list(ODD))
def test_what_a_workspace_knows_is_refused_in_any_odd_shape_and_made_anew(
    used: Workspace, command: Command, shape: str
) -> None:
    (used.state_dir / FILE).unlink()
    ODD[shape](used.state_dir / FILE)
    code, printed = command(used.root, "ingest")
    assert code == 1, printed
    assert "repair --accept warehouse" in printed, printed
    assert "Traceback" not in printed, printed
    assert command(used.root, "repair", "--accept", "warehouse")[0] == 0
    content = json.loads((used.state_dir / FILE).read_text())
    assert content["warehouse"]["commits"] > 0
    assert command(used.root, "ingest")[0] == 0


def test_a_command_succeeds_when_it_cannot_write_down_how_far_the_warehouse_came(
    used: Workspace, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise MachineError("the disk is full")

    shutil.copyfile(used.root / "inbox/0.wav", used.root / "inbox/again.wav")
    with monkeypatch.context() as patch:
        patch.setattr("flows.workspace.write_known", refuse)
        code, printed = command(used.root, "ingest")
    assert code == 0, printed
    assert "everything is stored" in printed, printed
    assert "the disk is full" in printed, printed
    with used.warehouse() as con:
        assert any(drop.subject.startswith("receipt") for drop in list_drops(con))


def test_push_leaves_clips_of_recordings_alone_that_the_warehouse_does_not_know(
    tmp_path: Path,
) -> None:
    from flows.labelling.clips import remove_other_clips

    known, strange = (
        tmp_path / "clips" / name / f"{'0' * 32}.wav" for name in ("known", "strange")
    )
    for clip in (known, strange):
        clip.parent.mkdir(parents=True)
        clip.write_bytes(b"a voice")
    assert remove_other_clips(tmp_path, [], {"known"}, keep_others=False) == 1
    assert not known.exists()
    assert strange.exists()


def test_doctor_says_what_is_away(used: Workspace) -> None:
    (check,) = check_storage(used.root)
    assert check.ok is True, check
    take_away(used.warehouse_path.parent.resolve())
    (check,) = check_storage(used.root)
    assert check.ok is False
    assert "mount its disk" in check.detail
    (used.root / FILE_NAME).write_text(
        SETTINGS.format(storage='warehouse = "w.duckdb"'),
        encoding="utf-8",
    )
