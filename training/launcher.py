"""Training jobs as child processes on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from voxdata.errors import MachineError, ShortageError, TrainingError
from voxdata.machine import AGAIN, EXIT_CODE, ended_from_outside
from voxdata.ports import TrainingJob
from voxdata.progress import read_progress

LAST_LINES = 20


class LocalLauncher:
    """The TrainingLauncher port on `python -m training`.

    Args:
        cache_dir: Where features are kept between runs; None: in the job's own output.
        progress: Receives every line the run prints; `Progress` where one counts.
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
        command = self._command(job)
        last_lines: deque[str] = deque(maxlen=LAST_LINES)
        exit_code = self._run(command, last_lines)
        if exit_code != 0:
            raise _explain(exit_code, list(last_lines))
        return _read_result(job.output)

    def _command(self, job: TrainingJob) -> list[str]:
        command = [sys.executable, "-m", "training", "--device", self._device]
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
            try:
                for line in child.stdout or ():
                    last_lines.append(line.rstrip("\n"))
                    if self._progress:
                        self._progress(read_progress(last_lines[-1]))
            except BaseException:
                child.kill()
                raise
        return child.returncode


def _explain(exit_code: int, last_lines: Sequence[str]) -> MachineError | TrainingError:
    """Who is to blame for a run that failed: this machine, whoever ended it, or the run."""
    if exit_code == EXIT_CODE:
        last_words = last_lines[-1] if last_lines else "training stopped without a word"
        return MachineError(last_words.removeprefix("error: "))
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
