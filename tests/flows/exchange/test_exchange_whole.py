"""Imports come whole or not at all; exports say under which terms, and go where they were told."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import numpy as np
import pytest
import soundfile  # type: ignore[import-untyped]
from typer.testing import CliRunner

from flows.cli.main import app
from flows.exchange.export import open_bundle
from flows.exchange.ours import import_export
from flows.exchange.staging import LOCK, MOVED, PREFIX, clear_staging, stage_audio
from flows.exchange.theirs import import_manifest
from flows.folders.known import is_mark
from flows.ingest.flow import ingest_sources
from flows.pages.report import path_steps
from flows.pages.report_content import read_content
from flows.pages.report_figures import split_rows
from flows.place import FILE_NAME
from flows.retrain.lineage_events import emit_release
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from voxdata.canonical import write_canonical
from voxdata.dataset import Split
from voxdata.errors import (
    ConfigError,
    ManifestError,
    SchemeError,
    VoxdataError,
    WarehouseError,
)
from voxdata.identity import digest
from voxdata.recording import canonical_file
from warehouse.commits import read_commits
from warehouse.exchange.read import read_export
from warehouse.exchange.write import export_bundle, publish_bundle
from warehouse.ledger import list_drops
from warehouse.metadata import store_metadata
from warehouse.verify import verify_all
from warehouse.versions import load_examples

ARCHIVE = Path(__file__).parents[2] / "data" / "exports-0.1.tar.xz"
"""Exports that release 0.1 wrote: nine utterances in every format, and "erased", where three of
them were erased.
"""

FORMATS = ("parquet", "jsonl", "csv", "huggingface", "webdataset", "shar", "kaldi", "audformat")


def quiet(line: str) -> None:
    """Nobody watches."""


def build(root: Path, *, changes: str = "") -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    (root / FILE_NAME).write_text(
        template() if not changes else template().replace('creator = ""', changes, 1)
    )
    made = open_workspace(root)
    with made.warehouse():
        return made


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(folder, filter="data")
    return folder


def rows_of(workspace: Workspace) -> dict[str, int]:
    """How many rows there are of what an import writes."""
    tables = (
        "recording",
        "example",
        "dataset_version",
        "row_salt",
        "ledger",
        "split_assignment",
        "outbox",
    )
    with workspace.warehouse() as con:
        return {
            table: con.execute(f"select count(*) from {table}").fetchall()[0][0] for table in tables
        }


def audio_of(workspace: Workspace) -> list[str]:
    """Every file below the audio folder, whatever it is called, but the mark of the workspace."""
    paths = (path for path in workspace.audio_dir.rglob("*") if path.is_file())
    return sorted(path.name for path in paths if not is_mark(path))


def is_untouched(workspace: Workspace) -> bool:
    return not audio_of(workspace) and not any(rows_of(workspace).values())


def table(folder: Path, *lines: str, count: int = 4) -> Path:
    """A manifest over some short files of noise."""
    rng = np.random.default_rng(1)
    for number in range(count):
        soundfile.write(
            folder / f"{number}.wav",
            rng.uniform(-0.5, 0.5, 8_000),
            16_000,
        )
    table_file = folder / "m.csv"
    table_file.write_text("\n".join(("audio,label,speaker,split", *lines)) + "\n")
    return folder / "m.csv"


GOOD = ("0.wav,happy,a,train", "1.wav,sad,b,train", "2.wav,angry,c,test")


@pytest.mark.parametrize("format_name", FORMATS)
def test_import_export_verifies_what_the_first_release_wrote(
    exports: Path, tmp_path: Path, format_name: str
) -> None:
    target = build(tmp_path / "w")
    export = read_export(exports / format_name)
    version, new = import_export(
        target,
        export,
        name="calls",
        say=quiet,
    )
    assert new is True
    assert version.root == export.root
    assert version.num_examples == 9
    with target.warehouse() as con:
        assert verify_all(con)[0].ok
    assert len(audio_of(target)) == 3


def test_import_export_of_the_first_release_leaves_erased_rows_out(
    exports: Path, tmp_path: Path
) -> None:
    target = build(tmp_path / "w")
    export = read_export(exports / "erased")
    version, _ = import_export(
        target,
        export,
        name="calls",
        say=quiet,
    )
    assert export.root == read_export(exports / "jsonl").root
    assert version.num_examples == 6
    assert version.root != export.root


@pytest.mark.parametrize(
    ("lines", "error", "words"),
    [
        (
            (*GOOD, "3.wav,happpy,d,train"),
            SchemeError,
            "'happpy' \\(1 row\\(s\\), perhaps 'happy'\\)",
        ),
        ((*GOOD, "3.wav,HAPPY,d,train"), SchemeError, "perhaps 'happy'"),
        ((*GOOD, "3.wav,sad,a,test"), WarehouseError, "two splits: 'a'"),
        (
            (*GOOD, "3.wav,sad,jos\u00e9,train", "1.wav,sad,jose\u0301,test"),
            WarehouseError,
            "two splits",
        ),
        (
            ("gone.wav,sad,a,train", "0.wav,sad,b,nowhere"),
            ManifestError,
            "none of its 2 rows gives",
        ),
    ],
)
def test_import_manifest_leaves_nothing_behind_when_it_is_refused(
    tmp_path: Path,
    lines: tuple[str, ...],
    error: type[VoxdataError],
    words: str,
) -> None:
    target = build(tmp_path / "w")
    manifest = table(tmp_path, *lines)
    with pytest.raises(error, match=words):
        import_manifest(
            target,
            manifest,
            name="theirs",
            scheme="emotion",
            say=quiet,
        )
    assert is_untouched(target)


def test_import_manifest_refuses_a_recording_of_nobody_in_two_splits(tmp_path: Path) -> None:
    target = build(tmp_path / "w")
    table(tmp_path)
    lines = ("audio,label,split,start,end", "0.wav,sad,train,0,0.2", "0.wav,sad,test,0.2,0.4")
    table_file = tmp_path / "m.csv"
    table_file.write_text("\n".join(lines))
    with pytest.raises(WarehouseError, match="two splits"):
        import_manifest(
            target,
            tmp_path / "m.csv",
            name="theirs",
            scheme="emotion",
            say=quiet,
        )
    assert is_untouched(target)


def test_import_manifest_decodes_nothing_of_a_table_with_unknown_labels(tmp_path: Path) -> None:
    target = build(tmp_path / "w")
    manifest = table(tmp_path, *GOOD, "3.wav,glad,d,train")
    lines: list[str] = []
    with pytest.raises(SchemeError, match="Nothing was imported"):
        import_manifest(
            target,
            manifest,
            name="theirs",
            scheme="emotion",
            say=lines.append,
        )
    assert lines == []
    assert not target.audio_dir.exists()


def test_import_manifest_says_that_a_scheme_is_not_in_the_workspace(tmp_path: Path) -> None:
    target = build(tmp_path / "w")
    manifest = table(tmp_path, *GOOD)
    lines: list[str] = []
    import_manifest(
        target,
        manifest,
        name="theirs",
        scheme="mood",
        say=lines.append,
    )
    assert "scheme 'mood' is not in voxdata.toml" in lines[0]


def test_import_manifest_writes_all_it_has_in_one_transaction(tmp_path: Path) -> None:
    target = build(tmp_path / "w")
    manifest = table(tmp_path, *GOOD, "gone.wav,sad,d,train", "3.wav,sad,e,nowhere")
    rows_of(target)
    before = read_commits(target.warehouse_path)
    version, _, imported = import_manifest(
        target,
        manifest,
        name="theirs",
        scheme="emotion",
        say=quiet,
    )
    assert read_commits(target.warehouse_path) - before == 1
    assert version.num_examples == 3
    assert len(imported.dropped) == 2
    assert rows_of(target)["ledger"] == 2
    assert len(audio_of(target)) == rows_of(target)["recording"] == 3


def test_import_command_renames_labels(tmp_path: Path) -> None:
    target = build(tmp_path / "w")
    manifest = table(tmp_path, *GOOD, "3.wav,glad,d,train")
    command = [
        "--dir",
        str(target.root),
        "import",
        str(manifest),
        "--name",
        "theirs",
        "--scheme",
        "emotion",
    ]
    assert "--rename" in str(CliRunner().invoke(app, command).exception)
    done = CliRunner().invoke(app, [*command, "--rename", "glad=happy"])
    assert done.exit_code == 0, done.exception
    with target.warehouse() as con:
        version = verify_all(con)[0].version
        labels = sorted(e.gold["emotion"].label for e in load_examples(con, version.version_id))
    assert labels == ["angry", "happy", "happy", "sad"]


@pytest.mark.parametrize("fault", ["labels", "clip", "name"])
def test_import_export_leaves_nothing_behind_when_it_is_refused(
    exports: Path, tmp_path: Path, fault: str
) -> None:
    there = build(tmp_path / "w")
    if fault == "labels":
        settings_file = there.root / FILE_NAME
        settings_file.write_text(template().replace('name = "answer"', 'name = "reply"'))
        there = open_workspace(there.root)
    folder = exports / ("csv" if fault != "clip" else "jsonl")
    export = read_export(folder)
    if fault == "clip":
        (tmp_path / "empty").mkdir()
        export = type(export)(
            header=export.header,
            examples=export.examples,
            folder=tmp_path / "empty",
            origin="gone",
        )
    with pytest.raises((VoxdataError, OSError)):
        import_export(
            there,
            export,
            name="deadbeef" if fault == "name" else "calls",
            say=quiet,
        )
    assert is_untouched(there)


KILLED = """
import sys
from pathlib import Path
from flows.exchange.theirs import import_manifest
from flows.workspace import open_workspace
print("ready", flush=True)
import_manifest(open_workspace(Path(sys.argv[1])), Path(sys.argv[2]),
                name="theirs", scheme="emotion", say=lambda line: None)
print("done", flush=True)
"""


@pytest.mark.parametrize(
    "moment",
    [f"{PREFIX}*", f"{PREFIX}*/{'?' * 32}", f"{PREFIX}*/{MOVED}", "??/*.flac"],
)
def test_import_manifest_is_whole_after_it_was_killed_and_run_again(
    tmp_path: Path, moment: str
) -> None:
    lines = [f"{number}.wav,sad,s{number},train" for number in range(60)]
    target = build(tmp_path / "w")
    manifest = table(tmp_path, *lines, count=60)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(target.root), str(manifest)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    while process.poll() is None and not any(target.audio_dir.glob(moment)):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    if moment in (f"{PREFIX}*", f"{PREFIX}*/{'?' * 32}"):
        assert not any(rows_of(target).values())
        assert list(target.audio_dir.rglob("*.flac")) == []
    clear_staging(target)
    assert rows_of(target)["recording"] == len(audio_of(target))
    assert rows_of(target)["recording"] in (0, 60)
    version, _, imported = import_manifest(
        target,
        manifest,
        name="theirs",
        scheme="emotion",
        say=quiet,
    )
    assert version.num_examples == 60
    assert imported.dropped == ()
    assert len(audio_of(target)) == 60


def test_clear_staging_takes_back_audio_whose_rows_were_never_committed(tmp_path: Path) -> None:
    target = build(tmp_path / "w")
    recording = digest("recording", 1)
    folder = target.audio_dir / f"{PREFIX}x"
    folder.mkdir(parents=True)
    (folder / LOCK).touch()
    (folder / MOVED).write_text(json.dumps([recording]))
    write_canonical(target.audio_dir / canonical_file(recording), np.zeros((16, 1), np.float32))
    clear_staging(target)
    assert audio_of(target) == []
    assert not folder.exists()


def test_clear_staging_keeps_audio_whose_rows_were_committed(exports: Path, tmp_path: Path) -> None:
    target = build(tmp_path / "w")
    export = read_export(exports / "jsonl")
    import_export(target, export, name="calls", say=quiet)
    kept = audio_of(target)
    folder = target.audio_dir / f"{PREFIX}x"
    folder.mkdir()
    (folder / MOVED).write_text(json.dumps([Path(name).stem for name in kept]))
    clear_staging(target)
    assert audio_of(target) == kept


def test_clear_staging_leaves_an_import_alone_that_is_running(tmp_path: Path) -> None:
    target = build(tmp_path / "w")
    with stage_audio(target, say=quiet) as staging:
        clear_staging(target)
        assert staging.folder.exists()
    assert not staging.folder.exists()


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(
        ip_address="127.0.0.1",
        port=0,
        verbose=False,
    )
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    store = fsspec.filesystem("s3")
    store.clear_instance_cache()
    yield fsspec.filesystem("s3")
    server.stop()
    store.clear_instance_cache()


@pytest.fixture
def workspace(exports: Path, tmp_path: Path) -> Workspace:
    """A workspace with a version, whose three recordings say different things of consent."""
    made = build(tmp_path / "here", changes='creator = "The Archive"')
    text = (
        (made.root / FILE_NAME)
        .read_text()
        .replace('license = ""', 'license = "CC-BY-4.0"')
        .replace('description = ""', 'description = "Calls of a shop."')
    )
    (made.root / FILE_NAME).write_text(text)
    made = open_workspace(made.root)
    export = read_export(exports / "jsonl")
    import_export(made, export, name="calls", say=quiet)
    keys = sorted({example.recording_id for example in open_bundle(made, "calls").examples})
    with made.warehouse() as con:
        store_metadata(
            con,
            keys[0],
            {"consent": "yes", "purposes": "training; research"},
            manifest="m",
            run_id="t",
        )
        store_metadata(
            con,
            keys[1],
            {"consent": "no"},
            manifest="m",
            run_id="t",
        )
    return made


def test_publish_bundle_makes_no_bucket(workspace: Workspace, buckets: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"there is no bucket 'nowhere'.*make it, or choose another --output"
    ):
        publish_bundle(open_bundle(workspace, "calls"), format_name="csv", url="s3://nowhere/sets")
    assert not buckets.exists("nowhere")


def test_ledger_names_the_url_of_a_remote_object_and_no_file_of_ours(
    workspace: Workspace, buckets: Any
) -> None:
    buckets.mkdir("inbox")
    buckets.pipe_file("inbox/bad.wav", b"no sound at all")
    ingest_sources(workspace, ["s3://inbox/bad.wav"], say=quiet)
    with workspace.warehouse(read_only=True) as con:
        (drop,) = [drop for drop in list_drops(con) if drop.stage == "ingest"]
    assert drop.subject == "s3://inbox/bad.wav"
    assert "s3://inbox/bad.wav" in drop.detail
    assert "/voxdata-" not in drop.detail


def test_import_command_names_the_url_it_was_given(workspace: Workspace, buckets: Any) -> None:
    buckets.mkdir("sets")
    place = publish_bundle(
        open_bundle(workspace, "calls"),
        format_name="jsonl",
        url="s3://sets",
    )
    rows = f"{place}/rows.jsonl"
    buckets.pipe_file(rows, buckets.cat_file(rows).replace(b"two", b"six", 1))
    done = CliRunner().invoke(app, ["--dir", str(workspace.root), "import", place, "--check"])
    assert str(done.exception).startswith(f"{place}: ")


def test_croissant_tells_licence_creator_and_consent(workspace: Workspace, tmp_path: Path) -> None:
    folder = export_bundle(
        open_bundle(workspace, "calls"),
        format_name="csv",
        output=tmp_path / "out",
        audio="clips",
    )
    croissant = json.loads((folder / "croissant.json").read_text())
    assert croissant["license"] == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert croissant["creator"]["name"] == "The Archive"
    assert croissant["description"].startswith("Calls of a shop. Dataset version calls@1")
    assert any(
        line
        == (
            "Consent on record for 3 recordings: given: 1, not stated: 1, refused: 1. Purposes "
            "named: research (1), training (1)."
        )
        for line in croissant["rai:personalSensitiveInformation"]
    )
    header = json.loads((folder / "voxdata.json").read_text())
    assert header["terms"]["license"] == "CC-BY-4.0"
    assert header["terms"]["consent"]["refused"] == 1


def test_croissant_claims_no_licence_that_nobody_stated(exports: Path, tmp_path: Path) -> None:
    target = build(tmp_path / "w")
    export = read_export(exports / "jsonl")
    import_export(target, export, name="calls", say=quiet)
    made = CliRunner().invoke(
        app,
        [
            "--dir",
            str(target.root),
            "export",
            "calls",
            "--format",
            "csv",
            "--output",
            str(tmp_path / "t.csv"),
        ],
    )
    assert "[project] license" in made.stderr
    assert json.loads((tmp_path / "t.csv.croissant.json").read_text())["license"].endswith(
        "NOASSERTION.html"
    )


def test_huggingface_card_and_audformat_header_name_the_licence(
    workspace: Workspace, tmp_path: Path
) -> None:
    audformat = pytest.importorskip("audformat")
    bundle = open_bundle(workspace, "calls")
    card = (
        export_bundle(bundle, format_name="huggingface", output=tmp_path / "hf") / "README.md"
    ).read_text()
    assert "\nlicense: cc-by-4.0\n" in card
    assert "Calls of a shop." in card
    export_bundle(bundle, format_name="audformat", output=tmp_path / "af")
    assert audformat.Database.load(str(tmp_path / "af"), load_data=False).license == "CC-BY-4.0"


def test_kaldi_export_opens_from_anywhere_with_absolute_paths(
    workspace: Workspace, tmp_path: Path
) -> None:
    command = [
        "--dir",
        str(workspace.root),
        "export",
        "calls",
        "--format",
        "kaldi",
        "--output",
        str(tmp_path / "k"),
    ]
    assert "--absolute-paths" in CliRunner().invoke(app, command).stderr
    relative = (tmp_path / "k" / "train" / "wav.scp").read_text().split()[1]
    assert relative.startswith("../wav/")
    done = CliRunner().invoke(app, [*command, "--absolute-paths"])
    assert done.exit_code == 0, done.exception
    for split in Split:
        for line in (tmp_path / "k" / split.value / "wav.scp").read_text().splitlines():
            assert soundfile.info(line.split(" ", 1)[1]).samplerate == 16_000
    export = read_export(tmp_path / "k")
    assert export.root == open_bundle(workspace, "calls").version.root


def test_absolute_paths_are_refused_where_they_would_mean_nothing(workspace: Workspace) -> None:
    for more in (["--format", "shar"], ["--format", "kaldi", "--output", "memory://x"]):
        done = CliRunner().invoke(
            app,
            ["--dir", str(workspace.root), "export", "calls", "--absolute-paths", *more],
        )
        assert isinstance(done.exception, ConfigError)


def test_show_and_diff_keep_the_minutes_of_short_clips(workspace: Workspace) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["--dir", str(workspace.root), *arguments])

    rows = json.loads(run("show", "calls", "--json").stdout)["labels"]
    everything = sum(row["minutes"] for row in rows if row["label"] == "all")
    assert everything == pytest.approx(9 * 0.2 / 60)
    assert "0.010" in run("show", "calls").stdout
    changes = json.loads(run("diff", "calls@1", "calls@1", "--json").stdout)["labels"]
    (asked,) = [row for row in changes if row["label"] == "intent=question"]
    assert asked["minutes after"] == pytest.approx(0.01)
    page = workspace.root / "diff.html"
    assert "0.010" in run("diff", "calls@1", "calls@1", "--html", str(page)).stdout
    assert "<td><bdi>0.010</bdi></td>" in page.read_text()


def test_report_keeps_the_minutes_of_short_clips(workspace: Workspace) -> None:
    content = read_content(workspace, created_at=datetime.now(UTC))
    minutes = [row["minutes"] for row in split_rows(content.examples)]
    assert minutes == ["0.010"] * 3
    assert [detail for what, _, detail in path_steps(content) if what == "examples"] == [
        "1.8 s, calls@1"
    ]


def test_no_path_of_this_machine_leaves_with_an_export(
    workspace: Workspace, tmp_path: Path
) -> None:
    for format_name in FORMATS:
        folder = export_bundle(
            open_bundle(workspace, "calls"),
            format_name=format_name,
            output=tmp_path / "out",
            audio="clips",  # type: ignore[arg-type]
        )
        for path in folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                content = gzip.decompress(content) if path.suffix == ".gz" else content
                for word in (str(tmp_path), str(Path.home()), os.uname().nodename):
                    assert word.encode() not in content, (format_name, path.name, word)


def test_lineage_events_carry_no_token_and_no_path(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXDATA_LABEL_STUDIO_TOKEN", "secret-token")
    reopened = open_workspace(workspace.root)
    emit_release(reopened, open_bundle(reopened, "calls").version)
    events = (reopened.state_dir / "lineage.jsonl").read_text()
    assert "urn:voxdata" in events
    for word in (
        "secret-token",
        str(reopened.root),
        str(Path.home()),
        os.uname().nodename,
    ):
        assert word not in events
