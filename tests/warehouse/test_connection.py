from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from tests.warehouse.conftest import create_calls
from voxdata.dataset import Example
from voxdata.errors import WarehouseError
from warehouse.commits import commits_path
from warehouse.connection import MIGRATIONS, newest_version, open_warehouse, transaction
from warehouse.guards import IMMUTABLE_TABLES, sidecar_path
from warehouse.recordings import add_source
from warehouse.rows import read_rows
from warehouse.versions import list_versions


@contextmanager
def holder(path: Path, *, seconds: float = 30) -> Iterator[subprocess.Popen[str]]:
    code = (
        f"import duckdb,sys,time; c=duckdb.connect({str(path)!r}); print('held', flush=True); "
        f"time.sleep({seconds})"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_open_warehouse_creates_the_file_and_records_its_migrations(path: Path) -> None:
    numbers = sorted(int(file.name[:4]) for file in MIGRATIONS.glob("*.sql"))
    assert numbers[-1] == newest_version()
    with open_warehouse(path) as con:
        versions = [row["version"] for row in read_rows(con, "select version from schema_version")]
        assert versions == numbers
    with open_warehouse(path) as con:
        assert len(read_rows(con, "select * from schema_version")) == len(numbers)


def test_open_warehouse_refuses_to_read_what_is_not_there(path: Path) -> None:
    with (
        pytest.raises(WarehouseError, match="there is no warehouse yet"),
        open_warehouse(path, read_only=True),
    ):
        pass
    assert not path.exists()


def test_open_warehouse_reads_but_does_not_write_when_read_only(path: Path) -> None:
    with open_warehouse(path):
        pass
    with open_warehouse(path, read_only=True) as con:
        assert list_versions(con) == []
        with pytest.raises(duckdb.Error, match="read-only"):
            add_source(
                con,
                uri="a",
                size_bytes=1,
                modified_ns=1,
                recording_id=None,
                run_id="t",
            )


def test_open_warehouse_refuses_a_newer_schema(path: Path) -> None:
    with open_warehouse(path) as con:
        con.execute("insert into schema_version values (9999, 'later', now() at time zone 'UTC')")
    with pytest.raises(WarehouseError, match=r"newer voxdata .*upgrade"), open_warehouse(path):
        pass


def test_open_warehouse_refuses_a_foreign_database(path: Path) -> None:
    duckdb.connect(path).execute("create table t(i int)").close()
    with pytest.raises(WarehouseError, match="not a voxdata warehouse"), open_warehouse(path):
        pass


def test_open_warehouse_refuses_a_damaged_file(path: Path) -> None:
    path.write_bytes(b"no database" * 5000)
    with pytest.raises(WarehouseError, match="voxdata repair"), open_warehouse(path):
        pass


def test_open_warehouse_names_the_process_that_holds_it(path: Path) -> None:
    with open_warehouse(path):
        pass
    with (
        holder(path) as child,
        pytest.raises(WarehouseError, match=f"process {child.pid} "),
        open_warehouse(path, wait_s=0.3),
    ):
        pass


def test_open_warehouse_waits_until_the_holder_lets_go(path: Path) -> None:
    with holder(path, seconds=0.5), open_warehouse(path, wait_s=30) as con:
        assert list_versions(con) == []


def test_open_warehouse_serves_several_processes_that_create_and_write_at_once(path: Path) -> None:
    code = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from warehouse.connection import open_warehouse
        from warehouse.recordings import add_source
        for i in range(5):
            with open_warehouse(Path({str(path)!r})) as con:
                add_source(
                    con, uri=sys.argv[1], size_bytes=i, modified_ns=0, recording_id=None, run_id="t"
                )
        """
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(n)], stderr=subprocess.PIPE, text=True)
        for n in range(2)
    ]
    assert [child.communicate()[1] for child in children] == ["", ""]
    with open_warehouse(path) as con:
        assert read_rows(con, "select count(*) as n from source") == [{"n": 10}]


def test_open_warehouse_serves_several_threads(path: Path) -> None:
    def write(number: int) -> None:
        for i in range(3):
            with open_warehouse(path) as con:
                add_source(
                    con,
                    uri=str(number),
                    size_bytes=i,
                    modified_ns=0,
                    recording_id=None,
                    run_id="t",
                )

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_warehouse(path) as outer, open_warehouse(path, read_only=True) as inner:
        assert (
            read_rows(outer, "select count(*) as n from source")
            == read_rows(inner, "select count(*) as n from source")
            == [{"n": 12}]
        )


def test_open_warehouse_puts_back_triggers_that_are_gone(path: Path) -> None:
    with open_warehouse(path) as con:
        con.execute("drop trigger example_no_update on example")
    with open_warehouse(path) as con:
        assert len(read_rows(con, "select * from duckdb_triggers()")) == 2 * len(IMMUTABLE_TABLES)


def test_open_warehouse_refuses_when_a_listed_version_is_missing(
    path: Path, example: Callable[..., Example]
) -> None:
    with open_warehouse(path):
        pass
    earlier = path.read_bytes()
    with open_warehouse(path) as con:
        create_calls(con, [example()])
    assert '"name": "calls", "number": 1, "n": 1' in sidecar_path(path).read_text()
    path.write_bytes(earlier)
    with pytest.raises(WarehouseError, match=r"calls@1 .*backup"), open_warehouse(path):
        pass
    sidecar_path(path).unlink()
    with (
        pytest.raises(WarehouseError, match=r"1 of 1 acknowledged transactions"),
        open_warehouse(path),
    ):
        pass
    commits_path(path).unlink()
    with open_warehouse(path) as con:
        assert list_versions(con) == []


def test_open_warehouse_refuses_versions_without_their_list(
    path: Path, example: Callable[..., Example]
) -> None:
    with open_warehouse(path) as con:
        create_calls(con, [example()])
    sidecar_path(path).unlink()
    with pytest.raises(WarehouseError, match="voxdata repair"), open_warehouse(path):
        pass


def test_transaction_rolls_everything_back_when_an_error_passes(path: Path) -> None:
    with open_warehouse(path) as con:
        with pytest.raises(KeyError):
            _write_and_fail(con)
        assert read_rows(con, "select * from source") == []
        with transaction(con):
            add_source(
                con,
                uri="a",
                size_bytes=1,
                modified_ns=1,
                recording_id=None,
                run_id="t",
            )
        assert len(read_rows(con, "select * from source")) == 1


def _write_and_fail(con: duckdb.DuckDBPyConnection) -> None:
    with transaction(con):
        add_source(
            con,
            uri="a",
            size_bytes=1,
            modified_ns=1,
            recording_id=None,
            run_id="t",
        )
        with transaction(con):
            add_source(
                con,
                uri="b",
                size_bytes=1,
                modified_ns=1,
                recording_id=None,
                run_id="t",
            )
        raise KeyError
