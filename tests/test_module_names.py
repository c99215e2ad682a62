"""No module of ours may be taken for one of the standard library, wherever a folder lands on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("voxdata", "flows", "annotation", "training", "warehouse", "benchmarks", "tests")


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_are_not_named_like_the_standard_library(package: str) -> None:
    names = {path.stem for path in (ROOT / package).rglob("*.py")}
    folders = {path.parent.name for path in (ROOT / package).rglob("*.py")} - {package}
    assert names
    assert sorted((names | folders) & set(sys.stdlib_module_names)) == []
