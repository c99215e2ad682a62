import gzip
import json

import polars as pl
import pytest

from flows.ingest.manifests import read_manifest
from voxdata.errors import ConfigError


def write(path, text: str):
    path.write_text(text, encoding="utf-8")
    return path


def test_read_manifest_reads_csv_with_unicode_and_quotes(tmp_path):
    path = write(
        tmp_path / "calls.csv",
        '\ufeffpath,call_id,note,consent\n电话/a.wav,7,"hello, ""you""",yes\n/abs/b.wav,8,,no\n',
    )
    rows, bad = read_manifest(path)
    assert bad == []
    assert [(r.number, r.uri, dict(r.metadata)) for r in rows] == [
        (
            2,
            str(tmp_path / "电话/a.wav"),
            {"call_id": "7", "note": 'hello, "you"', "consent": "yes"},
        ),
        (3, "/abs/b.wav", {"call_id": "8", "consent": "no"}),
    ]


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.ndjson", "calls.jsonl.gz"])
def test_read_manifest_reads_json_lines(tmp_path, name):
    lines = [
        {"audio_filepath": "a.wav", "duration": 1.5, "tags": ["x"]},
        {"audio_filepath": "s3://bucket/b.wav", "language": "zh"},
    ]
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    rows, bad = read_manifest(path)
    assert bad == []
    assert [(r.uri, dict(r.metadata)) for r in rows] == [
        (str(tmp_path / "a.wav"), {"duration": "1.5", "tags": '["x"]'}),
        ("s3://bucket/b.wav", {"language": "zh"}),
    ]


def test_read_manifest_reads_tsv_and_parquet_alike(tmp_path):
    frame = pl.DataFrame({"path": ["a.wav", "b.wav"], "agent_id": [7, None]})
    frame.write_parquet(tmp_path / "calls.parquet")
    write(tmp_path / "calls.tsv", "path\tagent_id\na.wav\t7\nb.wav\t\n")
    found = []
    for name in ("calls.parquet", "calls.tsv"):
        found.append([(r.uri, dict(r.metadata)) for r in read_manifest(tmp_path / name)[0]])
    assert (
        found[0]
        == found[1]
        == [
            (str(tmp_path / "a.wav"), {"agent_id": "7"}),
            (str(tmp_path / "b.wav"), {}),
        ]
    )


@pytest.mark.parametrize("target", ["", "wav.scp"])
def test_read_manifest_reads_a_kaldi_folder_and_runs_no_command(tmp_path, target):
    write(tmp_path / "wav.scp", "u1 audio/a.wav\nu2 sox b.wav -t wav - |\n\nu3 /abs/c c.wav\n")
    write(tmp_path / "utt2spk", "u1 anna\nu3 ben\n")
    write(tmp_path / "text", "u1 hello there\n")
    rows, bad = read_manifest(tmp_path / target)
    assert [(r.uri, dict(r.metadata)) for r in rows] == [
        (
            str(tmp_path / "audio/a.wav"),
            {"kaldi_id": "u1", "speaker": "anna", "transcript": "hello there"},
        ),
        ("/abs/c c.wav", {"kaldi_id": "u3", "speaker": "ben"}),
    ]
    assert [(b.number, "not run" in b.problem) for b in bad] == [(2, True)]


def test_read_manifest_reads_what_lhotse_writes(tmp_path):
    lhotse = pytest.importorskip("lhotse")
    recording = lhotse.Recording(
        id="call-1",
        sources=[
            lhotse.audio.AudioSource(
                type="file",
                channels=[0],
                source="a.wav",
            )
        ],
        sampling_rate=8000,
        num_samples=8000,
        duration=1.0,
    )
    supervision = lhotse.SupervisionSegment(
        id="s",
        recording_id="call-1",
        start=0,
        duration=1,
        language="de",
    )
    lhotse.RecordingSet.from_recordings([recording]).to_file(tmp_path / "recordings.jsonl.gz")
    cut = lhotse.MonoCut(
        id="cut-1",
        start=0,
        duration=1,
        channel=0,
        recording=recording,
        supervisions=[supervision],
        custom={"call_id": "9"},
    )
    lhotse.CutSet.from_cuts([cut]).to_file(tmp_path / "cuts.jsonl")
    (row,), bad = read_manifest(tmp_path / "recordings.jsonl.gz")
    assert row.uri == str(tmp_path / "a.wav")
    assert dict(row.metadata) == {"lhotse_id": "call-1"}
    assert bad == []
    (row,), bad = read_manifest(tmp_path / "cuts.jsonl")
    assert dict(row.metadata) == {"lhotse_id": "cut-1", "language": "de", "call_id": "9"}
    assert bad == []


def test_read_manifest_names_every_bad_row_and_keeps_the_others(tmp_path):
    lines = [
        '{"path": "a.wav"}',
        "{",
        "[1]",
        '{"path": 7}',
        '{"note": "x"}',
        '{"path": "a.wav", "call_id": "2"}',
        '{"path": "a.wav"}',
    ]
    path = write(tmp_path / "calls.jsonl", "\n".join(lines))
    rows, bad = read_manifest(path)
    assert [r.number for r in rows] == [1]
    numbers = [b.number for b in bad]
    assert numbers == [2, 3, 4, 5, 6]
    assert "row 1" in bad[-1].problem


@pytest.mark.parametrize(
    "row",
    [
        (
            '{"id": "r", "recording": {"sources": [{"type": "file", "source": "a.wav"}], '
            '"custom": "oops"}}'
        ),
        (
            '{"id": "r", "recording": {"sources": [{"type": "file", "source": "a.wav"}]}, '
            '"supervisions": 5}'
        ),
        '{"id": "r", "sources": [{"type": "command", "source": "cat a.wav"}]}',
        '{"path": "~nobody-of-that-name/x.wav"}',
        '{"path": "a.wav", "note": "\\ud800 alone"}',
        '{"path": "a\\u0000.wav"}',
    ],
)
def test_read_manifest_survives_a_row_of_the_wrong_kind(tmp_path, row):
    path = write(tmp_path / "calls.jsonl", f'{row}\n{{"path": "b.wav"}}\n')
    rows, bad = read_manifest(path)
    assert [r.number for r in rows] == [2]
    assert [b.number for b in bad] == [1]


def test_read_manifest_reads_kaldi_files_separated_by_tabs(tmp_path):
    write(tmp_path / "wav.scp", "u1\taudio/a.wav\n")
    write(tmp_path / "utt2spk", "u1\tanna\n")
    (row,), bad = read_manifest(tmp_path)
    assert row.uri == str(tmp_path / "audio/a.wav")
    assert row.metadata["speaker"] == "anna"
    assert bad == []


def test_read_manifest_tells_a_row_with_too_many_fields(tmp_path):
    path = write(tmp_path / "calls.csv", "path,call_id\na.wav,1,2,3\nb.wav,2\n")
    rows, bad = read_manifest(path)
    assert [r.number for r in rows] == [3]
    assert [b.number for b in bad] == [2]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("calls.csv", b"name,call\na,b\n", "no column"),
        ("calls.csv", b"", "no column"),
        ("calls.csv", b"path\n\xff\xfe\n", "UTF-8"),
        ("calls.parquet", b"not parquet", "no Parquet"),
        ("calls.jsonl.gz", b"not gzip", "cannot be read"),
        ("calls.txt", b"a.wav\n", "a manifest is"),
    ],
)
def test_read_manifest_refuses_what_is_no_manifest(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


def test_read_manifest_tells_a_missing_file_and_a_plain_folder(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        read_manifest(tmp_path / "nowhere.csv")
    with pytest.raises(ConfigError, match=r"without a wav\.scp"):
        read_manifest(tmp_path)
