from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile
from typer.testing import CliRunner

from flows.cli.main import app
from flows.exchange.export import open_bundle
from flows.exchange.ours import import_export
from flows.exchange.theirs import import_manifest
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from voxdata.canonical import read_clip, write_canonical
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.errors import AudioError, ConfigError, ManifestError, WarehouseError
from voxdata.identity import digest
from voxdata.recording import canonical_file
from voxdata.segment import Segment
from warehouse.exchange.bundle import HEADER
from warehouse.exchange.formats import format_names
from warehouse.exchange.read import read_export
from warehouse.exchange.write import export_bundle, publish_bundle
from warehouse.recordings import list_recordings
from warehouse.verify import verify_all
from warehouse.versions import create_version, find_version, load_examples

TEXTS = ('it\'s 天气, "quoted"', "two\nlines", "", "我想退款。", "plain words", "a,b;c\td")


def build(root: Path) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    (root / FILE_NAME).write_text(template())
    made = open_workspace(root)
    with made.warehouse():
        return made


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three stereo recordings of two voices each, twelve utterances, three splits; some labelled
    under one scheme only.
    """
    made = build(tmp_path / "here")
    rng = np.random.default_rng(7)
    examples = []
    for number, split in enumerate(Split):
        recording = digest("recording", number)
        write_canonical(
            made.audio_dir / canonical_file(recording),
            rng.uniform(-0.5, 0.5, (16_000 * 6, 2)).astype(np.float32),
        )
        for i in range(4):
            at = number * 4 + i
            label = ("question", "answer", "request")[i % 3]
            gold = {
                "intent": GoldLabel(
                    label=label,
                    distribution={label: 0.666667, "statement": 0.333333},
                    num_votes=3,
                    standing="clear",
                )
            }
            if i % 2:
                gold["emotion"] = GoldLabel(
                    label="sad",
                    distribution={"sad": 1.0},
                    num_votes=2,
                    posterior={"sad": 0.9, "happy": 0.1},
                )
            examples.append(
                Example(
                    utterance_id=digest(
                        recording,
                        i % 2,
                        i * 1400 + 37,
                        i * 1400 + 1201,
                    ),
                    recording_id=recording,
                    channel=i % 2,
                    segment=Segment(start_ms=i * 1400 + 37, end_ms=i * 1400 + 1201),
                    voice=f"{recording}/S{i % 2}",
                    group=f"g{number}",
                    audio_file=canonical_file(recording),
                    text=TEXTS[at % len(TEXTS)],
                    language="zh" if at % 6 == 3 else "en",
                    gold=gold,
                    split=split,
                )
            )
    with made.warehouse() as con:
        create_version(
            con,
            "calls",
            examples,
            recipe={"consensus": "majority"},
            run_id="t",
        )
    return made


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def wanted(workspace: Workspace) -> dict[str, tuple[Example, Any]]:
    bundle = open_bundle(workspace, "calls")
    return {
        e.utterance_id: (
            e,
            np.rint(
                read_clip(bundle.audio_root / e.audio_file, channel=e.channel, segment=e.segment)
                * 32768
            ),
        )
        for e in bundle.examples
    }


def samples(content: bytes) -> Any:
    return soundfile.read(io.BytesIO(content), dtype="int16")[0]


@pytest.mark.parametrize("format_name", format_names())
def test_export_bundle_gives_the_same_bytes_again_and_verifies(
    workspace: Workspace, tmp_path: Path, format_name: str
) -> None:
    bundle = open_bundle(workspace, "calls")
    for place in ("one", "two", "one"):
        export_bundle(
            bundle,
            format_name=format_name,
            output=tmp_path / place,
            audio="clips",
        )
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    names = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert names == []
    export = read_export(tmp_path / "one")
    assert export.examples == bundle.examples
    assert export.root == bundle.version.root
    salts = [e.salt for e in export.examples]
    assert salts == [e.salt for e in bundle.examples]


@pytest.mark.parametrize("format_name", format_names())
def test_import_export_brings_root_and_sound_back(
    workspace: Workspace, tmp_path: Path, format_name: str
) -> None:
    export_bundle(
        open_bundle(workspace, "calls"),
        format_name=format_name,
        output=tmp_path / "out",
        audio="clips",
    )
    target = build(tmp_path / "there")
    version, new = import_export(
        target,
        read_export(tmp_path / "out"),
        name="copy",
        say=lambda line: None,
    )
    before = wanted(workspace)
    after = wanted_in(target, version.version_id)
    assert new is True
    assert version.root == open_bundle(workspace, "calls").version.root
    assert before.keys() == after.keys()
    for key, (example, sound) in before.items():
        assert after[key][0] == example
        np.testing.assert_array_equal(after[key][1], sound)
    with target.warehouse() as con:
        assert verify_all(con)[0].ok


def wanted_in(workspace: Workspace, version_id: str) -> dict[str, tuple[Example, Any]]:
    with workspace.warehouse() as con:
        examples = load_examples(con, version_id)
    return {
        e.utterance_id: (
            e,
            np.rint(
                read_clip(workspace.audio_dir / e.audio_file, channel=e.channel, segment=e.segment)
                * 32768
            ),
        )
        for e in examples
    }


def exported(workspace: Workspace, tmp_path: Path, format_name: str) -> Path:
    return export_bundle(
        open_bundle(workspace, "calls"),
        format_name=format_name,
        output=tmp_path / "out",
        audio="clips",
    )


def test_datasets_loads_the_huggingface_export(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(
        str(exported(workspace, tmp_path, "huggingface")),
        cache_dir=str(tmp_path / "cache"),
    )
    assert set(loaded) == {"train", "validation", "test"}
    seen = 0
    for split in loaded:
        names = loaded[split].features["intent"].names
        for row in loaded[split].cast_column("audio", datasets.Audio(decode=False)):
            example, sound = wanted(workspace)[row["utterance_id"]]
            assert row["text"] == example.text
            assert row["language"] == example.language
            assert names[row["intent"]] == example.gold["intent"].label
            assert example.split.value == split
            np.testing.assert_array_equal(samples(row["audio"]["bytes"]), sound)
            seen += 1
    assert seen == 12


def test_webdataset_reads_the_shards(workspace: Workspace, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    folder = exported(workspace, tmp_path, "webdataset")
    seen = 0
    for split in Split:
        for entry in webdataset.WebDataset(
            str(folder / f"{split.value}-000000.tar"),
            shardshuffle=False,
        ):
            example, sound = wanted(workspace)[entry["__key__"]]
            row = json.loads(entry["json"])
            assert row["text"] == example.text
            assert row["intent"] == example.gold["intent"].label
            assert row["split"] == split.value
            np.testing.assert_array_equal(samples(entry["flac"]), sound)
            seen += 1
    assert seen == 12


def test_lhotse_reads_the_shar_export(workspace: Workspace, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    folder = exported(workspace, tmp_path, "shar")
    seen = 0
    for split in Split:
        for cut in lhotse.CutSet.from_shar(in_dir=folder / split.value):
            example, sound = wanted(workspace)[cut.id]
            (supervision,) = cut.supervisions
            assert supervision.text == example.text
            assert supervision.speaker == example.voice
            assert supervision.custom["intent"] == example.gold["intent"].label
            np.testing.assert_array_equal(np.rint(cut.load_audio()[0] * 32768), sound)
            seen += 1
    assert seen == 12


def test_kaldi_export_is_sorted_and_has_every_text_on_a_line(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = exported(workspace, tmp_path, "kaldi")
    seen = 0
    for split in Split:
        place = folder / split.value
        rows = {}
        for name in ("wav.scp", "utt2spk", "utt2intent"):
            rows[name] = dict(
                line.split(" ", 1) for line in (place / name).read_text().splitlines()
            )
        assert list(rows["wav.scp"]) == sorted(rows["wav.scp"], key=str.encode)
        texts = {
            line.partition(" ")[0]: line.partition(" ")[2]
            for line in (place / "text").read_text().splitlines()
        }
        for key, where in rows["wav.scp"].items():
            example, sound = wanted(workspace)[key.rpartition("-")[2]]
            assert texts[key] == " ".join(example.text.split())
            assert rows["utt2intent"][key] == example.gold["intent"].label
            assert key.startswith(rows["utt2spk"][key])
            np.testing.assert_array_equal(samples((place / where).read_bytes()), sound)
            seen += 1
    assert seen == 12


def test_audformat_reads_its_export(workspace: Workspace, tmp_path: Path) -> None:
    audformat = pytest.importorskip("audformat")
    folder = exported(workspace, tmp_path, "audformat")
    db = audformat.Database.load(str(folder))
    seen = 0
    assert db.meta["voxdata_version_id"] == open_bundle(workspace, "calls").version.version_id
    for split in Split:
        for file, row in db[f"files.{split.value}"].df.iterrows():
            example, sound = wanted(workspace)[row["utterance_id"]]
            assert (row["text"] if isinstance(row["text"], str) else "") == example.text
            assert row["intent"] == example.gold["intent"].label
            np.testing.assert_array_equal(samples((folder / str(file)).read_bytes()), sound)
            seen += 1
    assert seen == 12


def test_tables_hold_the_rows(workspace: Workspace, tmp_path: Path) -> None:
    bundle = open_bundle(workspace, "calls")
    texts = [e.text for e in bundle.examples]
    for kind in ("parquet", "jsonl", "csv"):
        table = tmp_path / f"t.{kind}"
        export_bundle(bundle, format_name=kind, output=table)  # type: ignore[arg-type]
    assert pl.read_parquet(tmp_path / "t.parquet")["text"].to_list() == texts
    assert [
        json.loads(line)["text"] for line in (tmp_path / "t.jsonl").read_text().split("\n") if line
    ] == texts
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert [row["text"] for row in csv.DictReader(file)] == texts


@pytest.mark.parametrize("format_name", ["huggingface", "csv"])
def test_mlcroissant_validates_and_reads_records(
    workspace: Workspace, tmp_path: Path, format_name: str
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    folder = exported(workspace, tmp_path, format_name)
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "mlcroissant"),
            "validate",
            "--jsonld",
            str(folder / "croissant.json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()
    records = list(mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).records("utterances"))
    texts = [
        r["utterances/text"].decode()
        if isinstance(r["utterances/text"], bytes)
        else r["utterances/text"]
        for r in records
    ]
    assert texts == [e.text for e in open_bundle(workspace, "calls").examples]


@pytest.mark.parametrize("format_name", ["parquet", "webdataset"])
def test_publish_bundle_writes_a_partition_whose_header_comes_last(
    workspace: Workspace, tmp_path: Path, format_name: str
) -> None:
    bundle = open_bundle(workspace, "calls")
    url = f"file://{tmp_path}/store"
    place = publish_bundle(bundle, format_name=format_name, url=url)
    assert publish_bundle(bundle, format_name=format_name, url=url) == place
    folder = Path(place.removeprefix("file://"))
    assert folder.name == f"version=1-{bundle.version.version_id[:12]}"
    assert read_export(folder).root == bundle.version.root
    header = json.loads((folder / HEADER).read_text())
    (folder / HEADER).write_text(json.dumps({**header, "root": "0" * 64}))
    with pytest.raises(ConfigError, match="another version"):
        publish_bundle(bundle, format_name=format_name, url=f"file://{tmp_path}/store")


def test_export_bundle_refuses_what_it_would_spoil(workspace: Workspace, tmp_path: Path) -> None:
    bundle = open_bundle(workspace, "calls")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    with pytest.raises(ConfigError, match="something else"):
        export_bundle(bundle, format_name="kaldi", output=tmp_path / "mine")
    with pytest.raises(ConfigError, match="is a file"):
        export_bundle(
            bundle,
            format_name="kaldi",
            output=tmp_path / "mine" / "diary.txt",
        )
    with pytest.raises(ConfigError, match="is a folder"):
        export_bundle(bundle, format_name="csv", output=tmp_path / "mine")
    (workspace.audio_dir / bundle.examples[0].audio_file).unlink()
    with pytest.raises(AudioError, match=r"utterance .*voxdata ingest"):
        export_bundle(bundle, format_name="shar", output=tmp_path / "out")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["here", "mine"]


def test_export_bundle_refuses_a_scheme_named_like_a_column(
    workspace: Workspace, tmp_path: Path
) -> None:
    examples = open_bundle(workspace, "calls").examples
    with workspace.warehouse() as con:
        odd = {"text": examples[0].gold["intent"]}
        odd_examples = [replace(e, gold=odd) for e in examples]
        create_version(con, "odd", odd_examples, recipe={}, run_id="t")
    with pytest.raises(WarehouseError, match="clash"):
        export_bundle(
            open_bundle(workspace, "odd"),
            format_name="csv",
            output=tmp_path / "t.csv",
        )


@pytest.mark.parametrize("file", [HEADER, "rows.jsonl", "utterances.csv"])
def test_read_export_notices_what_was_changed(
    workspace: Workspace, tmp_path: Path, file: str
) -> None:
    folder = exported(workspace, tmp_path, "csv")
    text = (folder / file).read_text()
    (folder / file).write_text(text.replace("answer", "request", 1))
    with pytest.raises(ManifestError, match="export the version again"):
        read_export(folder)
    (folder / file).unlink()
    with pytest.raises(ManifestError):
        read_export(folder)


def test_import_manifest_makes_a_version_of_labelled_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    target = build(tmp_path / "w")
    for i in range(5):
        soundfile.write(
            tmp_path / f"{i}.wav",
            rng.uniform(-0.5, 0.5, 22_050),
            22_050,
        )
    lines = ["audio,emotion,speaker,split,text"]
    lines += [
        f"{i}.wav,{('高兴', 'sad')[i % 2]},s{i},{('train', 'dev', 'eval')[i % 3]},line {i}"
        for i in range(5)
    ]
    lines += [
        "0.wav,sad,s0,train,line 0 again",
        "missing.wav,sad,s9,train,x",
        "4.wav,sad,s4,nowhere,y",
        "3.wav,,s3,train,z",
    ]
    table_file = tmp_path / "m.csv"
    table_file.write_text("\n".join(lines), encoding="utf-8")
    version, new, imported = import_manifest(
        target,
        tmp_path / "m.csv",
        name="ravdess",
        scheme="feeling",
        label="emotion",
        say=lambda line: None,
    )
    assert new is True
    assert version.num_examples == 5
    examples = sorted((e.text, e.split.value, e.gold["feeling"].label) for e in imported.examples)
    assert examples == [
        (f"line {i}", ("train", "validation", "test")[i % 3], ("高兴", "sad")[i % 2])
        for i in range(5)
    ]
    assert len(imported.dropped) == 4
    with target.warehouse() as con:
        assert len(list_recordings(con)) == 5
    for column in ("label", "split"):
        (tmp_path / "n.csv").write_text(
            "\n".join(lines).replace("split" if column == "split" else "emotion", "other", 1)
        )
        with pytest.raises(ConfigError, match=f"no column '{column}'"):
            import_manifest(
                target,
                tmp_path / "n.csv",
                name="x",
                scheme="emotion",
                say=lambda line: None,
                label="label" if column == "label" else "emotion",
            )


def test_export_and_import_commands(workspace: Workspace, tmp_path: Path) -> None:
    def run(*arguments: str, at: Path = workspace.root) -> Any:
        return CliRunner().invoke(app, ["--dir", str(at), *arguments])

    assert run("export", "calls").stdout.strip() == str(workspace.exports_dir / "calls-1.parquet")
    folder = run("export", "calls@1", "--format", "webdataset").stdout.strip()
    assert Path(folder).is_dir()
    assert run("import", folder, "--check").exit_code == 0
    other = build(tmp_path / "other")
    done = run("import", folder, "--name", "calls", at=other.root)
    assert done.exit_code == 0
    assert (other.state_dir / "statements" / "calls@1.json").is_file()
    with other.warehouse() as con:
        assert find_version(con, "calls").root == open_bundle(workspace, "calls").version.root
    assert isinstance(run("import", folder).exception, ConfigError)
    assert isinstance(run("export", "nope").exception, Exception)
