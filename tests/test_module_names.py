"""No module of ours may be taken for another: one of the standard library, or one of its own
package.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
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
"""What several rooms of flows have, and each calls alike: its Prefect flow, what that would do,
what runs in a child.
"""


@pytest.mark.parametrize("package", PACKAGES[:-2])
def test_each_module_of_a_package_has_its_name_to_itself(package: str) -> None:
    names = Counter(path.stem for path in (ROOT / package).rglob("*.py"))
    allowed = {"__init__", "__main__", *ROOMS_HAVE}
    assert sorted(name for name, count in names.items() if count > 1 and name not in allowed) == []


@pytest.mark.parametrize("package", PACKAGES[:-2])
def test_no_module_imports_a_private_name_of_another(package: str) -> None:
    private = []
    for path in sorted((ROOT / package).rglob("*.py")):
        for name in names_of_ours_imported_by(path):
            if name.startswith("_") and not name.startswith("__"):
                private.append(f"{path.relative_to(ROOT)}: {name}")
    assert private == []


def names_of_ours_imported_by(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PACKAGES:
            yield from (alias.name for alias in node.names)
