"""Receipts for outsiders: issued by the commands, checked by docs/verify_receipt.py as somebody
without voxdata would.
"""

from __future__ import annotations

import base64
import copy
import itertools
import json
import random
import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cryptography
import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from flows.forget.receipt import BARRED, RENEWED
from flows.forget.search import search_folder
from flows.place import FILE_NAME
from flows.settings import template
from flows.signing.keys import read_keys
from flows.workspace import Workspace, open_workspace
from tests.flows.conftest import example, run
from voxdata.dataset import leaf_hash
from voxdata.signature import make_private_pem, public_of, public_pem, read_private, read_public
from voxdata.statement import decode_envelope, encode_envelope, sign_envelope
from warehouse.erase import begin_erasure, erase_rows, plan_erasure
from warehouse.promotions import add_judged_run
from warehouse.runs import TrainingRun
from warehouse.versions import create_version, find_version, load_examples

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "docs" / "verify_receipt.py"
SITE = Path(cryptography.__file__).parents[1]
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A dataset of 60 recordings in two versions."""
    (tmp_path / "w").mkdir()
    settings_file = tmp_path / "w" / FILE_NAME
    settings_file.write_text(template())
    made = open_workspace(tmp_path / "w")
    cut(made, range(60))
    cut(made, range(2, 60))
    return made


def cut(workspace: Workspace, numbers: Any, *, name: str = "calls") -> None:
    with workspace.warehouse() as con:
        create_version(
            con,
            name,
            [example(n) for n in numbers],
            recipe={},
            run_id="t",
        )


def forget(workspace: Workspace, number: int) -> str:
    """Erase a recording; returns the receipt's id."""
    with workspace.warehouse() as con:
        key = example(number).recording_id
        plan = plan_erasure(con, [key])
        receipt = begin_erasure(
            con,
            plan,
            kind="recording",
            subject=key,
            reason="R. Eason asked",
            run_id="t",
        )
        erase_rows(
            con,
            plan,
            receipt_id=receipt,
            kind="recording",
            subject=key,
            reason="R. Eason asked",
            run_id="t",
        )
    return receipt


def issue(
    workspace: Workspace,
    receipt: str,
    tmp_path: Path,
) -> tuple[Path, Path]:
    """(receipt, public key) as they are handed out."""
    path = tmp_path / "receipt.json"
    key = tmp_path / "public.pem"
    shown = run(
        workspace,
        "receipts",
        "show",
        receipt[:8],
        "--output",
        str(path),
    )
    assert shown.exit_code == 0, shown.output
    done = run(workspace, "receipts", "keys", "--output", str(key))
    assert done.exit_code == 0
    return path, key


def verify(tmp_path: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """The script as an outsider runs it: isolated, with the standard library and one crypto
    package.
    """
    script = tmp_path / "outside" / "verify_receipt.py"
    packages = tmp_path / "outside" / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    script.write_bytes(SCRIPT.read_bytes())
    for installed in itertools.chain.from_iterable(
        SITE.glob(pattern) for pattern in ("cryptography", "_cffi_backend*")
    ):
        if not (packages / installed.name).exists():
            (packages / installed.name).symlink_to(installed)
    start = (
        "import runpy, sys; sys.path.append(sys.argv[1]); sys.argv[:2] = []; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        start,
        str(packages),
        str(script),
        *map(str, words),
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=script.parent,
        timeout=60,
        check=False,
    )


def said_in(envelope: dict[str, Any]) -> dict[str, Any]:
    payload = base64.b64decode(envelope["payload"])
    statement: dict[str, Any] = json.loads(payload)
    return statement


def receipt_in(path: Path) -> dict[str, Any]:
    """What the receipt in a file says of the erasure."""
    statement = said_in(json.loads(path.read_text())["receipt"])
    predicate: dict[str, Any] = statement["predicate"]
    return predicate


def new_key(path: Path) -> Any:
    return CliRunner().invoke(app, ["receipts", "new-key", str(path)])


def restate(envelope: dict[str, Any], edit: Edit) -> None:
    """Change what an envelope says, and leave the signatures."""
    statement = said_in(envelope)
    edit(statement)
    payload = json.dumps(statement).encode()
    envelope["payload"] = base64.b64encode(payload).decode()


def test_receipt_says_not_yet_until_there_is_a_version_since(
    workspace: Workspace, tmp_path: Path
) -> None:
    receipt = forget(workspace, 7)
    path, key = issue(workspace, receipt, tmp_path)
    early = verify(tmp_path, path, "--key", key)
    assert early.returncode == 0, early.stderr
    assert "NOT YET: calls@2 was the newest of calls and still lists 1 of them" in early.stdout
    assert early.stdout.count("PROVEN: the 1 leaves named of calls@") == 2
    cut(workspace, [n for n in range(2, 60) if n != 7])
    path, key = issue(workspace, receipt, tmp_path)
    late = verify(tmp_path, path, "--key", key)
    assert late.returncode == 0, late.stderr
    assert "PROVEN: none of them is in the signed root" in late.stdout
    assert "of calls@3" in late.stdout
    assert "SAID: rows erased by table: example 1" in late.stdout


def test_script_needs_no_voxdata_and_is_short(tmp_path: Path) -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) < 150
    assert not re.search(r"^(from|import) (voxdata|flows|warehouse)", text, re.MULTILINE)
    assert verify(tmp_path, "nothing.json", "--key", "nothing.pem").stderr.startswith(
        "REFUSED: FileNotFoundError"
    )


def test_receipt_keeps_its_bytes_while_nothing_changes(
    workspace: Workspace, tmp_path: Path
) -> None:
    receipt = forget(workspace, 7)
    first = issue(workspace, receipt, tmp_path)[0].read_bytes()
    content = issue(workspace, receipt, tmp_path)[0].read_bytes()
    assert content == first


def test_receipt_names_the_leaf_of_the_row_as_it_was(workspace: Workspace, tmp_path: Path) -> None:
    with workspace.warehouse() as con:
        before = {
            e.utterance_id: e for e in load_examples(con, find_version(con, "calls@1").version_id)
        }
    path, _ = issue(workspace, forget(workspace, 0), tmp_path)
    predicate = receipt_in(path)
    versions = [(row["ref"], row["leaves"]) for row in predicate["versions"]]
    assert versions == [("calls@1", [leaf_hash(before[f"{0:032x}"])])]
    statuses = [row["status"] for row in predicate["now"]]
    assert statuses == ["absent"]


def _flip(envelope: dict[str, Any]) -> None:
    content = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    content[5] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(content).decode()


def _other_root(content: dict[str, Any]) -> None:
    restate(
        content["versions"][0],
        lambda said: said["subject"][0]["digest"].update({"voxdata-version/2": "ab" * 32}),
    )


def _alter_last(leaf: str) -> str:
    """Another leaf that stands where this one does among those of its bucket."""
    return leaf[:-1] + ("1" if leaf[-1] == "0" else "0")


def _hide_leaf(content: dict[str, Any], *, spell: Callable[[str], str]) -> None:
    leaf = said_in(content["receipt"])["predicate"]["versions"][0]["leaves"][0]
    for proof in content["proofs"].values():
        if leaf[:3] in proof["opened"]:
            opened = proof["opened"]
            opened[leaf[:3]] = opened[leaf[:3]].replace(leaf, spell(leaf))


FORGERIES: dict[str, tuple[Edit, str]] = {
    "forged signature": (lambda c: _flip(c["receipt"]), "not signed by the key"),
    "no signature": (lambda c: c["receipt"].update(signatures=[]), "not signed by the key"),
    "altered count": (
        lambda c: restate(c["receipt"], lambda s: s["predicate"]["counts"].update(example=0)),
        "not signed by the key",
    ),
    "altered leaf": (
        lambda c: restate(
            c["receipt"], lambda s: s["predicate"]["versions"][0].update(leaves=["0" * 32])
        ),
        "not signed by the key",
    ),
    "root unsigned": (_other_root, "a root is not signed by the key"),
    "truncated proof": (
        lambda c: next(iter(c["proofs"].values()))["opened"].clear(),
        "the proof gives root",
    ),
    "a bucket less": (
        lambda c: next(iter(c["proofs"].values()))["buckets"].popitem(),
        "the proof gives root",
    ),
    "leaf cut short": (lambda c: _hide_leaf(c, spell=lambda leaf: leaf[:-1]), "cut short"),
    "another leaf in its place": (
        lambda c: _hide_leaf(c, spell=_alter_last),
        "the proof gives root",
    ),
    "leaf in capitals": (
        lambda c: _hide_leaf(c, spell=lambda leaf: leaf[:3] + leaf[3:].upper()),
        "cut short",
    ),
    "proof missing": (lambda c: c["proofs"].clear(), "KeyError"),
    "no receipt": (lambda c: c.pop("receipt"), "KeyError"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_script_refuses_what_was_altered(workspace: Workspace, tmp_path: Path, name: str) -> None:
    path, key = issue(workspace, forget(workspace, 7), tmp_path)
    content = json.loads(path.read_text())
    edit, message = FORGERIES[name]
    edit(content)
    path.write_text(json.dumps(content))
    done = verify(tmp_path, path, "--key", key)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("REFUSED: ")
    assert message in done.stderr


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a JSON value."""
    if path:
        yield path
    for key, part in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield from places(part, (*path, key))


def spoil(value: object, rng: random.Random) -> object:
    """Something else in the place of a JSON value."""
    if isinstance(value, str) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return rng.choice(
            [
                value[:at] + rng.choice("0aZ= ") + value[at + 1 :],
                value[:at],
                value.upper(),
                value + value[-1],
            ]
        )
    return rng.choice([None, 0, [], {}, "x", [1], {"a": 1}])


def test_script_never_says_anything_else_whatever_is_changed(
    workspace: Workspace, tmp_path: Path
) -> None:
    receipt = forget(workspace, 7)
    assert run(workspace, "receipts", "rotate").exit_code == 0
    path, key = issue(workspace, receipt, tmp_path)
    script = runpy.run_path(str(SCRIPT))
    handled = (script["Refused"], OSError, ValueError, LookupError, TypeError, AttributeError)
    raw_key = bytes.fromhex(read_public(key.read_text(), origin="x"))
    content = json.loads(path.read_text())
    said = script["check"](content, raw_key, None)
    ways = [way for way in places(content) if way[0] != "proofs" or "opened" in way]
    rng, refused = random.Random(1), 0
    for _ in range(300):
        spoiled = copy.deepcopy(content)
        *way, last = rng.choice(ways)
        part = spoiled
        for step in way:
            part = part[step]
        part[last] = spoil(part[last], rng)
        try:
            # Such as the id of a key, which is a hint: what is believed is said in the same words.
            assert script["check"](spoiled, raw_key, None) == said, (way, last)
        except handled:
            refused += 1
    assert refused > 150


LIES: dict[str, tuple[Edit, str]] = {
    "a leaf that never was": (
        lambda p: p["versions"][0].update(leaves=["0" * 32]),
        "not in calls@1",
    ),
    "more leaves than named": (lambda p: p.update(num_leaves=2), "counts 2 leaves and names 1"),
    "absent though it is there": (
        lambda p: p["now"][0].update(status="absent"),
        "holds 1 of the leaves",
    ),
    "a root of its own": (lambda p: p["now"][0].update(root="ab" * 32), "another root for calls@2"),
}


@pytest.mark.parametrize("name", LIES)
def test_script_refuses_what_the_signer_says_against_the_proof(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    path, key = issue(workspace, forget(workspace, 7), tmp_path)
    content = json.loads(path.read_text())
    edit, message = LIES[name]
    restate(content["receipt"], lambda said: edit(said["predicate"]))
    keys = read_keys(workspace)
    assert keys is not None
    assert keys.private is not None
    content["receipt"] = encode_envelope(
        sign_envelope(decode_envelope(content["receipt"]), keys.private)
    )
    path.write_text(json.dumps(content))
    done = verify(tmp_path, path, "--key", key)
    assert done.returncode == 1
    assert message in done.stderr


def test_script_refuses_another_key_and_another_root(workspace: Workspace, tmp_path: Path) -> None:
    receipt = forget(workspace, 7)
    cut(workspace, range(20), name="others")
    cut(workspace, [n for n in range(2, 60) if n != 7])
    path, key = issue(workspace, receipt, tmp_path)
    stranger = tmp_path / "stranger.pem"
    stranger.write_text(public_pem(public_of(read_private(make_private_pem(), origin="x"))))
    assert "not signed by the key" in verify(tmp_path, path, "--key", stranger).stderr
    statements = workspace.state_dir / "statements"
    done = verify(
        tmp_path,
        path,
        "--key",
        key,
        "--root",
        statements / "calls@3.json",
    )
    assert done.returncode == 0, done.stderr
    assert "PROVEN: that is the root of calls@3 that you gave" in done.stdout
    older = verify(
        tmp_path,
        path,
        "--key",
        key,
        "--root",
        statements / "calls@2.json",
    )
    assert older.returncode == 1
    assert "does not speak of calls@2" in older.stderr
    other = tmp_path / "calls@3.json"
    forged = json.loads((statements / "calls@3.json").read_text())
    restate(
        forged,
        lambda said: said["subject"][0]["digest"].update({"voxdata-version/2": "cd" * 32}),
    )
    keys = read_keys(workspace)
    assert keys is not None
    assert keys.private is not None
    other.write_text(
        json.dumps(encode_envelope(sign_envelope(decode_envelope(forged), keys.private)))
    )
    wrong = verify(tmp_path, path, "--key", key, "--root", other)
    assert wrong.returncode == 1
    assert "calls@3 has another root than the one you gave" in wrong.stderr


def test_rotated_key_keeps_what_the_old_one_signed(workspace: Workspace, tmp_path: Path) -> None:
    path, old = issue(workspace, forget(workspace, 7), tmp_path)
    old = old.rename(tmp_path / "old.pem")
    before = path.rename(tmp_path / "before.json")
    first = (workspace.state_dir / "signing" / "first.pem").read_text()
    assert run(workspace, "receipts", "rotate").exit_code == 0
    private = [p.read_text() for p in (workspace.state_dir / "signing").glob("*.pem")]
    assert len(private) == 1
    assert first not in private
    path, new = issue(workspace, forget(workspace, 9), tmp_path)
    assert new.read_text() != old.read_text()
    for receipt, key, code in (
        (before, old, 0),
        (path, old, 0),
        (path, new, 0),
        (before, new, 1),
    ):
        done = verify(tmp_path, receipt, "--key", key)
        assert done.returncode == code, (receipt.name, key.name)
    # The earlier receipt shown again carries the exchange of keys, and keeps its signature.
    again, _ = issue(
        workspace,
        receipt_in(before)["receipt_id"],
        tmp_path,
    )
    assert verify(tmp_path, again, "--key", new).returncode == 0


def test_key_kept_elsewhere_signs_elsewhere(workspace: Workspace, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    made = new_key(away / "key.pem")
    assert made.exit_code == 0
    assert (away / "key.pem").stat().st_mode & 0o777 == 0o600
    done = run(
        workspace,
        "receipts",
        "trust",
        str(away / "key.pem.pub"),
    )
    assert done.exit_code == 0
    receipt = forget(workspace, 7)
    path, key = issue(workspace, receipt, tmp_path)
    assert list((workspace.state_dir / "signing").glob("*.pem")) == []
    assert verify(tmp_path, path, "--key", key).returncode == 1
    here = workspace.state_dir / "statements" / f"receipt-{receipt}.json"
    signed = CliRunner().invoke(
        app,
        [
            "receipts",
            "sign",
            str(here),
            str(here.parent / "calls@2.json"),
            "--key",
            str(away / "key.pem"),
        ],
    )
    assert signed.exit_code == 0, signed.output
    assert "erasure-receipt:1: calls@1" in signed.output
    assert verify(tmp_path, here, "--key", key).returncode == 0
    # Shown again, it keeps the signature that it got elsewhere.
    path, _ = issue(workspace, receipt, tmp_path)
    assert verify(tmp_path, path, "--key", key).returncode == 0
    (row,) = json.loads(run(workspace, "receipts", "--json").stdout)
    assert len(row["signed"]) == 16
    (away / "key.pem").chmod(0o644)
    refused = CliRunner().invoke(
        app,
        ["receipts", "sign", str(here), "--key", str(away / "key.pem")],
    )
    assert "chmod 600" in str(refused.exception)


def test_key_kept_elsewhere_is_exchanged_once_both_signed(
    workspace: Workspace, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        done = new_key(tmp_path / name)
        assert done.exit_code == 0
    done = run(
        workspace,
        "receipts",
        "trust",
        str(tmp_path / "one.pub"),
    )
    assert done.exit_code == 0
    told = run(
        workspace,
        "receipts",
        "trust",
        str(tmp_path / "two.pub"),
    )
    (rotation,) = (workspace.state_dir / "signing").glob("rotation-*.json")
    assert str(rotation) in told.output.replace("\n", "")
    for name, number in (("one", 1), ("two", 2)):
        done = CliRunner().invoke(
            app,
            ["receipts", "sign", str(rotation), "--key", str(tmp_path / name)],
        )
        assert done.exit_code == 0
        content = json.loads(run(workspace, "receipts", "keys", "--json").stdout)
        assert len(content) == number


def test_key_of_the_workspace_goes_once_one_from_elsewhere_follows(
    workspace: Workspace, tmp_path: Path
) -> None:
    path, old = issue(workspace, forget(workspace, 7), tmp_path)
    before = path.rename(tmp_path / "before.json")
    old_key = old.rename(tmp_path / "old.pem")
    done = new_key(tmp_path / "next")
    assert done.exit_code == 0
    done = run(
        workspace,
        "receipts",
        "trust",
        str(tmp_path / "next.pub"),
    )
    assert done.exit_code == 0
    (rotation,) = (workspace.state_dir / "signing").glob("rotation-*.json")
    done = CliRunner().invoke(
        app,
        ["receipts", "sign", str(rotation), "--key", str(tmp_path / "next")],
    )
    assert done.exit_code == 0
    again, new = issue(
        workspace,
        receipt_in(before)["receipt_id"],
        tmp_path,
    )
    assert list((workspace.state_dir / "signing").glob("*.pem")) == []
    assert new.read_text() == (tmp_path / "next.pub").read_text()
    returncodes = [verify(tmp_path, again, "--key", key).returncode for key in (old_key, new)]
    assert returncodes == [0, 0]


def test_private_key_is_in_no_other_file_and_no_output(
    workspace: Workspace, tmp_path: Path
) -> None:
    issue(workspace, forget(workspace, 7), tmp_path)
    said = [
        run(workspace, *words).output
        for words in (["receipts"], ["receipts", "keys", "--json"], ["verify"], ["snapshot"])
    ]
    said.append(run(workspace, "export", "calls", "--output", str(tmp_path / "out")).output)
    pem = (workspace.state_dir / "signing" / "first.pem").read_text()
    seed = read_private(pem, origin="x").private_bytes_raw()
    secrets = [pem.splitlines()[1], seed.hex(), base64.b64encode(seed).decode()]
    hits = {hit.path.name for hit in search_folder(tmp_path, secrets)}
    assert hits == {"first.pem"}
    for secret in secrets:
        assert not any(secret in text for text in said)
    assert (workspace.state_dir / "signing" / "first.pem").stat().st_mode & 0o777 == 0o600


def test_receipt_holds_nothing_of_anybody(workspace: Workspace, tmp_path: Path) -> None:
    path, _ = issue(workspace, forget(workspace, 7), tmp_path)
    content = json.loads(path.read_text())
    text = path.read_text() + "".join(
        json.dumps(said_in(row)) for row in (content["receipt"], *content["versions"])
    )
    gone = example(7)
    for private in (
        gone.recording_id,
        gone.utterance_id,
        gone.text,
        "secret words",
        "R. Eason",
        gone.audio_file,
        str(workspace.root),
    ):
        assert private not in text


def test_damaged_key_and_receipt_name_the_file_and_not_what_it_says(workspace: Workspace) -> None:
    receipt = forget(workspace, 7)
    assert run(workspace, "receipts", "show", receipt).exit_code == 0
    (workspace.state_dir / "statements" / f"receipt-{receipt}.json").write_text("{")
    assert "voxdata receipts show" in str(run(workspace, "receipts").exception)
    key = workspace.state_dir / "signing" / "first.pem"
    key.write_text(key.read_text().replace("MC4", "MD4"))
    failed = run(workspace, "receipts", "keys")
    assert "first.pem: no Ed25519 private key" in str(failed.exception)
    assert failed.exception.__cause__ is None


def test_receipt_of_somebody_in_no_version_says_so(workspace: Workspace, tmp_path: Path) -> None:
    with workspace.warehouse() as con:
        con.execute(
            "insert into recording_metadata by name select '9' as recording_id, 'who' as "
            "name, 'x' as value, 'm' as manifest, 't' as run_id"
        )
        plan = plan_erasure(con, ["9"])
        receipt = begin_erasure(
            con,
            plan,
            kind="recording",
            subject="9",
            reason="",
            run_id="t",
        )
        erase_rows(
            con,
            plan,
            receipt_id=receipt,
            kind="recording",
            subject="9",
            reason="",
            run_id="t",
        )
    path, key = issue(workspace, receipt, tmp_path)
    done = verify(tmp_path, path, "--key", key)
    assert done.returncode == 0, done.stderr
    assert "PROVEN" not in done.stdout


def test_receipts_says_which_models_heard_and_were_trained_anew(
    workspace: Workspace, tmp_path: Path
) -> None:
    add_run(workspace, "a", "calls@2", promoted=True)
    receipt = forget(workspace, 7)
    add_run(workspace, "b", "calls@2", promoted=False)  # after, but on a version that lists the row
    predicate = json.loads(run(workspace, "receipts", "show", receipt, "--json").stdout)
    assert predicate["models"] == [
        {
            "training_id": "a",
            "scheme": "intent",
            "version": "calls@2",
            "in_use": True,
            "retrained": None,
        }
    ]
    cut(workspace, [n for n in range(2, 60) if n != 7])
    add_run(workspace, "c", "calls@3", promoted=True)
    (model,) = json.loads(run(workspace, "receipts", "show", receipt, "--json").stdout)["models"]
    assert model["in_use"] is False
    assert model["retrained"] == {"training_id": "c", "version": "calls@3", "promoted": True}
    path, key = issue(workspace, receipt, tmp_path)
    assert (
        "SAID: model a heard them, not in use; trained again on calls@3"
        in verify(tmp_path, path, "--key", key).stdout
    )


def add_run(workspace: Workspace, training_id: str, ref: str, *, promoted: bool) -> None:
    with workspace.warehouse() as con:
        run = TrainingRun(
            training_id=training_id,
            scheme="intent",
            role="label:intent",
            version_id=find_version(con, ref).version_id,
            config_key="k",
            state="done",
            model_key=f"key-{training_id}",
            model_name="m",
            checkpoint_dir=f"models/{training_id}/checkpoint",
            result={},
            promoted=promoted,
            reason="",
            seconds=0.0,
            created_at=datetime.now(UTC),
        )
        add_judged_run(con, run, run_id="t")


def test_receipt_says_when_consent_was_given_again(workspace: Workspace) -> None:
    receipt = forget(workspace, 7)

    def stated() -> list[str]:
        said: list[str] = json.loads(run(workspace, "receipts", "show", receipt, "--json").stdout)[
            "stated"
        ]
        return said

    assert BARRED in stated()
    assert RENEWED not in stated()
    assert run(workspace, "forget", "--renew", receipt).exit_code == 0
    assert BARRED not in stated()
    assert RENEWED in stated()


def test_receipts_show_of_what_is_not_there_makes_no_key(workspace: Workspace) -> None:
    shutil.rmtree(workspace.state_dir / "signing", ignore_errors=True)
    assert run(workspace, "receipts", "show", "abcdef").exit_code == 1
    assert not (workspace.state_dir / "signing").exists()


def test_unknown_and_ambiguous_receipts_are_told(workspace: Workspace) -> None:
    done = run(workspace, "receipts", "show", "zz")
    assert (
        str(done.exception) == "no receipt begins with 'zz'; `voxdata receipts` shows what there is"
    )
    receipts = [forget(workspace, number) for number in range(17)]
    shared = Counter(one[0] for one in receipts)
    start = next(start for start in "0123456789abcdef" if shared[start] > 1)
    assert f"more than one receipt begins with '{start}'; give more of the id" in str(
        run(workspace, "receipts", "show", start).exception
    )
    assert "no receipt that keeps anybody out begins with 'zz'" in str(
        run(workspace, "forget", "--renew", "zz").exception
    )
