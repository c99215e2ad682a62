"""A workspace: one folder with a voxdata.toml, and where everything of it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from duckdb import DuckDBPyConnection

from flows.say import tell
from flows.settings import FILE_NAME, Secrets, Settings, parse_settings, read_environment
from voxdata.scheme import Scheme
from voxdata.scheme_history import SchemeHistory
from warehouse.batches import list_batches, merge_batches
from warehouse.connection import open_warehouse
from warehouse.gate import refused_rows
from warehouse.places import Places

Say = Callable[[str], None]
"""Receives one line of status for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Settings, secrets and paths of one folder.

    Attributes:
        root: The folder, absolute.
        run_id: Written into every row that this process adds.
    """

    root: Path
    settings: Settings
    secrets: Secrets
    run_id: str

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file."""
        return self.root / self.settings.storage.warehouse

    @property
    def audio_dir(self) -> Path:
        """Canonical recordings."""
        return self.root / self.settings.storage.audio

    @property
    def media_dir(self) -> Path:
        """Clips served to annotators."""
        return self.root / self.settings.storage.media

    @property
    def models_dir(self) -> Path:
        """Training runs."""
        return self.root / self.settings.storage.models

    @property
    def exports_dir(self) -> Path:
        """Exported versions."""
        return self.root / self.settings.storage.exports

    @property
    def reports_dir(self) -> Path:
        """HTML reports."""
        return self.root / self.settings.storage.reports

    @property
    def state_dir(self) -> Path:
        """Services, logs and credentials."""
        return self.root / ".voxdata"

    @property
    def batches_dir(self) -> Path:
        """Rows that wait to be merged into the warehouse."""
        return self.state_dir / "batches"

    @property
    def snapshots_dir(self) -> Path:
        """Copies of the warehouse."""
        return self.state_dir / "snapshots"

    @property
    def places(self) -> Places:
        """What the warehouse keeps the places of files relative to."""
        return Places(root=self.root, inboxes=self.settings.sources.inbox)

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """In the order of the file."""
        return tuple(settings.scheme for settings in self.settings.schemes)

    @property
    def histories(self) -> dict[str, SchemeHistory]:
        """Scheme name -> how its labels came about."""
        return {settings.name: settings.history for settings in self.settings.schemes}

    @property
    def scheme_versions(self) -> dict[str, int]:
        """Scheme name -> version."""
        return {scheme.name: scheme.version for scheme in self.schemes}

    @contextmanager
    def warehouse(self, *, read_only: bool = False) -> Iterator[DuckDBPyConnection]:
        """Open the warehouse; keep it open briefly, since one process at a time can have it. A writer merges the batches that wait.

        Rows that the gate has refused are told at the end.

        Raises:
            LockedError: Somebody else has had it open for too long.
        """
        with open_warehouse(self.warehouse_path, read_only=read_only, places=self.places) as con:
            if not read_only and list_batches(self.batches_dir):
                merge_batches(con, self.batches_dir, run_id=self.run_id)
            yield con
            refused = {} if read_only else refused_rows(con)
        if refused:
            rows = ", ".join(f"{table} {count}" for table, count in sorted(refused.items()))
            tell(f"gate: rows about somebody who was forgotten were refused: {rows}; `voxdata ledger` has them under their receipt")


def open_workspace(root: Path) -> Workspace:
    """Read the settings of a workspace and the environment.

    Raises:
        ConfigError: voxdata.toml is missing or wrong.
    """
    path = root.resolve() / FILE_NAME
    settings = parse_settings(path.read_text(encoding="utf-8"), origin=str(path))
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{token_hex(3)}"
    return Workspace(root=root.resolve(), settings=settings, secrets=read_environment(), run_id=run_id)
