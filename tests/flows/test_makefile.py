"""The Makefile and the lock: what a fresh clone relies on."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()


def make(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(["make", "-C", str(ROOT), *words], capture_output=True, text=True, env=environment, check=False, timeout=60)


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "clean", "lock", "help"])
def test_help_lists_target(target: str) -> None:
    assert re.search(rf"make {target}\s+\S", make("help").stdout)


def test_lock_holds_only_names_and_versions() -> None:
    line = re.compile(r"[a-z0-9][a-z0-9._-]*==[0-9][\w.!+]*( ; [\w .'<>=!]+)?")
    assert [entry for entry in LOCK if not line.fullmatch(entry)] == []


def test_lock_holds_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[\[<>=!~ ]", entry)[0].lower().replace(".", "-").replace("_", "-") for entry in wanted}
    assert names - {entry.partition("==")[0] for entry in LOCK} == set()


def test_make_refuses_a_wrong_python_with_one_clear_line(tmp_path: Path) -> None:
    fake = tmp_path / "python3"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n', encoding="utf-8")
    fake.chmod(0o755)
    done = make("test", f"PYTHON={fake}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert "voxdata needs Python 3.11, 3.12 or 3.13" in done.stderr
    assert "Python 3.9.1" in done.stderr
