from __future__ import annotations

import json
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from flows.cli.main import app
from flows.exchange.export import open_bundle
from flows.exchange.ours import import_export
from flows.forget.flow import forget, plan_forgetting, require_gone
from flows.forget.search import search_folder
from flows.place import FILE_NAME
from flows.release.flow import release_version
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import ingest, quiet, release_calls, run
from training.feature_files import SHARD_SUFFIX, encode_names, feature_file, feature_name
from training.run_folder import state_file
from voxdata.dataset import leaf_hash
from voxdata.errors import ConfigError, DropReason, NotFoundError, VoxdataError
from voxdata.register import write_page
from warehouse.chain import check_chain
from warehouse.erase import renew_consent
from warehouse.exchange.read import read_export
from warehouse.exchange.write import export_bundle
from warehouse.ledger import list_drops
from warehouse.recordings import list_recordings
from warehouse.snapshot import list_snapshots
from warehouse.verify import verify_all
from warehouse.versions import erased_leaves, list_versions, load_examples

RUN = "intent-0123456789ab"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three real recordings with an utterance each, labelled and released; uncompressed, so that
    bytes can be found.
    """
    (tmp_path / FILE_NAME).write_text(template())
    made = open_workspace(tmp_path)
    release_calls(made, "xyz")
    return made


def first(workspace: Workspace) -> tuple[str, str]:
    with workspace.warehouse() as con:
        stored = min(list_recordings(con), key=lambda s: s.uri)
        (row,) = con.execute(
            "select utterance_id from utterance where recording_id = ?",
            [stored.recording.recording_id],
        ).fetchall()
    return stored.recording.recording_id, str(row[0])


def litter(workspace: Workspace, recording_id: str, utterance_id: str) -> None:
    """Everything that a busy workspace has lying about."""
    clip = workspace.media_dir / "clips" / recording_id / f"{utterance_id}.wav"
    feature = workspace.models_dir / "features" / "e" / feature_file(utterance_id)
    run = workspace.models_dir / RUN
    log = workspace.state_dir / "logs" / "label-studio.log"
    state = state_file(run)
    for path in (clip, feature, run / "x", state, log):
        path.parent.mkdir(parents=True, exist_ok=True)
    clip.write_bytes(b"RIFF")
    feature.write_bytes(b"PK")
    for name, keys in (("theirs", [utterance_id, "other"]), ("other", ["other", "another"])):
        rows = {"features": np.zeros((2, 1, 2), np.float16)}
        rows["names"] = encode_names(map(feature_name, keys))
        shard = feature.with_name(f"{name}{SHARD_SUFFIX}")
        shard.write_bytes(safetensors.numpy.save(rows))
    state.write_bytes(b"weights of a run that was killed")
    (run / "predictions.jsonl").write_text(
        json.dumps({"utterance_id": utterance_id})
        + "\n"
        + json.dumps({"utterance_id": "other"})
        + "\n"
    )
    log.write_text(f"GET /media/{recording_id}/{utterance_id}.wav\nGET /health\n")
    write_page(
        workspace.reports_dir / "report.html",
        "my secret is number 0 秘密在这里0",
        register=workspace.written,
    )
    export_bundle(
        open_bundle(workspace, "calls"),
        format_name="jsonl",
        output=workspace.exports_dir / "calls-1.jsonl",
    )
    export_bundle(
        open_bundle(workspace, "calls"),
        format_name="webdataset",
        output=workspace.exports_dir / "calls-1.webdataset.d",
    )


def test_forget_leaves_no_byte_and_every_version_verifiable(workspace: Workspace) -> None:
    recording_id, utterance_id = first(workspace)
    litter(workspace, recording_id, utterance_id)
    probes = [
        "my secret is number 0",
        "秘密在这里0",
        "corrected words of caller 0",
        "Customer Number 0 Smith",
        recording_id,
        utterance_id,
    ]
    CliRunner().invoke(app, ["--dir", str(workspace.root), "snapshot"])
    (workspace.root / "warehouse.duckdb.damaged-1").mkdir()
    (workspace.root / "warehouse.duckdb.damaged-1" / "warehouse.duckdb").write_text(
        "my secret is number 0"
    )
    (workspace.batches_dir / "merged" / "b").mkdir(parents=True)
    (workspace.batches_dir / "merged" / "b" / "utterance.parquet").write_text(
        "my secret is number 0"
    )
    before = {hit.text for hit in search_folder(workspace.root, probes)}
    assert before == set(probes)
    plan = plan_forgetting(workspace, "recording", recording_id[:10])
    assert plan.recording_ids == (recording_id,)
    assert plan.versions == {"calls@1": 1}
    forgotten = forget(
        workspace,
        "recording",
        recording_id[:10],
        reason="asked",
        say=quiet,
        delete_sources=True,
    )
    assert forgotten.hits == ()
    assert forgotten.left_sources == ()
    assert forgotten.searched >= len(probes)
    assert len(list_snapshots(workspace.snapshots_dir)) == 1
    assert {
        "canonical files",
        "clips",
        "features",
        "states of runs",
        "exports",
        "reports",
        "source files",
        "example",
        "utterance",
    } <= set(forgotten.counts)
    hits = search_folder(workspace.root, [*probes, "caller-x-private"])
    assert hits == ()
    with workspace.warehouse() as con:
        assert [(one.ok, one.num_intact, one.num_erased) for one in verify_all(con)] == [
            (True, 2, 1)
        ]
        assert check_chain(con) == []
    assert not state_file(workspace.models_dir / RUN).exists()
    features = workspace.models_dir / "features" / "e"
    assert [path.name for path in features.iterdir()] == [f"other{SHARD_SUFFIX}"]
    text = (workspace.models_dir / RUN / "predictions.jsonl").read_text()
    assert text == '{"utterance_id": "other"}\n'
    text = (workspace.state_dir / "logs" / "label-studio.log").read_text()
    assert text == "GET /health\n"
    with pytest.raises(NotFoundError):
        forget(workspace, "recording", recording_id, reason="again", say=quiet)


@pytest.mark.parametrize(
    "words",
    [("--finish", "--dry-run"), ("--renew", "0", "--dry-run"), ("--list", "--delete-sources")],
)
def test_forget_command_refuses_what_it_would_ignore(
    workspace: Workspace, words: tuple[str, ...]
) -> None:
    done = CliRunner().invoke(app, ["--dir", str(workspace.root), "forget", *words])
    assert type(done.exception) is ConfigError
    assert "with nothing else" in str(done.exception)


def test_release_goes_on_when_a_split_held_nobody_but_the_forgotten(workspace: Workspace) -> None:
    with workspace.warehouse() as con:
        examples = load_examples(con, list_versions(con)[0].version_id)
    held = Counter(example.split for example in examples)
    alone = next(example for example in examples if held[example.split] == 1)
    forget(workspace, "recording", alone.recording_id, reason="asked", say=quiet)
    released = release_version(workspace, "calls", say=quiet)
    assert released.version.num_examples == len(examples) - 1


def test_forgotten_recording_stays_out_until_consent_is_renewed(
    workspace: Workspace, tmp_path: Path
) -> None:
    recording_id, _ = first(workspace)
    copy = tmp_path / "elsewhere" / "same-sound.wav"
    copy.parent.mkdir()
    content = (workspace.root / "inbox" / "caller-x-private.wav").read_bytes()
    copy.write_bytes(content)
    forgotten = forget(
        workspace,
        "recording",
        recording_id,
        reason="asked",
        say=quiet,
        delete_sources=True,
    )
    for _ in range(2):
        summary = ingest(workspace, copy)
        assert summary.recordings == 0
        assert summary.dropped == 1
    with workspace.warehouse() as con:
        drops = [row for row in list_drops(con) if row.reason is DropReason.FORGOTTEN]
        subjects = [row.subject for row in drops]
        assert subjects == [f"receipt {forgotten.receipt_id}"]
        assert recording_id not in {s.recording.recording_id for s in list_recordings(con)}
    hits = search_folder(
        workspace.root,
        [recording_id, "my secret is number 0"],
        skip=[copy],
    )
    assert hits == ()
    assert not (workspace.audio_dir / f"{recording_id[:2]}/{recording_id}.flac").exists()
    renewed = CliRunner().invoke(
        app,
        [
            "--dir",
            str(workspace.root),
            "forget",
            "--renew",
            forgotten.receipt_id[:8],
            "--reason",
            "signed",
        ],
    )
    assert renewed.exit_code == 0
    assert ingest(workspace, copy).recordings == 1


def test_export_that_is_imported_once_consent_is_renewed_brings_everybody_back(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    recording_id, utterance_id = first(workspace)
    target = tmp_path_factory.mktemp("elsewhere") / "export"
    export_bundle(
        open_bundle(workspace, "calls"),
        format_name="jsonl",
        output=target,
        audio="clips",
    )
    copy = Path(shutil.copytree(target, target.with_name("copy")))
    forgotten = forget(workspace, "recording", recording_id, reason="asked", say=quiet)
    with workspace.warehouse() as con:
        before = set(erased_leaves(con, list_versions(con)[0].version_id))
        renew_consent(con, forgotten.receipt_id, reason="signed", run_id="t")
    version, new = import_export(
        workspace,
        read_export(copy),
        name="returned",
        say=quiet,
    )
    with workspace.warehouse() as con:
        there = {
            example.utterance_id: example for example in load_examples(con, version.version_id)
        }
        checked = [(one.problems, one.num_intact, one.num_erased) for one in verify_all(con)]
    assert new is True
    assert len(there) == 3
    assert utterance_id in there
    assert checked == [((), 2, 1), ((), 3, 0)]
    assert before
    assert not before & {leaf_hash(example) for example in there.values()}  # as the receipt says


def test_forget_a_folder_of_sources_keeps_the_rest(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="no recording came from"):
        forget(
            workspace,
            "source",
            str(workspace.root / "nowhere"),
            reason="",
            say=quiet,
        )
    forgotten = forget(
        workspace,
        "source",
        str(workspace.root / "inbox"),
        reason="asked",
        say=quiet,
    )
    assert len(forgotten.plan.recording_ids) == len(forgotten.left_sources) == 3
    with workspace.warehouse() as con:
        assert list_recordings(con) == []
        erased_counts = [v.num_erased for v in list_versions(con)]
        assert erased_counts == [3]
        assert all(one.ok for one in verify_all(con))


def test_forget_says_so_when_something_is_left(workspace: Workspace) -> None:
    recording_id, _ = first(workspace)
    (workspace.root / "notes.txt").write_bytes(
        "my secret is number 0 秘密在这里0".encode("utf-16-le")
    )
    forgotten = forget(workspace, "recording", recording_id, reason="asked", say=quiet)
    names = [hit.path.name for hit in forgotten.hits]
    assert names == ["notes.txt"]
    with pytest.raises(VoxdataError, match=r"notes\.txt"):
        require_gone(forgotten)


def test_forget_is_proven_only_once_what_was_left_is_gone(workspace: Workspace) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["--dir", str(workspace.root), *arguments])

    recording_id, _ = first(workspace)
    notes_file = workspace.root / "notes.7z"
    notes_file.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(40))
    done = run("forget", "--recording", recording_id, "--yes", "--json")
    assert done.exit_code == 1
    assert "notes.7z (7-Zip" in str(done.exception)
    content = json.loads(run("forget", "--list", "--json").stdout)
    assert content[0]["proven"] == "no"
    status = run("status", "--json")
    assert status.exit_code == 1
    assert "voxdata forget --finish" in status.output
    (check,) = [
        row for row in json.loads(run("doctor", "--json").stdout) if row["name"] == "forgetting"
    ]
    assert check["ok"] is False
    assert "voxdata forget --finish" in check["remedy"]
    (work,) = (workspace.state_dir / "forget").iterdir()
    assert {path.stat().st_mode & 0o077 for path in (work, *work.iterdir())} == {0}
    # It stands in nobody's way, and is not forgotten either.
    with workspace.warehouse() as con:
        other = str(con.execute("select min(recording_id) from recording").fetchall()[0][0])
    done = run("forget", "--recording", other, "--yes", "--json")
    assert done.exit_code == 1
    assert "notes.7z" in str(done.exception)
    assert len(list((workspace.state_dir / "forget").iterdir())) == 2
    (workspace.root / "notes.7z").unlink()
    assert run("forget", "--finish").exit_code == 0
    assert "no" not in [
        row["proven"] for row in json.loads(run("forget", "--list", "--json").stdout)
    ]
    assert list((workspace.state_dir / "forget").iterdir()) == []
    assert "nothing is unfinished" in run("forget", "--finish").output


def test_forget_waits_for_another_one(workspace: Workspace) -> None:
    keys = sorted(key for key in _recordings(workspace))
    lines: list[str] = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        begun = [
            pool.submit(
                forget,
                workspace,
                "recording",
                key,
                reason="asked",
                say=lines.append,
                delete_sources=True,
            )
            for key in keys[:2]
        ]
        proofs = [one.result().proven for one in begun]
        assert proofs == [True, True]
    assert "another process is forgetting somebody; waiting for it" in lines
    assert _recordings(workspace) == {keys[2]}


def _recordings(workspace: Workspace) -> set[str]:
    with workspace.warehouse() as con:
        return {stored.recording.recording_id for stored in list_recordings(con)}


def test_forget_goes_on_where_it_died(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    recording_id, _ = first(workspace)
    with monkeypatch.context() as patch:
        patch.setattr("flows.forget.erase_steps.erase_rows", die)
        with pytest.raises(KeyboardInterrupt):
            forget(workspace, "recording", recording_id, reason="asked", say=quiet)
    # It is barred already, whatever is left of it.
    summary = ingest(workspace, workspace.root / "inbox")
    assert summary.recordings == 0
    forgotten = forget(
        workspace,
        "recording",
        recording_id,
        reason="asked",
        say=quiet,
        delete_sources=True,
    )
    assert forgotten.hits == ()


def test_release_signs_a_version_whose_signing_did_not_come_about(workspace: Workspace) -> None:
    statement = workspace.state_dir / "statements" / "calls@1.json"
    statement.unlink()
    assert release_version(workspace, "calls", say=quiet).created is False
    assert statement.is_file()


def test_forget_command_says_one_thing_and_asks_first(workspace: Workspace) -> None:
    def forget(*arguments: str, answer: str | None = None) -> Any:
        return CliRunner().invoke(
            app,
            ["--dir", str(workspace.root), "forget", *arguments],
            input=answer,
        )

    recording_id, _ = first(workspace)
    assert "give one of" in str(forget().exception)
    assert "give one of" in str(forget("--recording", "a", "--finish").exception)
    assert "give one of" in str(forget("--recording", "a", "--voice", "b").exception)
    content = json.loads(forget("--recording", recording_id, "--dry-run", "--json").stdout)
    assert content["versions"] == {"calls@1": 1}
    declined = forget("--recording", recording_id, answer="n\n")
    assert declined.exit_code == 1
    assert "nothing was forgotten" in declined.stderr
    assert forget("--recording", recording_id, answer="").exit_code == 1  # nobody there to answer
    done = forget("--recording", recording_id, "--yes", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["hits"] == []
    assert "forget: 1 recording, 1 utterance; receipt" in done.stderr
    receipt = json.loads(done.stdout)["receipt"]
    assert (workspace.state_dir / "statements" / f"receipt-{receipt}.json").is_file()
    assert "calls@1, the newest of calls: not yet: no version since" in done.stderr
    assert json.loads(run(workspace, "verify", "--json").stdout)["versions"][0][
        "root is"
    ].startswith("signed by ")
    (listed,) = json.loads(forget("--list", "--json").stdout)
    assert listed["versions"] == "calls@1"
    assert listed["proven"][:2] == "20"


@settings(deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=3, max_size=12),
    st.sampled_from(["utf-8", "utf-16-le", "json"]),
    st.integers(0, 40),
)
def test_search_folder_finds_text_however_it_is_spelled(
    tmp_path_factory: pytest.TempPathFactory, text: str, spelling: str, before: int
) -> None:
    folder = tmp_path_factory.mktemp("search")
    spelled = json.dumps(text).encode() if spelling == "json" else text.encode(spelling)
    (folder / "a.bin").write_bytes(b"\x00" * before + spelled + b"\x00\x00")
    (folder / "b.bin").write_bytes(b"\xfe" * 50)
    assert [(hit.path.name, hit.text) for hit in search_folder(folder, [text])] == [("a.bin", text)]
    hits = search_folder(
        folder,
        [text],
        skip=[folder / "a.bin"],
    )
    assert hits == ()


def test_search_folder_finds_what_lies_across_two_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.forget.search.BLOCK", 16)
    (tmp_path / "a").write_bytes(b"x" * 12 + b"needle in a haystack" + b"y" * 40)
    offsets = [hit.offset for hit in search_folder(tmp_path, ["needle in a haystack"])]
    assert offsets == [12]
