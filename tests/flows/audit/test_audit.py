import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from flows.audit.verdict import audit_table
from flows.pages.audit_page import render_audit
from voxdata.audit.audit_table import check_rows, read_table
from voxdata.audit.clips import listen
from voxdata.audit.findings import Audit, Finding
from voxdata.errors import ConfigError

HEADER = "audio,label,speaker,split\n"
GOOD = HEADER + "a.wav,x,李,train\nb.wav,y,b,dev\nc.wav,y,c,eval\nd.wav,x,李,train\n"


def write(folder: Path, text: str, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def silent(_: str) -> None:
    pass


def test_read_table_takes_what_people_call_splits_and_says_so(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, GOOD))
    assert table.frame["split"].to_list() == ["train", "validation", "test", "train"]
    assert table.frame["speaker"].to_list()[0] == "李"
    assert table.frame["row"].to_list() == [2, 3, 4, 5]
    assert "split 'dev' is read as validation" in table.remarks


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_read_table_reads_the_same_from_every_format(tmp_path: Path, kind: str) -> None:
    frame = pl.read_csv(write(tmp_path, GOOD))
    path = tmp_path / f"n.{kind}"
    writers = {
        "csv": lambda: frame.write_csv(path),
        "tsv": lambda: frame.write_csv(path, separator="\t"),
        "jsonl": lambda: frame.write_ndjson(path),
        "parquet": lambda: frame.write_parquet(path),
    }
    writers[kind]()
    assert (
        read_table(path).frame.drop("row").equals(read_table(tmp_path / "m.csv").frame.drop("row"))
    )


def test_read_table_takes_named_columns_and_milliseconds() -> None:
    rows = [
        {
            "audio_file": "a",
            "intent": "x",
            "voice": "v",
            "split": "train",
            "start_ms": 1000,
            "end_ms": 2500,
        },
        {
            "audio_file": "a",
            "intent": "y",
            "voice": "w",
            "split": "test",
            "start_ms": 3000,
            "end_ms": 4000,
        },
    ]
    frame = check_rows(rows, origin="export", names={"label": "intent", "speaker": "voice"}).frame
    assert frame["label"].to_list() == ["x", "y"]
    assert frame["start_s"].to_list() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("m.txt", GOOD, ".parquet"),
        ("m.csv", "", "no rows"),
        ("m.csv", HEADER, "no rows"),
        ("m.csv", "audio,label\na,b\n", "split"),
        ("m.csv", "audio,label,split,label\na,b,train,c\n", "twice"),
        ("m.csv", HEADER + "a,x,s,train\nb,y,s,train\n", "test split"),
        ("m.csv", HEADER + "a,x,s,dev\nb,y,s,test\n", "train split"),
        ("m.csv", HEADER + "a,x,s,train\nb,x,s,test\n", "'x'"),
        ("m.csv", HEADER + "a,x,s,train\nb,y,s,fold7\n", "fold7"),
        ("m.csv", HEADER + "a,x,s,train,more\n", "row 2"),
        ("m.csv", HEADER + ",,,\n,,,\n", "no row has"),
        ("m.csv", "audio,label,split,start\na,x,train,soon\nb,y,test,1\n", "soon"),
        ("m.csv", "audio,label,split,start,end\na,x,train,3,2\nb,y,test,1,2\n", "row 2"),
        ("m.jsonl", '{"audio": "a"}\n{"audio"\n', "line 2"),
        ("m.jsonl", "[1]\n", "line 1"),
        ("m.parquet", "no parquet", "Parquet"),
    ],
)
def test_read_table_says_what_is_wrong_and_where(
    tmp_path: Path, name: str, text: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=r".") as caught:
        read_table(write(tmp_path, text, name))
    assert told in str(caught.value)
    assert name in str(caught.value)


def test_read_table_passes_over_empty_lines_and_keeps_line_separators_in_texts(
    tmp_path: Path,
) -> None:
    lines = [
        '{"audio": "a", "label": "x", "split": "train", "text": "one\u2028two"}',
        "",
        '{"audio": "b", "label": "y", "split": "test"}',
    ]
    path = write(tmp_path, "\n".join(lines), "m.jsonl")
    table = read_table(path)
    assert table.frame["row"].to_list() == [1, 3]
    assert table.frame["text"].to_list()[0] == "one\u2028two"
    assert table.remarks == []


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("gbk", "line 2"), ("utf-16", "UTF-16")],
)
def test_read_table_refuses_other_encodings(tmp_path: Path, encoding: str, told: str) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(GOOD.encode(encoding))
    with pytest.raises(ConfigError, match="UTF-8") as caught:
        read_table(path)
    assert told in str(caught.value)


def test_audit_of_a_hundred_thousand_rows_needs_no_audio_and_seconds() -> None:
    draws = np.random.default_rng(0)
    rows = [
        {
            "audio": f"{i}.wav",
            "label": f"L{draws.integers(10)}",
            "speaker": f"s{i % 2_000}",
            "split": "test" if i % 2_000 < 400 else "train",
            "text": f"this is sentence number {draws.integers(50_000)}",
        }
        for i in range(100_000)
    ]
    audit = audit_table(
        check_rows(rows, origin="big"),
        audio_root=Path(),
        with_audio=False,
        say=silent,
    )
    assert not audit.has_leak
    assert audit.checks["speakers"] == "no speaker is in two splits"


def speech(seed: int) -> np.ndarray:
    draws = np.random.default_rng(seed)
    time = np.arange(24_000) / 16_000
    phase = (
        2
        * np.pi
        * np.cumsum(140 + 40 * np.interp(time, np.linspace(0, 1.5, 9), draws.normal(size=9)))
        / 16_000
    )
    level = np.interp(time, np.linspace(0, 1.5, 14), draws.uniform(0, 1, 14)) ** 2
    return np.asarray(0.05 * level * sum(np.sin(k * phase) / k for k in range(1, 20)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve people, four labels, split by person; one file cannot be read."""
    rows = ["audio,label,speaker,split"]
    for i in range(48):
        soundfile.write(tmp_path / f"{i}.wav", speech(i), 16_000)
        rows.append(f"{i}.wav,L{i % 4},s{i // 4},{'test' if i >= 36 else 'train'}")
    (tmp_path / "5.wav").write_bytes(b"RIFF")
    write(tmp_path, "\n".join(rows) + "\n")
    return tmp_path


def voxdata(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_audit_ends_with_0_on_a_clean_split_lists_what_it_cannot_read_and_writes_the_page(
    folder: Path,
) -> None:
    done = voxdata("audit", "m.csv", "--output", "page.html", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["verdict"].startswith("clean")
    (unreadable,) = [f for f in printed["findings"] if f["check"] == "unreadable"]
    assert unreadable["evidence"][0]["row"] == 7
    assert "Verdict: clean" in (folder / "page.html").read_text(encoding="utf-8")


def test_audit_ends_with_1_when_copies_cross_the_split(folder: Path) -> None:
    soundfile.write(
        folder / "47.wav",
        0.3 * speech(0)[1_000:],
        16_000,
    )
    sound_file = folder / "46.wav"
    sound_file.write_bytes((folder / "1.wav").read_bytes())
    done = voxdata("audit", "m.csv", "--json", cwd=folder)
    assert done.returncode == 1, done.stderr
    leaks = {
        f["check"]: f["evidence"][0]
        for f in json.loads(done.stdout)["findings"]
        if f["severity"] == "leak"
    }
    assert set(leaks) == {"copies", "near_copies"}
    assert leaks["near_copies"]["audio"] == "0.wav"
    assert leaks["near_copies"]["other audio"] == "47.wav"


def many_files(
    folder: Path,
    *,
    num_files: int = 60,
    num_copied: int = 12,
) -> Path:
    """Each of the first files stands once more, under another name, in the other split."""
    rows = ["audio,label,speaker,split"]
    for i in range(num_files):
        soundfile.write(
            folder / f"{i}.wav",
            speech(i)[:8_000],
            16_000,
        )
        rows.append(f"{i}.wav,L{i % 4},s{i},train")
    for i in range(num_copied):
        (folder / f"again{i}.wav").write_bytes((folder / f"{i}.wav").read_bytes())
        rows.append(f"again{i}.wav,L{i % 4},t{i},test")
    return write(folder, "\n".join(rows) + "\n")


def of_check(found: Audit, check: str) -> list[Finding]:
    return [finding for finding in found.findings if finding.check == check]


def test_audit_finds_every_exact_copy_however_few_clips_it_listens_to(tmp_path: Path) -> None:
    audit = audit_table(
        read_table(many_files(tmp_path)),
        audio_root=tmp_path,
        max_clips=8,
        say=silent,
    )
    (copies,) = of_check(audit, "copies")
    assert copies.count == 12
    pairs = {(row["audio"], row["other audio"]) for row in copies.evidence}
    assert pairs == {(f"{i}.wav", f"again{i}.wav") for i in range(12)}
    assert audit.has_leak


def test_audit_finds_copies_in_another_container_among_the_clips_it_listens_to(
    tmp_path: Path,
) -> None:
    path = many_files(tmp_path, num_files=12, num_copied=0)
    soundfile.write(
        tmp_path / "again.flac",
        soundfile.read(tmp_path / "3.wav", dtype="int16")[0],
        16_000,
    )
    path.write_text(path.read_text(encoding="utf-8") + "again.flac,L3,t,test\n", encoding="utf-8")
    audit = audit_table(read_table(path), audio_root=tmp_path, say=silent)
    (copies,) = of_check(audit, "copies")
    assert copies.evidence[0]["audio"] == "3.wav"
    assert copies.evidence[0]["other audio"] == "again.flac"


def test_audit_names_equal_files_that_are_no_sound_as_unreadable_and_not_as_copies(
    tmp_path: Path,
) -> None:
    path = many_files(tmp_path, num_files=20, num_copied=1)
    for name in ("page1.wav", "page2.wav"):
        (tmp_path / name).write_text("<html>please log in</html>", encoding="utf-8")
    rows = "page1.wav,L0,p,train\npage2.wav,L1,q,test\ngone.wav,L1,q,test\n"
    path.write_text(path.read_text(encoding="utf-8") + rows, encoding="utf-8")
    audit = audit_table(
        read_table(path),
        audio_root=tmp_path,
        max_clips=3,
        say=silent,
    )
    counts = [f.count for f in of_check(audit, "copies")]
    assert counts == [1]
    (unreadable,) = of_check(audit, "unreadable")
    audio_files = [row["audio"] for row in unreadable.evidence]
    assert audio_files == ["page1.wav", "page2.wav", "gone.wav"]


def test_audit_finds_overlapping_stretches_of_files_of_the_same_bytes(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", speech(1), 16_000)
    copy_file = tmp_path / "copy.wav"
    copy_file.write_bytes((tmp_path / "call.wav").read_bytes())
    rows = [
        {"audio": "call.wav", "label": "x", "split": "train", "start": 0.0, "end": 0.8},
        {"audio": "copy.wav", "label": "y", "split": "test", "start": 0.5, "end": 1.2},
        {"audio": "copy.wav", "label": "x", "split": "test", "start": 1.25, "end": 1.5},
    ]
    (shared,) = of_check(
        audit_table(check_rows(rows, origin="m"), audio_root=tmp_path, say=silent),
        "same_audio",
    )
    assert shared.count == 1
    assert shared.evidence[0]["audio"] == "call.wav"
    assert shared.evidence[0]["other audio"] == "copy.wav"


def test_audit_says_what_it_did_not_listen_to_in_every_verdict(tmp_path: Path) -> None:
    many_files(tmp_path, num_copied=2)
    limit = "only 8 of 62 clips"
    as_text = voxdata(
        "audit",
        "m.csv",
        "--max-clips",
        "8",
        "--output",
        "page.html",
        cwd=tmp_path,
    )
    assert as_text.returncode == 1, as_text.stderr
    assert limit in as_text.stdout.splitlines()[-1]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert limit in page[: page.index("<main>")]
    printed = json.loads(
        voxdata("audit", "m.csv", "--max-clips", "8", "--json", cwd=tmp_path).stdout
    )
    assert limit in printed["verdict"]
    assert limit in printed["limit"]


def test_audit_verdict_has_no_limit_where_all_was_heard_and_names_no_audio(tmp_path: Path) -> None:
    table = read_table(many_files(tmp_path, num_files=12, num_copied=2))
    audit = audit_table(table, audio_root=tmp_path, say=silent)
    assert audit.limit == ""
    assert (
        "--no-audio"
        in audit_table(table, audio_root=tmp_path, with_audio=False, say=silent).verdict
    )


@pytest.mark.parametrize(
    "text",
    ["", GOOD],
    ids=["no rows", "no audio file there"],
)
def test_audit_ends_with_2_when_there_is_nothing_to_audit(tmp_path: Path, text: str) -> None:
    write(tmp_path, text)
    done = voxdata("audit", "m.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "m.csv" in done.stderr or "--audio-root" in done.stderr
    assert "Traceback" not in done.stderr


def test_audit_page_escapes_what_the_manifest_says() -> None:
    rows = [
        {
            "audio": f"{i}",
            "label": "<b>x" if i % 2 else "y",
            "speaker": "<script>",
            "split": "test" if i > 5 else "train",
        }
        for i in range(12)
    ]
    page = render_audit(
        audit_table(check_rows(rows, origin="<i>"), audio_root=Path(), with_audio=False, say=silent)
    )
    assert "<script>" not in page
    assert "<b>x" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.parametrize(
    ("by", "leak"),
    [("speaker", False), ("row", True)],
)
def test_audit_passes_ravdess_split_by_actor_and_flags_it_split_by_clip(
    corpora: Path, by: str, leak: bool
) -> None:
    with (corpora / "ravdess/MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        known = list(csv.DictReader(file, delimiter="\t"))
    names = sorted({row["speaker"] for row in known})
    rows = [
        {
            "audio": row["path"],
            "label": row["emotion"],
            "speaker": row["speaker"],
            "split": "test"
            if (names.index(row["speaker"]) if by == "speaker" else i) % 4 == 0
            else "train",
        }
        for i, row in enumerate(known)
    ]
    audit = audit_table(
        check_rows(rows, origin="ravdess"),
        audio_root=corpora / "ravdess",
        max_clips=150,
        say=silent,
    )
    assert audit.has_leak is leak


def test_listen_hears_the_channel_that_the_row_names(tmp_path: Path) -> None:
    soundfile.write(
        tmp_path / "call.wav",
        np.stack([speech(1), 0.1 * speech(2)], axis=1),
        16_000,
    )
    rows = [
        {
            "audio": "call.wav",
            "label": str(i),
            "split": ("train", "test", "test")[i],
            "channel": channel,
            "start": 0.25,
        }
        for i, channel in enumerate(("0", "1", "2"))
    ]
    heard, bad = listen(
        check_rows(rows, origin="m").frame,
        range(3),
        audio_root=tmp_path,
        with_voices=False,
        say=silent,
    )
    levels_db = [clip.quality.level_db for clip in heard]
    assert levels_db == sorted([clip.quality.level_db for clip in heard], reverse=True)
    assert len({clip.digest for clip in heard}) == 2
    assert heard[0].duration_s == pytest.approx(1.25)
    assert [(clip.at, "2 channels" in clip.problem) for clip in bad] == [(2, True)]
