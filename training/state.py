"""How far a fit has come, kept on disk: one that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from training.run_folder import state_file
from voxdata.durable import remove, write_file
from voxdata.errors import MachineError, TrainingError

State = Mapping[str, Any]
"""Tensors, numbers, texts, and lists and tables of them."""

SAVE_EVERY_S = 60.0
_CHECKSUM_BYTES = 32


class StateKeeper:
    """Writes the state of a fit every now and then, and reads it back.

    Args:
        output: The folder of the run.
        identity: Of all that the fit depends on; the state of another one is of no use.
        every_s: Seconds between two writes; 0 writes after each batch.
        say: Receives what the reader must know.
    """

    def __init__(
        self,
        output: Path,
        *,
        identity: str,
        every_s: float = SAVE_EVERY_S,
        say: Callable[[str], None],
    ) -> None:
        self._path = state_file(output)
        self._identity = identity
        self._every_s = every_s
        self._say = say
        self._written_at = monotonic()

    def read(self) -> State | None:
        """The state that a fit with this identity left; None when there is none to go on from.

        Raises:
            MachineError: It is there and cannot be read.
        """
        state = self._read()
        if state is None:
            # Whoever deletes it, as when somebody is forgotten, stops what learns from it.
            self._write(None)
        return state

    def _read(self) -> State | None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MachineError(f"{self._path}: cannot be read ({error.strerror})") from error
        checksum, body = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if hashlib.sha256(body).digest() != checksum:
            self._say(f"{self._path} is damaged: training starts anew")
            return None
        kept = torch.load(io.BytesIO(body), weights_only=True)
        if kept["identity"] != self._identity:
            self._say(f"{self._path} is of another recipe or other data: training starts anew")
            return None
        state: State | None = kept["state"]
        return state

    def offer(self, make_state: Callable[[], State]) -> None:
        """Write the state, if it is time.

        Raises:
            TrainingError: Somebody has deleted the last one.
            MachineError: It cannot be written.
        """
        now = monotonic()
        if now - self._written_at < self._every_s:
            return
        if not self._path.exists():
            raise TrainingError(
                f"{self._path} was deleted during training, as when somebody is forgotten; "
                "train again"
            )
        self._write(make_state())

    def _write(self, state: State | None) -> None:
        buffer = io.BytesIO()
        torch.save({"identity": self._identity, "state": state}, buffer)
        body = buffer.getvalue()
        write_file(self._path, hashlib.sha256(body).digest() + body)
        self._written_at = monotonic()


def remove_state(output: Path) -> None:
    """Delete the state of a run that is done.

    Raises:
        MachineError: The system refuses.
    """
    remove(state_file(output), missing_ok=True)
