"""The part of pre-labelling that runs in a worker: models in, results out, no warehouse."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

import psutil

from flows.models import ModelSpecs, build_models
from flows.workers.pool import count_cores
from flows.workspace import Workspace, open_workspace
from voxdata.counted import counted
from voxdata.errors import AudioError, BackendError, DropReason, ShortageError, WorkerError
from voxdata.increment import CUT, DIARIZE, MEASURE, SCAN, SECOND_OPINION, TRANSCRIBE
from voxdata.machine import find_fault, memory_bytes, memory_is_short
from voxdata.prelabel import Models, RecordingWork, run_stages
from voxdata.sound import duration_ms
from warehouse.attempts import TRIES

ANOTHER_DAY = f"another day's pre-labelling tries it again, on {TRIES} days in all"
TOO_MUCH_MEMORY = (
    f"it needs more memory than a worker is allowed ([prelabel] memory_gb); {ANOTHER_DAY}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a recording did not get through.

    Attributes:
        stage: The one it failed in.
    """

    stage: str
    reason: DropReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Some recordings that are worked on together.

    Attributes:
        root: The workspace.
        models: Which models are in use.
        settings_key: Changes with voxdata.toml, so that a worker which lives on builds its models
            again.
    """

    root: str
    models: ModelSpecs
    settings_key: str
    works: tuple[RecordingWork, ...]

    @property
    def audio_ms(self) -> int:
        """Audio of all its recordings."""
        return sum(duration_ms(work.sounds[0]) for work in self.works)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one recording.

    Attributes:
        work: With the results filled in, as far as it got.
        seconds: Stage that is done -> its share of the time the unit's stage took.
        failure: None when all wanted stages are done.
        shortage: What the machine lacked for this recording; the next run tries it again, until
            that has happened on several days.
        shortage_reason: What is noted then.
    """

    work: RecordingWork
    seconds: Mapping[str, float] = field(default_factory=dict)
    failure: Failure | None = None
    shortage: str = ""
    shortage_reason: DropReason = DropReason.OUT_OF_MEMORY


def killed_outcome(work: RecordingWork, error: WorkerError | ShortageError) -> Outcome:
    """What became of a recording over which its worker was ended."""
    if isinstance(error, ShortageError):
        return Outcome(work=work, shortage=str(error), shortage_reason=error.reason)
    crashed = error.reason is DropReason.CRASHED
    when = (
        "it is skipped until the model, its settings or its version change"
        if crashed
        else ANOTHER_DAY
    )
    failure = Failure(
        stage=first_stage(work.wanted), reason=error.reason, detail=f"{error}; {when}"
    )
    return Outcome(work=work, failure=failure)


def given_up(outcome: Outcome, *, days: int) -> Outcome:
    """An outcome that lacked memory on so many days that the recording rests."""
    detail = (
        f"{outcome.shortage}; this was so on {counted(days, 'day')}, "
        "and it is skipped until its stage changes"
    )
    stage = first_stage(outcome.work.wanted)
    failure = Failure(stage=stage, reason=outcome.shortage_reason, detail=detail)
    return replace(outcome, shortage="", failure=failure)


def first_stage(wanted: frozenset[str]) -> str:
    """The first of some stages in the order in which they are run."""
    return next((stage for stage in _ORDER if stage in wanted), min(wanted))


_ORDER = (DIARIZE, TRANSCRIBE, SECOND_OPINION, CUT, MEASURE, SCAN)


def run_unit(unit: Unit) -> list[Outcome]:
    """Run the wanted stages of a unit.

    When a model or a file fails, each recording runs by itself, so that one failure costs one.

    Raises:
        MachineError: This machine cannot go on, as when too many files are open.
    """
    models = _models(unit.root, unit.models, unit.settings_key)
    untouched = [replace(work) for work in unit.works]
    outcomes = _run(unit.works, models)
    if len(unit.works) > 1 and any(outcome.failure or outcome.shortage for outcome in outcomes):
        return list(chain.from_iterable(_run([work], models) for work in untouched))
    return outcomes


def _run(works: Sequence[RecordingWork], models: Models) -> list[Outcome]:
    """Run some recordings together.

    A failure is said of all of them, with the stages that were done before it.
    """
    began: list[tuple[str, float]] = []
    failure: Failure | None = None
    try:
        run_stages(works, models, progress=lambda stage: began.append((stage, time.perf_counter())))
    except (
        Exception
    ) as error:  # whatever a model may raise about one recording must not stop the others
        fault = find_fault(error)
        if isinstance(fault, ShortageError):
            if _is_limited() and not memory_is_short():
                reason = DropReason.OUT_OF_MEMORY
                failure = Failure(stage=began[-1][0], reason=reason, detail=TOO_MUCH_MEMORY)
                return [Outcome(work=work, failure=failure) for work in works]
            return [Outcome(work=work, shortage=str(fault)) for work in works]
        if fault is not None:
            raise fault from error
        failure = _failure(error, stage=began[-1][0])
    ends = [moment for _, moment in began[1:]] + [time.perf_counter()]
    took = {stage: end - start for (stage, start), end in zip(began, ends, strict=True)}
    if failure is not None:
        took.pop(failure.stage)
    outcomes: list[Outcome] = []
    for work in works:
        shares = {
            stage: seconds * _share(work, works, stage)
            for stage, seconds in took.items()
            if stage in work.wanted
        }
        outcomes.append(Outcome(work=work, seconds=shares, failure=failure))
    return outcomes


def _is_limited() -> bool:
    """Whether this process has a limit of its own, as workers of ours do and those of a cluster do
    not.
    """
    return resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY


def _failure(error: Exception, *, stage: str) -> Failure:
    if isinstance(error, AudioError):
        return Failure(stage=stage, reason=error.reason, detail=str(error))
    if isinstance(error, BackendError):
        return Failure(stage=stage, reason=DropReason.FAILED, detail=str(error))
    detail = (
        f"the model raised {type(error).__name__}: {error}; "
        "it is skipped until the model, its settings or its version change"
    )
    return Failure(stage=stage, reason=DropReason.CRASHED, detail=detail)


def _share(work: RecordingWork, works: Sequence[RecordingWork], stage: str) -> float:
    total = sum(duration_ms(w.sounds[0]) for w in works if stage in w.wanted)
    return duration_ms(work.sounds[0]) / total if total else 0.0


@lru_cache(maxsize=1)
def _models(root: str, specs: ModelSpecs, settings_key: str) -> Models:
    """Models of this process, loaded once."""
    del settings_key  # part of the cache's key only
    return build_models(open_workspace(Path(root)), specs)


WORKER_BYTES = 3 << 30
"""What a worker with its models may come to hold; bounds how many are started."""


def count_workers(workspace: Workspace) -> int:
    """[prelabel] workers; 0 is one a core, as far as memory allows."""
    wanted = workspace.settings.prelabel.workers
    if wanted:
        return wanted
    return max(1, min(count_cores(), psutil.virtual_memory().available // WORKER_BYTES))


def worker_bytes(workspace: Workspace, workers: int) -> int:
    """Memory that each worker may take: [prelabel] memory_gb; 0 is its share of what there is."""
    wanted = workspace.settings.prelabel.memory_gb
    return round(wanted * (1 << 30)) or max(WORKER_BYTES, memory_bytes() // workers)
