"""A fake launcher, and the contract every TrainingLauncher is held to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from voxdata.errors import TrainingError
from voxdata.ports import TrainingJob, TrainingLauncher


class FakeLauncher:
    """Answers every sound job with a given result, and remembers the jobs."""

    def __init__(self, result: Mapping[str, object]) -> None:
        self.result = dict(result)
        self.jobs: list[TrainingJob] = []

    def launch(self, job: TrainingJob) -> Mapping[str, object]:
        """See `TrainingLauncher.launch`."""
        self.jobs.append(job)
        for path in (job.config, job.manifest, job.incumbent):
            if not path.is_file():
                raise TrainingError(f"{path}: cannot be read")
        job.output.mkdir(parents=True, exist_ok=True)
        (job.output / "result.json").write_text(json.dumps(self.result), encoding="utf-8")
        return self.result


class LauncherContract:
    """Subclass as Test...; give the fixtures `launcher` and `job` (a job that can be done)."""

    def test_launch_returns_result_json(self, launcher: TrainingLauncher, job: TrainingJob) -> None:
        """The mapping returned is the file written."""
        result = launcher.launch(job)
        assert dict(result) == json.loads((job.output / "result.json").read_text(encoding="utf-8"))
        assert {"model", "decision"} <= set(result)

    def test_launch_raises_when_manifest_is_missing(
        self, launcher: TrainingLauncher, job: TrainingJob
    ) -> None:
        """The error names the file."""
        broken = replace(job, manifest=job.manifest.with_name("absent.jsonl"))
        with pytest.raises(TrainingError, match=r"absent\.jsonl"):
            launcher.launch(broken)
