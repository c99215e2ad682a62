"""A workspace of the code before the flows got their rooms: opened, verified and continued.

`tests/data/workspace-0.1.tar.xz` holds four calls, two versions of one dataset, signed, a chain of
nine annotations, and an export of each version; its key is a key for tests.
"""

from __future__ import annotations

import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import run
from voxdata.label import Annotation
from warehouse.annotations import add_annotations
from warehouse.chain import check_chain
from warehouse.versions import list_versions

ARCHIVE = Path(__file__).parents[1] / "data" / "workspace-0.1.tar.xz"
ROOTS = [
    "7cb9d398f9b742f924bf03818b9255d9d0d879812d8636e32a164e002083951f",
    "f307d75d47440d9f2f2c1d52567bfd30216441cac33a1a65c1db2968aef8a5f0",
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return open_workspace(tmp_path / "workspace")


def test_versions_signatures_and_audio_of_an_older_workspace_verify(workspace: Workspace) -> None:
    done = run(workspace, "verify", "--audio", "--json")
    assert done.exit_code == 0, done.output
    with workspace.warehouse() as con:
        assert [version.root for version in list_versions(con)] == ROOTS
        assert check_chain(con) == []


def test_exports_of_an_older_workspace_verify_and_are_written_alike_today(
    workspace: Workspace,
) -> None:
    for name in ("calls-1.webdataset.d", "calls-2.parquet"):
        old = workspace.exports_dir / name
        kind = name.split(".")[1]
        new = workspace.root / "again" / name
        new.parent.mkdir(exist_ok=True)
        done = run(
            workspace,
            "export",
            f"calls@{name[6]}",
            "--format",
            kind,
            "--output",
            str(new),
        )
        assert done.exit_code == 0, done.output
        if old.is_dir():
            assert run(workspace, "import", str(old), "--check").exit_code == 0
            assert contents(old) == contents(new)
        else:
            assert old.read_bytes() == new.read_bytes()


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_an_older_workspace_goes_on(workspace: Workspace) -> None:
    planned = json.loads(run(workspace, "ingest", str(workspace.root / "inbox"), "--json").stdout)
    assert planned["listed"] == 4
    assert planned["known"] == 4
    assert planned["recordings"] == 0
    same = json.loads(run(workspace, "release", "calls", "--json").stdout)
    assert same["version"] == "calls@2"
    with workspace.warehouse() as con:
        ((utterance_id,),) = con.execute("select max(utterance_id) from utterance").fetchall()
        answer = Annotation(
            annotation_id=100,
            project_id=1,
            utterance_id=str(utterance_id),
            annotator="d",
            labels={"intent": ("question",)},
            updated_at=datetime(2026, 1, 3, 12, tzinfo=UTC),
        )
        assert add_annotations(con, [answer], run_id="t") == 1
        assert check_chain(con) == []
    done = run(workspace, "release", "calls", "--json")
    assert done.exit_code == 0, done.output + str(done.exception)
    with workspace.warehouse() as con:
        versions = list_versions(con)
    refs = [version.ref for version in versions]
    assert refs == ["calls@1", "calls@2", "calls@3"]
    assert versions[2].parent == ROOTS[1]
    assert run(workspace, "verify").exit_code == 0
