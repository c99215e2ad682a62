"""A run that was killed goes on where it was."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.config import HeadConfig, TrainingConfig, write_config
from training.loop import Fit, fit_head
from training.run_folder import state_file
from training.state import State, StateKeeper
from voxdata.errors import TrainingError
from voxdata.ports import TrainingJob

Blobs = tuple[np.ndarray, np.ndarray]
BATCHES = 8
"""In an epoch of thirty clips, four at a time."""


class KilledError(Exception):
    """Stands in for a kill."""


class KillingKeeper(StateKeeper):
    """Keeps the state after each batch, and kills after some."""

    batches_left = 10**9

    def offer(self, make_state: Callable[[], State]) -> None:
        super().offer(make_state)
        self.batches_left -= 1
        if self.batches_left == 0:
            raise KilledError


@pytest.fixture
def random_config(config: TrainingConfig) -> TrainingConfig:
    """With dropout and hidden units, so that every step draws random numbers."""
    return replace(config, head=HeadConfig(hidden_units=8, dropout=0.4))


def fit(blobs: Blobs, config: TrainingConfig, keeper: StateKeeper | None = None) -> Fit:
    features, targets = blobs
    return fit_head(
        features[:30],
        targets[:30],
        validation_features=features[30:],
        validation_targets=targets[30:],
        config=config,
        keeper=keeper,
    )


def make_keeper(
    folder: Path, *, identity: str = "i", say: Callable[[str], None] = print
) -> KillingKeeper:
    return KillingKeeper(folder, identity=identity, every_s=0, say=say)


def same_weights(one: Fit, other: Fit) -> bool:
    weights, others = one.head.state_dict(), other.head.state_dict()
    return all(torch.equal(tensor, others[key]) for key, tensor in weights.items())


def test_fit_head_goes_on_bit_for_bit_when_killed_at_random_steps(
    tmp_path: Path, blobs: Blobs, random_config: TrainingConfig
) -> None:
    whole = fit(blobs, random_config)
    generator = np.random.default_rng(0)
    steps = generator.integers(1, 2 * BATCHES, 5).tolist()
    positions: list[int] = []
    for step in steps:
        keeper = make_keeper(tmp_path)
        keeper.batches_left = step
        with pytest.raises(KilledError):
            fit(blobs, random_config, keeper)
        state = keeper.read()
        assert state is not None
        positions.append(state["num_batches"])
    resumed = fit(blobs, random_config, make_keeper(tmp_path))
    assert any(0 < position < BATCHES for position in positions), "in the middle of an epoch too"
    assert same_weights(resumed, whole)
    assert resumed.curves == whole.curves
    assert resumed.best_epoch == whole.best_epoch


def test_fit_head_goes_on_and_does_not_start_anew(
    tmp_path: Path, blobs: Blobs, random_config: TrainingConfig
) -> None:
    keeper = make_keeper(tmp_path)
    keeper.batches_left = 3 * BATCHES + 2
    with pytest.raises(KilledError):
        fit(blobs, random_config, keeper)
    second = make_keeper(tmp_path)
    whole = fit(blobs, random_config, second)
    steps_left = 10**9 - second.batches_left
    assert steps_left == len(whole.curves) * BATCHES - 3 * BATCHES - 2


def test_fit_head_starts_anew_from_the_state_of_something_else(
    tmp_path: Path, blobs: Blobs, random_config: TrainingConfig
) -> None:
    whole = fit(blobs, random_config)
    keeper = make_keeper(tmp_path, identity="other")
    keeper.batches_left = 5
    with pytest.raises(KilledError):
        fit(blobs, random_config, keeper)
    told: list[str] = []
    anew = fit(blobs, random_config, make_keeper(tmp_path, say=told.append))
    assert same_weights(anew, whole)
    assert told == [
        f"{state_file(tmp_path)} is of another recipe or other data: training starts anew"
    ]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"\x80\x02N."])
def test_fit_head_starts_anew_and_says_so_when_the_state_is_damaged(
    tmp_path: Path, blobs: Blobs, random_config: TrainingConfig, content: bytes
) -> None:
    path = state_file(tmp_path)
    path.parent.mkdir()
    path.write_bytes(content)
    told: list[str] = []
    anew = fit(blobs, random_config, make_keeper(tmp_path, say=told.append))
    assert same_weights(anew, fit(blobs, random_config))
    assert f"{path} is damaged" in told[0]


def test_fit_head_starts_anew_when_a_byte_of_the_state_was_changed(
    tmp_path: Path, blobs: Blobs, random_config: TrainingConfig
) -> None:
    keeper = make_keeper(tmp_path)
    keeper.batches_left = 5
    with pytest.raises(KilledError):
        fit(blobs, random_config, keeper)
    path = state_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    told: list[str] = []
    anew = fit(blobs, random_config, make_keeper(tmp_path, say=told.append))
    assert same_weights(anew, fit(blobs, random_config))
    assert told == [f"{path} is damaged: training starts anew"]


def test_fit_head_stops_when_its_state_is_deleted(
    tmp_path: Path, blobs: Blobs, random_config: TrainingConfig
) -> None:
    class ForgettingKeeper(KillingKeeper):
        def offer(self, make_state: Callable[[], State]) -> None:
            if self.batches_left == 10**9 - 3:
                state_file(tmp_path).unlink()
            super().offer(make_state)

    keeper = ForgettingKeeper(tmp_path, identity="i", every_s=0, say=print)
    with pytest.raises(TrainingError, match="was deleted during training, as when somebody"):
        fit(blobs, random_config, keeper)
    assert not state_file(tmp_path).exists()


def test_offer_writes_no_more_often_than_asked(tmp_path: Path) -> None:
    keeper = StateKeeper(tmp_path, identity="i", every_s=3_600, say=print)
    assert keeper.read() is None
    keeper.offer(dict)
    assert read_kept(state_file(tmp_path)) is None


def test_fit_head_stops_when_the_loss_is_no_number(
    blobs: Blobs, random_config: TrainingConfig
) -> None:
    diverging = replace(random_config.fit, learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"has diverged; lower fit\.learning_rate"):
        fit(blobs, replace(random_config, fit=diverging))


def run_command(job: TrainingJob, output: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "training", "--config", job.config, "--output", output]
    command += ["--manifest", job.manifest, "--incumbent", job.incumbent, "--cache", cache]
    return subprocess.Popen(
        [*map(str, command), "--state-seconds", "0", "--threads", "1"],
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_at(child: subprocess.Popen[str], state: Path, *, step: int, batches: int) -> int:
    """Kill a run when it has come to a step, or a little later.

    Returns:
        How many batches of its epoch it had run.
    """
    while child.poll() is None:
        with suppress(FileNotFoundError):
            kept = read_kept(state)
            if kept and len(kept["curves"]) * batches + kept["num_batches"] >= step:
                break
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    kept = read_kept(state)
    assert kept is not None
    return int(kept["num_batches"])


def read_kept(path: Path) -> State | None:
    """What a state file holds after its checksum."""
    content = path.read_bytes()[32:]
    state: State | None = torch.load(io.BytesIO(content), weights_only=True)["state"]
    return state


@pytest.mark.slow
def test_main_ends_in_equal_weights_when_killed_at_five_random_steps(
    tmp_path: Path, job: TrainingJob, random_config: TrainingConfig
) -> None:
    batches, epochs = 12, 40
    longer = replace(random_config.fit, batch_size=1, max_epochs=epochs, patience=epochs)
    write_config(job.config, replace(random_config, fit=longer))
    cache = tmp_path / "cache"
    child = run_command(job, tmp_path / "whole", cache)
    _, errors = child.communicate()
    assert child.returncode == 0, errors

    steps = np.random.default_rng(5).integers(1, batches * epochs - 100, 5)
    state = state_file(job.output)
    positions = [
        kill_at(run_command(job, job.output, cache), state, step=step, batches=batches)
        for step in sorted(steps.tolist())
    ]
    assert any(0 < position < batches for position in positions), positions
    assert not (job.output / "result.json").exists()
    child = run_command(job, job.output, cache)
    _, errors = child.communicate()
    assert child.returncode == 0, errors
    assert not state.exists()
    for name in ("checkpoint/head.safetensors", "curves.csv", "predictions.jsonl"):
        assert (job.output / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    results = [
        json.loads((folder / "result.json").read_text(encoding="utf-8"))
        for folder in (job.output, tmp_path / "whole")
    ]
    assert results[0]["model"] == results[1]["model"]
