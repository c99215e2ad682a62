"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from flows.quiet_exit import quiet_exit

LONGEST = ("test_schedules.py", "test_loop.py", "test_browser.py", "test_promotion.py")
"""Files of minutes: first, so that no worker of several is left alone with one at the end."""

SERVERS = frozenset({"corpora", "label_studio", "page", "prefect", "receiver", "show"})
"""Fixtures that start a server or a browser, or need corpora: a test that asks for one is slow."""

LONG = frozenset(
    {
        "test_consensus.py",
        "test_decode_fuzz.py",
        "test_forget_interleavings.py",
        "test_forget_seams.py",
        "test_loop_machine.py",
        "test_machine_faults.py",
        "test_state_machine.py",
    }
)
"""Files that compute for long without any of these, by nature: random walks, kills at every step."""

# How long an example may take says how busy the machine is.
settings.register_profile("patient", settings(), deadline=None)
settings.register_profile("quick", settings(), deadline=None, max_examples=10)
settings.load_profile("patient")


def pytest_configure() -> None:
    """Let the run end with its own summary."""
    quiet_exit()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow by its fixtures or its file, and begin with the longest files."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if item.path.name in LONG or not SERVERS.isdisjoint(fixtures):
            item.add_marker("slow")
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of test corpora; the test is skipped when there is none."""
    folder = os.environ.get("VOXDATA_CORPORA")
    if not folder:
        pytest.skip("VOXDATA_CORPORA is not set")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.skip(f"VOXDATA_CORPORA names {path}, which is no folder")
    return path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests measured, under `record_property("measured", ...)`, from whichever worker."""
    for report in terminalreporter.getreports("passed"):
        for name, told in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(f"{report.nodeid}: {told}")
