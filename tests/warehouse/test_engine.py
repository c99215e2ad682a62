"""What a connection may take, and what a question of a user may reach."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from duckdb import DuckDBPyConnection

from voxdata.errors import ConfigError
from voxdata.machine import _group_limits, memory_bytes
from warehouse.batches import staged_rows
from warehouse.connection import open_warehouse
from warehouse.engine import MEMORY_SHARE, Engine, connect, time_limit
from warehouse.query import run_query
from warehouse.rows import read_rows
from warehouse.selection import PLAIN, parse_condition

ENDLESS = """select count(*) from range(100000) a, range(100000) b, range(100000) c
where a.range * b.range % 7 = c.range"""

UNREACHABLE = [
    "select * from arrow_scan(1, 2, 3)",
    "from pandas_scan(1)",
    "from query('select 1')",
    "from query_table('recording')",
    "from read_csv('/etc/passwd')",
    "select (select count(*) from read_text('/etc/passwd'))",
    "with found as (from read_blob('/etc/passwd')) from found",
    "from glob('/*')",
    "from '/etc/passwd'",
    "from 'http://127.0.0.1:9/x.parquet'",
    "from parquet_metadata('x')",
    "from duckdb_settings()",
    "from duckdb_secrets()",
    "select getvariable('places')",
    "select current_setting('temp_directory')",
    "select sleep_ms(600000)",
    "select write_log('x')",
    "select len(repeat('a', 20000000000))",
    "from secret_frame",
    "install httpfs",
    "load httpfs",
    "attach ':memory:' as other",
    "copy recording to '/tmp/x.csv'",
    "pragma version",
    "set memory_limit = '1TB'",
]


def setting(con: DuckDBPyConnection, name: str) -> object:
    return read_rows(con, f"select current_setting('{name}') as value")[0]["value"]


def test_open_warehouse_and_staged_rows_fetch_no_extensions(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with open_warehouse(path) as writer, staged_rows(tmp_path / "batches", run_id="t") as staged:
        for con in (writer, staged):
            assert setting(con, "autoinstall_known_extensions") is False
            assert setting(con, "autoload_known_extensions") is False
    with open_warehouse(path, read_only=True) as reader:
        assert setting(reader, "autoinstall_known_extensions") is False


def test_nothing_connects_to_duckdb_by_another_door() -> None:
    root = Path(__file__).parents[2]
    sources = list(
        itertools.chain.from_iterable(
            (root / name).rglob("*.py") for name in ("flows", "warehouse")
        )
    )
    others = [
        path.name for path in sources if "duckdb.connect(" in path.read_text(encoding="utf-8")
    ]
    assert others == ["engine.py"]


def test_open_warehouse_takes_the_memory_and_the_folder_that_it_may(tmp_path: Path) -> None:
    engine = Engine(memory_bytes=1 << 30, spill=tmp_path / "scratch")
    with open_warehouse(tmp_path / "w.duckdb", engine=engine) as con:
        assert setting(con, "memory_limit") == "1.0 GiB"
        assert setting(con, "temp_directory") == str(tmp_path / "scratch")
    share = Engine().config()["memory_limit"]
    assert share == f"{round(memory_bytes() * MEMORY_SHARE)}B"


def test_open_warehouse_puts_what_has_no_room_into_its_folder_and_clears_it(tmp_path: Path) -> None:
    spill = tmp_path / "scratch" / "duckdb"
    engine = Engine(memory_bytes=256 << 20, spill=spill)
    spill.mkdir(parents=True)
    (spill / "left by a process that was killed").write_text("what somebody said", encoding="utf-8")
    with open_warehouse(tmp_path / "w.duckdb", engine=engine) as con:
        assert not spill.exists()
        con.execute("set threads = 1")
        con.execute(
            "create temp table much as select range as n, md5(range::varchar) as t from "
            "range(12000000)"
        )
        assert any(spill.iterdir())
    assert not list(tmp_path.rglob("*.tmp"))


def test_group_limits_reads_what_control_groups_allow(tmp_path: Path) -> None:
    own = tmp_path / "tree" / "jobs" / "one"
    own.mkdir(parents=True)
    (own / "memory.max").write_text("2000\n", encoding="ascii")
    memory_file = own.parent / "memory.max"
    memory_file.write_text("max\n", encoding="ascii")
    memory_file = own.parent.parent / "memory.max"
    memory_file.write_text("3000\n", encoding="ascii")
    membership = tmp_path / "cgroup"
    membership.write_text("0::/jobs/one\n", encoding="ascii")
    assert _group_limits(membership, tmp_path / "tree") == [2000, 3000]
    old = tmp_path / "tree" / "memory" / "jobs"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("4000\n", encoding="ascii")
    membership.write_text("5:cpu,cpuacct:/jobs\n4:memory:/jobs\n", encoding="ascii")
    assert _group_limits(membership, tmp_path / "tree") == [4000]


@pytest.mark.parametrize("sql", UNREACHABLE)
def test_run_query_reaches_nothing_but_the_warehouse(tmp_path: Path, sql: str) -> None:
    secret_frame = connect(":memory:").sql("select 'a variable of the program' as secret").pl()
    assert len(secret_frame) == 1
    with open_warehouse(tmp_path / "w.duckdb"):
        pass
    with open_warehouse(tmp_path / "w.duckdb", read_only=True) as con, pytest.raises(ConfigError):
        run_query(con, sql, seconds=20)


def test_run_query_names_the_function_that_may_not_be_called(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.duckdb"):
        pass
    with (
        open_warehouse(tmp_path / "w.duckdb", read_only=True) as con,
        pytest.raises(ConfigError, match=r"read_text\(\) is no table function"),
    ):
        run_query(con, "select 1 where exists (from read_text('/etc/passwd'))")


@pytest.mark.parametrize(
    "sql",
    [
        "from utterances",
        "describe utterances",
        "summarize source",
        "show tables",
        "values (1)",
        "select * from range(3) t(n) where n in (select 1) order by n",
        (
            "select count(*) filter (where n > 1), list(n), row_number() over () from range(3) "
            "t(n) group by n"
        ),
        (
            "with a as (select {'b': [1, 2]} as x) select x.b[1], list_transform(x.b, lambda n: "
            "n + 1) from a"
        ),
        (
            "select placed(uri), date_trunc('month', created_at), now() - created_at < interval "
            "1 day from source"
        ),
        "select json_extract_string(gold, '$.intent.label') from example",
        "select case when true then 1 end, cast(1 as varchar), 'a' like 'b', 1 between 0 and 2",
        "from information_schema.tables",
    ],
)
def test_run_query_answers_ordinary_questions(tmp_path: Path, sql: str) -> None:
    with open_warehouse(tmp_path / "w.duckdb"):
        pass
    with open_warehouse(tmp_path / "w.duckdb", read_only=True) as con:
        run_query(con, sql)


def test_run_query_stops_a_query_that_takes_too_long(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.duckdb"):
        pass
    began = time.monotonic()
    with (
        open_warehouse(tmp_path / "w.duckdb", read_only=True) as con,
        pytest.raises(ConfigError, match=r"the query took longer than 0\.5 s .* query_seconds"),
    ):
        run_query(con, ENDLESS, seconds=0.5)
    assert time.monotonic() - began < 30


def test_time_limit_lets_what_is_quick_go_on() -> None:
    with connect(":memory:") as con:
        with time_limit(con, 0.2, what="it"):
            assert con.execute("select 1").fetchall() == [(1,)]
        time.sleep(0.4)
        assert con.execute("select 2").fetchall() == [(2,)]


@pytest.mark.parametrize(
    ("where", "piece"),
    [
        ("len(generate_series(1, 1000000000)) > 1", "generate_series()"),
        ("len(repeat('a', 1000000000)) > 1", "repeat()"),
        ("lpad(text, 1000000000, 'a') = 'a'", "lpad()"),
        ("random() < 0.5", "random()"),
        ("now() > recorded_on", "now()"),
        ("current_date > recorded_on", "current_date()"),
        ("uuid() = text", "uuid()"),
        ("read_csv('/etc/passwd') = 1", "read_csv()"),
        ("getvariable('places') = text", "getvariable()"),
        ("duration_ms in (select 1)", "(SELECT 1) is a query"),
        ("count(*) > 1", "COUNT(*) looks at several"),
        ("duration_ms > ?", "? is no part"),
        ("len([n for n in range(3)]) = 1", "is no part"),
        ("secret = 1", "there is no secret"),
        ("(" * 5_000 + "true" + ")" * 5_000, "10004 characters"),
        ("(" * 2_000 + "true" + ")" * 2_000, "too many parts"),
    ],
)
def test_parse_condition_names_the_piece_that_it_refuses(where: str, piece: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_condition(where, PLAIN)
    assert piece in str(caught.value)


@pytest.mark.parametrize(
    "where",
    [
        "duration_ms / 1000.0 between 1 and 2 and language in ('zh', 'en')",
        "text ilike '%cancel%' or regexp_matches(text, '^no')",
        "said['customer'] = 'a' and not coalesce(said['line'], '') = ''",
        "year(recorded_on) = 2026 and recorded_on >= date '2026-01-01' + interval 1 day",
        "case when channel = 0 then lower(speaker) = 's0' else true end",
    ],
)
def test_parse_condition_takes_ordinary_conditions(where: str) -> None:
    assert parse_condition(where, PLAIN)
