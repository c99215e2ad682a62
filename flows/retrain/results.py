"""What a training run in the warehouse found, as a value."""

from __future__ import annotations

from training.judge.verdict import Verdict
from training.result import TrainingResult, decode_result
from warehouse.runs import TrainingRun


def result_of(run: TrainingRun) -> TrainingResult | None:
    """The result of a run; None when it failed or was skipped.

    Raises:
        TrainingError: The stored result is malformed.
    """
    if not run.result:
        return None
    return decode_result(run.result, origin=f"training run {run.training_id}")


def verdict_of(run: TrainingRun) -> Verdict | None:
    """How the model of a run did on the test set; None when it failed or was skipped.

    Raises:
        TrainingError: The stored result is malformed.
    """
    result = result_of(run)
    return None if result is None else result.verdict
