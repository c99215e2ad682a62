"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from flows.quiet_exit import quiet_exit

TESTS = Path(__file__).parent

LONGEST = ("test_schedules.py", "test_loop.py", "test_browser.py", "test_promotion.py")
"""Files of minutes: first, so that no worker of several is left alone with one at the end."""

SERVERS = frozenset({"corpora", "label_studio", "page", "prefect", "receiver", "show"})
"""Fixtures that start a server or a browser, or need corpora: a test that asks for one is slow."""

LONG = frozenset(
    {
        "annotation/test_consensus.py",
        "flows/audit/test_audit.py",
        "flows/exchange/test_exchange.py",
        "flows/exchange/test_exchange_hostile.py",
        "flows/exchange/test_exchange_whole.py",
        "flows/forget/test_forget.py",
        "flows/forget/test_forget_interleavings.py",
        "flows/forget/test_forget_seams.py",
        "flows/forget/test_only_ours.py",
        "flows/ingest/test_ingest.py",
        "flows/ingest/test_machine_faults.py",
        "flows/ingest/test_strange_entries.py",
        "flows/ingest/test_table_cases.py",
        "flows/labelling/test_push.py",
        "flows/release/test_recipes.py",
        "flows/release/test_release.py",
        "flows/signing/test_receipts.py",
        "flows/test_loop_machine.py",
        "flows/test_missing_disk.py",
        "flows/test_stored_audio.py",
        "voxdata/test_decode_fuzz.py",
        "warehouse/test_sidecars.py",
        "warehouse/test_state_machine.py",
    }
)
"""Files that take more than 20 s of a processor without any of these: slow as well."""


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
    long_files = {TESTS / name for name in LONG}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if item.path in long_files or not SERVERS.isdisjoint(fixtures):
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
