"""What others read keeps its layout under one number: views, manifests and exports.

`tests/data/layouts/` holds each layout under the number that it had. Whoever changes a layout
raises its number and adds an entry; the entries of earlier numbers stay as they are.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from duckdb import DuckDBPyConnection

from voxdata import manifest
from voxdata.audio_digest import AudioDigest
from voxdata.canonical import write_canonical
from voxdata.dataset import Example, GoldLabel, Split
from voxdata.identity import digest
from voxdata.recording import canonical_file
from voxdata.register import Register
from voxdata.scheme import Scheme, SchemeLabel
from voxdata.segment import Segment
from warehouse.audio_digests import add_audio_digests
from warehouse.connection import open_warehouse
from warehouse.exchange import bundle
from warehouse.exchange.formats import BUILT_IN, TABLES
from warehouse.exchange.table import write_version_manifest
from warehouse.exchange.terms import Terms
from warehouse.exchange.write import export_bundle
from warehouse.query import run_query
from warehouse.rows import read_rows
from warehouse.versions import create_version
from warehouse.views import VIEWS, VIEWS_VERSION

LAYOUTS = Path(__file__).parents[2] / "data" / "layouts"
RECORDINGS = {Split.TRAIN: digest("a recording"), Split.TEST: digest("another recording")}
SCHEME = Scheme(
    name="intent",
    version=1,
    labels=(SchemeLabel(name="ask", description=""), SchemeLabel(name="tell", description="")),
)


def stored_layout(name: str, number: str) -> Any:
    layouts = json.loads((LAYOUTS / f"{name}.json").read_text(encoding="utf-8"))
    assert number in layouts, f"add the layout of {number} to tests/data/layouts/{name}.json"
    return layouts[number]


def make_example(split: Split) -> Example:
    recording_id = RECORDINGS[split]
    return Example(
        utterance_id=digest(recording_id, 0, 100, 900),
        recording_id=recording_id,
        channel=0,
        segment=Segment(start_ms=100, end_ms=900),
        voice=f"{recording_id}/S0",
        group="g",
        audio_file=canonical_file(recording_id),
        text="hello",
        language="en",
        gold={
            "intent": GoldLabel(
                label="ask",
                distribution={"ask": 1.0},
                num_votes=2,
                standing="clear",
                posterior={"ask": 0.9, "tell": 0.1},
            )
        },
        split=split,
    )


@pytest.fixture
def con(tmp_path: Path) -> Iterator[DuckDBPyConnection]:
    """A warehouse with one version of two examples, in two splits, and their audio beside it."""
    audio = np.zeros((16_000, 1), dtype=np.float32)
    for recording_id in RECORDINGS.values():
        write_canonical(tmp_path / "audio" / canonical_file(recording_id), audio)
    with open_warehouse(tmp_path / "w.duckdb") as connection:
        examples = [make_example(split) for split in RECORDINGS]
        create_version(connection, "calls", examples, recipe={}, run_id="t")
        yield connection


def test_views_keep_their_columns_under_their_number(con: DuckDBPyConnection) -> None:
    columns: dict[str, dict[str, str]] = {name: {} for name in VIEWS}
    rows = read_rows(
        con,
        """select table_name, column_name, data_type
        from duckdb_columns()
        where database_name = current_database() and list_contains(?, table_name)
        order by table_name, column_index""",
        [list(VIEWS)],
    )
    for row in rows:
        columns[str(row["table_name"])][str(row["column_name"])] = str(row["data_type"])
    assert columns == stored_layout("views", str(VIEWS_VERSION))


def test_a_query_can_ask_for_the_number_of_the_views(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.duckdb"):
        pass
    with open_warehouse(tmp_path / "w.duckdb", read_only=True) as con:
        answer = run_query(con, "select views_version() as number")
    assert answer.to_dicts() == [{"number": VIEWS_VERSION}]


def types_in(value: Any, path: str) -> dict[str, str]:
    """Path of a JSON value -> its type, or the types that the entries of a list have."""
    inner: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        inner = [(f"{path}.{name}".removeprefix("."), entry) for name, entry in value.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[]", entry) for entry in value]
    if not inner:
        return {path: type(value).__name__}
    kinds: dict[str, set[str]] = {}
    for name, entry in inner:
        for below, kind in types_in(entry, name).items():
            kinds.setdefault(below, set()).add(kind)
    return {below: " or ".join(sorted(names)) for below, names in kinds.items()}


def neutral(text: str) -> str:
    """A name without ids, which tell nothing of a layout."""
    for split, recording_id in RECORDINGS.items():
        text = text.replace(digest(recording_id, 0, 100, 900), f"<{split.value} utterance>")
        text = text.replace(recording_id, f"<{split.value} recording>")
    return text


def neutral_types(value: Any, path: str) -> dict[str, str]:
    return {neutral(name): kind for name, kind in types_in(value, path).items()}


def test_a_manifest_keeps_its_fields_under_its_number(
    con: DuckDBPyConnection, tmp_path: Path
) -> None:
    noted = [
        AudioDigest(
            recording_id=recording_id,
            size_bytes=1,
            sha256="0" * 64,
            samples_md5="0" * 32,
        )
        for recording_id in RECORDINGS.values()
    ]
    add_audio_digests(con, noted, run_id="t")
    version_id = read_rows(con, "select version_id from dataset_version")[0]["version_id"]
    path = write_version_manifest(
        con,
        str(version_id),
        audio_root=tmp_path,
        schemes={"intent": ("ask", "tell")},
        path=tmp_path / "manifest.jsonl",
    )
    header, example, _ = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    fields = neutral_types(header, "header") | neutral_types(example, "example")
    assert fields == stored_layout("manifest", manifest.FORMAT)


def read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def read_json_types(path: Path) -> dict[str, str] | None:
    if "croissant" in path.name:
        return None  # Croissant numbers its own format
    return neutral_types(json.loads(path.read_text(encoding="utf-8")), "")


def read_row_types(path: Path) -> dict[str, str]:
    return neutral_types(json.loads(read_lines(path)[0]), "")


def read_cut_types(path: Path) -> dict[str, str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return neutral_types(json.loads(file.readline()), "")


def read_members(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return [neutral(name) for name in tar.getnames()]


def read_arrow_types(path: Path) -> dict[str, str]:
    return {field.name: str(field.type) for field in pq.read_schema(path)}


def read_columns(path: Path) -> list[str]:
    return read_lines(path)[0].split(",")


READERS: dict[str, Callable[[Path], Any]] = {
    ".csv": read_columns,
    ".gz": read_cut_types,
    ".json": read_json_types,
    ".jsonl": read_row_types,
    ".parquet": read_arrow_types,
    ".tar": read_members,
}
"""What of a file is its layout, by the ending of its name; of others it is the name alone."""


def describe(folder: Path) -> dict[str, Any]:
    """File of an export -> its columns, fields or members, with ids left out."""
    layout: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = neutral(path.relative_to(folder).as_posix())
            layout[name] = READERS[path.suffix](path) if path.suffix in READERS else None
    return layout


@pytest.mark.parametrize("format_name", [*TABLES, *BUILT_IN])
def test_an_export_keeps_its_files_and_columns_under_its_number(
    con: DuckDBPyConnection, tmp_path: Path, format_name: str
) -> None:
    outgoing = bundle.read_bundle(
        con,
        "calls",
        schemes=[SCHEME],
        audio_root=tmp_path / "audio",
        register=Register(root=tmp_path),
        terms=Terms(
            description="two calls",
            creator="us",
            licence="CC0-1.0",
        ),
    )
    output = tmp_path / f"calls-1.{format_name}"
    export_bundle(
        outgoing,
        format_name=format_name,
        output=output,
        audio="clips",
    )
    layout = {"folder": describe(output)}
    if format_name in TABLES:
        file = tmp_path / "file" / f"calls-1.{format_name}"
        file.parent.mkdir()
        export_bundle(outgoing, format_name=format_name, output=file)
        layout["file"] = describe(file.parent)
    assert layout == stored_layout("export", bundle.FORMAT)[format_name]
