from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from flows.folders.storage_folders import FOLDERS
from flows.place import FILE_NAME
from flows.settings import template
from flows.workspace import open_workspace
from voxdata.errors import ConfigError


def make(root: Path, **places: str) -> Path:
    """A workspace whose [storage] says something else than the template."""
    root.mkdir(parents=True, exist_ok=True)
    text = template()
    for name, place in places.items():
        before = next(
            line for line in text.splitlines() if line.startswith(f"{name} = ") and "/" not in line
        )
        text = text.replace(before, f'{name} = "{place}"', 1)
    (root / FILE_NAME).write_text(text)
    return root


def test_open_workspace_takes_the_default_layout_and_folders_elsewhere(tmp_path: Path) -> None:
    reopened = open_workspace(make(tmp_path / "a"))
    assert reopened.exports_dir == tmp_path / "a" / "exports"
    make(
        tmp_path / "b",
        exports="../shared/exports",
        reports="../shared/reports",
        warehouse="store/w.duckdb",
        audio="store/audio",
    )
    reopened = open_workspace(tmp_path / "b")
    assert reopened.audio_dir == tmp_path / "b" / "store" / "audio"


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize(
    "place",
    [".", "..", "/", "exports/..", "./."],
)
def test_open_workspace_refuses_a_folder_that_is_the_workspace_or_holds_it(
    tmp_path: Path, name: str, place: str
) -> None:
    with pytest.raises(
        ConfigError, match=rf"\[storage\] {name} = .*the workspace.*give each a folder of its own"
    ):
        open_workspace(make(tmp_path / "w", **{name: place}))


def test_open_workspace_refuses_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "people" / "me"))
    (tmp_path / "people" / "me").mkdir(parents=True)
    for place in ("people/me", "people"):
        with pytest.raises(ConfigError, match=r"\[storage\] reports = .*home folder"):
            open_workspace(make(tmp_path / "w", reports=str(tmp_path / place)))
    assert open_workspace(make(tmp_path / "w", reports=str(tmp_path / "people" / "me" / "reports")))


@pytest.mark.parametrize(
    ("places", "both"),
    [
        ({"reports": "exports"}, ("reports", "exports")),
        ({"reports": "exports/reports"}, ("reports", "exports")),
        ({"exports": "models/exports"}, ("exports", "models")),
        ({"audio": "media/../media/audio"}, ("audio", "media")),
        ({"exports": ".voxdata"}, ("exports", ".voxdata")),
        ({"reports": ".voxdata/snapshots"}, ("reports", ".voxdata")),
        ({"warehouse": "exports/warehouse.duckdb"}, ("warehouse", "exports")),
        ({"warehouse": "reports"}, ("warehouse", "reports")),
        ({"warehouse": "w", "audio": "w/audio"}, ("audio", "warehouse")),
    ],
)
def test_open_workspace_refuses_folders_in_each_other_and_names_both(
    tmp_path: Path,
    places: dict[str, str],
    both: tuple[str, str],
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_workspace(make(tmp_path / "w", **places))
    assert all(name in str(caught.value) for name in both)
    assert "give each a folder of its own under [storage]" in str(caught.value)


def test_open_workspace_follows_links_and_spellings(tmp_path: Path) -> None:
    root = make(tmp_path / "w", reports="pages", exports="out")
    (root / "out").mkdir()
    (root / "pages").symlink_to("out")
    with pytest.raises(ConfigError, match=r"exports = 'out'.*reports = 'pages'.*same folder"):
        open_workspace(root)
    (root / "pages").unlink()
    (root / "pages").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="reports = 'pages' is the workspace"):
        open_workspace(root)
    (root / "pages").unlink()
    (tmp_path / "elsewhere").mkdir()
    (root / "pages").symlink_to(tmp_path / "elsewhere")
    assert open_workspace(root)


def test_every_command_refuses_a_reports_folder_that_is_the_workspace(tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["--dir", str(tmp_path), *arguments])

    make(tmp_path, reports=".")
    before = sorted(tmp_path.rglob("*"))
    for arguments in (
        ("forget", "--recording", "a", "--yes"),
        ("report",),
        ("status",),
        ("ingest",),
    ):
        assert "[storage] reports = '.'" in str(run(*arguments).exception)
    assert sorted(tmp_path.rglob("*")) == before
    assert "[storage] reports = '.'" in run("doctor").stdout.replace("\n", " ").replace("  ", " ")
