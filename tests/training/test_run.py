from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.training.conftest import make_manifest
from training.checkpoint import load_checkpoint, save_checkpoint
from training.compute import Compute
from training.config import TrainingConfig
from training.labeler import TrainedLabeler
from training.launcher import LocalLauncher
from training.outcome import Outcome, write_outcome
from training.run import run_training
from voxdata.canonical import read_clip
from voxdata.dataset import Example, Split
from voxdata.errors import ConfigError, MachineError, ShortageError, TrainingError
from voxdata.manifest import Manifest, select
from voxdata.ports import Clip, TrainingJob
from voxdata.sound import ArraySound
from voxdata.testing.launcher import FakeLauncher, LauncherContract

Answers = Mapping[str, Mapping[str, float]]


def test_labeler_equals_training_time_predictions(
    tmp_path: Path, config: TrainingConfig, manifest: Manifest, incumbent: Answers
) -> None:
    outcome = run_training(config, manifest, incumbent, cache_dir=tmp_path / "cache")
    (tmp_path / "out").mkdir()
    model = write_outcome(tmp_path / "out", outcome)
    labeler = TrainedLabeler(tmp_path / "out" / "checkpoint")
    clips = [
        Clip(
            utterance_id=e.utterance_id,
            speaker=e.voice,
            text="",
            language="en",
            sound=ArraySound(read_clip(manifest.audio_root / e.audio_file, segment=e.segment)),
        )
        for e in select(manifest, Split.TEST, scheme="emotion")
    ]
    assert len(clips) == 6
    assert [dict(d) for d in labeler.label(clips)] == [
        outcome.predictions[c.utterance_id] for c in clips
    ]
    assert [dict(d) for d in labeler.label(clips[::-1])] == [
        outcome.predictions[c.utterance_id] for c in clips[::-1]
    ]
    assert labeler.model == model
    assert not labeler.model.weak


def test_run_training_learns_and_promotes_when_the_test_set_is_large_enough(
    tmp_path: Path, config: TrainingConfig
) -> None:
    manifest = make_manifest(tmp_path, num=240)
    tested = select(manifest, Split.TEST, scheme="emotion")
    incumbent = {example.utterance_id: {"calm": 0.6, "愤怒": 0.4} for example in tested}
    outcome = run_training(config, manifest, incumbent, cache_dir=tmp_path / "cache")
    verdict = outcome.result.verdict
    assert verdict.before is not None
    assert verdict.after is not None
    assert verdict.before.uar == 0.5
    assert verdict.after.uar == 1.0
    assert verdict.decision.promote is True
    assert verdict.small_sample is True


def test_run_training_promotes_nothing_on_a_small_test_set(
    tmp_path: Path, config: TrainingConfig, manifest: Manifest, incumbent: Answers
) -> None:
    outcome = run_training(config, manifest, incumbent, cache_dir=tmp_path / "cache")
    verdict = outcome.result.verdict
    assert verdict.after is not None
    assert verdict.after.uar == 1.0
    assert verdict.decision.promote is False
    assert "a decision needs 60 test clips (54 more)" in verdict.decision.reason
    assert "small sample" in verdict.warning


def test_run_training_repeats_exactly_from_the_cache(
    tmp_path: Path, config: TrainingConfig, manifest: Manifest, incumbent: Answers
) -> None:
    runs = [
        run_training(config, manifest, incumbent, cache_dir=tmp_path / "cache") for _ in range(2)
    ]
    assert runs[0].result.seconds.audio_encoded > 5
    assert runs[1].result.seconds.audio_encoded == 0
    assert runs[0].predictions == runs[1].predictions


def _relabel(manifest: Manifest, **changes: object) -> Manifest:
    return replace(manifest, examples=tuple(replace(e, **changes) for e in manifest.examples))


def test_run_training_refuses_a_leaking_split(
    tmp_path: Path, config: TrainingConfig, manifest: Manifest, incumbent: Answers
) -> None:
    with pytest.raises(TrainingError, match="split leaks: voice 'v'"):
        run_training(
            config,
            _relabel(manifest, voice="v"),
            incumbent,
            cache_dir=tmp_path,
        )
    with pytest.raises(TrainingError, match="split leaks: group 'g'"):
        run_training(
            config,
            _relabel(manifest, group="g"),
            incumbent,
            cache_dir=tmp_path,
        )


def test_run_training_names_what_is_missing(
    tmp_path: Path, config: TrainingConfig, manifest: Manifest, incumbent: Answers
) -> None:
    with pytest.raises(TrainingError, match="'mood' is not in version 'tiny'; it has: emotion"):
        run_training(
            replace(config, scheme="mood"),
            manifest,
            incumbent,
            cache_dir=tmp_path,
        )
    with pytest.raises(TrainingError, match="no training example"):
        run_training(
            config,
            _relabel(manifest, split=Split.TEST),
            incumbent,
            cache_dir=tmp_path,
        )
    with pytest.raises(TrainingError, match="no answer for 6 test examples"):
        run_training(config, manifest, {}, cache_dir=tmp_path)
    one = _relabel(manifest, gold=next(e for e in manifest.examples).gold)
    with pytest.raises(TrainingError, match="at least two labels"):
        run_training(config, one, incumbent, cache_dir=tmp_path)
    gone = select(manifest, Split.TRAIN, scheme="emotion")[0]
    (manifest.audio_root / gone.audio_file).unlink()
    with pytest.raises(TrainingError, match=gone.utterance_id):
        run_training(config, manifest, incumbent, cache_dir=tmp_path)


def test_run_training_does_not_promote_when_test_is_empty(
    tmp_path: Path, config: TrainingConfig, manifest: Manifest
) -> None:
    kept = replace(manifest, examples=tuple(e for e in manifest.examples if e.split is Split.TRAIN))
    outcome = run_training(config, kept, {}, cache_dir=tmp_path)
    verdict = outcome.result.verdict
    assert verdict.after is None
    assert verdict.decision.promote is False
    assert "empty" in verdict.decision.reason
    assert len(outcome.result.curves) == config.fit.fixed_epochs
    assert "validation split is empty" in outcome.result.note


def test_load_checkpoint_refuses_changed_content(
    tmp_path: Path, config: TrainingConfig, manifest: Manifest, incumbent: Answers
) -> None:
    outcome = run_training(config, manifest, incumbent, cache_dir=tmp_path / "cache")
    (tmp_path / "out").mkdir()
    write_outcome(tmp_path / "out", outcome)
    card = tmp_path / "out" / "checkpoint" / "model.json"
    assert load_checkpoint(card.parent)[0].version_id == manifest.version_id
    card.write_text(card.read_text(encoding="utf-8").replace('"calm"', '"cold"'), encoding="utf-8")
    with pytest.raises(TrainingError, match="does not match its revision"):
        load_checkpoint(card.parent)


BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {
            "prefect", "duckdb", "pyannote", "label_studio_sdk", "polars", "faster_whisper",
            "ctranslate2",
        }:
            raise ImportError("blocked " + name)
sys.meta_path.insert(0, Block())
from training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_main_runs_without_the_rest_of_the_house(job: TrainingJob) -> None:
    command = [
        sys.executable,
        "-c",
        BLOCK,
        "--config",
        job.config,
        "--manifest",
        job.manifest,
        "--incumbent",
        job.incumbent,
    ]
    done = subprocess.run(
        [*command, "--output", job.output],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((job.output / "result.json").read_text(encoding="utf-8"))
    assert result["counts"] == {"train": 12, "validation": 6, "test": 6}
    assert (job.output / "curves.csv").read_text().count("\n") == len(result["curves"]) + 1
    text = (job.output / "predictions.jsonl").read_text()
    assert len(text.splitlines()) == 6
    assert list((job.output / "tensorboard").glob("events.*"))
    labeler = TrainedLabeler(job.output / "checkpoint")
    assert labeler.model.key == result["model"]["key"]


@pytest.mark.slow
def test_main_exits_2_on_wrong_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "training"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2


@pytest.mark.slow
class TestLocalLauncher(LauncherContract):
    @pytest.fixture
    def launcher(self, tmp_path: Path) -> LocalLauncher:
        return LocalLauncher(cache_dir=tmp_path / "cache")


@pytest.mark.slow
def test_launch_says_a_missing_device_is_a_setting_and_no_failed_training(
    tmp_path: Path, job: TrainingJob
) -> None:
    launcher = LocalLauncher(cache_dir=tmp_path / "cache", compute=Compute(device="cuda:97"))
    with pytest.raises(ConfigError, match=r"^device 'cuda:97' is not there: .*\[training\]"):
        launcher.launch(job)
    assert not (job.output / "result.json").exists()


@pytest.mark.slow
def test_launch_hands_on_precision_and_threads(tmp_path: Path, job: TrainingJob) -> None:
    plain = LocalLauncher(cache_dir=tmp_path / "cache").launch(job)
    rough = LocalLauncher(
        cache_dir=tmp_path / "cache",
        compute=Compute(precision="bf16", threads=1),
    ).launch(job)
    assert rough["config"] == plain["config"]
    again = [result["seconds"]["audio_encoded"] for result in (plain, rough)]
    assert again[0] == again[1] > 0, "features of another precision are not those in the cache"
    assert rough["curves"] != plain["curves"]


@pytest.mark.slow
def test_launch_stops_what_takes_too_long(tmp_path: Path, job: TrainingJob) -> None:
    launcher = LocalLauncher(cache_dir=tmp_path / "cache", timeout_minutes=0.5 / 60)
    with pytest.raises(TrainingError, match=r"longer than 0\.00833333 minutes and was stopped"):
        launcher.launch(job)


class TestFakeLauncher(LauncherContract):
    @pytest.fixture
    def launcher(self) -> FakeLauncher:
        return FakeLauncher({"model": {}, "decision": {}})


@pytest.mark.slow
def test_launch_blames_the_machine_and_no_training_when_the_disk_refuses(
    tmp_path: Path, job: TrainingJob
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    launcher = LocalLauncher(cache_dir=tmp_path / "cache")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(MachineError, match="File too large"):
            launcher.launch(job)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not (job.output / "result.json").exists()
    assert launcher.launch(job)["task"] == "emotion"


@pytest.mark.slow
def test_launch_blames_the_machine_when_training_is_killed(
    tmp_path: Path, job: TrainingJob
) -> None:
    def kill(_line: str) -> None:
        for child in psutil.Process().children():
            child.kill()

    with pytest.raises(ShortageError, match="ended from outside"):
        LocalLauncher(cache_dir=tmp_path / "cache", progress=kill).launch(job)


def test_save_checkpoint_names_the_folder_that_cannot_be_written(
    tmp_path: Path, config: TrainingConfig, manifest: Manifest, incumbent: Answers
) -> None:
    outcome = run_training(config, manifest, incumbent, cache_dir=tmp_path / "cache")
    with pytest.raises(MachineError, match="/dev/null/checkpoint: Not a directory"):
        save_checkpoint(Path("/dev/null/checkpoint"), outcome.checkpoint)


def test_run_training_goes_on_from_no_state_that_learnt_from_an_erased_example(
    tmp_path: Path, config: TrainingConfig, manifest: Manifest, incumbent: Answers
) -> None:
    class KilledError(Exception):
        """Stands in for a kill."""

    def die_in_the_third_epoch(line: str) -> None:
        if line.startswith("epoch 3"):
            raise KilledError

    def train(examples: tuple[Example, ...], say: Callable[[str], None]) -> Outcome:
        return run_training(
            config,
            replace(manifest, examples=examples),
            incumbent,
            cache_dir=tmp_path / "cache",
            state_dir=tmp_path / "out",
            state_every_s=0,
            say=say,
        )

    with pytest.raises(KilledError):
        train(manifest.examples, die_in_the_third_epoch)
    learnt = list(select(manifest, Split.TRAIN, scheme="emotion"))
    left = tuple(example for example in manifest.examples if example != learnt[0])
    told: list[str] = []
    train(left, told.append)
    assert any("is of another recipe or other data: training starts anew" in line for line in told)
    assert any(line.startswith("epoch 1/") for line in told)
