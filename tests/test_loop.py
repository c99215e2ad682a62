"""The whole loop on real parts: what a new user sees, and that a second round changes nothing."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

CORPORA = os.environ.get("VOXDATA_CORPORA")


def run_lax(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run as from a shell whose umask keeps nothing private."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=1400,
        check=False,
        umask=0,
    )


def voxdata(directory: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = run_lax([sys.executable, "-m", "flows.cli", "--dir", str(directory), *words])
    if check and done.returncode:
        pytest.fail(
            f"voxdata {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-4000:]}"
        )
    return done


def as_json(directory: Path, *words: str):
    return json.loads(voxdata(directory, *words, "--json").stdout)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    directory = tmp_path_factory.mktemp("loop") / "demo"
    done = run_lax([sys.executable, "-m", "flows.cli", "demo", "--dir", str(directory)])
    try:
        if done.returncode:
            pytest.fail(f"the demo ended with {done.returncode}:\n{done.stderr[-6000:]}")
        yield directory, done.stderr
    finally:
        voxdata(directory, "down", check=False)


def test_demo_fills_every_stage(demo: tuple[Path, str]) -> None:
    status = as_json(demo[0], "status")
    empty = [
        stage
        for stage in (
            "recordings",
            "utterances",
            "predictions",
            "pushed",
            "annotations",
            "versions",
            "training_runs",
        )
        if not status[stage]
    ]
    assert empty == []


def test_demo_names_report_and_project(demo: tuple[Path, str]) -> None:
    report = demo[0] / "reports" / "report.html"
    assert str(report) in demo[1]
    assert "/projects/" in demo[1]
    text = report.read_text(encoding="utf-8")
    assert "simulated" in text.lower()
    assert 'src="http' not in text


def test_demo_trains_both_schemes_and_decides_each(demo: tuple[Path, str]) -> None:
    runs = as_json(demo[0], "models")
    assert {run["scheme"] for run in runs} == {"intent", "emotion"}
    assert all(run["why"] for run in runs)


def test_demo_lets_a_promoted_model_label_next(demo: tuple[Path, str]) -> None:
    status = as_json(demo[0], "status")
    runs = as_json(demo[0], "models")
    promoted = [run for run in runs if run["promoted"] == "yes"]
    schemes = 2
    assert status["predictions"] == status["utterances"] * (schemes + len(promoted))


def test_versions_and_diff_answer(demo: tuple[Path, str]) -> None:
    (version,) = as_json(demo[0], "versions")
    tables = as_json(
        demo[0],
        "diff",
        version["version"],
        version["id"],
    )
    assert sum(row["examples"] for row in tables["changes"]) == 0
    verified = as_json(demo[0], "verify")
    verdicts = [row["verdict"] for row in verified["versions"]]
    assert verdicts == ["as it was cut"]
    assert verified["annotations"] == verified["leaks"] == []
    assert as_json(demo[0], "query", "select count(*) as n from utterances")[0]["n"] > 0


def test_export_gives_the_same_bytes_twice(demo: tuple[Path, str], tmp_path: Path) -> None:
    for name in ("parquet", "jsonl"):
        paths = [tmp_path / f"{i}.{name}" for i in range(2)]
        for path in paths:
            done = voxdata(
                demo[0],
                "export",
                "demo",
                "--format",
                name,
                "--output",
                str(path),
            )
            assert done.stdout.strip() == str(path)
        assert paths[0].read_bytes() == paths[1].read_bytes()


def clips_in_label_studio(directory: Path) -> int:
    text = (directory / ".voxdata" / "label-studio.json").read_text(encoding="utf-8")
    access = json.loads(text)
    text = (directory / ".voxdata" / "services.json").read_text(encoding="utf-8")
    services = json.loads(text)
    port = next(
        service["port"] for service in services["services"] if service["name"] == "label-studio"
    )
    headers = {"Authorization": f"Token {access['token']}"}
    projects = httpx.get(
        f"http://127.0.0.1:{port}/api/projects/", headers=headers, timeout=60
    ).json()["results"]
    return sum(project["task_number"] + project["total_annotations_number"] for project in projects)


def test_a_second_round_changes_no_count(demo: tuple[Path, str]) -> None:
    before = as_json(demo[0], "status")
    clips = clips_in_label_studio(demo[0])
    for words in (["ingest"], ["prelabel"], ["push"], ["pull"], ["release", "demo"]):
        voxdata(demo[0], *words)
    assert as_json(demo[0], "status") == before
    assert clips_in_label_studio(demo[0]) == clips


def test_plan_is_empty_when_nothing_is_pending(demo: tuple[Path, str]) -> None:
    assert as_json(demo[0], "prelabel", "--plan") == []


def test_up_is_safe_to_repeat(demo: tuple[Path, str]) -> None:
    pids = []
    for _ in range(2):
        pids.append({s["service"]: s["pid"] for s in as_json(demo[0], "up")})
    assert pids[0] == pids[1]


def test_secrets_are_readable_by_their_owner_only(demo: tuple[Path, str]) -> None:
    assert (demo[0] / ".voxdata" / "label-studio.json").stat().st_mode & 0o077 == 0
    token = json.loads((demo[0] / ".voxdata" / "label-studio.json").read_text(encoding="utf-8"))[
        "token"
    ]
    logs = list((demo[0] / ".voxdata" / "logs").iterdir())
    assert logs
    names = [log.name for log in logs if token in log.read_text(encoding="utf-8", errors="replace")]
    assert names == []


def test_demo_leaves_nothing_that_others_can_read_whatever_the_umask(
    demo: tuple[Path, str],
) -> None:
    paths = [demo[0], *demo[0].rglob("*")]
    assert len(paths) > 100
    lax = [
        str(path.relative_to(demo[0]))
        for path in paths
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    ]
    assert lax == []


@pytest.mark.corpus
@pytest.mark.skipif(CORPORA is None, reason="VOXDATA_CORPORA is not set")
def test_ingest_settles_every_bad_file(demo: tuple[Path, str]) -> None:
    folder = Path(str(CORPORA)) / "bad_audio"
    files = [path for path in folder.rglob("*") if path.is_file()]
    summary = as_json(demo[0], "ingest", str(folder))
    assert summary["listed"] == len(files)
    dropped = {row["subject"] for row in as_json(demo[0], "ledger") if row["stage"] == "ingest"}
    assert summary["recordings"] > 10
    named = [path for path, subject in itertools.product(files, dropped) if str(path) in subject]
    assert summary["dropped"] == len(named)
    assert summary["recordings"] + summary["duplicates"] + summary["dropped"] == len(files)
