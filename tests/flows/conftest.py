"""What the tests of flows share: a workspace with the template's settings, and services that never outlive a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.services.supervisor import stop_all


@pytest.fixture
def said() -> list[str]:
    """Lines of status, in order; pass its `append` as `say`."""
    return []


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """A state folder whose services are stopped after the test."""
    folder = tmp_path / ".voxdata"
    yield folder
    stop_all(folder, say=lambda line: None, grace_s=2)
