"""No module of ours may be taken for another: one of the standard library, or one of its own package."""

from __future__ import annotations

import sys
from collections import Counter
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


ROOMS_HAVE = {"flow", "plan", "worker"}
"""What several rooms of flows have, and each calls alike: its Prefect flow, what that would do, what runs in a child."""


@pytest.mark.parametrize("package", PACKAGES[:-2])
def test_each_module_of_a_package_has_its_name_to_itself(package: str) -> None:
    names = Counter(path.stem for path in (ROOT / package).rglob("*.py"))
    allowed = {"__init__", "__main__", *ROOMS_HAVE}
    assert sorted(name for name, count in names.items() if count > 1 and name not in allowed) == []
