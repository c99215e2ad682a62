"""The inbox of webhooks: events on disk until a pull that began after them has succeeded."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex

from voxdata.durable import remove, sync, write_file


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
            remove(partial, missing_ok=True)

    def put(self, event: Mapping[str, object]) -> None:
        """Keep an event, durably.

        Raises:
            MachineError: The disk refuses; nothing of it is there.
        """
        name = f"{time.time_ns():020}-{token_hex(4)}.json"
        content = json.dumps(dict(event), ensure_ascii=True)
        write_file(self._folder / name, content.encode("ascii"))
        sync(self._folder)

    def names(self) -> list[str]:
        """Events waiting, oldest first."""
        return sorted(path.name for path in self._folder.glob("*.json"))

    def remove(self, names: list[str]) -> None:
        """Forget events that were dealt with."""
        for name in names:
            remove(self._folder / name, missing_ok=True)
