"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.quiet_exit import quiet_exit


def pytest_configure() -> None:
    """Let the run end with its own summary."""
    quiet_exit()


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
