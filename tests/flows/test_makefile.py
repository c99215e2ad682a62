"""The Makefile and the lock: what a fresh clone relies on."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "annotation/label-studio.lock")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}")


def read_lock(name: str) -> dict[str, list[str]]:
    """The name==version lines of a lock, each with the lines below it."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        plain = line.removesuffix("\\").rstrip()
        if line[:1].strip():
            found[plain] = []
        else:
            next(reversed(found.values())).append(plain)
    return found


LOCK = list(read_lock("requirements.lock"))


def make(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", "-C", str(ROOT), *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "target",
    [
        "demo",
        "test",
        "test-fast",
        "coverage",
        "check",
        "bench",
        "clean",
        "lock",
        "hashes",
        "help",
    ],
)
def test_help_lists_target(target: str) -> None:
    assert re.search(rf"make {target}\s+\S", make("help").stdout)


def test_lock_holds_only_names_and_versions() -> None:
    line = re.compile(r"[a-z0-9][a-z0-9._-]*==[0-9][\w.!+]*( ; [\w .'<>=!]+)?")
    assert [entry for entry in LOCK if not line.fullmatch(entry)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_a_hash_for_every_package_and_no_place(name: str) -> None:
    lock = read_lock(name)
    assert len(lock) > 100
    assert [
        entry for entry, lines in lock.items() if not lines or not all(map(HASH.fullmatch, lines))
    ] == []
    assert "://" not in (ROOT / name).read_text(encoding="utf-8")


def test_install_refuses_a_file_whose_hash_is_another(tmp_path: Path) -> None:
    wheel = tmp_path / "vox_probe-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("vox_probe.py", "")
        file.writestr(
            "vox_probe-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: vox-probe\nVersion: 1\n"
        )
        file.writestr(
            "vox_probe-1.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr("vox_probe-1.dist-info/RECORD", "")
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    ends = []
    for digest in (right, "0" * 64):
        lock = tmp_path / "some.lock"
        lock.write_text(f"vox-probe==1 \\\n    --hash=sha256:{digest}\n", encoding="utf-8")
        words = [
            "--require-hashes",
            "--no-deps",
            "--no-index",
            "--find-links",
            str(tmp_path),
            "-r",
            str(lock),
        ]
        command = [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "--target",
            str(tmp_path / digest),
            *words,
        ]
        ends.append(
            subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            ).returncode
            == 0
        )
    assert ends == [True, False]


def test_every_install_of_a_lock_checks_its_hashes() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8")
    installs = [line for line in recipe.splitlines() if "pip install" in line and " -r " in line]
    assert len(installs) == 3
    assert [line for line in installs if "--require-hashes" not in line] == []


def test_lock_holds_every_direct_dependency() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {
        re.split(r"[\[<>=!~ ]", entry)[0].lower().replace(".", "-").replace("_", "-")
        for entry in wanted
    }
    assert names - {entry.partition("==")[0] for entry in LOCK} == set()


def test_make_refuses_a_wrong_python_with_one_clear_line(tmp_path: Path) -> None:
    fake = tmp_path / "python3"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n',
        encoding="utf-8",
    )
    fake.chmod(0o755)
    done = make("test", f"PYTHON={fake}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert "voxdata needs Python 3.11, 3.12 or 3.13" in done.stderr
    assert "Python 3.9.1" in done.stderr
