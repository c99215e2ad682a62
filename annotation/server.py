"""A Label Studio server of one's own: its environment and an empty migrated database, both kept in
a cache.

The server's pins exclude Prefect's, so it lives in a virtual environment of its own. Migrating a
database takes half a minute, so one is migrated once, without any user or key in it, and copied for
each workspace.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from voxdata.durable import copy_file, move, sync, write_file
from voxdata.errors import AnnotationError

VERSION = "1.23.2"
LOCK = Path(__file__).with_name("label-studio.lock")
GUARD = Path(__file__).with_name("server_guard") / "voxdata_guard.py"
"""What starts the server; see there."""

DATABASE = "label_studio.sqlite3"

Say = Callable[[str], None]


def ensure_installed(*, cache_dir: Path, say: Say) -> Path:
    """Make the server's environment when it is not there.

    Args:
        cache_dir: Shared by all workspaces of this machine.
        say: Told when this is going to take a while.

    Returns:
        The `label-studio` program.

    Raises:
        AnnotationError: The packages could not be installed.
    """
    home = _home(cache_dir)
    venv = home / "venv"
    program = venv / "bin" / "label-studio"
    stamp = venv / ".complete"
    wanted = locked_versions(LOCK.read_text(encoding="utf-8"))
    with _locked(home):
        installed = stamp.read_text(encoding="utf-8") if stamp.is_file() else None
        if installed == wanted and program.is_file():
            return program
        say("label-studio: installing the server into the cache (about 1 GB, once)")
        shutil.rmtree(venv, ignore_errors=True)
        _install(venv)
        write_file(stamp, wanted.encode())
    return program


def _install(venv: Path) -> None:
    uv = _find_uv()
    _run(
        [uv, "venv", "--quiet", "--python", sys.executable, str(venv)],
        what="make the server's environment",
    )
    python = str(venv / "bin" / "python")
    from_lock = ["--require-hashes", "--no-deps", "--python", python, "-r", str(LOCK)]
    _run(
        [uv, "pip", "install", "--quiet", *from_lock],
        what="install the Label Studio server",
    )


def locked_versions(lock: str) -> str:
    """The name==version lines of a lock, without hashes.

    An environment stays as long as none of them changes.
    """
    unindented = [line for line in lock.splitlines() if line[:1].strip()]
    versions = [line.removesuffix("\\").strip() for line in unindented]
    return "".join(f"{version}\n" for version in versions)


def start_command(program: Path) -> tuple[str, ...]:
    """How the server is started behind its gate, on 127.0.0.1; `{port}` stands for the port.

    Args:
        program: As `ensure_installed` gives it.
    """
    python = str(program.with_name("python"))
    return (
        python,
        str(GUARD),
        "start",
        "--no-browser",
        "--internal-host",
        "127.0.0.1",
        "-p",
        "{port}",
    )


def ensure_migrated(*, cache_dir: Path, data_dir: Path, say: Say) -> None:
    """Give a workspace a database of the right schema when it has none; one that is there is left
    alone.

    Args:
        cache_dir: Holds the migrated, empty database.
        data_dir: The data folder of the workspace's server.
        say: Told when this is going to take a while.

    Raises:
        AnnotationError: Migrating failed.
    """
    data_dir.mkdir(
        parents=True,
        exist_ok=True,
        mode=0o700,
    )
    database = data_dir / DATABASE
    if database.exists():
        return
    program = ensure_installed(cache_dir=cache_dir, say=say)
    home = _home(cache_dir)
    template = home / DATABASE
    with _locked(home):
        if not template.is_file():
            say("label-studio: preparing an empty database in the cache (half a minute, once)")
            _make_template(program, template)
    copy_file(template, database, mode=0o600)


def _make_template(program: Path, template: Path) -> None:
    """Migrate an empty database beside its place, and move it there when it is whole."""
    fresh = template.with_name("migrating")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    _migrate(program, fresh)
    sync(fresh / DATABASE)
    move(fresh / DATABASE, template)
    shutil.rmtree(fresh)


def _migrate(program: Path, data_dir: Path) -> None:
    python = str(program.with_name("python"))
    script = "import label_studio; print(label_studio.__path__[0])"
    output = _run([python, "-c", script], what="find the server")
    package = Path(output.strip().splitlines()[-1])
    manage = str(package / "manage.py")
    _run(
        [python, manage, "migrate", "--no-input", "-v", "0"],
        what="migrate an empty Label Studio database",
        env={
            "LABEL_STUDIO_BASE_DATA_DIR": str(data_dir),
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "PYTHONPATH": str(package),
        },
    )


def _home(cache_dir: Path) -> Path:
    home = cache_dir / f"label-studio-{VERSION}"
    home.mkdir(parents=True, exist_ok=True)
    return home


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One process at a time builds in the cache; the lock ends with the process that holds it."""
    with (home / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _find_uv() -> str:
    from uv import find_uv_bin

    return str(find_uv_bin())


def _run(
    command: list[str],
    *,
    what: str,
    env: Mapping[str, str] | None = None,
) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        output = done.stderr or done.stdout
        last_lines = "\n".join(output.strip().splitlines()[-12:])
        beginning = " ".join(command[:4])
        raise AnnotationError(
            f"could not {what}: `{beginning} ...` ended with {done.returncode}:\n{last_lines}"
        )
    return done.stdout
