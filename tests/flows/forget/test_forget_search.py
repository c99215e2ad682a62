"""What is left somewhere is found there, whatever kind of file it lies in, and what cannot be read
is named.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import resource
import sqlite3
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import soundfile
from pyarrow import feather, ipc, orc, parquet

from flows.forget.needles import Needles
from flows.forget.probes import make_probes
from flows.forget.search import Area, Proof, prove_gone, search_folder
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import run
from voxdata.identity import digest
from voxdata.recording import ChannelLayout, Recording
from warehouse.compact import compact_warehouse
from warehouse.erase import plan_erasure
from warehouse.rows import insert_rows

CANARY = 'she said "stop it" at Café 秘密在这里'
FILLER = "nothing to see here, number "
MANY = 2_000
"""Enough rows for tables to compress their texts."""


def texts() -> list[str]:
    return [f"{FILLER}{number}" for number in range(MANY)] + [CANARY]


def prove(folder: Path, tmp_path: Path, *wanted: str, **area: Any) -> Proof:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return prove_gone(
        Area(roots=(folder,), **area),
        wanted or [CANARY],
        scratch=scratch,
    )


def table(kind: str, path: Path) -> None:
    columns = pa.table(
        {
            "n": range(MANY + 1),
            "said": [{"turns": [{"text": text}]} for text in texts()],
        }
    )
    if kind == "parquet":
        parquet.write_table(columns, path, compression="zstd")
    elif kind == "feather":
        feather.write_feather(columns, path, compression="zstd")
    elif kind == "orc":
        orc.write_table(
            pa.table({"said": texts()}),
            path,
            compression="zstd",
        )
    else:
        with pa.OSFile(str(path), "wb") as file:
            named = pa.table({"said": pa.array(texts()).dictionary_encode()})
            with ipc.new_stream(
                file,
                named.schema,
                options=ipc.IpcWriteOptions(compression="zstd"),
            ) as stream:
                stream.write_table(named)


def in_duckdb(column: str) -> Callable[[Path], None]:
    """A DuckDB file that compresses its texts, with the canary in a column of a kind."""

    def make(path: Path) -> None:
        kinds = {
            "varchar": ("varchar", "$said"),
            "list": ("varchar[]", "[$said]"),
            "struct": ("struct(a varchar)", "{'a': $said}"),
            "map": ("map(varchar, varchar)", "map {'k': $said}"),
            "json": ("json", "to_json($said)"),
            "blob": ("blob", "encode($said)"),
        }
        kind, value = kinds[column]
        with duckdb.connect(path) as con:
            con.execute(f"create table t(n integer, said {kind})")
            for secret in (CANARY, *(f"{FILLER}{CANARY[::-1]}{number}" for number in range(20))):
                con.execute(f"insert into t select 1, {value}", {"said": secret})
            con.execute(
                "insert into t select 2, "
                f"{value.replace('$said', f'concat({FILLER!r}, i, hash(i))')} from "
                "range(50000) r(i)"
            )
            con.execute("checkpoint")

    return make


def in_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as con:
        con.execute("create table t(said text, file blob)")
        con.execute("insert into t values (?, ?)", ("x" * 5_000, gzip.compress(CANARY.encode())))
    con.close()


def in_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/said.json", json.dumps([*texts(), CANARY]))


def in_webdataset(path: Path) -> None:
    inner = path.with_name("inner.parquet")
    table("parquet", inner)
    with tarfile.open(path, "w:gz") as bundle:
        bundle.add(inner, "part/0.parquet")
    inner.unlink()


def in_array(path: Path) -> None:
    np.savez_compressed(path, said=np.array([*texts(), CANARY]))


def packed(codec: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with pa.CompressedOutputStream(str(path), codec) as file:
            file.write("\n".join(texts() * 2).encode())

    return make


def written(pack: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(pack("\n".join(texts() * 2).encode())) and None


KINDS: dict[str, Callable[[Path], None]] = {
    "a.parquet": lambda path: table("parquet", path),
    "a.feather": lambda path: table("feather", path),
    "a.orc": lambda path: table("orc", path),
    "a.arrow": lambda path: table("stream", path),
    **{
        f"{kind}.duckdb": in_duckdb(kind)
        for kind in ("varchar", "list", "struct", "map", "json", "blob")
    },
    "a.sqlite3": in_sqlite,
    "a.zip": in_zip,
    "a.tar.gz": in_webdataset,
    "a.npz": in_array,
    "a.gz": written(lambda said: gzip.compress(b"first") + gzip.compress(said)),
    "a.bz2": written(bz2.compress),
    "a.xz": written(lzma.compress),
    "a.lzma": written(lambda said: lzma.compress(said, format=lzma.FORMAT_ALONE)),
    "0123abcd": written(zlib.compress),
    "a.zst": packed("zstd"),
    "a.lz4": packed("lz4"),
    "a.br": packed("brotli"),
    "a.csv": lambda path: pl.DataFrame({"said": texts()}).write_csv(path),
    "gb.csv": lambda path: path.write_bytes(CANARY.replace("é", "e").encode("gb18030")) and None,
    "a.html": lambda path: path.write_text(CANARY.replace('"', "&quot;")) and None,
    "a.log": lambda path: path.write_text(f"GET /?q={quote(CANARY)}") and None,
}


@pytest.mark.parametrize("name", KINDS)
def test_prove_gone_finds_a_text_left_in_a_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    KINDS[name](folder / name)
    wanted = CANARY.replace("é", "e") if name == "gb.csv" else CANARY
    others = "she said nothing at Café 秘密在这里"
    proof = prove(folder, tmp_path, wanted, others)
    hits = [(hit.path.name, hit.text) for hit in proof.hits]
    assert hits == [(name, wanted)]


def test_prove_gone_finds_a_text_in_the_tags_of_a_flac(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    with soundfile.SoundFile(
        folder / "a.flac",
        "w",
        16_000,
        1,
        format="FLAC",
    ) as file:
        file.comment = CANARY
        file.write(np.zeros(1_000))
    names = [hit.path.name for hit in prove(folder, tmp_path).hits]
    assert names == ["a.flac"]


def test_prove_gone_finds_a_text_in_the_name_of_a_file_or_folder(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    (folder / CANARY).mkdir(parents=True)
    (folder / CANARY / "a.txt").write_text("nothing")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr(f"{CANARY}.txt", "nothing")
    proof = prove(folder, tmp_path)
    names = {hit.path.name for hit in proof.hits}
    assert names == {"a.zip", CANARY, "a.txt"}


def test_prove_gone_never_finds_a_text_across_two_rows(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    halves = ["好的好的", "好的"]
    parquet.write_table(
        pa.table({"said": halves, "file": [half.encode() for half in halves]}),
        folder / "a.parquet",
        compression="zstd",
    )
    with duckdb.connect(folder / "a.duckdb") as con:
        con.execute("create table t as select unnest($halves) as said", {"halves": halves})
    assert prove(folder, tmp_path, "好的好的好的").hits == ()
    names = {hit.path.name for hit in prove(folder, tmp_path, "好的好的").hits}
    assert names == {
        "a.parquet",
        "a.duckdb",
    }


def encrypted(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    content = bytearray(path.read_bytes())
    for at in (6, content.index(b"PK\x01\x02") + 8):
        content[at] |= 1
    path.write_bytes(content)


def with_deleted_rows(path: Path) -> None:
    with duckdb.connect(path) as con:
        con.execute("create table t as select 'row number ' || i as said from range(10000) r(i)")
        con.execute("checkpoint")
        con.execute("delete from t where said = 'row number 77'")


UNREAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a.7z": (lambda path: path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(40)) and None, "7-Zip"),
    "part.lance": (
        lambda path: path.write_bytes(b"\x08\x01" + bytes(40) + b"LANC") and None,
        "Lance",
    ),
    "a.h5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40)) and None, "HDF5"),
    "a.pdf": (lambda path: path.write_bytes(b"%PDF-1.7\n") and None, "PDF"),
    "cut.gz": (
        lambda path: path.write_bytes(gzip.compress(CANARY[::-1].encode() * 99)[:-9]) and None,
        "gzip",
    ),
    "cut.zst": (
        lambda path: (
            path.write_bytes(pa.compress(bytes(range(256)) * 99, codec="zstd", asbytes=True)[:-6])
            and None
        ),
        "zstd",
    ),
    "broken.parquet": (
        lambda path: path.write_bytes(b"PAR1" + bytes(40) + b"PAR1") and None,
        "Parquet",
    ),
    "a.zip": (encrypted, "encrypted"),
    "theirs.duckdb": (with_deleted_rows, "deleted"),
    "in.zip": (
        lambda path: zipfile.ZipFile(path, "w").writestr("x/a.7z", b"7z\xbc\xaf\x27\x1c") or None,
        "7-Zip",
    ),
}


@pytest.mark.parametrize("name", UNREAD)
def test_prove_gone_names_what_it_cannot_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    make, why = UNREAD[name]
    make(folder / name)
    proof = prove(folder, tmp_path)
    names = [one.path.name for one in proof.unread]
    assert names == [name]
    assert why in proof.unread[0].why
    assert not proof.clean


def test_prove_gone_names_links_that_lead_out_and_reads_linked_files(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    elsewhere = tmp_path / "elsewhere"
    (folder / "inbox").mkdir(parents=True)
    elsewhere.mkdir()
    (elsewhere / "notes.txt").write_text(CANARY)
    (folder / "inner").symlink_to(folder / "inbox")
    (folder / "outer").symlink_to(elsewhere)
    (folder / "notes").symlink_to(elsewhere / "notes.txt")
    (folder / "inbox" / "calls").symlink_to(elsewhere)
    proof = prove(folder, tmp_path, sources=(folder / "inbox",))
    names = [hit.path.name for hit in proof.hits]
    assert names == ["notes"]
    names = [one.path.name for one in proof.unread]
    assert names == ["outer"]
    assert [link.name for link in proof.links] == ["calls"]


@pytest.mark.parametrize(
    "start",
    [
        b"ORCHESTRA of voices",
        b"x\x9c is no stream",
        b"BZh is a name",
        b"\xff\xff\xff\xff ones",
        b"DUCKLINGDUCK",
    ],
)
def test_prove_gone_is_not_misled_by_how_a_text_begins(tmp_path: Path, start: bytes) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.txt").write_bytes(start)
    assert prove(folder, tmp_path).clean


def test_needles_compare_long_texts_to_their_end() -> None:
    said = "a long text that begins like another one, and "
    hits = Needles([f"{said}ends here", f"{said}ends there"]).find(f"{said}ends there".encode())
    assert {hit.text for hit in hits} == {f"{said}ends there"}


# A workspace of ordinary size, whose warehouse compresses its texts as DuckDB does by itself.

NUM_RECORDINGS, EACH = 200, 100


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("large")
    (root / FILE_NAME).write_text(template())
    workspace = open_workspace(root)
    rng = np.random.default_rng(5)
    starts = ("ba", "ke", "lo", "mi", "nu", "ra", "so", "ti", "ve", "zu")
    words = []
    for start in starts:
        for end in ("n", "rd", "st", "lk", "mp", "sh", "t"):
            words.append(f"{start}{end}")
    recordings, sources, utterances = [], [], []
    for number in range(NUM_RECORDINGS):
        key = digest("recording", number)[:32]
        recording = Recording(
            recording_id=key,
            sample_rate_hz=8000,
            num_samples=4_800_000,
            num_channels=1,
            layout=ChannelLayout.MONO,
            canonical_channels=1,
            codec="pcm_s16le",
            container="wav",
        )
        fields = {
            name: getattr(recording, name)
            for name in ("recording_id", "sample_rate_hz", "num_samples", "num_channels", "codec")
        }
        recordings.append(
            {
                **fields,
                "layout": "mono",
                "canonical_channels": 1,
                "container": "wav",
                "audio_file": f"{number}.flac",
                "run_id": "t",
            }
        )
        place = f"/calls/{'gone' if number < 2 else 'kept'}/{number:05}.wav"
        sources.append(
            {"uri": place, "size_bytes": 1, "modified_ns": 1, "recording_id": key, "run_id": "t"}
        )
        for at in range(EACH):
            said = " ".join(rng.choice(words, 9)) + f", call {number} line {at}"
            utterances.append(
                {
                    "utterance_id": digest("utterance", number, at)[:32],
                    "recording_id": key,
                    "key": "c",
                    "channel": 0,
                    "speaker": "S0",
                    "start_ms": at * 6_000,
                    "end_ms": at * 6_000 + 5_000,
                    "text": said,
                    "language": "en",
                    "words": "[]",
                    "run_id": "t",
                }
            )
    with workspace.warehouse() as con:
        insert_rows(con, "recording", recordings)
        insert_rows(con, "source", sources)
        insert_rows(con, "utterance", utterances)
    compact_warehouse(workspace.warehouse_path)
    return workspace


def gone(workspace: Workspace) -> list[str]:
    with workspace.warehouse() as con:
        rows = con.execute(
            "select text from utterance where contains(text, ' call 0 ') or contains(text, ' "
            "call 1 ')"
        ).fetchall()
    return [str(text) for (text,) in rows]


def test_forget_proves_itself_in_a_compressed_warehouse_of_20000_utterances(
    large: Workspace,
) -> None:
    wanted = gone(large)
    assert len(wanted) == 200
    with large.warehouse() as con:
        query = (
            "select distinct compression from pragma_storage_info('utterance') where "
            "segment_type = 'VARCHAR'"
        )
        kinds = {str(kind) for (kind,) in con.execute(query).fetchall()}
    raw = large.warehouse_path.read_bytes()
    began = time.perf_counter()
    texts = {hit.text for hit in search_folder(large.root, wanted)}
    seconds = time.perf_counter() - began
    print(
        f"compression {sorted(kinds)}; {sum(text.encode() in raw for text in wanted)} of 200 "
        f"in the bytes, {len(texts)} of 200 found"
    )
    assert texts == set(wanted)
    began = time.perf_counter()
    done = run(large, "forget", "--source", "/calls/gone", "--yes", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["proven"] is True
    assert answer["hits"] == []
    assert answer["not searched"] == []
    assert answer["searched"] >= 400
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"search {seconds:.1f} s; forget {time.perf_counter() - began:.1f} s; at most "
        f"{peak:.0f} MB in this process"
    )
    assert search_folder(large.root, wanted) == ()


def test_make_probes_takes_time_in_line_with_the_texts(large: Workspace) -> None:
    with large.warehouse() as con:
        said = tuple(str(text) for (text,) in con.execute("select text from utterance").fetchall())
    with large.warehouse() as con:
        plan = plan_erasure(con, [])
    began = time.process_time()
    assert make_probes(large, replace(plan, texts=said)) == []
    assert time.process_time() - began < 20
