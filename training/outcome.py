"""What a training run has made, and its folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from training.checkpoint import Checkpoint, save_checkpoint
from training.result import (
    Epoch,
    TrainingResult,
    encode_result,
    model_card,
)
from training.state import remove_state
from voxdata.durable import write_file, writing
from voxdata.identity import ModelRef
from voxdata.label import top_label


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that a run has made.

    Attributes:
        result: The content of result.json, but for the identity of the model.
        predictions: Utterance id -> distribution, of the clips that were judged.
        checkpoint: Ready to be saved.
    """

    result: TrainingResult
    predictions: dict[str, dict[str, float]]
    checkpoint: Checkpoint


def write_outcome(output: Path, outcome: Outcome) -> ModelRef:
    """Write checkpoint/, predictions.jsonl, curves.csv, TensorBoard events and, last, result.json.

    A model that only reads has no curves. The state that the run has kept goes then.

    Raises:
        MachineError: They cannot be written.
    """
    with writing(output):
        model = save_checkpoint(output / "checkpoint", outcome.checkpoint)
        _write_predictions(output / "predictions.jsonl", outcome.predictions)
        if outcome.result.curves:
            _write_curves(output / "curves.csv", outcome.result.curves)
            _write_events(output / "tensorboard", outcome.result.curves)
        result = replace(outcome.result, model=model_card(model))
        row = encode_result(result)
        content = json.dumps(row, ensure_ascii=False, indent=2) + "\n"
        write_file(output / "result.json", content.encode())
        remove_state(output)
    return model


def _write_predictions(path: Path, predictions: Mapping[str, Mapping[str, float]]) -> None:
    lines: list[str] = []
    for utterance_id, shares in sorted(predictions.items()):
        row = {"utterance_id": utterance_id, "label": top_label(shares), "distribution": shares}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_file(path, "".join(lines).encode())


def _write_curves(path: Path, curves: Sequence[Epoch]) -> None:
    epochs = [asdict(epoch) for epoch in curves]
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(epochs[0]))
    writer.writeheader()
    writer.writerows(epochs)
    write_file(path, table.getvalue().encode())


def _write_events(folder: Path, curves: Sequence[Epoch]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    for row in curves:
        for name, value in asdict(row).items():
            if name != "epoch" and value is not None:
                writer.add_scalar(name, value, row.epoch)
    writer.close()
