from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import numpy as np
import polars as pl
import pytest
import soundfile  # type: ignore[import-untyped]
from typer.testing import CliRunner

from flows.cli.main import app
from flows.exchange.export import open_bundle
from flows.exchange.ours import import_export
from flows.exchange.their_rows import read_labelled
from flows.exchange.theirs import import_manifest
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from voxdata.canonical import read_clip, write_canonical
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.errors import ConfigError, TransientError, WarehouseError
from voxdata.identity import digest
from voxdata.recording import canonical_file
from voxdata.segment import Segment
from voxdata.tables.read import Format as Foreign
from warehouse.exchange.bundle import HEADER, Bundle, complete_scheme
from warehouse.exchange.formats import format_names
from warehouse.exchange.kaldi import _speakers
from warehouse.exchange.read import fetch_export, read_export
from warehouse.exchange.write import export_bundle, publish_bundle
from warehouse.versions import create_version

LABELS = ("退款", "a, b", 'said "no"')


def build(root: Path) -> Workspace:
    root.mkdir(parents=True)
    (root / FILE_NAME).write_text(template())
    made = open_workspace(root)
    with made.warehouse():
        return made


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Six mono recordings of one voice and one utterance each, labelled under "topic", which is no
    scheme of the workspace.
    """
    made = build(tmp_path / "here")
    rng = np.random.default_rng(3)
    examples = []
    for at in range(6):
        recording = digest("recording", at)
        write_canonical(
            made.audio_dir / canonical_file(recording),
            rng.uniform(-0.5, 0.5, (16_000, 1)).astype(np.float32),
        )
        label = LABELS[at % 3]
        examples.append(
            Example(
                utterance_id=digest(recording, 0, 100, 800 + at),
                recording_id=recording,
                channel=0,
                segment=Segment(start_ms=100, end_ms=800 + at),
                voice=f"v{at}",
                group=f"g{at}",
                audio_file=canonical_file(recording),
                text=f"句子 {at}",
                language="zh",
                split=list(Split)[at // 2],
                gold={
                    "topic": GoldLabel(
                        label=label,
                        distribution={label: 1.0},
                        num_votes=1,
                    )
                },
            )
        )
    with made.warehouse() as con:
        create_version(con, "calls", examples, recipe={}, run_id="t")
    return made


def sound_of(workspace: Workspace, example: Example) -> Any:
    return np.rint(
        read_clip(
            workspace.audio_dir / example.audio_file,
            channel=example.channel,
            segment=example.segment,
        )
        * 32768
    )


@pytest.mark.parametrize("format_name", ["kaldi", "huggingface", "shar", "audformat"])
def test_import_manifest_reads_what_strangers_have(
    workspace: Workspace, tmp_path: Path, format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    bundle = open_bundle(workspace, "calls")
    folder = export_bundle(bundle, format_name=format_name, output=tmp_path / "out")
    for ours in (HEADER, "rows.jsonl", "croissant.json"):
        (folder / ours).unlink()
    kind: Foreign = "lhotse" if format_name == "shar" else format_name  # type: ignore[assignment]
    target = build(tmp_path / "there")
    version, _, imported = import_manifest(
        target,
        folder,
        name="theirs",
        scheme="topic",
        label="topic",
        kind=kind,
        say=lambda line: None,
    )
    assert version.num_examples == 6
    assert imported.dropped == ()
    before = {e.text: e for e in bundle.examples}
    for example in imported.examples:
        same = before[example.text]
        assert example.split == same.split
        assert example.language == "zh"
        assert example.voice == f"theirs:{same.voice}"
        assert example.gold["topic"].label == same.gold["topic"].label
        np.testing.assert_array_equal(sound_of(target, example), sound_of(workspace, same))


def test_lhotse_reads_the_kaldi_export(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaldi = pytest.importorskip("lhotse.kaldi")
    bundle = open_bundle(workspace, "calls")
    folder = export_bundle(bundle, format_name="kaldi", output=tmp_path / "out")
    by_text = {e.text: e for e in bundle.examples}
    for split in Split:
        monkeypatch.chdir(folder / split.value)
        recordings, segments, _ = kaldi.load_kaldi_data_dir(
            folder / split.value, sampling_rate=16_000
        )
        assert len(segments) == len(bundle.of(split)) == 2
        for segment in segments:
            example = by_text[segment.text]
            assert segment.speaker == example.voice
            assert segment.language == "zh"
            assert example.split == split
            np.testing.assert_array_equal(
                np.rint(recordings[segment.recording_id].load_audio()[0] * 32768),
                sound_of(workspace, example),
            )


def test_import_manifest_reads_datasets_that_were_saved_to_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rng = np.random.default_rng(5)
    tables = {}
    for split in ("train", "test"):
        names = [str(tmp_path / f"{split}{i}.wav") for i in range(2)]
        for name in names:
            noise = rng.uniform(-0.5, 0.5, 16_000)
            soundfile.write(name, noise, 16_000)
        labels = datasets.ClassLabel(names=["no", "是"])
        features = datasets.Features(
            {"audio": datasets.Audio(), "label": labels, "speaker_id": datasets.Value("int64")}
        )
        numbers = [0, 1] if split == "train" else [2, 3]
        tables[split] = datasets.Dataset.from_dict(
            {"audio": names, "label": [0, 1], "speaker_id": numbers},
            features=features,
        )
    datasets.DatasetDict(tables).save_to_disk(str(tmp_path / "saved"))
    _, _, imported = import_manifest(
        build(tmp_path / "w"),
        tmp_path / "saved",
        name="hf",
        scheme="answer",
        kind="huggingface",
        say=lambda line: None,
    )
    examples = sorted((e.voice, e.split.value, e.gold["answer"].label) for e in imported.examples)
    assert examples == [
        ("hf:0", "train", "no"),
        ("hf:1", "train", "是"),
        ("hf:2", "test", "no"),
        ("hf:3", "test", "是"),
    ]


def test_import_manifest_cuts_by_start_and_end_and_tells_why_rows_are_dropped(
    tmp_path: Path,
) -> None:
    signal = np.random.default_rng(1).uniform(-0.5, 0.5, 32_000)
    soundfile.write(tmp_path / "a.wav", signal, 16_000, subtype="PCM_16")
    soundfile.write(tmp_path / "copy.wav", signal, 16_000, subtype="PCM_16")
    rows = [
        "audio,label,speaker,split,start,end",
        "a.wav,x,s,train,0,0.5",
        "a.wav,y,s,train,0.5,2",
        "copy.wav,x,s,train,0,0.5",
    ]
    rows += [
        "a.wav,x,s,train,1,1",
        "a.wav,x,s,train,soon,2",
        "a.wav,x,s,train,1,9",
        "a.wav,x,s,train,-1,1",
        "a.wav,x,s,train,nan,1",
    ]
    table_file = tmp_path / "m.csv"
    table_file.write_text("\n".join(rows))
    target = build(tmp_path / "w")
    _, _, imported = import_manifest(
        target,
        tmp_path / "m.csv",
        name="m",
        scheme="s",
        say=lambda line: None,
    )
    examples = [
        (e.segment.start_ms, e.segment.end_ms, e.gold["s"].label) for e in imported.examples
    ]
    assert examples == [
        (0, 500, "x"),
        (500, 2000, "y"),
    ]
    written = soundfile.read(tmp_path / "a.wav", dtype="int16")[0]
    np.testing.assert_array_equal(sound_of(target, imported.examples[1]), written[8000:])
    assert len(imported.dropped) == 6
    why = dict(imported.dropped)
    assert why[4] == "it has the same sound as row 2"
    assert "no number" in why[6]
    assert "the recording at 2.0 s" in why[7]
    with target.warehouse(read_only=True) as con:
        stored = con.execute("SELECT count(*) FROM ledger WHERE stage = 'import'").fetchone()
    assert stored == (6,)


@pytest.mark.parametrize("kind", ["kaldi", "lhotse", "huggingface", "audformat"])
def test_read_labelled_refuses_what_it_cannot_read(tmp_path: Path, kind: Foreign) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "scratch").mkdir()
    for path in (tmp_path / "empty", tmp_path / "gone"):
        with pytest.raises(ConfigError, match=path.name):
            read_labelled(path, kind=kind, scratch=tmp_path / "scratch")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
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
    fsspec.filesystem("s3").clear_instance_cache()
    fsspec.filesystem("s3").mkdir("store")
    yield "s3://store/sets"
    server.stop()
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.slow
def test_publish_bundle_goes_to_an_s3_bucket_and_comes_back(
    workspace: Workspace, tmp_path: Path, bucket: str
) -> None:
    bundle = open_bundle(workspace, "calls")
    place = publish_bundle(bundle, format_name="parquet", url=bucket)
    assert place == f"{bucket}/calls/version=1-{bundle.version.version_id[:12]}"
    fs = fsspec.filesystem("s3")
    stored = pl.read_parquet(fs.cat_file(f"{place}/part-00000.parquet"))
    assert stored["topic"].to_list() == [e.gold["topic"].label for e in bundle.examples]
    assert publish_bundle(bundle, format_name="webdataset", url=bucket) == place
    assert not fs.exists(f"{place}/part-00000.parquet")
    (tmp_path / "back").mkdir()
    export = read_export(fetch_export(place, tmp_path / "back"))
    target = build(tmp_path / "there")
    version, _ = import_export(
        target,
        export,
        name="calls",
        say=lambda line: None,
    )
    assert version.root == bundle.version.root
    with pytest.raises(ConfigError, match=HEADER):
        fetch_export(f"{bucket}/nothing", tmp_path / "back")


def test_publish_bundle_tells_what_is_wrong_with_a_store(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(workspace, "calls")
    with pytest.raises(ConfigError, match="cannot be opened"):
        publish_bundle(bundle, format_name="csv", url="nowhere://x/y")
    place = publish_bundle(bundle, format_name="csv", url="memory://sets")
    fs, root = fsspec.core.url_to_fs(place)
    assert sorted(path.rpartition("/")[2] for path in fs.find(root)) == [
        "croissant.json",
        "part-00000.csv",
        "rows.jsonl",
        HEADER,
    ]
    fs.pipe_file(f"{root}/{HEADER}", b"{")
    with pytest.raises(ConfigError, match="malformed"):
        publish_bundle(bundle, format_name="csv", url="memory://sets")
    fs.rm(root, recursive=True)
    assert publish_bundle(bundle, format_name="csv", url="memory://sets") == place
    with monkeypatch.context() as patch:
        patch.setattr(type(fs), "put_file", _broken)
        with pytest.raises(TransientError, match="try again"):
            publish_bundle(bundle, format_name="jsonl", url="memory://sets")
    assert not fs.exists(f"{root}/{HEADER}")
    # Trying again goes on where it broke off, whatever the format was.
    assert publish_bundle(bundle, format_name="jsonl", url="memory://sets") == place
    assert sorted(path.rpartition("/")[2] for path in fs.find(root)) == [
        "croissant.json",
        "part-00000.jsonl",
        "rows.jsonl",
        HEADER,
    ]


def _broken(*arguments: object, **options: object) -> None:
    raise socket.gaierror("the network is down")


def test_export_bundle_says_when_it_cannot_write(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for format_name in ("csv", "kaldi"):
        with pytest.raises(ConfigError, match="cannot be written"):
            export_bundle(
                open_bundle(workspace, "calls"),
                format_name=format_name,
                output=tmp_path / "file" / "below" / "x",
            )


@pytest.mark.parametrize(
    ("format_name", "scheme"),
    [("kaldi", "spk"), ("huggingface", "audio"), ("audformat", "speaker")],
)
def test_export_bundle_refuses_a_scheme_that_the_format_calls_something_else(
    workspace: Workspace, tmp_path: Path, format_name: str, scheme: str
) -> None:
    bundle = _renamed(open_bundle(workspace, "calls"), scheme)
    with pytest.raises(WarehouseError, match=f"'{scheme}' clashes"):
        export_bundle(bundle, format_name=format_name, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export_bundle(bundle, format_name="webdataset", output=tmp_path / "out").is_dir()


def _renamed(bundle: Bundle, scheme: str) -> Bundle:
    examples = tuple(replace(e, gold={scheme: e.gold["topic"]}) for e in bundle.examples)
    return replace(
        bundle,
        examples=examples,
        schemes=tuple(replace(s, name=scheme) for s in bundle.schemes),
    )


def test_complete_scheme_keeps_labels_that_the_workspace_has_no_more(workspace: Workspace) -> None:
    intent = next(s for s in workspace.schemes if s.name == "intent")
    completed = complete_scheme("intent", ["question"], workspace.schemes)
    assert completed.label_names == intent.label_names
    completed = complete_scheme("intent", ["zz", "old", "question"], workspace.schemes)
    assert completed.label_names == (
        *intent.label_names,
        "old",
        "zz",
    )
    completed = complete_scheme("topic", ["b", "a"], workspace.schemes)
    assert completed.label_names == ("a", "b")


def test_kaldi_speakers_stay_apart_when_their_names_look_alike() -> None:
    names = _speakers(["a b", "a_b", "c/d", "张三"])
    assert names["c/d"] == "c_d"
    assert names["张三"] == "张三"
    assert len(set(names.values())) == 4


@pytest.mark.parametrize("format_name", format_names())
def test_export_bundle_writes_a_version_without_examples(
    workspace: Workspace, tmp_path: Path, format_name: str
) -> None:
    bundle = replace(
        open_bundle(workspace, "calls"),
        examples=(),
        schemes=(),
    )
    assert export_bundle(bundle, format_name=format_name, output=tmp_path / "out").exists()


def test_import_command_speaks_json(workspace: Workspace, tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["--dir", str(workspace.root), *arguments])

    made = json.loads(
        run("export", "calls", "--format", "csv", "--audio", "clips", "--json").stdout
    )
    checked = json.loads(run("import", made["path"], "--check", "--json").stdout)
    assert checked == {
        "version": "calls@1",
        "root": made["root"],
        "num_examples": 6,
        "verified": True,
    }
    again = json.loads(run("import", made["path"], "--name", "calls", "--json").stdout)
    assert again["new"] is False
    assert again["root"] == made["root"]
    assert isinstance(
        run("import", "s3://x/y", "--format", "kaldi", "--name", "n").exception,
        ConfigError,
    )
