"""Training jobs as child processes on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from voxdata.errors import MachineError, ShortageError, TrainingError
from voxdata.machine import AGAIN, EXIT_CODE, ended_from_outside
from voxdata.ports import TrainingJob

LAST_LINES = 20


class LocalLauncher:
    """The TrainingLauncher port on `python -m training`.

    Args:
        cache_dir: Where features are kept between runs; None: in the job's own output.
        progress: Receives every line the run prints.
        device: A torch device.
    """

    def __init__(
        self,
        *,
        cache_dir: Path | None = None,
        progress: Callable[[str], None] | None = None,
        device: str = "cpu",
    ) -> None:
        self._cache_dir = cache_dir
        self._progress = progress
        self._device = device

    def launch(self, job: TrainingJob) -> Mapping[str, object]:
        """See `TrainingLauncher.launch`."""
        command = [sys.executable, "-m", "training", "--device", self._device]
        for name in ("config", "manifest", "incumbent", "output"):
            command += [f"--{name}", str(getattr(job, name))]
        if self._cache_dir is not None:
            command += ["--cache", str(self._cache_dir / "features")]
        last: deque[str] = deque(maxlen=LAST_LINES)
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as child:
            try:
                for line in child.stdout or ():
                    last.append(line.rstrip("\n"))
                    if self._progress:
                        self._progress(last[-1])
            except BaseException:
                child.kill()
                raise
        if child.returncode == EXIT_CODE:
            raise MachineError(
                (last or ["training stopped without a word"])[-1].removeprefix("error: ")
            )
        if ended_from_outside(child.returncode):
            why = f"training was ended from outside (signal {-child.returncode}), as the system does when memory runs out"
            raise ShortageError(f"{why}; free memory, then {AGAIN}")
        if child.returncode != 0:
            raise TrainingError(
                f"training ended with exit code {child.returncode}:\n" + "\n".join(last)
            )
        try:
            result = json.loads((job.output / "result.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(
                f"training ended well but left no readable result.json in {job.output} ({error})"
            ) from error
        if not isinstance(result, dict):
            raise TrainingError(f"{job.output / 'result.json'}: is not an object")
        return result
