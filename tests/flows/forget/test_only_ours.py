"""Forgetting never touches what is not voxdata's: other people's files, files changed by hand,
files exchanged under the same name.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import Result

from flows.exchange.export import open_bundle
from flows.folders.known import is_mark
from flows.ingest.worker import content_of
from flows.labelling.clips import remove_other_clips
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import run
from voxdata.canonical import write_canonical
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.errors import ConfigError
from voxdata.identity import digest
from voxdata.recording import ChannelLayout, Recording, canonical_file
from voxdata.register import Written
from voxdata.segment import Segment
from voxdata.utterance import Utterance
from warehouse.exchange.bundle import HEADER
from warehouse.exchange.write import export_bundle, publish_bundle
from warehouse.pushes import PushedClip, note_project, record_pushes
from warehouse.recordings import add_recording, add_source
from warehouse.utterances import store_utterances
from warehouse.versions import create_version

NAMES = ("anna", "ben", "cleo", "dora", "emil", "fay")
SECRET = "the secret words of "


def build(root: Path, names: Sequence[str] = ("anna", "ben"), **storage: str) -> Workspace:
    """Recordings of some people with an utterance each; "calls" is a version of all, "others" one
    without the first.
    """
    root.mkdir(parents=True, exist_ok=True)
    text = template()
    for name, place in storage.items():
        text = text.replace(
            f'{name} = "{name}"',
            f'{name} = "{place}"',
            1,
        )
    (root / FILE_NAME).write_text(text)
    made = open_workspace(root)
    rng = np.random.default_rng(5)
    examples = []
    (root / "inbox").mkdir(exist_ok=True)
    with made.warehouse() as con:
        for name in names:
            key = digest("recording", name)
            sound = rng.uniform(-0.3, 0.3, (24_000, 1)).astype(np.float32)
            recording = Recording(
                recording_id=key,
                sample_rate_hz=16_000,
                num_samples=24_000,
                num_channels=1,
                layout=ChannelLayout.MONO,
                canonical_channels=1,
                codec="pcm_s16le",
                container="wav",
            )
            write_canonical(made.audio_dir / canonical_file(key), sound)
            source = root / "inbox" / f"{name}.wav"
            soundfile.write(source, sound, 16_000)
            add_recording(con, recording, audio_file=canonical_file(key), run_id="t")
            info = source.stat()
            add_source(
                con,
                uri=str(source),
                size_bytes=info.st_size,
                modified_ns=info.st_mtime_ns,
                recording_id=key,
                run_id="t",
                content=content_of(source),
            )
            utterance = Utterance(
                recording_id=key,
                channel=0,
                speaker="S0",
                segment=Segment(start_ms=0, end_ms=1_200),
                text=SECRET + name,
                language="en",
            )
            store_utterances(con, [utterance], key="c", run_id="t")
            gold = {
                "intent": GoldLabel(label="question", distribution={"question": 1.0}, num_votes=1)
            }
            examples.append(
                Example(
                    utterance_id=utterance.utterance_id,
                    recording_id=key,
                    channel=0,
                    segment=utterance.segment,
                    voice=f"{key}/S0",
                    group=name,
                    audio_file=canonical_file(key),
                    text=utterance.text,
                    language="en",
                    gold=gold,
                    split=Split.TRAIN,
                )
            )
        create_version(con, "calls", examples, recipe={}, run_id="t")
        create_version(
            con,
            "others",
            examples[1:],
            recipe={},
            run_id="t",
        )
    return made


def forget(workspace: Workspace, name: str = "anna", *more: str) -> Result:
    return run(workspace, "forget", "--recording", digest("recording", name), "--yes", *more)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not is_mark(path)
    }


def flat(text: str) -> str:
    return " ".join(text.split())


def test_forget_takes_its_own_out_of_a_folder_that_others_share(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    theirs = build(
        tmp_path / "theirs",
        ["zoe", "yan"],
        exports="../shared",
    )
    assert (
        run(
            theirs,
            "export",
            "calls",
            "--format",
            "webdataset",
            "--output",
            str(shared / "zoe"),
        ).exit_code
        == 0
    )
    assert run(theirs, "export", "calls", "--output", str(shared / "zoe.parquet")).exit_code == 0
    (shared / "team").mkdir()
    (shared / "team" / "calls-1.csv").write_text("by,hand\n")
    (shared / ".notes.txt").write_text("do not lose this")
    before = files(shared)
    ours = build(tmp_path / "ours", exports="../shared", reports="../pages")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.html").write_text("<p>of another team</p>")
    for format_name in ("parquet", "webdataset", "csv"):
        assert run(ours, "export", "calls", "--format", format_name).exit_code == 0
    assert run(ours, "export", "calls", "--format", "jsonl", "--audio", "clips").exit_code == 0
    assert run(ours, "export", "others", "--format", "jsonl").exit_code == 0
    assert run(ours, "report").exit_code == 0
    mixed = shared / "calls-1.webdataset.d" / "remarks.txt"
    mixed.write_text("ours, and not voxdata's")
    done = forget(ours)
    assert done.exit_code == 0, done.output
    kept = {name for name in files(shared) if name.startswith("others-1.jsonl")} | {
        "calls-1.webdataset.d/remarks.txt"
    }
    assert len(kept) == 3
    assert files(shared) == before | {name: (shared / name).read_bytes() for name in kept}
    assert list(files(tmp_path / "pages")) == ["index.html"]
    for path in (
        shared / "team" / "calls-1.csv",
        shared / ".notes.txt",
        shared / "zoe.parquet",
        tmp_path / "pages" / "index.html",
    ):
        assert f"forget: {path} was not written by voxdata" in done.stderr
    assert f"forget: {mixed.parent} was an export" in done.stderr
    assert (ours.root / FILE_NAME).exists()


def test_forget_leaves_what_was_changed_by_hand_and_names_it(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    report = Path(run(workspace, "report").stdout.strip())
    page = tmp_path / "diff.html"
    table = tmp_path / "calls.csv"
    assert run(workspace, "diff", "calls", "others", "--html", str(page)).exit_code == 0
    assert (
        run(workspace, "export", "calls", "--format", "csv", "--output", str(table)).exit_code == 0
    )
    folder = Path(run(workspace, "export", "calls", "--format", "kaldi").stdout.strip())
    report.write_text("<h1>Minutes of our meeting</h1>")
    (folder / "train" / "text").write_text("checked by hand")
    done = forget(workspace)
    assert done.exit_code == 0, done.output
    assert report.read_text() == "<h1>Minutes of our meeting</h1>"
    assert files(folder) == {"train/text": b"checked by hand"}
    assert (
        f"{report} was changed since voxdata wrote it; take out of it what you need, and "
        "delete it by hand"
    ) in flat(done.stderr)
    assert f"{folder} was an export, and its {HEADER} is gone or changed" in flat(done.stderr)
    assert not page.exists()
    assert not table.exists()
    paths = sorted(one.path for one in workspace.written.read())
    assert paths == [str(folder), str(report)]


def test_forget_fails_over_a_changed_report_that_still_says_it(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    report = Path(run(workspace, "report").stdout.strip())
    report.write_text(f"<p>{SECRET}anna, as I heard it</p>")
    done = forget(workspace)
    assert done.exit_code != 0
    assert str(report) in str(done.exception)
    assert report.exists()


def test_forget_follows_an_exports_folder_that_is_a_link(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "theirs.csv").write_text("a,b\n")
    (workspace.root / "exports").symlink_to(elsewhere)
    for arguments in (("--format", "csv"), ("--format", "shar")):
        assert run(workspace, "export", "calls", *arguments).exit_code == 0
    assert len(files(elsewhere)) > 5
    # Pointed at another place since: what was written is known by where it really lies.
    (workspace.root / "exports").unlink()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "calls-1.csv").write_text("of somebody")
    exports = workspace.root / "exports"
    exports.symlink_to(tmp_path / "new")
    done = forget(workspace)
    assert done.exit_code == 0, done.output
    assert files(elsewhere) == {"theirs.csv": b"a,b\n"}
    assert files(tmp_path / "new") == {"calls-1.csv": b"of somebody"}
    assert f"{tmp_path / 'new' / 'calls-1.csv'} was not written by voxdata" in done.stderr


def test_forget_deletes_a_source_only_while_it_is_that_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = build(tmp_path / "w", NAMES)
    anna, ben, cleo, dora, emil, fay = (workspace.root / "inbox" / f"{name}.wav" for name in NAMES)
    info = ben.stat()
    other = bytearray(ben.read_bytes())
    other[-1] ^= 1
    ben.write_bytes(bytes(other))  # another sound of the same size and time
    os.utime(ben, ns=(info.st_atime_ns, info.st_mtime_ns))
    os.utime(cleo, ns=(1, 1))  # a plain copy: the same sound, another time
    dora.unlink()
    dora.mkdir()
    (dora / "diary.txt").write_text("not a recording")
    (tmp_path / "archive.wav").write_bytes(emil.read_bytes())
    emil.unlink()
    emil.symlink_to(tmp_path / "archive.wav")
    with workspace.warehouse() as con:
        add_source(
            con,
            uri="s3://calls/fay.wav",
            size_bytes=1,
            modified_ns=1,
            recording_id=digest("recording", "fay"),
            run_id="t",
        )
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == fay:
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, missing_ok=missing_ok)

    dry = run(
        workspace,
        "forget",
        "--source",
        str(workspace.root / "inbox"),
        "--delete-sources",
        "--dry-run",
        "--json",
    )
    content = json.loads(dry.stdout)
    assert sorted(content["sources"]) == [str(anna), str(cleo), str(fay)]
    monkeypatch.setattr(Path, "unlink", refuse)
    done = run(
        workspace,
        "forget",
        "--source",
        str(workspace.root / "inbox"),
        "--delete-sources",
        "--yes",
        "--json",
    )
    assert done.exit_code == 0, done.output
    assert not anna.exists()
    assert not cleo.exists()
    assert fay.exists()
    assert ben.read_bytes() == bytes(other)
    assert (dora / "diary.txt").read_text() == "not a recording"
    assert emil.is_symlink()
    left = {row["place"]: row["why"] for row in json.loads(done.stdout)["left"]}
    assert set(left) == {str(ben), str(dora), str(emil), str(fay), "s3://calls/fay.wav"}
    for place, why in (
        (ben, "another file now"),
        (dora, "a folder now"),
        (emil, "is a link to"),
        (fay, "cannot be deleted (Permission denied)"),
        ("s3://calls/fay.wav", "lies on another machine"),
    ):
        assert why in left[str(place)]


def test_forget_names_sources_that_are_gone_or_of_which_no_digest_is_known(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    unknown = tmp_path / "old.wav"
    unknown.write_bytes(b"RIFF of an earlier release")
    with workspace.warehouse() as con:
        info = unknown.stat()
        add_source(
            con,
            uri=str(unknown),
            size_bytes=info.st_size,
            modified_ns=info.st_mtime_ns,
            recording_id=digest("recording", "anna"),
            run_id="t",
        )
    gone = workspace.root / "inbox" / "anna.wav"
    gone.unlink()
    done = forget(workspace, "anna", "--delete-sources")
    assert done.exit_code == 0, done.output
    assert (
        f"forget: {unknown} may hold a recording, but no digest of it is on record" in done.stderr
    )
    assert f"forget: {gone} is not there any more" in done.stderr
    assert unknown.exists()


def test_forget_dry_run_lists_exactly_what_then_goes(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    key = digest("recording", "anna")
    with workspace.warehouse() as con:
        (row,) = con.execute(
            "select utterance_id from utterance where recording_id = ?", [key]
        ).fetchall()[0]
    clips = workspace.media_dir / "clips" / key
    clips.mkdir(parents=True)
    (clips / f"{row}.wav").write_bytes(b"RIFF")
    failed = workspace.models_dir / "intent-0123456789ab"
    failed.mkdir(parents=True)
    manifest_file = failed / "manifest.jsonl"
    manifest_file.write_text(json.dumps({"recording_id": key}) + "\n")
    for arguments in (
        ("report",),
        ("export", "calls"),
        ("export", "calls", "--format", "webdataset"),
        ("export", "others"),
        ("snapshot",),
    ):
        assert run(workspace, *arguments).exit_code == 0
    (workspace.exports_dir / "theirs.csv").write_text("x")
    damaged = workspace.root / "warehouse.duckdb.damaged-20260101T000000Z"
    damaged.mkdir()
    (damaged / "warehouse.duckdb").write_bytes(b"old")
    (workspace.root / "warehouse.duckdb.mine").mkdir()
    thesis_file = workspace.root / "warehouse.duckdb.mine" / "thesis.txt"
    thesis_file.write_text("mine")
    dry = json.loads(
        run(
            workspace,
            "forget",
            "--recording",
            key,
            "--delete-sources",
            "--dry-run",
            "--json",
        ).stdout
    )
    before = set(files(workspace.root))
    rows = count_rows(workspace)
    named = {str(Path(one["file"]).relative_to(workspace.root)) for one in dry["files"]}
    done = forget(workspace, "anna", "--delete-sources", "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert content["proven"] is True, done.output
    went = {name for name in before - set(files(workspace.root)) if not name.endswith(".wal")}
    assert went == named | {str(Path(path).relative_to(workspace.root)) for path in dry["sources"]}
    assert {
        "clips",
        "canonical files",
        "exports",
        "reports",
        "snapshots",
        "damaged copies",
        "manifests of failed runs",
    } == {one["kind"] for one in dry["files"]}
    after = count_rows(workspace)
    assert {table: rows[table] - after[table] for table in dry["rows"]} == dry["rows"]
    assert all(after[table] >= count for table, count in rows.items() if table not in dry["rows"])
    told = json.loads(done.stdout)
    assert dry["left"] == told["left"]
    assert dry["left_files"] == told["left_files"]
    names = {Path(one["place"]).name for one in dry["left_files"]}
    assert names == {"theirs.csv"}
    text = (workspace.root / "warehouse.duckdb.mine" / "thesis.txt").read_text()
    assert text == "mine"


def test_forget_leaves_what_somebody_put_beside_clips_and_says_that_the_folder_names_them(
    tmp_path: Path,
) -> None:
    workspace = build(tmp_path / "w")
    notes = workspace.media_dir / "clips" / digest("recording", "anna") / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("about this call")
    done = forget(workspace)
    assert notes.read_text() == "about this call"
    assert f"forget: {notes} was not written by voxdata" in done.stderr
    assert str(notes.parent) in str(done.exception)


def count_rows(workspace: Workspace) -> dict[str, int]:
    with workspace.warehouse(read_only=True) as con:
        tables = [
            str(name)
            for (name,) in con.execute(
                "select table_name from duckdb_tables() where not temporary"
            ).fetchall()
        ]
        return {
            name: int(con.execute(f'select count(*) from "{name}"').fetchall()[0][0])
            for name in tables
        }


def test_forget_dry_run_lists_the_clips_that_are_in_label_studio(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    with workspace.warehouse() as con:
        keys = [
            str(key)
            for (key,) in con.execute("select utterance_id from utterance order by text").fetchall()
        ]
        project = note_project(
            con,
            server_id=1,
            made_at="now",
            purpose="label",
            title="calls",
            run_id="t",
        )
        record_pushes(
            con,
            [PushedClip(utterance_id=key, clip_digest="k") for key in keys],
            project_id=project,
            run_id="t",
        )
    dry = run(
        workspace,
        "forget",
        "--recording",
        digest("recording", "anna"),
        "--dry-run",
        "--json",
    )
    content = json.loads(dry.stdout)
    assert content["clips"] == keys[:1]


def test_forget_knows_exports_of_earlier_releases_by_their_headers(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    folder = Path(run(workspace, "export", "calls", "--format", "huggingface").stdout.strip())
    changed = Path(
        run(workspace, "export", "calls", "--format", "csv", "--audio", "clips").stdout.strip()
    )
    table = Path(run(workspace, "export", "calls", "--format", "parquet").stdout.strip())
    spared = Path(run(workspace, "export", "others", "--format", "shar").stdout.strip())
    workspace.written.path.unlink()
    (changed / "utterances.csv").write_text("mine now")
    (folder / "notes.txt").write_text("mine")
    before = files(spared)
    done = forget(workspace)
    assert files(folder) == {"notes.txt": b"mine"}
    assert files(changed) == {"utterances.csv": b"mine now"}
    assert files(spared) == before
    assert f"{table} was not written by voxdata, as far as it knows" in done.stderr
    assert "earlier release wrote it, which recorded nothing" in done.stderr


def test_forget_trusts_no_header_that_was_changed(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    folder = Path(
        run(workspace, "export", "calls", "--format", "csv", "--audio", "clips").stdout.strip()
    )
    (folder / "theirs.txt").write_text("theirs")
    header = json.loads((folder / HEADER).read_text())
    header["files"]["theirs.txt"] = content_of(folder / "theirs.txt")
    (folder / HEADER).write_text(json.dumps(header))
    before = files(folder)
    for _ in ("noted", "of an earlier release"):
        dry = run(
            workspace,
            "forget",
            "--recording",
            digest("recording", "anna"),
            "--dry-run",
            "--json",
        )
        assert not [one for one in json.loads(dry.stdout)["files"] if str(folder) in one["file"]]
        left_files = json.loads(dry.stdout)["left_files"]
        assert any(one["place"].startswith(str(folder)) for one in left_files)
        workspace.written.path.unlink(missing_ok=True)
    assert files(folder) == before


def test_forget_finds_what_it_wrote_after_the_workspace_was_moved(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    done = run(workspace, "export", "calls", "--format", "csv")
    assert done.exit_code == 0
    shutil.move(workspace.root, tmp_path / "moved")
    moved = open_workspace(tmp_path / "moved")
    assert forget(moved).exit_code == 0
    assert files(moved.exports_dir) == {}


def test_forget_takes_what_a_killed_export_left(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    version = open_bundle(workspace, "calls").version.version_id
    held = workspace.written.unfinished(
        workspace.exports_dir / "calls-1.webdataset.d", version=version
    )
    folder = held.__enter__()
    (folder / "half.tar").write_bytes(b"their voice")
    done = forget(workspace)
    assert done.exit_code == 0, done.output
    assert files(workspace.exports_dir) == {}
    assert workspace.written.read() == []


def test_forget_names_copies_on_object_storage_and_on_a_disk_that_is_away(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    place = publish_bundle(
        open_bundle(workspace, "calls"),
        format_name="csv",
        url=f"memory://{tmp_path.name}",
    )
    spared = publish_bundle(
        open_bundle(workspace, "others"),
        format_name="csv",
        url=f"memory://{tmp_path.name}",
    )
    away = tmp_path / "disk"
    export_bundle(
        open_bundle(workspace, "calls"),
        format_name="csv",
        output=away / "calls.csv",
    )
    away.rename(tmp_path / "unplugged")
    done = forget(workspace)
    assert done.exit_code == 0, done.output
    assert f"forget: {place} is a copy that voxdata sent there" in done.stderr
    assert spared not in done.stderr
    assert (
        f"forget: {away / 'calls.csv'} cannot be looked for, since its folder is not there"
        in done.stderr
    )
    assert str(away / "calls.csv") in {one.path for one in workspace.written.read()}


def test_forget_changes_no_predictions_outside_its_own_runs(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    with workspace.warehouse() as con:
        (row,) = con.execute(
            "select utterance_id from utterance where text = ?", [SECRET + "anna"]
        ).fetchall()[0]
    own = workspace.models_dir / "intent-0123456789ab"
    theirs = workspace.models_dir / "our-experiment"
    for folder in (own, theirs):
        folder.mkdir(parents=True)
        predictions_file = folder / "predictions.jsonl"
        predictions_file.write_text(f'{{"utterance_id": "{row}"}}\nnot json\n[1]\n')
    done = forget(workspace)
    assert (own / "predictions.jsonl").read_text() == "not json\n[1]\n"
    assert (
        theirs / "predictions.jsonl"
    ).read_text() == f'{{"utterance_id": "{row}"}}\nnot json\n[1]\n'
    assert str(theirs / "predictions.jsonl") in str(done.exception)


def test_remove_other_clips_leaves_what_is_called_like_no_clip(tmp_path: Path) -> None:
    folder = tmp_path / "clips" / digest("recording", "anna")
    folder.mkdir(parents=True)
    for name in (
        "hold-music.wav",
        f"{digest('clip')}.wav",
        f"{digest('clip')}-0123456789ab-0-900.wav",
    ):
        (folder / name).write_bytes(b"RIFF")
    assert remove_other_clips(tmp_path, [], {folder.name}, keep_others=False) == 0
    names = [path.name for path in folder.iterdir()]
    assert names == ["hold-music.wav"]


def test_publish_bundle_refuses_a_place_with_files_of_others(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    bundle = open_bundle(workspace, "calls")
    url = f"file://{tmp_path}/store"
    place = publish_bundle(bundle, format_name="csv", url=url)
    root = place.removeprefix("file://")
    (Path(root) / "team").mkdir()
    plan_file = Path(root) / "team" / "plan.txt"
    plan_file.write_text("theirs")
    for _ in ("with a header", "without one"):
        before = files(Path(root))
        with pytest.raises(
            ConfigError, match=r"files? that no export of this version put there: .*team/plan\.txt"
        ):
            publish_bundle(bundle, format_name="webdataset", url=url)
        assert files(Path(root)) == before
        (Path(root) / HEADER).unlink(missing_ok=True)


def test_export_bundle_refuses_to_replace_an_export_with_files_of_others_in_it(
    tmp_path: Path,
) -> None:
    workspace = build(tmp_path / "w")
    output = tmp_path / "out"
    export_bundle(open_bundle(workspace, "calls"), format_name="kaldi", output=output)
    (output / "train" / "mine.txt").write_text("mine")
    before = files(output)
    with pytest.raises(
        ConfigError, match=r"no part of its export: 'train/mine\.txt'; move them away"
    ):
        export_bundle(open_bundle(workspace, "others"), format_name="shar", output=output)
    assert files(output) == before
    (output / "train" / "mine.txt").unlink()
    export_bundle(open_bundle(workspace, "others"), format_name="shar", output=output)
    assert open_bundle(workspace, "others").version.version_id in (output / HEADER).read_text()
    versions = [one.version for one in workspace.written.read()]
    assert versions == [open_bundle(workspace, "others").version.version_id]


def test_audit_page_is_noted_where_the_data_are_a_workspaces(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    table = workspace.root / "table.csv"
    table.write_text("audio,label,speaker,split\na.wav,yes,s1,train\nb.wav,no,s2,test\n")
    shutil.copy(table, tmp_path / "copy.csv")
    for path, page in (
        (table, tmp_path / "a.html"),
        (tmp_path / "copy.csv", tmp_path / "b.html"),
    ):
        run(
            workspace,
            "audit",
            str(path),
            "--no-audio",
            "--output",
            str(page),
        )
        assert page.exists()
    pages = [one.path for one in workspace.written.read() if one.kind == "page"]
    assert pages == [str(tmp_path / "a.html")]


def test_register_notes_before_the_file_is_there_and_forgets_older_lines(tmp_path: Path) -> None:
    register = build(tmp_path / "w").written
    page = Written(
        path=str(tmp_path / "w" / "reports" / "a.html"),
        kind="page",
        sha256="1",
    )
    with register.noting(page):
        assert register.read() == [page]
    newer = Written(
        path=page.path,
        kind="page",
        sha256="2",
    )

    class Died(Exception):
        pass

    with pytest.raises(Died), register.noting(newer):
        raise Died
    assert register.read() == [page, newer]  # whichever is there is known
    with register.noting(newer):
        pass
    assert register.read() == [newer]
    content = json.loads(register.path.read_text())
    assert content["path"] == "./reports/a.html"
    assert register.path.stat().st_mode & 0o777 == 0o600


def test_register_goes_on_after_a_line_that_was_cut_short(tmp_path: Path) -> None:
    register = build(tmp_path / "w").written
    first, second = (
        Written(
            path=str(tmp_path / f"{name}.csv"),
            kind="table",
            sha256=name,
            version="v",
        )
        for name in "ab"
    )
    register.note(first)
    with register.path.open("ab") as file:
        file.write(b'{"path": "/x/cut sho')
    register.note(second)
    assert register.read() == [first, second]


def test_register_says_nothing_of_anybody(tmp_path: Path) -> None:
    workspace = build(tmp_path / "w")
    for arguments in (
        ("report",),
        ("export", "calls"),
        ("export", "calls", "--format", "webdataset"),
    ):
        assert run(workspace, *arguments).exit_code == 0
    text = workspace.written.path.read_text()
    with workspace.warehouse(read_only=True) as con:
        ids = con.execute(
            "select utterance_id from utterance union all select recording_id from recording"
        ).fetchall()
    words: list[Any] = [*(key for (key,) in ids), SECRET, *NAMES]
    assert not [word for word in words if word in text]
