"""Signed roots and models: what a release and a training run leave, and what `voxdata verify` makes
of it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from flows.place import FILE_NAME
from flows.settings import template
from flows.signing.keys import make_keys
from flows.signing.sign import sign_model, sign_version, try_signing
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import example
from tests.flows.results import make_result
from training.result import ModelCard, encode_result
from voxdata.errors import StatementError
from warehouse.erase import begin_erasure, erase_rows, plan_erasure
from warehouse.promotions import add_judged_run
from warehouse.runs import TrainingRun
from warehouse.versions import DatasetVersion, create_version, find_version


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / FILE_NAME).write_text(template())
    made = open_workspace(tmp_path)
    cut(made, range(9))
    return made


def cut(workspace: Workspace, numbers: Any) -> DatasetVersion:
    with workspace.warehouse() as con:
        version, _ = create_version(
            con,
            "calls",
            [example(n) for n in numbers],
            recipe={},
            run_id="t",
        )
    return version


def train(
    workspace: Workspace,
    name: str,
    version: DatasetVersion,
    *,
    sign: bool = True,
) -> Path:
    """A model's folder as a training run leaves it, with its row."""
    folder = workspace.models_dir / name
    (folder / "checkpoint").mkdir(parents=True)
    card = {"version_id": version.version_id, "revision": f"rev-{name}"}
    model_file = folder / "checkpoint" / "model.json"
    model_file.write_text(json.dumps(card))
    head_file = folder / "checkpoint" / "head.safetensors"
    head_file.write_bytes(name.encode() * 9)
    result_file = folder / "result.json"
    result_file.write_text(json.dumps({"model": card}))
    model = ModelCard(
        name=name,
        revision=card["revision"],
        params={},
        key=name,
    )
    run = TrainingRun(
        training_id=name,
        scheme="intent",
        role="label:intent",
        version_id=version.version_id,
        config_key="k",
        state="done",
        model_key=name,
        model_name=name,
        checkpoint_dir=f"models/{name}/checkpoint",
        result=encode_result(make_result(model=model)),
        promoted=True,
        reason="",
        seconds=0.0,
    )
    with workspace.warehouse() as con:
        add_judged_run(con, run, run_id="t")
    if sign:
        sign_model(workspace, run, version)
    return folder


def forget(workspace: Workspace, number: int) -> str:
    with workspace.warehouse() as con:
        key = example(number).recording_id
        plan = plan_erasure(con, [key])
        receipt = begin_erasure(
            con,
            plan,
            kind="recording",
            subject=key,
            reason="asked",
            run_id="t",
        )
        erase_rows(
            con,
            plan,
            receipt_id=receipt,
            kind="recording",
            subject=key,
            reason="asked",
            run_id="t",
        )
    return receipt


def verify(workspace: Workspace, *words: str | Path, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(
        app,
        ["--dir", str(workspace.root), "verify", *map(str, words), "--json"],
    )
    assert done.exit_code == code, done.output
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_verify_names_roots_signed_unsigned_and_wrong(workspace: Workspace) -> None:
    verdicts = [row["root is"] for row in verify(workspace)["versions"]]
    assert verdicts == ["unsigned"]
    second = cut(workspace, range(8))
    sign_version(workspace, second)
    signed = verify(workspace)["versions"]
    assert signed[0]["root is"] == "unsigned"
    assert signed[1]["root is"].startswith("signed by ")
    path = workspace.state_dir / "statements" / "calls@2.json"
    shutil.copy(path, path.with_name("calls@1.json"))
    assert "differs from the warehouse" in verify(workspace, code=1)["versions"][0]["root is"]
    path.with_name("calls@1.json").unlink()
    shutil.rmtree(workspace.state_dir / "signing")
    make_keys(workspace)
    assert "no trusted key" in verify(workspace, code=1)["versions"][1]["root is"]


def test_verify_says_what_comes_next_where_there_is_no_version(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(template())
    with open_workspace(tmp_path).warehouse():
        pass
    done = CliRunner().invoke(app, ["--dir", str(tmp_path), "verify"])
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "no version yet; `voxdata release NAME`" in done.stderr


def imported(workspace: Workspace) -> set[str]:
    """The packages that `voxdata verify` imports."""
    words = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "flows.cli",
        "--dir",
        str(workspace.root),
        "verify",
    ]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}


def test_verify_imports_the_library_of_signatures_only_where_there_is_one(
    workspace: Workspace,
) -> None:
    unused = {"cryptography", "httpx", "prefect", "label_studio_sdk", "soundfile"}
    assert imported(workspace) & (unused | {"duckdb"}) == {"duckdb"}
    sign_version(workspace, cut(workspace, range(8)))
    assert imported(workspace) & unused == {"cryptography"}


def test_verify_walks_from_a_model_to_who_was_forgotten(workspace: Workspace) -> None:
    first = cut(workspace, range(9))
    sign_version(workspace, first)
    folder = train(workspace, "one", first)
    (model,) = verify(workspace, folder)["models"]
    assert model["statement"].startswith("signed by ")
    assert model["root"].startswith("signed by ")
    assert model["run"] == "one"
    assert model["version"] == "calls@1"
    assert model["heard"] == {}
    assert model["problems"] == []
    receipt = forget(workspace, 3)
    (model,) = verify(workspace, folder)["models"]
    assert model["heard"] == {receipt: 1}
    assert model["retrained"] == ""
    assert model["problems"] == []
    # A model that was trained after the erasure heard nothing of it, on whatever version; the next
    # version holds no leaf of it either.
    (later,) = verify(workspace, train(workspace, "two", first))["models"]
    assert later["version"] == "calls@1"
    assert later["heard"] == {}
    train(
        workspace,
        "three",
        cut(workspace, [n for n in range(9) if n != 3]),
    )
    (model,) = verify(workspace, folder / "checkpoint")["models"]
    assert model["heard"] == {receipt: 1}
    assert model["retrained"] == "three"


def test_verify_shows_a_model_to_people(workspace: Workspace) -> None:
    folder = train(workspace, "one", cut(workspace, range(9)))
    receipt = forget(workspace, 3)
    shown = CliRunner().invoke(app, ["--dir", str(workspace.root), "verify", str(folder)])
    assert shown.exit_code == 0
    assert f"1 row, receipt {receipt[:12]}" in shown.stdout
    assert "as it was made" in shown.stdout


def test_verify_calls_a_model_without_statement_unsigned(workspace: Workspace) -> None:
    folder = train(
        workspace,
        "one",
        cut(workspace, range(9)),
        sign=False,
    )
    receipt = forget(workspace, 3)
    elsewhere = shutil.copytree(folder / "checkpoint", workspace.root / "copied")
    for place in (folder, elsewhere):
        (model,) = verify(workspace, place)["models"]
        assert model["statement"] == "unsigned"
        assert model["root"] == "unsigned"
        assert model["problems"] == []
        assert model["run"] == "one"
        assert model["heard"] == {receipt: 1}


@pytest.mark.parametrize(
    "name", ["checkpoint/head.safetensors", "checkpoint/model.json", "result.json"]
)
def test_verify_refuses_a_model_whose_file_was_exchanged(workspace: Workspace, name: str) -> None:
    folder = train(workspace, "one", cut(workspace, range(9)))
    path = folder / name
    path.write_bytes(path.read_bytes() + b" ")
    done = verify(workspace, folder, code=1)
    assert done["models"][0]["problems"] == [f"{path.name} is not the file that was signed"]


def test_verify_refuses_the_statement_of_another_model(workspace: Workspace) -> None:
    version = cut(workspace, range(9))
    one = train(workspace, "one", version)
    two = train(workspace, "two", version)
    shutil.copy(one / "checkpoint" / "statement.json", two / "checkpoint" / "statement.json")
    done = verify(workspace, two, code=1)
    assert len(done["models"][0]["problems"]) == 3
    (one / "checkpoint" / "statement.json").write_text("{}")
    assert "no DSSE envelope" in verify(workspace, one, code=1)["models"][0]["problems"][0]


def test_verify_says_when_a_model_is_of_another_workspace(workspace: Workspace) -> None:
    folder = workspace.root / "stray"
    folder.mkdir()
    model_file = folder / "model.json"
    model_file.write_text(json.dumps({"version_id": "ab" * 32}))
    done = CliRunner().invoke(app, ["--dir", str(workspace.root), "verify", str(folder)])
    assert "which this warehouse does not have" in str(done.exception)


def test_try_signing_tells_and_goes_on(workspace: Workspace, said: list[str]) -> None:
    signing_folder = workspace.state_dir / "signing"
    signing_folder.mkdir(parents=True, exist_ok=True)
    first_file = workspace.state_dir / "signing" / "first.pem"
    first_file.write_text("no key")
    with workspace.warehouse() as con:
        version = find_version(con, "calls")
    try_signing(
        version.ref,
        lambda: sign_version(workspace, version),
        say=said.append,
    )
    assert said[0].startswith("calls@1 is not signed: ")


def test_sign_version_signs_no_second_root_under_one_name(workspace: Workspace) -> None:
    version = cut(workspace, range(8))
    sign_version(workspace, version)
    with pytest.raises(StatementError, match="another root was signed as calls@2"):
        sign_version(workspace, replace(version, root="ab" * 32))


def test_rollback_signs_the_version_it_makes(workspace: Workspace) -> None:
    cut(workspace, range(5))
    done = CliRunner().invoke(app, ["--dir", str(workspace.root), "rollback", "calls@1"])
    assert done.exit_code == 0
    assert [row["root is"][:6] for row in verify(workspace)["versions"]] == [
        "unsign",
        "unsign",
        "signed",
    ]
