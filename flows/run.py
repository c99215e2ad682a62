"""Run a flow on the workspace's Prefect server when that is up, and its plain function when it is
not.

Prefect records a run; it never decides whether the work is done. So a server that dies, hangs or
refuses costs a command its record and a few seconds, never its result.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from functools import wraps
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from flows.quiet_exit import end_process
from flows.say import MANNER
from flows.services.prefect_api import prefect_answers
from flows.services.start import prefect_access, prefect_home
from flows.workspace import Say, Workspace
from voxdata.errors import ServiceError, VoxdataError
from voxdata.progress import Progress
from voxdata.visible import visible

if TYPE_CHECKING:
    from prefect import Flow

BEGIN_S = 60.0
"""A busy server may take so long to note that a run begins; then the work is done without it."""

END_S = 6.0
"""And so long to note how it ended."""

WAKE_SIGNAL = signal.SIGUSR1


FLOWS = {
    "ingest": "flows.ingest.flow",
    "prelabel": "flows.prelabel.flow",
    "push": "flows.labelling.push",
    "pull": "flows.labelling.pull",
    "release": "flows.release.flow",
    "finetune": "flows.retrain.finetune",
}
"""Flow -> the module that defines it under this name.

By name, since importing one imports Prefect.
"""


class PrefectLostError(BaseException):
    """Prefect took too long. Nothing but `run_flow` may catch it, so it is no Exception."""


def connect_prefect(workspace: Workspace) -> bool:
    """Point this process at the workspace's Prefect server.

    Returns:
        False when no server of this workspace is up.

    Raises:
        ServiceError: Prefect was imported before, so this process would talk to another server.
    """
    environment = prefect_access(workspace)
    if environment is None:
        # A half-configured client would start a server of its own in the user's home.
        os.environ.setdefault("DO_NOT_TRACK", "1")
        os.environ.setdefault("PREFECT_HOME", str(prefect_home(workspace)))
        with suppress(OSError):  # Prefect would only warn
            workspace.state_dir.mkdir(parents=True, exist_ok=True)
        return False
    if "prefect" in sys.modules and not _settled(environment):
        raise ServiceError(
            "Prefect was imported before this process was pointed at the workspace's server, so "
            "the run would go to another one; connect first, then import"
        )
    os.environ.update(environment)
    return True


def run_flow(workspace: Workspace, name: str, *args: Any, say: Say) -> Any:
    """Run one of `FLOWS`.

    Returns:
        What the flow returns: a summary of plain values.
    """
    connected = connect_prefect(workspace)
    answers = connected and prefect_answers(os.environ)
    flow: Flow[Any, Any] = _load_flow(name)
    if answers:
        return _run_recorded(flow, str(workspace.root), *args, say=say)
    unrecorded = "so this run is not recorded there"
    if connected:
        say(f"{name}: Prefect does not answer (`voxdata doctor`), {unrecorded}")
    else:
        say(Progress(f"{name}: Prefect is not up (`voxdata up`), {unrecorded}"))
    return flow.fn(str(workspace.root), *args)


def _load_flow(name: str) -> Flow[Any, Any]:
    with _no_collection():
        flow: Flow[Any, Any] = getattr(import_module(FLOWS[name]), name)
    return flow


@contextmanager
def _no_collection() -> Iterator[None]:
    """Look for no garbage among what is made meanwhile, nor later: what an import makes stays, and
    to look through it again and again takes a seventh of the time that importing Prefect does.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def leave(code: int) -> NoReturn:
    """End the process; when Prefect was lost, without waiting for what it still wants to send."""
    if _lost.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    end_process(code)


_lost = threading.Event()


def _settled(environment: Mapping[str, str]) -> bool:
    return all(os.environ.get(name) == value for name, value in environment.items())


class _Body:
    """The plain function of a flow, and what became of it, whatever Prefect does around it."""

    def __init__(self, function: Callable[..., Any], deadline: _Deadline) -> None:
        self._function, self._deadline = function, deadline
        self.began = self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.began = True
        self._deadline.stop()
        try:
            self.result = self._function(*args, **kwargs)
            self.done = True
        except BaseException as error:
            self.error = error
            raise
        finally:
            self._deadline.start(END_S)
        return self.result


class _Deadline:
    """Raises PrefectLostError in the main thread when time is up, and again each second after."""

    def __init__(self, *, usable: bool) -> None:
        self.usable = usable
        self._stopped = threading.Event()
        self._stopped.set()

    def start(self, seconds: float) -> None:
        """Begin to count."""
        if self.usable:
            self._stopped = threading.Event()
            threading.Thread(target=_wake, args=(self._stopped, seconds), daemon=True).start()

    def stop(self) -> None:
        """Count no more."""
        self._stopped.set()

    def ring(self, _signal: int, _frame: FrameType | None) -> None:
        """What the signal does in the main thread."""
        if not self._stopped.is_set():
            raise PrefectLostError


def _wake(stopped: threading.Event, seconds: float) -> None:
    main = threading.main_thread().ident
    while main is not None and not stopped.wait(seconds):
        signal.pthread_kill(main, WAKE_SIGNAL)
        seconds = 1.0


@contextmanager
def _deadline() -> Iterator[_Deadline]:
    """A deadline for the main thread; in another one only Prefect's own limits hold."""
    deadline = _Deadline(usable=threading.current_thread() is threading.main_thread())
    if not deadline.usable:
        yield deadline
        return
    before = signal.signal(WAKE_SIGNAL, deadline.ring)
    try:
        yield deadline
    finally:
        deadline.stop()
        signal.signal(WAKE_SIGNAL, before)


def _tidy_terminal() -> None:
    """An error of ours is told in a line at the end; its trace goes to Prefect's page alone, and so
    does what Prefect says of a run, unless somebody wants to know.
    """
    from prefect.logging.configuration import ensure_logging_setup

    ensure_logging_setup()
    for name in ("", "prefect", "prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.addFilter(_is_no_trace_of_ours)
                handler.addFilter(_make_visible)
                handler.addFilter(_is_wanted)
    MANNER.owns_terminal = not MANNER.verbose
    # At the end it would say only that it still sends, after the command has said what came of it.
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)


def _is_no_trace_of_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, VoxdataError)


def _is_wanted(record: logging.LogRecord) -> bool:
    """Whether a line of Prefect's is for the terminal: with -v all are; else what it warns of, and
    not what it says of a run, whose outcome the command tells.
    """
    if MANNER.verbose or not record.name.startswith("prefect"):
        return True
    is_of_run = record.name.startswith(("prefect.flow_runs", "prefect.task_runs"))
    return record.levelno >= logging.WARNING and not is_of_run


def _make_visible(record: logging.LogRecord) -> bool:
    """Let the terminal act on nothing that a message quotes."""
    record.msg, record.args = visible(record.getMessage()), None
    return True


def _run_recorded(flow: Flow[Any, Any], *args: Any, say: Say) -> Any:
    _tidy_terminal()
    with _deadline() as deadline:
        body = _Body(flow.fn, deadline)
        recorded = copy(flow)
        recorded.fn = wraps(flow.fn)(lambda *given, **named: body(*given, **named))
        try:
            deadline.start(BEGIN_S)
            return recorded(*args)
        except (Exception, PrefectLostError) as error:
            deadline.stop()
            if body.error is not None and not isinstance(body.error, PrefectLostError):
                if error is not body.error:
                    _tell_lost(flow.name, error, say=say)
                raise body.error from None
            _tell_lost(flow.name, error, say=say)
    return body.result if body.done else flow.fn(*args)


def _tell_lost(name: str, error: BaseException, *, say: Say) -> None:
    _lost.set()
    why = f"{type(error).__name__}: {error}" if str(error) else "it took too long"
    say(
        f"{name}: Prefect was lost on the way ({why}), so it does not know how this run ended; "
        "the work goes on without it"
    )
