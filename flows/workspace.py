"""A workspace: one folder with a voxdata.toml, and where everything of it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import duckdb
from duckdb import DuckDBPyConnection

from flows.folders.bans import remember_bans
from flows.folders.known import (
    Known,
    mark_folders,
    read_known,
    require_folder,
    require_unused,
    write_known,
)
from flows.folders.storage_folders import FOLDERS, STATE_DIR, require_separate
from flows.place import FILE_NAME
from flows.say import tell
from flows.settings import Secrets, Settings, parse_settings, read_environment
from voxdata.durable import scratch_folder
from voxdata.errors import ConfigError, MachineError, WarehouseError
from voxdata.register import Register
from voxdata.scheme import Scheme
from voxdata.scheme_history import SchemeHistory
from voxdata.scratch import SCRATCH, sweep
from warehouse.batches import list_batches, merge_batches
from warehouse.connection import copy_open_file, open_copy, open_warehouse
from warehouse.engine import Engine
from warehouse.gate import refused_rows
from warehouse.identity import KnownWarehouse, read_state
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
        """Canonical recordings.

        This and the next four raise `MachineError` when the folder was there before and is away.
        """
        return self._folder("audio")

    @property
    def media_dir(self) -> Path:
        """Clips served to annotators."""
        return self._folder("media")

    @property
    def models_dir(self) -> Path:
        """Training runs."""
        return self._folder("models")

    @property
    def exports_dir(self) -> Path:
        """Exported versions."""
        return self._folder("exports")

    @property
    def reports_dir(self) -> Path:
        """HTML reports."""
        return self._folder("reports")

    @property
    def storage_folders(self) -> dict[str, Path]:
        """Name of a storage folder -> where it lies, or should."""
        return {name: self.root / getattr(self.settings.storage, name) for name in FOLDERS}

    def _folder(self, name: str) -> Path:
        folder = self.storage_folders[name]
        require_folder(read_known(self.state_dir), name, folder)
        return folder

    def require_folders(self, *names: str) -> None:
        """See that storage folders are there which were there before.

        All of them are looked at when none is named.

        Raises:
            MachineError: One is away.
        """
        remembered = read_known(self.state_dir)
        for name in names or FOLDERS:
            require_folder(remembered, name, self.storage_folders[name])

    @property
    def state_dir(self) -> Path:
        """Services, logs and credentials."""
        return self.root / STATE_DIR

    @property
    def written(self) -> Register:
        """What was exported and reported, by which forgetting knows its own files."""
        return Register(root=self.root)

    @property
    def batches_dir(self) -> Path:
        """Rows that wait to be merged into the warehouse."""
        return self.state_dir / "batches"

    @property
    def snapshots_dir(self) -> Path:
        """Copies of the warehouse."""
        return self.state_dir / "snapshots"

    @property
    def storage_dirs(self) -> tuple[Path, ...]:
        """The folder of the warehouse, and those that the settings name.

        They are named whether they are there or not.
        """
        return (self.warehouse_path.parent, *self.storage_folders.values())

    @property
    def scratch_dirs(self) -> tuple[Path, ...]:
        """Where files lie that are not whole yet: in the workspace, and in each storage folder on
        another disk or elsewhere; none in one that is away.
        """
        here, remembered = self.root.stat().st_dev, read_known(self.state_dir)
        folders = [self.warehouse_path.parent]
        for name, folder in self.storage_folders.items():
            with suppress(MachineError):
                require_folder(remembered, name, folder)
                folders.append(folder)
        apart = [
            folder
            for folder in folders
            if folder.is_dir()
            and (folder.stat().st_dev != here or not folder.is_relative_to(self.root))
        ]
        return tuple(dict.fromkeys(folder / SCRATCH for folder in (self.root, *apart)))

    def sweep_scratch(self) -> int:
        """Make the scratch folders, and remove what processes left there that are gone.

        Returns:
            How many files and folders.
        """
        swept = 0
        for folder in self.scratch_dirs:
            with suppress(OSError):  # whoever has to write there says so
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                swept += sweep(folder)
        return swept

    @property
    def places(self) -> Places:
        """What the warehouse keeps the places of files relative to."""
        return Places(root=self.root, inboxes=self.settings.sources.inbox)

    @property
    def engine(self) -> Engine:
        """What a connection to the warehouse may take."""
        gigabytes = self.settings.warehouse.memory_gb
        return Engine(
            memory_bytes=round(gigabytes * (1 << 30)), spill=self.state_dir / "scratch" / "duckdb"
        )

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
        """Open the warehouse; keep it open briefly, since one process at a time can have it.

        A writer merges the batches that wait, and sweeps what killed processes left half-written.

        A workspace makes a warehouse once. From then on it knows it, and opens no other, no older
        one and none in its place. Rows that the gate has refused are told at the end.

        Raises:
            LockedError: Somebody else has had it open for too long.
            WarehouseError: It is not there, or not the one that it was.
        """
        if not read_only:
            self.sweep_scratch()
        expected, new = self.known_warehouse(), not self.warehouse_path.exists()
        if new and expected is None:
            require_unused(self.warehouse_path, self.state_dir, self.storage_folders)
        with open_warehouse(
            self.warehouse_path,
            read_only=read_only,
            places=self.places,
            known=expected,
            engine=self.engine,
            say=tell,
        ) as con:
            if read_only:
                yield con
                return
            if expected is None and not new:
                tell(
                    f"workspace: {self.warehouse_path} is the warehouse of {self.root} from now "
                    "on; no other one is taken for it"
                )
            try:
                if list_batches(self.batches_dir):
                    merge_batches(con, self.batches_dir, run_id=self.run_id)
                yield con
                refused = refused_rows(con)
            finally:
                self._remember(con)
        if refused:
            rows = ", ".join(f"{table} {count}" for table, count in sorted(refused.items()))
            tell(
                f"gate: rows about somebody who was forgotten were refused: {rows}; "
                "`voxdata ledger` has them under their receipt"
            )

    @contextmanager
    def copied_warehouse(self) -> Iterator[DuckDBPyConnection]:
        """Read the warehouse as it is now for as long as one likes: nobody waits for that.

        It is copied, batches merged, which takes room for it once more.

        Raises:
            MachineError: There is no room.
            LockedError, WarehouseError: As when the warehouse is opened.
        """
        with scratch_folder(near=self.root) as folder:
            copy = folder / "warehouse.duckdb"
            with self.warehouse() as con:
                copy_open_file(con, self.warehouse_path, copy)
            engine = replace(self.engine, spill=folder / "spill")
            with open_copy(copy, places=self.places, engine=engine) as con:
                yield con

    def known_warehouse(self) -> KnownWarehouse | None:
        """What this workspace knows of its warehouse; None while it has none.

        An empty one that was made where the settings named another place counts for none.
        """
        remembered = read_known(self.state_dir)
        if remembered is None:
            return None
        never_used = (
            not remembered.warehouse.commits and remembered.place != self.settings.storage.warehouse
        )
        return None if never_used and not self.warehouse_path.exists() else remembered.warehouse

    def _remember(self, con: DuckDBPyConnection) -> None:
        """Write down how far the warehouse has come.

        What was done is done, whether this can be written or not.
        """
        try:
            self._remember_bans(con)
            state = read_state(con)
            before = read_known(self.state_dir)
            former = before.warehouse.former if before else ()
            folders = (
                before.folders
                if before and before.warehouse.warehouse_id == state.warehouse_id
                else ()
            )
            now = Known(
                warehouse=replace(state, former=former),
                place=self.settings.storage.warehouse,
                folders=folders,
            )
            now = mark_folders(now, self.storage_folders)
            if now != before:
                write_known(self.state_dir, now)
        except (duckdb.Error, WarehouseError):
            # The connection is beyond use, and whoever used it says so.
            # Or the file is damaged, and the next opening says so.
            return
        except (MachineError, OSError) as error:
            tell(
                "workspace: everything is stored; how far the warehouse has come could not be "
                f"written down ({error})"
            )

    def _remember_bans(self, con: DuckDBPyConnection) -> None:
        try:
            remember_bans(self.state_dir, con)
        except WarehouseError as error:
            tell(
                "workspace: everything is stored; who must stay out could not be written down "
                f"beside it: {error}"
            )


def open_workspace(root: Path | str) -> Workspace:
    """Read the settings of a workspace and the environment.

    Raises:
        ConfigError: voxdata.toml is missing or wrong, or its folders lie in each other.
    """
    root = Path(root).resolve()
    path = root / FILE_NAME
    if not path.is_file():
        raise ConfigError(f"{root} holds no {FILE_NAME}; make one with `voxdata init {root}`")
    settings = parse_settings(path.read_text(encoding="utf-8"), origin=str(path))
    require_separate(root, settings.storage)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{token_hex(3)}"
    return Workspace(root=root, settings=settings, secrets=read_environment(), run_id=run_id)
