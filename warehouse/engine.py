"""The one door to DuckDB: what a connection may take, and that none fetches anything by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from voxdata.errors import ConfigError
from voxdata.machine import memory_bytes

IN_MEMORY = ":memory:"

MEMORY_SHARE = 0.5
"""DuckDB's share of the memory of the machine, or of its control group, without a setting."""

LEAST_BYTES = 256 << 20
"""With less DuckDB cannot open a warehouse of ordinary size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What a connection may take.

    Attributes:
        memory_bytes: 0 for a share of what the machine has.
        spill: Where it puts what has no room in memory; None: beside the file.
    """

    memory_bytes: int = 0
    spill: Path | None = None

    def config(self) -> dict[str, str | bool | int | float | list[str]]:
        """As DuckDB's settings."""
        allowed = self.memory_bytes or round(memory_bytes() * MEMORY_SHARE)
        settings: dict[str, str | bool | int | float | list[str]] = {
            # Extensions would be downloaded and run; all that is used here is built in.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # A query never means a variable of this program that happens to have a table's name.
            "python_enable_replacements": False,
            "memory_limit": f"{max(allowed, LEAST_BYTES)}B",
        }
        if self.spill is not None:
            settings["temp_directory"] = str(self.spill)
        return settings


DEFAULT = Engine()


def connect(
    path: Path | str, *, read_only: bool = False, engine: Engine = DEFAULT
) -> DuckDBPyConnection:
    """Connect to a DuckDB file, or to a database in memory.

    Raises:
        duckdb.Error: It cannot be opened.
    """
    return duckdb.connect(path, read_only=read_only, config=engine.config())


@contextmanager
def time_limit(con: DuckDBPyConnection, seconds: float, *, what: str) -> Iterator[None]:
    """Interrupt what a connection does inside when it takes longer than this.

    Args:
        what: Named in the message.

    Raises:
        ConfigError: It took longer.
    """
    timer = threading.Timer(seconds, con.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        remedy = "ask for less, or raise [warehouse] query_seconds"
        raise ConfigError(
            f"{what} took longer than {seconds:g} s and was stopped; {remedy}"
        ) from error
    finally:
        timer.cancel()
