"""Tables that failed somewhere, by the commands that read them: every row is read as it stands, or
said to be bad.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
import soundfile  # type: ignore[import-untyped]

from flows.cli.main import main
from flows.ingest.manifests import read_manifest
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from voxdata.dataset import Example
from voxdata.errors import ConfigError
from warehouse.ledger import list_drops
from warehouse.recordings import list_recordings
from warehouse.versions import find_version, list_versions, load_examples

CASES = Path(__file__).parents[2] / "data/cases"


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    root = tmp_path / "workspace"
    root.mkdir()
    settings_file = root / FILE_NAME
    settings_file.write_text(template(), encoding="utf-8")
    return open_workspace(root)


@pytest.fixture
def voxdata(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """The command line, in this process."""

    def run(*words: str | Path) -> Done:
        monkeypatch.setattr(
            sys,
            "argv",
            ["voxdata", "--dir", str(workspace.root), *map(str, words)],
        )
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CASES, tmp_path / "cases"))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder with a.wav to f.wav, each of one second and of its own sound."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, name in enumerate("abcdef"):
        soundfile.write(
            folder / f"{name}.wav",
            np.random.default_rng(number).uniform(-0.5, 0.5, 16_000),
            16_000,
        )
    return folder


def imported(workspace: Workspace, name: str = "d") -> list[Example]:
    with workspace.warehouse(read_only=True) as con:
        return load_examples(con, find_version(con, name).version_id)


def dropped(workspace: Workspace) -> list[str]:
    with workspace.warehouse(read_only=True) as con:
        return [drop.detail for drop in list_drops(con)]


def nothing_was_written(workspace: Workspace) -> bool:
    with workspace.warehouse() as con:
        rows = [list_recordings(con), list_versions(con), list_drops(con)]
    return rows == [[], [], []] and not list(workspace.audio_dir.rglob("*.flac"))


def import_words(path: Path, *more: str | Path) -> list[str | Path]:
    return ["import", path, "--name", "d", "--scheme", "s", *more]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


# Quotes (C2)


def test_import_keeps_quotes_of_a_tsv_as_written(
    voxdata: Command, workspace: Workspace, cases: Path
) -> None:
    done = voxdata(*import_words(cases / "tsv_quotes/cv_quote.tsv", "--json"))
    printed = json.loads(done.out)
    assert done.code == 0
    assert printed["num_examples"] == 5
    assert printed["dropped"] == []
    texts = {e.text for e in imported(workspace)}
    assert texts == {'"Stop it', "hello", "and", '"no', "bye"}


def test_audit_reads_every_row_of_a_tsv_with_quotes(voxdata: Command, cases: Path) -> None:
    done = voxdata("audit", cases / "tsv_quotes/cv_quote.tsv", "--no-audio", "--json")
    counts = json.loads(done.out)["num_rows"]
    assert done.code == 0
    assert sum(sum(split.values()) for split in counts.values()) == 5


def test_ingest_manifest_counts_every_row_of_a_tsv_with_quotes(
    voxdata: Command, cases: Path
) -> None:
    done = voxdata("ingest", "--manifest", cases / "tsv_quotes/cv_quote.tsv")
    assert done.code == 0
    assert "manifest: 5 rows, 0 bad" in done.err


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ('path,text\na.wav,"Stop it\nb.wav,hello\nc.wav,"no\nd.wav,bye\n', 2, [2, 4]),
        ('path,text\r\na.wav,"Stop it\r\nb.wav,hello\r\n', 1, [2]),
        ('path,text\na.wav,"one, ""two""\nthree"\nb.wav,x\n', 2, []),
        ('path,text,note\na.wav,"Stop it,x\nb.wav,hello,y\nc.wav,no",z\n', 2, [2]),
        ('path,text\na.wav,say "hi" now\nb.wav,"hi" there\n', 1, [3]),
        ("path,text\na.wav,x,y\nb.wav\n\nc.wav,z,\n", 2, [2]),
    ],
)
def test_read_manifest_gives_every_row_of_a_csv_as_good_or_bad(
    tmp_path: Path,
    text: str,
    good: int,
    bad: list[int],
) -> None:
    path = write(tmp_path / "m.csv", text)
    rows, trouble = read_manifest(path)
    assert len(rows) == good
    assert [row.number for row in trouble] == bad


def test_read_manifest_keeps_balanced_quotes_of_a_tsv(tmp_path: Path) -> None:
    (row,), bad = read_manifest(
        write(tmp_path / "m.tsv", 'path\ttext\na.wav\t"hi ""there""", he said\n')
    )
    assert row.metadata["text"] == '"hi ""there""", he said'
    assert bad == []


def test_read_manifest_counts_rows_that_repeat_another(tmp_path: Path) -> None:
    (row,), bad = read_manifest(
        write(tmp_path / "m.csv", "path,call_id\na.wav,1\na.wav,1\na.wav,2\n")
    )
    assert row.repeats == 1
    assert [trouble.number for trouble in bad] == [4]


# Stretches (C3)


def places(workspace: Workspace) -> list[tuple[int, int, str]]:
    return sorted(
        (e.segment.start_ms, e.segment.end_ms, e.gold["s"].label) for e in imported(workspace)
    )


def test_import_takes_the_segments_of_a_nemo_manifest(
    voxdata: Command, workspace: Workspace, cases: Path
) -> None:
    done = voxdata(*import_words(cases / "nemo_segments/nemo_seg.jsonl"))
    assert done.code == 0
    assert places(workspace) == [
        (0, 200, "a"),
        (100, 300, "a"),
        (250, 450, "b"),
    ]


@pytest.mark.parametrize(
    "times",
    [
        {"start": 0.25, "end": 0.75},
        {"start_ms": 250, "end_ms": 750},
        {"begin": "0.25", "end": "0.75"},
        {"begin_time": 0.25, "end_time": 0.75},
        {"Start_Time": 0.25, "End_Time": 0.75},
        {"start": 0.25, "duration": 0.5},
        {"offset": 0.25, "duration": 0.5},
        {"offset_ms": 250, "duration_ms": 500},
        {"tbeg": 0.25, "tdur": 0.5},
        {"onset": 0.25, "offset": 0.75},
        {"xmin": 0.25, "xmax": 0.75},
        {"start": "٠.٢٥", "end": "٠.٧٥"},
    ],
    ids=lambda times: "-".join(times),
)
def test_import_knows_what_times_are_called(
    voxdata: Command,
    workspace: Workspace,
    clips: Path,
    times: dict[str, Any],
) -> None:
    rows = [{"audio": f"{name}.wav", "label": "x", "split": "train", **times} for name in "ab"]
    table = write(clips / "m.jsonl", "\n".join(map(json.dumps, rows)))
    done = voxdata(*import_words(table))
    assert done.code == 0
    assert "not used" not in done.err
    assert places(workspace) == [(250, 750, "x"), (250, 750, "x")]


def test_import_names_times_that_it_does_not_use(voxdata: Command, clips: Path) -> None:
    table = write(
        clips / "m.csv", "audio,label,split,start_sample,speech_end\na.wav,x,train,10,2\n"
    )
    done = voxdata(*import_words(table))
    assert done.code == 0
    assert "not used as a time: start_sample, speech_end" in done.err


def test_ingest_plan_names_times_of_a_manifest(voxdata: Command, cases: Path) -> None:
    done = voxdata("ingest", "--manifest", cases / "nemo_segments/nemo_seg.jsonl", "--plan")
    assert "not used: offset, duration" in done.err


def test_import_tells_milliseconds_under_a_name_of_seconds(
    voxdata: Command, workspace: Workspace, clips: Path
) -> None:
    table = write(
        clips / "m.csv", "audio,label,split,start,end\na.wav,x,train,250,750\nb.wav,x,train,0,1\n"
    )
    assert voxdata(*import_words(table)).code == 0
    assert ["start_ms and end_ms" in why for why in dropped(workspace)] == [True]


def test_import_takes_a_duration_alone_for_the_length_or_for_the_beginning(
    voxdata: Command, workspace: Workspace, clips: Path
) -> None:
    table = write(
        clips / "m.csv", "audio,label,split,duration\na.wav,x,train,0.98\nb.wav,y,train,0.5\n"
    )
    assert voxdata(*import_words(table)).code == 0
    assert places(workspace) == [(0, 500, "y"), (0, 1000, "x")]


def test_import_reads_lhotse_cuts_by_supervision(
    voxdata: Command, workspace: Workspace, clips: Path
) -> None:
    recording = {
        "id": "r",
        "sources": [{"type": "file", "channels": [0], "source": "a.wav"}],
        "sampling_rate": 16_000,
    }
    said = [
        {
            "id": "1",
            "start": 0.1,
            "duration": 0.2,
            "speaker": "s",
            "text": "one",
            "custom": {"label": "x"},
        },
        {
            "id": "2",
            "start": 0.3,
            "duration": 0.1,
            "speaker": "s",
            "text": "two",
            "custom": {"label": "y"},
        },
    ]
    cut = {
        "id": "c",
        "start": 0.2,
        "duration": 0.5,
        "channel": 0,
        "recording": recording,
        "supervisions": said,
    }
    table = write(clips / "cuts.jsonl", json.dumps({**cut, "custom": {"split": "train"}}))
    assert voxdata(*import_words(table)).code == 0
    assert places(workspace) == [(300, 500, "x"), (500, 600, "y")]


def test_import_of_a_lhotse_cut_takes_its_supervision_only(
    voxdata: Command, workspace: Workspace, clips: Path
) -> None:
    lhotse = pytest.importorskip("lhotse")
    recording = lhotse.Recording.from_file(clips / "a.wav")
    supervision = lhotse.SupervisionSegment(
        id="s",
        recording_id=recording.id,
        start=0.25,
        duration=0.5,
        custom={"label": "x", "split": "train"},
    )
    cut = lhotse.MonoCut(
        id="c",
        start=0,
        duration=1,
        channel=0,
        recording=recording,
        supervisions=[supervision],
    )
    lhotse.CutSet.from_cuts([cut]).to_file(clips / "cuts.jsonl.gz")
    done = voxdata(*import_words(clips / "cuts.jsonl.gz", "--format", "lhotse"))
    assert done.code == 0
    durations_ms = [e.segment.duration_ms for e in imported(workspace)]
    assert durations_ms == [500]


# JSON lines under any name (C3b)


@pytest.mark.parametrize(
    "name",
    ["nemo.json", "nemo.txt", "nemo.manifest", "nemo", "nemo.csv", "nemo.json.gz"],
)
def test_ingest_plan_reads_json_lines_whatever_the_suffix(
    voxdata: Command, cases: Path, name: str
) -> None:
    folder = cases / "nemo_segments"
    content = (folder / "nemo.json").read_bytes()
    (folder / "nemo.json").unlink()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    done = voxdata("ingest", "--manifest", folder / name, "--plan", "--json")
    assert done.code == 0
    names = [Path(row["uri"]).name for row in json.loads(done.out)]
    assert names == ["c0.wav", "c1.wav"]


def test_read_manifest_reads_a_json_list(tmp_path: Path) -> None:
    rows, bad = read_manifest(
        write(tmp_path / "m.json", '[\n {"path": "a.wav"},\n 7,\n {"path": "b.wav"}]')
    )
    assert [row.number for row in rows] == [1, 3]
    assert [row.number for row in bad] == [2]


# Names that look the same (C7)


def test_import_refuses_a_voice_in_two_splits_under_two_unicode_forms(
    voxdata: Command, workspace: Workspace, cases: Path
) -> None:
    done = voxdata(*import_words(cases / "nfd_speaker/nfd.csv"))
    assert done.code == 1
    assert "in two splits" in done.err
    assert "Traceback" not in done.err
    assert nothing_was_written(workspace)


def test_audit_ends_with_1_on_one_person_and_label_in_two_unicode_forms(
    voxdata: Command, cases: Path
) -> None:
    done = voxdata("audit", cases / "nfd_speaker/nfd.csv", "--no-audio", "--json")
    leaks = [f["check"] for f in json.loads(done.out)["findings"] if f["severity"] == "leak"]
    assert done.code == 1
    assert leaks == ["speakers"]


def test_audit_finds_a_speaker_under_two_unicode_forms(voxdata: Command, cases: Path) -> None:
    table = cases / "nfd_speaker/nfd.csv"
    text = table.read_text(encoding="utf-8")
    write(table, text + "c0.wav,calm,s,train,a\nc1.wav,calm,t,test,b\n")
    done = voxdata("audit", table, "--no-audio", "--json")
    printed = json.loads(done.out)
    assert done.code == 1
    checks = [f["check"] for f in printed["findings"] if f["severity"] == "leak"]
    assert checks == ["speakers"]
    assert sorted(printed["num_rows"]["train"]) == ["calm", "énervé"]


@pytest.mark.parametrize(
    "other",
    ["Jose\u0301", "Jos\u00e9\u200b", "\u2060Jose\u200d\u0301", "\ufeffJos\u00e9\u00a0"],
    ids=ascii,
)
def test_import_makes_labels_one_that_look_the_same(
    voxdata: Command, workspace: Workspace, clips: Path, other: str
) -> None:
    table = write(
        clips / "m.csv",
        f"audio,label,split\na.wav,Jos\u00e9,train\nb.wav,{other},test\n",
    )
    assert voxdata(*import_words(table)).code == 0
    labels = {e.gold["s"].label for e in imported(workspace)}
    assert labels == {"Jos\u00e9"}


@pytest.mark.parametrize(
    ("one", "other"),
    [("007", "7"), ("Agent 1", "agent 1"), ("spk_1", "SPK１")],
)
def test_audit_and_import_remark_on_people_with_nearly_the_same_name(
    voxdata: Command, clips: Path, one: str, other: str
) -> None:
    rows = f"a.wav,x,{one},train\nb.wav,y,{other},test\nc.wav,y,w,train\nd.wav,x,v,test\n"
    table = write(clips / "m.csv", f"audio,label,speaker,split\n{rows}")
    said = voxdata(*import_words(table))
    assert said.code == 0
    assert f"{one!r}" in said.err
    assert f"{other!r}" in said.err
    done = voxdata("audit", table, "--no-audio", "--json")
    (finding,) = [f for f in json.loads(done.out)["findings"] if f["check"] == "speakers_alike"]
    assert done.code == 0
    assert finding["severity"] == "note"
    assert one in finding["title"]


def test_audit_finds_a_column_whose_name_has_characters_of_no_width(
    voxdata: Command, clips: Path
) -> None:
    table = write(clips / "m.csv", "audio,\u200bLabel,split\na.wav,x,train\nb.wav,y,test\n")
    assert voxdata("audit", table, "--no-audio").code == 0


# No value (C8)


@pytest.mark.parametrize("name", ["nan.parquet", "nan.jsonl"])
def test_import_takes_nan_for_no_value(
    voxdata: Command, workspace: Workspace, cases: Path, name: str
) -> None:
    done = voxdata(*import_words(cases / "nan_speaker" / name))
    examples = imported(workspace)
    assert done.code == 0
    labels = {e.gold["s"].label for e in examples}
    assert labels == {"angry", "sad"}
    known = {e.voice for e in examples} - {f"d:{e.recording_id}" for e in examples}
    assert known == ({"d:7"} if name == "nan.parquet" else set())


def test_audit_finds_no_leak_of_a_person_called_nan(voxdata: Command, cases: Path) -> None:
    for name in ("nan.parquet", "nan.jsonl"):
        done = voxdata(
            "audit",
            cases / "nan_speaker" / name,
            "--no-audio",
            "--json",
        )
        printed = json.loads(done.out)
        assert done.code == 0
        assert printed["leak"] is False
        assert "nan" not in str(printed["num_rows"])


def test_read_manifest_keeps_no_nan_and_whole_numbers(cases: Path) -> None:
    rows, _ = read_manifest(cases / "nan_speaker/nan.parquet")
    assert [row.metadata.get("speaker") for row in rows] == ["7", None, None]


@pytest.mark.parametrize(
    "spelled",
    ["nan", "NaN", "<NA>", "#N/A", "None", "NULL", "n/a", "  "],
)
def test_audit_takes_no_spelling_of_nothing_for_a_person(
    voxdata: Command, clips: Path, spelled: str
) -> None:
    rows = f"a.wav,x,{spelled},train\nb.wav,y,{spelled},test\nc.wav,y,w,train\nd.wav,x,v,test\n"
    table = write(clips / "m.csv", f"audio,label,speaker,split\n{rows}")
    assert voxdata("audit", table, "--no-audio").code == 0


def test_read_manifest_keeps_words_that_only_look_like_nothing(tmp_path: Path) -> None:
    text = "path,text,language,label,speaker\na.wav,null,nan,none,Nan\n"
    path = write(tmp_path / "m.csv", text)
    (row,), _ = read_manifest(path)
    assert dict(row.metadata) == {
        "text": "null",
        "language": "nan",
        "label": "none",
        "speaker": "Nan",
    }


def test_audit_takes_7_and_7_0_for_one_person(voxdata: Command, clips: Path) -> None:
    table = write(clips / "m.csv", "audio,label,speaker,split\na.wav,x,7.0,train\nb.wav,y,7,test\n")
    assert voxdata("audit", table, "--no-audio").code == 1


def test_read_manifest_reads_ids_of_a_parquet_with_gaps(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "path": ["a", "b", "c"],
            "agent_id": [7.0, None, float("nan")],
            "gain": [0.5, 2.0, float("inf")],
        }
    )
    frame.write_parquet(tmp_path / "m.parquet")
    rows, _ = read_manifest(tmp_path / "m.parquet")
    assert [dict(row.metadata) for row in rows] == [
        {"agent_id": "7", "gain": "0.5"},
        {"gain": "2"},
        {},
    ]


# Hugging Face without a label (C13)


def test_import_of_huggingface_costs_rows_without_a_label_only(
    voxdata: Command, workspace: Workspace, cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    done = voxdata(*import_words(cases / "hf_minus1", "--format", "huggingface", "--json"))
    printed = json.loads(done.out)
    assert done.code == 0
    assert printed["num_examples"] + len(printed["dropped"]) == 4
    assert len(printed["dropped"]) == 2
    assert dropped(workspace) == ["its label is -1, which is none of its 2 classes"] * 2


# A column twice (C14)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.csv", "audio,label,speaker,split,label\na.wav,x,s,train,y\n"),
        ("m.tsv", "audio\tlabel\tsplit\tlabel\na.wav\tx\ttrain\ty\n"),
        ("m.csv", "audio,label,split,\u200bLabel \na.wav,x,train,y\n"),
    ],
)
def test_every_command_refuses_a_column_twice(
    voxdata: Command, workspace: Workspace, clips: Path, name: str, text: str
) -> None:
    table = write(clips / name, text)
    for words in (
        import_words(table),
        ["ingest", "--manifest", table],
        ["audit", table, "--no-audio"],
    ):
        done = voxdata(*words)
        assert done.code == 2
        assert "label" in done.err
        assert "twice" in done.err
    assert nothing_was_written(workspace)


def test_read_manifest_refuses_a_parquet_with_a_column_twice(tmp_path: Path) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    pq.write_table(
        pa.table(
            [
                pa.array(["a"]),
                pa.array(["b"]),
            ],
            names=["path", "path"],
        ),
        tmp_path / "m.parquet",
    )
    with pytest.raises(ConfigError, match="'path' is in the header twice"):
        read_manifest(tmp_path / "m.parquet")


def test_read_manifest_refuses_a_json_row_with_a_name_twice(tmp_path: Path) -> None:
    rows, bad = read_manifest(
        write(
            tmp_path / "m.jsonl",
            '{"path": "a", "x": 1, "x": 2}\n{"path": "b", "X": 1, "x": 2}\n{"path": "c"}\n',
        )
    )
    assert [row.number for row in rows] == [3]
    assert [row.number for row in bad] == [1, 2]


# Line ends (C16)


def test_import_of_kaldi_keeps_separators_inside_a_text(
    voxdata: Command, workspace: Workspace, cases: Path
) -> None:
    words = import_words(
        cases / "kaldi_linesep",
        "--format",
        "kaldi",
        "--label",
        "emotion",
        "--audio-root",
        cases,
    )
    assert voxdata(*words).code == 0
    texts = sorted(e.text for e in imported(workspace))
    assert texts == ["hello\u2028world again"] * 2 + ["one\x0btwo"] * 2


@pytest.mark.parametrize(
    "inside",
    ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"],
)
@pytest.mark.parametrize(
    "name",
    ["m.csv", "m.tsv", "q.csv", "m.jsonl", "kaldi"],
)
def test_read_manifest_ends_lines_at_a_line_feed_alone(
    tmp_path: Path, name: str, inside: str
) -> None:
    text = f"one{inside}two"
    if name == "kaldi":
        write(tmp_path / "wav.scp", "u a.wav\nv b.wav\n")
        write(tmp_path / "text", f"u {text}\nv x\n")
    else:
        divider = "\t" if name == "m.tsv" else ","
        quoted = f'"{text}"' if name == "q.csv" else text
        json_lines = "\n".join(
            json.dumps({"path": p, "transcript": t}, ensure_ascii=False)
            for p, t in (("a", text), ("b", "x"))
        )
        table = f"path{divider}transcript\r\na{divider}{quoted}\r\nb{divider}x\r\n"
        write(tmp_path / name, json_lines if name == "m.jsonl" else table)
    rows, bad = read_manifest(tmp_path if name == "kaldi" else tmp_path / name)
    transcripts = [row.metadata["transcript"] for row in rows]
    assert transcripts == [text, "x"]
    assert bad == []


def test_import_of_kaldi_refuses_a_key_that_says_two_things(
    voxdata: Command, workspace: Workspace, clips: Path
) -> None:
    write(clips / "wav.scp", "u a.wav\nv b.wav\n")
    write(clips / "utt2spk", "u s\nv t\n")
    write(clips / "utt2topic", "u x\nv y\nu z\n")
    clips.rename(clips.parent / "train")
    done = voxdata(*import_words(clips.parent / "train", "--format", "kaldi", "--label", "topic"))
    assert done.code == 0
    labels = [e.gold["s"].label for e in imported(workspace)]
    assert labels == ["y"]
    assert ["utt2topic has it twice" in why for why in dropped(workspace)] == [True]


# Encodings (C19)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252", "gbk"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_every_command_says_how_to_convert_another_encoding(
    voxdata: Command, workspace: Workspace, clips: Path, encoding: str, kind: str
) -> None:
    label = "退" if encoding == "gbk" else "énervé"
    divider = "\t" if kind == "tsv" else ","
    text = f"audio{divider}label{divider}split\na.wav{divider}{label}{divider}train\n"
    if kind == "jsonl":
        text = f'{{"audio": "a.wav", "label": "{label}", "split": "train"}}\n'
    table = write(clips / f"m.{kind}", text, encoding)
    for words in (
        import_words(table),
        ["ingest", "--manifest", table],
        ["audit", table, "--no-audio"],
    ):
        done = voxdata(*words)
        assert done.code == 2
        assert "UTF-8" in done.err
        assert "iconv" in done.err
        assert "codec" not in done.err
    assert nothing_was_written(workspace)


@pytest.mark.parametrize("said", ["sep=,", "sep=;", '"sep=;"'])
def test_every_command_reads_a_csv_with_a_separator_line(
    voxdata: Command, clips: Path, said: str
) -> None:
    rows = "audio,label,split\na.wav,x,train\nb.wav,y,test\n".replace(",", said.strip('"')[-1])
    table = write(clips / "m.csv", f"\ufeff{said}\r\n{rows}")
    assert voxdata(*import_words(table)).code == 0
    assert voxdata("audit", table, "--no-audio").code == 0
    content = json.loads(voxdata("ingest", "--manifest", table, "--plan", "--json").out)
    assert len(content) == 2


def test_ingest_says_how_to_read_a_table_divided_by_semicolons(
    voxdata: Command, clips: Path
) -> None:
    path = write(clips / "m.csv", "path;call\na.wav;7\n")
    done = voxdata("ingest", "--manifest", path)
    assert done.code == 2
    assert "sep=;" in done.err


# Nothing of it can be used, and --plan


@pytest.mark.parametrize("command", ["ingest", "plan", "import"])
def test_a_table_whose_rows_all_fail_is_one_line_and_writes_nothing(
    voxdata: Command, workspace: Workspace, tmp_path: Path, command: str
) -> None:
    rows = "".join(f"gone{i}.wav,x,train\n" for i in range(50))
    table = write(tmp_path / "m.csv", f"audio,label,split\n{rows}")
    words: dict[str, list[str | Path]] = {
        "ingest": ["ingest", "--manifest", table],
        "plan": ["ingest", "--manifest", table, "--plan"],
        "import": import_words(table),
    }
    done = voxdata(*words[command])
    lines = [line for line in done.err.splitlines() if "Prefect is not up" not in line]
    assert done.code == 1
    assert len(lines) == 1
    assert "--audio-root" in done.err
    assert nothing_was_written(workspace)


def test_ingest_plan_shows_what_a_manifest_would_bring_and_writes_nothing(
    voxdata: Command, workspace: Workspace, clips: Path, tmp_path: Path
) -> None:
    table = write(tmp_path / "m.csv", "path\na.wav\ngone.wav\n")
    done = voxdata("ingest", "--manifest", table, "--audio-root", clips, "--plan", "--json")
    assert done.code == 0
    standings = [row["standing"] for row in json.loads(done.out)]
    assert standings == ["new"]
    assert "row 3" in done.err
    assert nothing_was_written(workspace)


@pytest.mark.parametrize("words", [[], ["--plan"]])
def test_ingest_and_its_plan_name_consents_that_nobody_can_understand(
    voxdata: Command, clips: Path, words: list[str]
) -> None:
    table = write(clips / "m.csv", "path,consent\na.wav,oui\nb.wav,yes\n")
    done = voxdata("ingest", "--manifest", table, *words)
    assert done.code == 0
    assert "consent 'oui' is neither yes nor no: 1 row;" in done.err


def test_ingest_takes_audio_root_and_keeps_what_the_manifest_says(
    voxdata: Command, workspace: Workspace, clips: Path, tmp_path: Path
) -> None:
    table = write(tmp_path / "m.csv", "path,call_id\na.wav,7.0\n")
    done = voxdata("ingest", "--manifest", table, "--audio-root", clips)
    assert done.code == 0
    shown = json.loads(voxdata("recordings", "--json").out)
    assert [row["metadata"] for row in shown] == ["call_id=7"]


# Where rows may reach


@pytest.mark.parametrize(
    "form",
    [
        "{path}",
        "../secret/a.wav",
        "file://{path}",
        "link/a.wav",
        "local://{path}",
        "simplecache::file://{path}",
    ],
)
@pytest.mark.parametrize("command", ["ingest", "import", "audit"])
def test_a_row_cannot_reach_out_of_the_folder_of_its_table(
    voxdata: Command, workspace: Workspace, clips: Path, form: str, command: str
) -> None:
    secret = clips.parent / "secret"
    secret.mkdir()
    shutil.move(clips / "a.wav", secret / "a.wav")
    (clips / "link").symlink_to(secret)
    where = form.format(path=secret / "a.wav")
    table = write(clips / "m.csv", f"audio,label,split\n{where},x,train\n{where},y,test\n")
    words: dict[str, list[str | Path]] = {
        "ingest": ["ingest", "--manifest", table],
        "import": import_words(table),
        "audit": ["audit", table],
    }
    done = voxdata(*words[command])
    assert done.code in (1, 2)
    assert "--audio-root" in done.err or "store" in done.err or "URL" in done.err
    assert nothing_was_written(workspace)


@pytest.mark.parametrize("allow", ["--anywhere", "--audio-root"])
def test_import_reaches_out_when_the_user_says_so(
    voxdata: Command, workspace: Workspace, clips: Path, tmp_path: Path, allow: str
) -> None:
    (tmp_path / "tables").mkdir()
    table = write(tmp_path / "tables/m.csv", f"audio,label,split\n{clips / 'a.wav'},x,train\n")
    words = [allow] if allow == "--anywhere" else [allow, clips]
    done = voxdata(*import_words(table, *words))
    assert done.code == 0
    assert len(imported(workspace)) == 1


def test_import_of_lhotse_runs_no_command(
    voxdata: Command, workspace: Workspace, clips: Path
) -> None:
    pytest.importorskip("lhotse")
    trace = clips / "was-run"
    source = {
        "type": "command",
        "channels": [0],
        "source": f"touch {trace}; cat {clips / 'a.wav'}",
    }
    recording = {
        "id": "r",
        "sources": [source],
        "sampling_rate": 16_000,
        "num_samples": 16_000,
        "duration": 1.0,
    }
    said = {
        "id": "s",
        "recording_id": "r",
        "start": 0,
        "duration": 1,
        "custom": {"label": "x", "split": "train"},
    }
    cut = {
        "id": "c",
        "start": 0,
        "duration": 1,
        "channel": 0,
        "recording": recording,
        "supervisions": [said],
        "type": "MonoCut",
    }
    table = write(clips / "cuts.jsonl", json.dumps(cut) + "\n")
    done = voxdata(*import_words(table, "--format", "lhotse"))
    assert done.code == 2
    assert "is a command" in done.err
    assert not trace.exists()


# Labels that look like slips


SLIPS = (
    "audio,label,split\na.wav,on,train\nb.wav,ON,train\nc.wav,off,train\nd.wav,offf,test\n"
    "e.wav,on,test\nf.wav,off,test\n"
)


def test_import_names_labels_that_look_like_slips(voxdata: Command, clips: Path) -> None:
    done = voxdata(*import_words(write(clips / "m.csv", SLIPS)))
    assert done.code == 0
    assert "'on' and 'ON' (case)" in done.err
    assert "'off' and 'offf' (one letter)" in done.err


def test_import_renames_labels(voxdata: Command, workspace: Workspace, clips: Path) -> None:
    done = voxdata(
        *import_words(write(clips / "m.csv", SLIPS), "--rename", "ON=on", "--rename", "offf=off")
    )
    assert done.code == 0
    assert "slips" not in done.err
    labels = {e.gold["s"].label for e in imported(workspace)}
    assert labels == {"on", "off"}


def test_audit_names_labels_that_look_like_slips_until_they_are_renamed(
    voxdata: Command, clips: Path
) -> None:
    table = write(clips / "m.csv", SLIPS)
    printed = json.loads(voxdata("audit", table, "--no-audio", "--json").out)
    (finding,) = [f for f in printed["findings"] if f["check"] == "label_names"]
    assert finding["count"] == 2
    done = voxdata(
        "audit",
        table,
        "--no-audio",
        "--json",
        "--rename",
        "ON=on",
        "--rename",
        "offf=off",
    )
    assert "label_names" not in [f["check"] for f in json.loads(done.out)["findings"]]


def test_import_refuses_to_rename_a_label_that_is_not_there(
    voxdata: Command, workspace: Workspace, clips: Path
) -> None:
    done = voxdata(*import_words(write(clips / "m.csv", SLIPS), "--rename", "onn=on"))
    assert done.code == 2
    assert "'onn'" in done.err
    assert nothing_was_written(workspace)
