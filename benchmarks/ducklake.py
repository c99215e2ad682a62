"""A dataset version in DuckLake with a Postgres catalogue, several writers at once:
python -m benchmarks.ducklake EXPORT.

EXPORT is a folder that `voxdata export --format parquet --audio clips` (or any other folder format)
wrote. DuckLake's extension exists for DuckDB 1.5.5, so this runs in an environment of its own, and
in a Postgres of its own that ends with it; Debian's package `postgresql` brings that. It shows what
carries over to where one machine is not enough: the same rows, leaves and manifest, and the same
root.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = (
    "duckdb==1.5.5",
    "duckdb-extensions",
    "duckdb-extension-ducklake==1.5.5",
    "duckdb-extension-postgres-scanner==1.5.5",
    "pytz",
)
WRITERS = 4
LEAF = """left(sha256(concat_ws(
  chr(31), 'voxdata-row/2', salt, utterance_id, recording_id, channel, start_ms, end_ms, voice,
  "group", audio_file, language, split, gold, text)), 32)"""


def main() -> None:
    """Load an export into DuckLake by several writers, and compute its root there; exit code 1 when
    it is another.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("export", type=Path)
    parser.add_argument(
        "--environment",
        type=Path,
        default=Path(".venv") / "ducklake",
    )
    parser.add_argument(
        "--write",
        nargs=3,
        metavar=("CATALOGUE", "DATA", "PART"),
        help=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--read",
        nargs=2,
        metavar=("CATALOGUE", "DATA"),
        help=argparse.SUPPRESS,
    )
    options = parser.parse_args()
    if options.write:
        write(
            options.export,
            options.write[0],
            options.write[1],
            int(options.write[2]),
        )
    elif options.read:
        read(options.export, *options.read)
    else:
        run(options.export, options.environment)


def run(export: Path, environment: Path) -> None:
    """Start Postgres, let the writers write, read the root."""
    python = environment / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).parent / "uv"
        subprocess.run([uv, "venv", "-q", environment], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *PACKAGES], check=True)
    command = [
        str(python.absolute()),
        str(Path(__file__).absolute()),
        str(export.absolute()),
    ]
    with tempfile.TemporaryDirectory() as data, postgres() as catalogue:
        began = time.monotonic()
        for part in range(-1, WRITERS):  # -1 makes the tables
            if part == 0:
                break
            subprocess.run([*command, "--write", catalogue, data, str(part)], check=True)
        writers = [
            subprocess.Popen([*command, "--write", catalogue, data, str(part)])
            for part in range(WRITERS)
        ]
        failed = sum(writer.wait() != 0 for writer in writers)
        print(f"{WRITERS} writers, {failed} failed, {time.monotonic() - began:.1f} s with starting")
        sys.exit(
            failed or subprocess.run([*command, "--read", catalogue, data], check=False).returncode
        )


def connect(catalogue: str, data: str):  # type: ignore[no-untyped-def]
    """A connection to the lake."""
    import duckdb
    import duckdb_extensions

    for name in ("ducklake", "postgres_scanner"):
        duckdb_extensions.import_extension(name)
    con = duckdb.connect()
    con.execute("load ducklake; load postgres_scanner")
    con.execute(f"attach 'ducklake:postgres:{catalogue}' as lake (data_path '{data}/')")
    con.execute("use lake")
    return con


def write(export: Path, catalogue: str, data: str, part: int) -> None:
    """One writer's share of the rows with their leaves and their place in the manifest, in one
    transaction.
    """
    con = connect(catalogue, data)
    rows = (
        f"read_json('{export}/rows.jsonl', format = 'newline_delimited', maximum_object_size = "
        f"100000000, columns = {COLUMNS})"
    )
    numbered = f"(select row_number() over () as row_no, *, {LEAF} as leaf from {rows})"
    if part < 0:
        con.execute(
            f"create table example as select * exclude (leaf, salt) from {numbered} limit 0"
        )
        con.execute("create table example_leaf(row_no bigint, leaf varchar)")
        con.execute("create table manifest(manifest_key integer, row_no bigint)")
        return
    mine = f"(from {numbered} where row_no % {WRITERS} = {part})"
    for attempt in range(20):
        try:
            con.execute("begin")
            con.execute(f"insert into example select * exclude (leaf, salt) from {mine}")
            con.execute(f"insert into example_leaf select row_no, leaf from {mine}")
            con.execute(f"insert into manifest select 1, row_no from {mine}")
            con.execute("commit")
            return
        except Exception as error:  # whatever a catalogue that others write to raises
            con.execute("rollback")
            if attempt == 19:
                raise
            print(f"writer {part}: tries again ({str(error).splitlines()[0]})", file=sys.stderr)
            time.sleep(0.2 * (part + 1))


COLUMNS = """{
  utterance_id: 'varchar', recording_id: 'varchar', channel: 'integer', start_ms: 'bigint',
  end_ms: 'bigint', voice: 'varchar', "group": 'varchar', audio_file: 'varchar', text: 'varchar',
  language: 'varchar', split: 'varchar', gold: 'varchar', salt: 'varchar'}"""


def read(export: Path, catalogue: str, data: str) -> None:
    """Compute the root from the lake, and compare it with the export's."""
    con = connect(catalogue, data)
    leaves = [
        row[0]
        for row in con.execute(
            "select leaf from example_leaf join manifest using (row_no) where manifest_key = "
            "1 order by leaf"
        ).fetchall()
    ]
    header = json.loads((export / "voxdata.json").read_text(encoding="utf-8"))
    leaves = sorted([*leaves, *header["erased"]])
    buckets: dict[int, bytes] = {}
    for leaf in leaves:
        number = int(leaf[:3], 16)
        buckets[number] = buckets.get(number, b"") + bytes.fromhex(leaf)
    root = hashlib.sha256(
        b"voxdata-version/2\n"
        + b"".join(hashlib.sha256(buckets.get(i, b"")).digest() for i in range(4096))
    ).hexdigest()
    snapshots = con.execute("select count(*) from ducklake_snapshots('lake')").fetchall()[0][0]
    verdict = "equal" if root == header["root"] else "DIFFERENT"
    print(
        f"{len(leaves)} rows in {snapshots} snapshots; root {root[:16]}, export "
        f"{header['root'][:16]}: {verdict}"
    )
    sys.exit(root != header["root"])


@contextmanager
def postgres() -> Iterator[str]:
    """A Postgres server on a free port, gone at the end; yields a connection string."""
    initdb = shutil.which("initdb") or next(
        map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        None,
    )
    if initdb is None:
        sys.exit("needs Postgres: apt-get install postgresql")
    programs = Path(os.path.realpath(initdb)).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp())
    user = {}
    if os.geteuid() == 0:  # it refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    subprocess.run(
        [programs / "initdb", "-D", folder / "d", "-U", "voxdata", "--auth=trust"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        **user,
    )
    server = subprocess.Popen(
        [
            programs / "postgres",
            "-D",
            folder / "d",
            "-p",
            str(port),
            "-h",
            "127.0.0.1",
            "-k",
            str(folder),
        ],
        stderr=subprocess.DEVNULL,
        cwd="/",
        **user,
    )
    try:
        for _ in range(100):
            if (
                subprocess.run(
                    [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False
                ).returncode
                == 0
            ):
                break
            time.sleep(0.1)
        yield f"dbname=postgres host=127.0.0.1 port={port} user=voxdata"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
