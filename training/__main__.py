"""One training run as a process of its own.

python -m training --config FILE.toml --manifest FILE.jsonl --incumbent FILE.jsonl --output DIR
                   [--cache DIR] [--device cpu] [--precision fp32] [--threads 0]
                   [--state-seconds 60]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from training.compute import ON_CPU, Compute
from training.config import read_config
from training.judge.answers import read_opponents
from training.launcher import WRONG_USAGE
from training.outcome import write_outcome
from training.result import TrainingResult
from training.run import run_training
from training.state import SAVE_EVERY_S
from training.text.heard import read_machine_texts
from voxdata.durable import remove, writing
from voxdata.errors import ConfigError, ManifestError, TrainingError, VoxdataError
from voxdata.machine import EXIT_CODE, find_fault
from voxdata.manifest import read_manifest
from voxdata.visible import visible


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one training job.

    Returns:
        0 done, 1 the run could not be done (the reason is on stderr), `voxdata.machine.EXIT_CODE`
        when this machine is to blame. Wrong usage, such as a device that is not there, is 2.
    """
    chosen = _parse(arguments)
    try:
        result = _run(chosen)
    except ConfigError as error:
        _say(f"error: {error}")
        return WRONG_USAGE
    except (VoxdataError, OSError, MemoryError, RuntimeError) as error:
        fault = find_fault(error)
        if fault is None and not isinstance(error, TrainingError | ManifestError | OSError):
            raise
        _say(f"error: {fault or error}")
        return 1 if fault is None else EXIT_CODE

    for line in (result.note, result.verdict.warning):
        if line:
            _say(line)
    _say(f"decision: {asdict(result.verdict.decision)}")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training", description="Train and judge a model on a dataset version."
    )
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        help="TOML file, see training/config/recipes",
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        required=True,
        help="the dataset version, JSON lines; context.jsonl beside it is read where it is there",
    )
    parser.add_argument(
        "--incumbent",
        type=Path,
        required=True,
        help="answers of the model to beat for the test examples, JSON lines",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="folder for checkpoint, result.json and curves",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        help="folder of cached features (default: OUTPUT/features)",
    )
    parser.add_argument(
        "--device",
        default=ON_CPU.device,
        help="where the models run: cpu, cuda, cuda:1 or mps (default: cpu)",
    )
    parser.add_argument(
        "--precision",
        default=ON_CPU.precision,
        help="in which numbers the encoder multiplies: fp32, bf16 or fp16 (default: fp32)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=ON_CPU.threads,
        help="threads on the CPU (default: 0, torch's choice)",
    )
    parser.add_argument(
        "--state-seconds",
        type=float,
        default=SAVE_EVERY_S,
        help="seconds between two writes of how far the run has come, from which it goes on when "
        f"it was killed; 0 writes after each batch (default: {SAVE_EVERY_S:g})",
    )
    return parser.parse_args(arguments)


def _run(chosen: argparse.Namespace) -> TrainingResult:
    compute = Compute(
        device=chosen.device,
        precision=chosen.precision,
        threads=chosen.threads,
    )
    config = read_config(chosen.config)
    manifest = read_manifest(chosen.manifest)
    machine_texts = None
    if config.text.enabled:
        machine_texts = read_machine_texts(chosen.manifest, version_id=manifest.version_id)
    opponents = read_opponents(chosen.incumbent)
    with writing(chosen.output):
        chosen.output.mkdir(parents=True, exist_ok=True)
    remove(chosen.output / "result.json", missing_ok=True)
    outcome = run_training(
        config,
        manifest,
        opponents.incumbent,
        cold_start=opponents.cold_start,
        cache_dir=chosen.cache or chosen.output / "features",
        compute=compute,
        machine_texts=machine_texts,
        state_dir=chosen.output,
        state_every_s=chosen.state_seconds,
        say=_say,
    )
    write_outcome(chosen.output, outcome)
    return outcome.result


def _say(line: str) -> None:
    print(visible(line), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
