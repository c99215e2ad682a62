"""Training jobs as child processes on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from signal import SIGKILL
from threading import TIMEOUT_MAX, Timer
from time import monotonic

from training.compute import ON_CPU, Compute
from voxdata.errors import (
    ConfigError,
    MachineError,
    ShortageError,
    TrainingError,
    VoxdataError,
)
from voxdata.machine import AGAIN, EXIT_CODE, ended_from_outside
from voxdata.ports import TrainingJob
from voxdata.progress import read_progress

LAST_LINES = 20
WRONG_USAGE = 2
"""With this exit code `python -m training` says that what it was asked for cannot be meant."""


class LocalLauncher:
    """The TrainingLauncher port on `python -m training`.

    Args:
        cache_dir: Where features are kept between runs; None: in the job's own output.
        progress: Receives every line the run prints; `Progress` where one counts.
        compute: Where the run computes.
        timeout_minutes: A run that takes longer is stopped; 0 waits for any.
    """

    def __init__(
        self,
        *,
        cache_dir: Path | None = None,
        progress: Callable[[str], None] | None = None,
        compute: Compute = ON_CPU,
        timeout_minutes: float = 0.0,
    ) -> None:
        self._cache_dir = cache_dir
        self._progress = progress
        self._compute = compute
        self._timeout_s = timeout_minutes * 60 or inf

    def launch(self, job: TrainingJob) -> Mapping[str, object]:
        """See `TrainingLauncher.launch`."""
        command = self._command(job)
        last_lines: deque[str] = deque(maxlen=LAST_LINES)
        began = monotonic()
        exit_code = self._run(command, last_lines)
        if exit_code == -SIGKILL and monotonic() - began >= self._timeout_s:
            raise TrainingError(
                f"training took longer than {self._timeout_s / 60:g} minutes and was stopped; "
                "raise `timeout_minutes` in [training]"
            )
        if exit_code != 0:
            raise _explain(exit_code, list(last_lines))
        return _read_result(job.output)

    def _command(self, job: TrainingJob) -> list[str]:
        command = [sys.executable, "-m", "training"]
        for name in ("device", "precision", "threads"):
            command += [f"--{name}", str(getattr(self._compute, name))]
        for name in ("config", "manifest", "incumbent", "output"):
            command += [f"--{name}", str(getattr(job, name))]
        if self._cache_dir is not None:
            command += ["--cache", str(self._cache_dir / "features")]
        return command

    def _run(self, command: Sequence[str], last_lines: deque[str]) -> int:
        """Run to the end, passing every line on; returns the exit code."""
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as child:
            deadline = Timer(min(self._timeout_s, TIMEOUT_MAX), child.kill)
            deadline.daemon = True
            deadline.start()
            try:
                for line in child.stdout or ():
                    last_lines.append(line.rstrip("\n"))
                    if self._progress:
                        self._progress(read_progress(last_lines[-1]))
            except BaseException:
                child.kill()
                raise
            finally:
                deadline.cancel()
        return child.returncode


def _explain(exit_code: int, last_lines: Sequence[str]) -> VoxdataError:
    """Who is to blame for a run that failed: this machine, the settings, whoever ended it, or the
    run.
    """
    last_words = last_lines[-1] if last_lines else "training stopped without a word"
    last_words = last_words.removeprefix("error: ")
    if exit_code == EXIT_CODE:
        return MachineError(last_words)
    if exit_code == WRONG_USAGE:
        return ConfigError(last_words)
    if ended_from_outside(exit_code):
        return ShortageError(
            f"training was ended from outside (signal {-exit_code}), "
            f"as the system does when memory runs out; free memory, then {AGAIN}"
        )
    return TrainingError(f"training ended with exit code {exit_code}:\n" + "\n".join(last_lines))


def _read_result(output: Path) -> dict[str, object]:
    path = output / "result.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"training ended well but left no readable result.json in {output} ({error})"
        ) from error
    if not isinstance(result, dict):
        raise TrainingError(f"{path}: is not an object")
    return result
