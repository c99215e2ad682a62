"""Exports and datasets made to reach out of the workspace: nothing outside is written, read or
run.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]
from typer.testing import CliRunner

from flows.cli.main import app
from flows.exchange.export import open_bundle
from flows.exchange.ours import import_export
from flows.exchange.theirs import import_manifest
from flows.ingest.sources import list_sources
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from voxdata.canonical import read_clip, write_canonical
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.errors import ConfigError, ManifestError, VoxdataError, WarehouseError
from voxdata.identity import digest
from voxdata.root import merkle_root
from voxdata.segment import Segment
from warehouse.exchange.bundle import HEADER, ROWS, file_hashes, header_hash
from warehouse.exchange.formats import format_names
from warehouse.exchange.read import fetch_export, read_export
from warehouse.exchange.write import export_bundle
from warehouse.versions import create_version, find_version, load_examples

FORMATS = format_names()
Row = dict[str, Any]


def quiet(line: str) -> None:
    """Nobody watches."""


def build(root: Path, *, seed: int) -> Workspace:
    """A workspace with one recording of noise and one labelled utterance, a quarter of a second of
    it.
    """
    root.mkdir(parents=True)
    (root / FILE_NAME).write_text(template())
    made = open_workspace(root)
    recording = digest("recording", seed)
    audio_file = f"{recording[:2]}/{recording}.flac"
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (16_000, 1)).astype(np.float32)
    with made.warehouse():
        write_canonical(made.audio_dir / audio_file, noise)
    example = Example(
        utterance_id=digest(recording, 0, 250, 500),
        recording_id=recording,
        channel=0,
        segment=Segment(start_ms=250, end_ms=500),
        voice=f"{recording}/S0",
        group="g",
        audio_file=audio_file,
        text="what they said",
        language="en",
        gold={
            "intent": GoldLabel(
                label="question",
                distribution={"question": 1.0},
                num_votes=1,
            )
        },
        split=Split.TRAIN,
    )
    with made.warehouse() as con:
        create_version(con, "calls", [example], recipe={}, run_id="t")
    return made


@pytest.fixture
def theirs(tmp_path: Path) -> Workspace:
    """The workspace of somebody else on this machine; nothing of it may come into another one."""
    return build(tmp_path / "theirs", seed=1)


@pytest.fixture
def here(tmp_path: Path) -> Workspace:
    """The workspace that imports."""
    return build(tmp_path / "here", seed=2)


@pytest.fixture
def source(tmp_path: Path) -> Workspace:
    """The workspace that the export was made in."""
    return build(tmp_path / "source", seed=3)


def exported(source: Workspace, folder: Path, format_name: str) -> Path:
    return export_bundle(
        open_bundle(source, "calls"),
        format_name=format_name,
        output=folder,
        audio="clips",
    )


def leaf_of(row: Row) -> bytes:
    """As docs/exchange.md says it, without voxdata."""
    names = (
        "salt",
        "utterance_id",
        "recording_id",
        "channel",
        "start_ms",
        "end_ms",
        "voice",
        "group",
        "audio_file",
    )
    fields = [row[name] for name in (*names, "language", "split", "gold", "text")]
    text = "\x1f".join(["voxdata-row/2", *map(str, fields)])
    return hashlib.sha256(text.encode()).digest()[:16]


def forge(folder: Path, change: Callable[[Row], None]) -> Path:
    """Change the rows of an export and make its hashes and its root fit."""
    rows = [json.loads(line) for line in (folder / ROWS).read_text().split("\n") if line]
    for row in rows:
        change(row)
    (folder / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    halves = np.frombuffer(b"".join(map(leaf_of, rows)), dtype=">u8").astype(np.uint64)
    return seal(folder, root=merkle_root(halves[0::2], halves[1::2]))


def seal(folder: Path, **changes: object) -> Path:
    """Make the header of an export fit its files."""
    header = {
        **json.loads((folder / HEADER).read_text()),
        "files": dict(file_hashes(folder)),
        **changes,
    }
    header["sha256"] = header_hash(header)
    (folder / HEADER).write_text(json.dumps(header))
    return folder


def attempt(call: Callable[[], object]) -> VoxdataError | None:
    """What an attack was refused with; None when it went through."""
    try:
        call()
    except VoxdataError as error:
        return error
    return None


def bring_in(here: Workspace, folder: Path) -> VoxdataError | None:
    return attempt(lambda: import_export(here, read_export(folder), name="gift", say=quiet))


def outside(tmp_path: Path) -> list[str]:
    """Files that an attack left where nobody asked for them."""
    return sorted(path.name for path in tmp_path.rglob("*escaped*"))


def set_fields(**fields: object) -> Callable[[Row], None]:
    return lambda row: row.update(fields)


def sounds_of(workspace: Workspace) -> list[bytes]:
    """The PCM of every file of sound of a workspace, and of its exports."""
    files = [path for path in workspace.root.rglob("*") if path.suffix in (".flac", ".wav")]
    return [np.asarray(soundfile.read(path, dtype="int16")[0]).tobytes() for path in files]


def secret_of(theirs: Workspace) -> bytes:
    """The PCM of the one clip there is."""
    (example,) = open_bundle(theirs, "calls").examples
    samples = read_clip(
        theirs.audio_dir / example.audio_file,
        channel=0,
        segment=example.segment,
    )
    return np.rint(samples * 32768).astype(np.int16).tobytes()


def leaked(theirs: Workspace, here: Workspace) -> bool:
    return any(secret_of(theirs) in sound for sound in sounds_of(here))


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("kind", ["climbing", "absolute"])
def test_import_export_writes_no_audio_outside(
    here: Workspace, source: Workspace, tmp_path: Path, format_name: str, kind: str
) -> None:
    where = "../../escaped.flac" if kind == "climbing" else str(tmp_path / "escaped.flac")
    exported_folder = exported(source, tmp_path / "out", format_name)
    folder = forge(exported_folder, set_fields(audio_file=where))
    error = bring_in(here, folder)
    assert outside(tmp_path) == []
    assert isinstance(error, ManifestError)
    assert "audio_file" in str(error)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("kind", ["climbing", "absolute"])
def test_no_audio_of_another_workspace_leaves_with_the_next_export(
    theirs: Workspace,
    here: Workspace,
    source: Workspace,
    tmp_path: Path,
    format_name: str,
    kind: str,
) -> None:
    (secret,) = open_bundle(theirs, "calls").examples
    target = theirs.audio_dir / secret.audio_file
    where = os.path.relpath(target, here.audio_dir) if kind == "climbing" else str(target)
    exported_folder = exported(source, tmp_path / "out", format_name)
    folder = forge(exported_folder, set_fields(audio_file=where))
    error = bring_in(here, folder)
    if error is None:
        export_bundle(
            open_bundle(here, "gift"),
            format_name="jsonl",
            output=here.exports_dir / "next",
            audio="clips",
        )
    assert not leaked(theirs, here)
    assert isinstance(error, ManifestError)


@pytest.mark.parametrize("format_name", FORMATS)
def test_import_export_lets_no_id_name_a_file_outside(
    here: Workspace, source: Workspace, tmp_path: Path, format_name: str
) -> None:
    exported_folder = exported(source, tmp_path / "out", format_name)
    refusal = bring_in(here, exported_folder)
    assert refusal is None
    folder = forge(tmp_path / "out", set_fields(utterance_id="../../../escaped"))
    error = bring_in(here, folder)
    if error is None:
        attempt(
            lambda: export_bundle(
                open_bundle(here, "gift"),
                format_name=format_name,
                output=here.exports_dir / "a",
                audio="clips",
            )
        )
    assert outside(tmp_path) == []
    assert isinstance(error, ManifestError)
    assert "utterance_id" in str(error)


def test_import_export_follows_no_link_to_a_folder(
    theirs: Workspace, here: Workspace, source: Workspace, tmp_path: Path
) -> None:
    folder = exported(source, tmp_path / "out", "jsonl")
    (clip,) = (folder / "audio").iterdir()
    (tmp_path / "elsewhere").mkdir()
    exported(theirs, tmp_path / "elsewhere" / "x", "jsonl")
    (hidden,) = (tmp_path / "elsewhere" / "x" / "audio").iterdir()
    hidden.rename(hidden.with_name(clip.name))
    clip.unlink()
    clip.parent.rmdir()
    audio_folder = folder / "audio"
    audio_folder.symlink_to(tmp_path / "elsewhere" / "x" / "audio")
    error = bring_in(here, seal(folder))
    assert not leaked(theirs, here)
    assert isinstance(error, ManifestError)
    assert "link" in str(error)


@pytest.mark.parametrize("place", ["audio/clip.flac", ROWS, "more/link"])
def test_read_export_refuses_links(source: Workspace, tmp_path: Path, place: str) -> None:
    folder = exported(source, tmp_path / "out", "jsonl")
    (clip,) = (folder / "audio").iterdir()
    link = clip if place.endswith(".flac") else folder / place
    link.parent.mkdir(exist_ok=True)
    kept = tmp_path / "kept"
    (link if link.exists() else clip).rename(kept)
    link.symlink_to(kept)
    error = attempt(lambda: read_export(seal(folder)))
    assert isinstance(error, ManifestError)
    assert "link" in str(error)


def test_read_export_refuses_a_pipe_instead_of_waiting_for_it(
    source: Workspace, tmp_path: Path
) -> None:
    folder = exported(source, tmp_path / "out", "jsonl")
    os.mkfifo(folder / "pipe")
    with pytest.raises(ManifestError, match="no file"):
        read_export(folder)


@pytest.mark.parametrize("format_name", ["webdataset", "shar"])
@pytest.mark.parametrize("attack", ["symbolic link", "hard link", "climbing name", "name twice"])
def test_import_export_refuses_stray_members_of_shards(
    here: Workspace, source: Workspace, tmp_path: Path, format_name: str, attack: str
) -> None:
    folder = exported(source, tmp_path / "out", format_name)
    (shard,) = folder.rglob("*.tar")
    with tarfile.open(shard) as tar:
        members = {
            member.name: tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
        }
    (clip,) = [name for name in members if name.endswith(".flac")]
    with tarfile.open(shard, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name if attack != "climbing name" else f"../../{name}")
            info.size = len(content)
            if "link" in attack and name == clip:
                info.type, info.size = (
                    (tarfile.SYMTYPE if attack == "symbolic link" else tarfile.LNKTYPE),
                    0,
                )
                info.linkname = "../../escaped.flac"
            tar.addfile(info, io.BytesIO(content))
            if attack == "name twice":
                tar.addfile(info, io.BytesIO(content))
    error = bring_in(here, seal(folder))
    assert isinstance(error, ManifestError)
    assert "link" in str(error)
    names = [path.name for path in here.audio_dir.rglob("*") if path.name.startswith(".import")]
    assert names == []


@pytest.mark.parametrize(
    ("fields", "trouble"),
    [
        ({"recording_id": "rec0"}, "recording_id"),
        ({"recording_id": "../" + "0" * 29}, "recording_id"),
        ({"utterance_id": "0" * 32}, "utterance_id"),
        ({"channel": 99}, "utterance_id"),
        ({"voice": " "}, "voice"),
        ({"salt": "../x"}, "salt"),
    ],
)
def test_read_export_refuses_rows_that_voxdata_does_not_write(
    source: Workspace, tmp_path: Path, fields: Row, trouble: str
) -> None:
    exported_folder = exported(source, tmp_path / "out", "jsonl")
    folder = forge(exported_folder, set_fields(**fields))
    with pytest.raises(ManifestError, match=rf"line 1 of rows.jsonl: .*{trouble}"):
        read_export(folder)


def test_read_export_refuses_a_header_that_lists_files_elsewhere(
    source: Workspace, tmp_path: Path
) -> None:
    folder = exported(source, tmp_path / "out", "jsonl")
    (tmp_path / "x").write_text("x")
    seal(folder, files={**file_hashes(folder), "../x": hashlib.sha256(b"x").hexdigest()})
    with pytest.raises(ManifestError, match=r"'\.\./x', which climbs"):
        read_export(folder)


@pytest.mark.parametrize(
    ("start_ms", "end_ms"),
    [
        (250, 10**12),
        (0, 12 * 3_600_000 + 1),
    ],
)
def test_import_export_refuses_recordings_longer_than_allowed_before_making_them(
    here: Workspace, source: Workspace, tmp_path: Path, start_ms: int, end_ms: int
) -> None:
    def stretch(row: Row) -> None:
        row.update(
            start_ms=start_ms,
            end_ms=end_ms,
            utterance_id=digest(row["recording_id"], 0, start_ms, end_ms),
        )

    exported_folder = exported(source, tmp_path / "out", "jsonl")
    folder = forge(exported_folder, stretch)
    assert "max_hours" in str(bring_in(here, folder))


def test_import_export_refuses_a_segment_that_its_recording_here_has_not(
    here: Workspace, source: Workspace, tmp_path: Path
) -> None:
    exported_folder = exported(source, tmp_path / "out", "jsonl")
    refusal = bring_in(here, exported_folder)
    assert refusal is None

    def stretch(row: Row) -> None:
        row.update(
            end_ms=5_000,
            utterance_id=digest(row["recording_id"], 0, 250, 5_000),
        )

    error = bring_in(here, forge(tmp_path / "out", stretch))
    assert isinstance(error, ManifestError)
    assert "1 channel(s) of 500 ms" in str(error)


def test_import_export_refuses_a_clip_longer_than_its_segment(
    here: Workspace, source: Workspace, tmp_path: Path
) -> None:
    folder = exported(source, tmp_path / "out", "jsonl")
    (clip,) = (folder / "audio").iterdir()
    soundfile.write(
        clip,
        np.zeros(16_000 * 600, np.int16),
        16_000,
        subtype="PCM_16",
    )
    assert "at most 4000 samples" in str(bring_in(here, seal(folder)))


class HostileStore(MemoryFileSystem):  # type: ignore[misc]
    """A store that lists one name more than it has."""

    protocol = "hostile"
    extra = ""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("hostile://", "memory://")))

    def find(self, path: str, *arguments: Any, **options: Any) -> Any:
        paths = super().find(path, *arguments, **options)
        return [*paths, f"{path}/{type(self).extra}"] if type(self).extra else paths

    def get_file(self, rpath: str, lpath: str, **options: Any) -> None:
        if type(self).extra in rpath:
            Path(lpath).write_text("x")
        else:
            super().get_file(rpath, lpath, **options)


@pytest.fixture
def hostile() -> Iterator[str]:
    fsspec.register_implementation("hostile", HostileStore, clobber=True)
    yield "hostile://gift"
    HostileStore.store.clear()
    HostileStore.extra = ""


@pytest.mark.parametrize("name", ["../escaped.txt", "audio/../../escaped.txt"])
def test_fetch_export_writes_no_name_of_a_listing_outside(
    source: Workspace, tmp_path: Path, hostile: str, name: str
) -> None:
    folder = exported(source, tmp_path / "out", "jsonl")
    store = fsspec.filesystem("hostile")
    for path in folder.rglob("*"):
        if path.is_file():
            store.pipe_file(f"/gift/{path.relative_to(folder).as_posix()}", path.read_bytes())
    HostileStore.extra = name
    (tmp_path / "a" / "b").mkdir(parents=True)
    error = attempt(lambda: fetch_export(hostile, tmp_path / "a" / "b"))
    assert outside(tmp_path) == []
    assert "climbs" in str(error)


def test_list_sources_takes_no_name_that_climbs_out_of_a_store(hostile: str) -> None:
    HostileStore.store.clear()
    fsspec.filesystem("hostile").pipe_file("/gift/good.wav", b"RIFF")
    fsspec.filesystem("hostile").pipe_file("/gift/../escaped.wav", b"RIFF")
    listed = {source.name: source.problem for source in list_sources([hostile])}
    assert listed["good.wav"] == ""
    assert "climbs" in listed["escaped.wav"]


def test_load_examples_refuses_rows_that_came_in_before_paths_were_checked(here: Workspace) -> None:
    with here.warehouse() as con:
        con.execute("drop trigger example_no_update on example")
        con.execute("update example set audio_file = '../../escaped.flac'")
        version = find_version(con, "calls")
        with pytest.raises(WarehouseError, match=r"climbs.*rollback"):
            load_examples(con, version.version_id)
    with pytest.raises(WarehouseError, match="climbs"):
        open_bundle(here, "calls")


def test_open_bundle_refuses_ids_that_came_in_before_they_were_checked(
    here: Workspace, tmp_path: Path
) -> None:
    with here.warehouse() as con:
        con.execute("drop trigger example_no_update on example")
        con.execute("update example set utterance_id = '../../../escaped'")
    error = attempt(
        lambda: export_bundle(
            open_bundle(here, "calls"),
            format_name="jsonl",
            output=here.exports_dir / "a",
            audio="clips",
        )
    )
    assert outside(tmp_path) == []
    assert isinstance(error, WarehouseError)


def test_export_bundle_reads_no_audio_through_a_link_out_of_the_audio_folder(
    theirs: Workspace, here: Workspace
) -> None:
    (mine,), (secret,) = open_bundle(here, "calls").examples, open_bundle(theirs, "calls").examples
    path = here.audio_dir / mine.audio_file
    path.unlink()
    path.symlink_to(theirs.audio_dir / secret.audio_file)
    output = here.exports_dir / "a"
    error = attempt(
        lambda: export_bundle(
            open_bundle(here, "calls"), format_name="jsonl", output=output, audio="clips"
        )
    )
    sounds = [
        np.asarray(soundfile.read(clip, dtype="int16")[0]).tobytes()
        for clip in output.rglob("*.flac")
    ]
    assert secret_of(theirs) not in sounds
    assert "link" in str(error)


def take_in(
    here: Workspace,
    folder: Path,
    kind: Any,
) -> VoxdataError | None:
    return attempt(
        lambda: import_manifest(
            here, folder, name="gift", scheme="intent", label="intent", kind=kind, say=quiet
        )
    )


def stripped(source: Workspace, folder: Path, format_name: str) -> Path:
    """What a stranger would give: an export without what makes it ours."""
    exported(source, folder, format_name)
    for ours in (HEADER, ROWS, "croissant.json"):
        (folder / ours).unlink()
    return folder


def test_import_manifest_runs_no_command_of_a_lhotse_dataset(
    here: Workspace, tmp_path: Path
) -> None:
    pytest.importorskip("lhotse")
    command = {"type": "command", "channels": [0], "source": f"touch {tmp_path}/escaped"}
    recording = {
        "id": "r",
        "sources": [command],
        "sampling_rate": 16_000,
        "num_samples": 4_000,
        "duration": 0.25,
    }
    said = {
        "id": "s",
        "recording_id": "r",
        "start": 0.0,
        "duration": 0.25,
        "channel": 0,
        "speaker": "a",
    }
    custom = {"custom": {"intent": "question", "split": "train"}}
    cut = {
        "id": "c",
        "start": 0.0,
        "duration": 0.25,
        "channel": 0,
        "recording": recording,
        "type": "MonoCut",
    }
    dataset = tmp_path / "cuts.jsonl"
    dataset.write_text(json.dumps({**cut, "supervisions": [{**said, **custom}]}) + "\n")
    error = take_in(here, dataset, "lhotse")
    assert outside(tmp_path) == []
    assert "commands are not run" in str(error)


def test_import_manifest_opens_no_data_that_a_dataset_card_names_elsewhere(
    theirs: Workspace,
    here: Workspace,
    source: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    hidden = stripped(theirs, tmp_path / "hidden", "huggingface")
    folder = stripped(source, tmp_path / "out", "huggingface")
    card = (folder / "README.md").read_text()
    readme_file = folder / "README.md"
    readme_file.write_text(card.replace("path: data/", f"path: {hidden}/data/"))
    error = take_in(here, folder, "huggingface")
    assert not leaked(theirs, here)
    assert "absolute path" in str(error)


def test_import_manifest_says_in_a_line_what_lhotse_cannot_read(
    here: Workspace, tmp_path: Path
) -> None:
    pytest.importorskip("lhotse")
    cuts = tmp_path / "cuts.jsonl"
    cuts.write_text('{"id": "c", "start": 0, "duration": 1}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="Lhotse cannot read it"):
        import_manifest(
            here,
            cuts,
            name="theirs",
            scheme="intent",
            kind="lhotse",
            say=quiet,
        )


def test_import_manifest_takes_no_sound_that_a_huggingface_row_names_elsewhere(
    theirs: Workspace, here: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    (secret,) = open_bundle(theirs, "calls").examples
    (tmp_path / "out").mkdir()
    audio = [{"bytes": None, "path": str(theirs.audio_dir / secret.audio_file)}]
    table = datasets.Dataset.from_dict({"intent": ["question"], "audio": audio}).cast_column(
        "audio", datasets.Audio(decode=False)
    )
    table.to_parquet(str(tmp_path / "out" / "train.parquet"))
    error = take_in(here, tmp_path / "out", "huggingface")
    assert not leaked(theirs, here)
    assert "lies outside" in str(error)


@pytest.mark.parametrize("attack", ["climbing", "pickle", "yaml", "link"])
def test_import_manifest_reads_and_runs_nothing_outside_an_audformat_database(
    theirs: Workspace, here: Workspace, source: Workspace, tmp_path: Path, attack: str
) -> None:
    pytest.importorskip("audformat")
    (secret,) = open_bundle(theirs, "calls").examples
    target = theirs.audio_dir / secret.audio_file
    folder = stripped(source, tmp_path / "out", "audformat")
    table = folder / "db.files.train.csv"
    (clip,) = (folder / "wav").iterdir()
    if attack == "climbing":
        table.write_text(
            table.read_text().replace(f"wav/{clip.name}", os.path.relpath(target, folder))
        )
    elif attack == "link":
        clip.unlink()
        clip.symlink_to(target)
    elif attack == "pickle":
        table.with_suffix(".pkl").write_bytes(
            b"cposix\nsystem\n(S'touch " + str(tmp_path / "escaped").encode() + b"'\ntR."
        )
    else:
        header = folder / "db.yaml"
        header.write_text(
            header.read_text()
            + f"author: !!python/object/apply:os.system ['touch {tmp_path}/escaped']\n"
        )
    error = take_in(here, folder, "audformat")
    assert outside(tmp_path) == []
    assert not leaked(theirs, here)
    assert error is not None


def test_import_command_allows_a_second_folder_when_asked(here: Workspace, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    (tmp_path / "sounds").mkdir()
    soundfile.write(
        tmp_path / "sounds" / "a.wav",
        np.random.default_rng(5).uniform(-0.5, 0.5, 8_000),
        16_000,
    )
    recording = lhotse.Recording.from_file(tmp_path / "sounds" / "a.wav")
    supervision = lhotse.SupervisionSegment(
        id="s",
        recording_id=recording.id,
        start=0,
        duration=0.5,
        custom={"intent": "question", "split": "train"},
    )
    cut = lhotse.MonoCut(
        id="c",
        start=0,
        duration=0.5,
        channel=0,
        recording=recording,
        supervisions=[supervision],
    )
    (tmp_path / "cuts").mkdir()
    lhotse.CutSet.from_cuts([cut]).to_file(tmp_path / "cuts" / "cuts.jsonl")
    command = [
        "--dir",
        str(here.root),
        "import",
        str(tmp_path / "cuts" / "cuts.jsonl"),
        "--format",
        "lhotse",
        "--name",
        "x",
    ]
    command += ["--scheme", "intent", "--label", "intent"]
    refused = CliRunner().invoke(app, command)
    assert "--audio-root" in str(refused.exception)
    allowed = CliRunner().invoke(app, [*command, "--audio-root", str(tmp_path / "sounds")])
    assert allowed.exit_code == 0, allowed.exception
