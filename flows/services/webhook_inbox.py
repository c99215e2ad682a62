"""The inbox of webhooks: events on disk until a pull that began after them has succeeded."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex


class WebhookInbox:
    """A folder with one file for each event.

    A file is there whole or not at all, also after `kill -9`.

    Args:
        folder: Made when absent; readable by its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        for partial in folder.glob("*.partial"):
            partial.unlink(missing_ok=True)

    def put(self, event: Mapping[str, object]) -> None:
        """Keep an event, durably: temporary file, fsync, rename."""
        name = f"{time.time_ns():020}-{token_hex(4)}"
        partial = self._folder / f"{name}.partial"
        with partial.open("w", encoding="utf-8") as file:
            json.dump(dict(event), file, ensure_ascii=True)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self._folder / f"{name}.json")

    def names(self) -> list[str]:
        """Events waiting, oldest first."""
        return sorted(path.name for path in self._folder.glob("*.json"))

    def remove(self, names: list[str]) -> None:
        """Forget events that were dealt with."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)
