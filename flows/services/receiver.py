"""Receiver: takes Label Studio's webhooks, and has changes pulled at once instead of at the next
schedule.

    python -m flows.services.receiver ROOT --port PORT

Started by `voxdata up`. An event is a hint to pull, never the truth: Label Studio sends each once,
inside the annotator's save, without a signature and without trying again. So it is answered in
milliseconds, after the hint is on disk, and what was said is read from the server.
"""

from __future__ import annotations

import argparse
import hmac
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from annotation.webhooks import SECRET_HEADER, WEBHOOK_PATH
from flows.folders.private_files import keep_files_private
from flows.quiet_exit import quiet_exit
from flows.say import tell
from flows.services.label_studio_server import label_studio_credentials
from flows.services.own_origin import OwnOriginOnly
from flows.services.webhook_inbox import WebhookInbox
from flows.workspace import Say, open_workspace
from voxdata.errors import TransientError, VoxdataError

MAX_BYTES = 4_000_000
QUIET_S = 1.0
"""A pull waits so long after an event, since people's events come in bursts."""

LONGEST_PAUSE_S = 60.0
LONGEST_PULL_S = 600.0


class PullWaker:
    """Runs one pull at a time, soon after events, until one has succeeded that began after the
    newest of them.

    Args:
        inbox: Where events wait.
        pull: Raises VoxdataError when it did not work; then it is tried again, with growing pauses.
        say: Told what happens.
        quiet_s: See QUIET_S.
    """

    def __init__(
        self, inbox: WebhookInbox, pull: Callable[[], object], *, say: Say, quiet_s: float = QUIET_S
    ) -> None:
        self._inbox, self._pull, self._say, self._quiet_s = inbox, pull, say, quiet_s
        self._woken, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="pull-waker", daemon=True)

    def start(self) -> None:
        """Begin; events left over from before are dealt with first."""
        self._woken.set()
        self._thread.start()

    def wake(self) -> None:
        """There may be an event."""
        self._woken.set()

    def stop(self) -> None:
        """End; a pull that runs is left to itself, and its events stay."""
        self._stopped.set()
        self._woken.set()
        self._thread.join(timeout=2)

    @property
    def alive(self) -> bool:
        """Whether events are still dealt with."""
        return self._thread.is_alive()

    def _run(self) -> None:
        pause_s = self._quiet_s
        while True:
            self._woken.wait()
            self._woken.clear()
            if self._stopped.wait(timeout=self._quiet_s):
                return
            try:
                waiting = self._inbox.names()
                if waiting:
                    self._pull()
                    self._inbox.remove(waiting)
            except (VoxdataError, OSError) as error:
                self._say(f"receiver: events wait, since the pull failed: {error}")
                if self._stopped.wait(timeout=pause_s):
                    return
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                self._woken.set()
                continue
            pause_s = self._quiet_s
            if not waiting:
                continue
            # Under steady work a pull every few seconds is enough.
            if self._stopped.wait(timeout=5 * self._quiet_s):
                return
            self._woken.set()  # for what came meanwhile


def build_app(
    inbox: WebhookInbox,
    *,
    secret: str,
    wake: Callable[[], None],
    alive: Callable[[], bool] = lambda: True,
) -> FastAPI:
    """The receiver's two addresses.

    Args:
        secret: What the header `SECRET_HEADER` must say.
        wake: Called after an event is on disk.
        alive: Whether somebody deals with events; /health says so.
    """
    app = FastAPI(title="voxdata receiver", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    async def health() -> dict[str, str]:
        if not alive():
            raise HTTPException(
                503, "nobody deals with events any more; `voxdata down`, then `voxdata up`"
            )
        return {"status": "UP"}

    @app.post(WEBHOOK_PATH, status_code=202)
    async def receive(request: Request) -> dict[str, str]:
        if not hmac.compare_digest(
            request.headers.get(SECRET_HEADER, "").encode(), secret.encode()
        ):
            raise HTTPException(
                401,
                "the secret header is missing or wrong; `voxdata push` writes it into Label Studio",
            )
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BYTES:
                raise HTTPException(413, f"an event is larger than {MAX_BYTES} bytes")
        try:
            event = read_event(json.loads(body))
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:
            raise HTTPException(
                400, f"not an event of Label Studio: {type(error).__name__}"
            ) from error
        await run_in_threadpool(inbox.put, event)
        wake()
        return {"status": "noted"}

    return app


def read_event(payload: dict[str, Any]) -> dict[str, object]:
    """What is kept of an event: names and numbers.

    What people said is private, and is read from the server.
    """
    annotation = payload.get("annotation")
    several = (
        [annotation]
        if isinstance(annotation, dict)
        else annotation or payload.get("annotations") or []
    )
    return {
        "action": str(payload["action"]),
        "project": int(payload["project"]["id"]),
        "annotations": [int(one["id"]) for one in several],
    }


def pull_apart(root: Path) -> None:
    """Pull in a process of its own: nothing that happens to it, Prefect included, can end the
    receiver or slow its answers.

    Raises:
        TransientError: It did not succeed; its own words are in the log.
    """
    command = [sys.executable, "-m", "flows.cli", "--dir", str(root), "pull"]
    try:
        code = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=LONGEST_PULL_S,
            check=False,
        ).returncode
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TransientError(f"the pull could not be done ({error})") from error
    if code != 0:
        raise TransientError(f"it ended with code {code}; its reason is above")


def main() -> None:
    """Receive until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--port", type=int, required=True)
    chosen = parser.parse_args()
    quiet_exit()
    keep_files_private()
    workspace = open_workspace(chosen.root)
    inbox = WebhookInbox(workspace.state_dir / "webhooks")
    waker = PullWaker(inbox, lambda: pull_apart(workspace.root), say=tell)
    waker.start()
    app = build_app(
        inbox,
        secret=label_studio_credentials(workspace).webhook_secret,
        wake=waker.wake,
        alive=lambda: waker.alive,
    )
    gated = OwnOriginOnly(app, port=chosen.port)
    uvicorn.run(
        gated,
        host="127.0.0.1",
        port=chosen.port,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
    )
    waker.stop()


if __name__ == "__main__":
    main()
