"""Errors of Prefect's scheduler in the server's log: with them a server looks well, and no schedule
fires.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from flows.services.supervisor import Service

_ERROR_LINE = re.compile(r"\| (?:ERROR|CRITICAL) +\|.*schedul", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerErrors:
    """What a log says.

    Attributes:
        count: Errors of the scheduler.
        newest: The newest one: its line and, where a traceback follows, the exception.
    """

    count: int
    newest: str


def find_scheduler_errors(text: str) -> SchedulerErrors:
    """Find the errors that Prefect's scheduler wrote.

    Args:
        text: The server's log since its start.
    """
    lines = text.split("\n")
    places = [number for number, line in enumerate(lines) if _ERROR_LINE.search(line)]
    if not places:
        return SchedulerErrors(count=0, newest="")
    return SchedulerErrors(count=len(places), newest=_with_cause(lines, places[-1]))


def read_server_log(service: Service, *, most_bytes: int = 20_000_000) -> str:
    """The log of a service since it was started, or the newest part of a long one."""
    with Path(service.log).open("rb") as file:
        file.seek(0, 2)
        file.seek(max(service.log_start, file.tell() - most_bytes))
        return file.read().decode("utf-8", "replace")


def _with_cause(lines: list[str], place: int) -> str:
    """An error's own words, and the exception that ends the traceback below it."""
    message = lines[place].split(" - ", 1)[-1].strip()
    for line in lines[place + 1 :]:
        if " | " in line:
            break
        if line and not line[0].isspace() and not line.startswith("Traceback"):
            return f"{message}: {line.strip()}"
    return message
