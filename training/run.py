"""One training run: manifest in, judged checkpoint out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from time import monotonic

import numpy as np

from training.checkpoint import Checkpoint, save_checkpoint
from training.config import TrainingConfig
from training.encoder import Encoder, load_encoder
from training.feature_files import PADDING_POLICY
from training.features import Features, FeatureSet, load_features
from training.judge import judge
from training.loop import Epoch, Fit, fit_head, predict
from training.metrics import Floats, paired_difference, score
from voxdata.audio_digest import AudioGuard
from voxdata.counted import counted
from voxdata.dataset import Example, Split
from voxdata.durable import write_file, writing
from voxdata.errors import TrainingError
from voxdata.identity import ModelRef
from voxdata.label import Distribution, top_label
from voxdata.malformed import FAULTS, Readers, in_words, name_fault, parse_json
from voxdata.manifest import Manifest, select

SMALL_CLIPS, SMALL_VOICES = 100, 5
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run found.

    Attributes:
        result: The content of result.json.
        fit: The head and its curves.
        predictions: Test utterance id -> distribution.
        checkpoint: Ready to be saved.
    """

    result: dict[str, object]
    fit: Fit
    predictions: dict[str, dict[str, float]]
    checkpoint: Checkpoint


def _read_shares(value: Mapping[str, object]) -> Distribution:
    return {str(label): float(str(share)) for label, share in value.items()}


INCUMBENT: Readers = {
    "utterance_id": (str, "text"),
    "distribution": (_read_shares, "a number for each label"),
}
"""The fields of an answer of the model to beat."""


def read_incumbent(path: Path) -> dict[str, Distribution]:
    """The answers of the model to beat, by utterance id.

    Raises:
        TrainingError: Missing, or malformed in the line named.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read ({error})") from error
    answers: dict[str, Distribution] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            row = None
            try:
                row = parse_json(line)
                answers[str(row["utterance_id"])] = _read_shares(row["distribution"])
            except FAULTS as error:
                why = in_words(error) if row is None else name_fault(row, INCUMBENT, error)
                raise TrainingError(f"{path}: line {number} is malformed: {why}") from error
    return answers


def check_splits(examples: Sequence[Example]) -> None:
    """Refuse examples of which a voice, group or recording is in two splits.

    Raises:
        TrainingError: Names the first such voice, group or recording.
    """
    for kind in ("voice", "group", "recording_id"):
        seen: dict[str, Split] = {}
        for example in examples:
            key = getattr(example, kind)
            if seen.setdefault(key, example.split) is not example.split:
                raise TrainingError(
                    f"the split leaks: {kind} {key!r} is in both {seen[key]} and {example.split}, so no score would mean anything; "
                    "release the version again"
                )


def run_training(
    config: TrainingConfig,
    manifest: Manifest,
    incumbent: Mapping[str, Distribution],
    *,
    cache_dir: Path,
    device: str = "cpu",
    encoder: Encoder | None = None,
    say: Say | None = None,
) -> Outcome:
    """Features, training, judgement.

    Args:
        incumbent: The answers of the model to beat for every test example.
        cache_dir: Folder of cached features.
        encoder: Already loaded; None: `config.encoder`.

    Raises:
        TrainingError: Unknown scheme, leaking split, too few labels, missing audio or missing answers.
    """
    tell = say or (lambda line: None)
    if config.scheme not in manifest.schemes:
        raise TrainingError(
            f"scheme {config.scheme!r} is not in version {manifest.name!r}; it has: {', '.join(manifest.schemes)}"
        )
    labels = manifest.schemes[config.scheme]
    parts = {split: list(select(manifest, split, scheme=config.scheme)) for split in Split}
    check_splits([example for part in parts.values() for example in part])
    _check_labels(config, labels, parts, incumbent)

    began = monotonic()
    encoder = encoder or load_encoder(config.encoder, device=device)
    loaded = monotonic()
    guard = AudioGuard(manifest.audio)
    sets = {s: _features(encoder, parts[s], manifest, cache_dir, guard, s, tell) for s in Split}
    width = sets[Split.TRAIN].values.shape[1:]
    values: dict[Split, Features] = {
        s: sets[s].values if parts[s] else np.zeros((0, *width), np.float32) for s in Split
    }
    encoded = monotonic()
    targets = {s: _targets(parts[s], config, labels) for s in Split}

    def on_epoch(row: Epoch) -> None:
        shown = "" if row.validation_uar is None else f", validation UAR {row.validation_uar:.3f}"
        tell(f"epoch {row.epoch}: loss {row.train_loss:.4f}{shown}")

    fit = fit_head(
        values[Split.TRAIN],
        targets[Split.TRAIN],
        validation_features=values[Split.VALIDATION],
        validation_targets=targets[Split.VALIDATION],
        config=config,
        progress=on_epoch,
    )
    trained = monotonic()
    answers = predict(fit.head, values[Split.TEST])
    verdict = _judge(parts[Split.TEST], answers, incumbent, config, labels)
    checkpoint = Checkpoint(
        head=fit.head,
        config=config,
        labels=labels,
        encoder_revision=encoder.revision,
        padding_policy=PADDING_POLICY,
        version_id=manifest.version_id,
        versions={name: version(name) for name in ("torch", "transformers", "numpy", "voxdata")},
        shape=(int(width[0]), int(width[1])),
    )
    result: dict[str, object] = {
        "task": config.scheme,
        "labels": list(labels),
        "version_id": manifest.version_id,
        "config": asdict(config),
        "counts": {s.value: len(parts[s]) for s in Split},
        "voices": {s.value: len({e.voice for e in parts[s]}) for s in Split},
        **verdict,
        "curves": [asdict(row) for row in fit.curves],
        "best_epoch": fit.best_epoch,
        "note": fit.note,
        "encoder": {
            "name": encoder.name,
            "revision": encoder.revision,
            "padding_policy": PADDING_POLICY,
        },
        "seconds": {
            "load": loaded - began,
            "features": encoded - loaded,
            "train": trained - encoded,
            "judge": monotonic() - trained,
            "audio_encoded": sum(s.computed_seconds for s in sets.values()),
        },
    }
    ids = [e.utterance_id for e in parts[Split.TEST]]
    predictions = {
        i: dict(zip(labels, map(float, row), strict=True))
        for i, row in zip(ids, answers, strict=True)
    }
    return Outcome(result=result, fit=fit, predictions=predictions, checkpoint=checkpoint)


def _features(
    encoder: Encoder,
    examples: list[Example],
    manifest: Manifest,
    cache_dir: Path,
    guard: AudioGuard,
    split: Split,
    tell: Say,
) -> FeatureSet:
    if not examples:
        return FeatureSet(
            values=np.zeros((0, 0, 0), np.float32), computed_seconds=0.0, num_cached=0
        )
    return load_features(
        encoder,
        examples,
        audio_root=manifest.audio_root,
        cache_dir=cache_dir,
        guard=guard,
        progress=lambda line: tell(f"{split}: {line}"),
    )


def _check_labels(
    config: TrainingConfig,
    labels: Sequence[str],
    parts: Mapping[Split, list[Example]],
    incumbent: Mapping[str, Distribution],
) -> None:
    for part in parts.values():
        for example in part:
            gold = example.gold[config.scheme]
            strange = {gold.label, *gold.distribution} - set(labels)
            if strange:
                raise TrainingError(
                    f"example {example.utterance_id}: {sorted(strange)} is not in scheme {config.scheme!r}; release again"
                )
    train = parts[Split.TRAIN]
    if not train:
        raise TrainingError(
            f"no training example has a label for scheme {config.scheme!r}; label some and release a version again"
        )
    found = sorted({e.gold[config.scheme].label for e in train})
    if len(found) < 2:
        raise TrainingError(
            f"all {len(train)} training examples are labelled {found[0]!r}; a model needs at least two labels to distinguish"
        )
    missing = [e.utterance_id for e in parts[Split.TEST] if e.utterance_id not in incumbent]
    if missing:
        raise TrainingError(
            f"the incumbent file has no answer for {len(missing)} test examples, the first is {missing[0]}"
        )


def _targets(examples: Sequence[Example], config: TrainingConfig, labels: Sequence[str]) -> Floats:
    """(num_examples, num_labels): the shares of the votes, or one-hot."""
    rows = np.zeros((len(examples), len(labels)))
    for row, example in zip(rows, examples, strict=True):
        gold = example.gold[config.scheme]
        shares = (
            gold.distribution if config.soft_targets and gold.distribution else {gold.label: 1.0}
        )
        for label, share in shares.items():
            row[labels.index(label)] = share
        row /= row.sum()
    return rows


def _judge(
    examples: Sequence[Example],
    answers: Floats,
    incumbent: Mapping[str, Distribution],
    config: TrainingConfig,
    labels: Sequence[str],
) -> dict[str, object]:
    before = after = difference = None
    voices = [e.voice for e in examples]
    if examples:
        gold = np.array(
            [labels.index(e.gold[config.scheme].label) for e in examples], dtype=np.int64
        )
        old = np.array([_aligned(incumbent[e.utterance_id], labels) for e in examples])
        before = score(gold, old, voices, labels=labels)
        after = score(gold, answers, voices, labels=labels)
        difference = paired_difference(gold, old, answers, voices, num_labels=len(labels))
    num_voices = len(set(voices))
    small = len(examples) < SMALL_CLIPS or num_voices < SMALL_VOICES
    heard = f"{counted(len(examples), 'test clip')} of {counted(num_voices, 'voice')}"
    warning = f"small sample: {heard}; these figures are an anecdote, not a measurement"
    return {
        "before": asdict(before) if before else None,
        "after": asdict(after) if after else None,
        "difference": asdict(difference) if difference else None,
        "decision": asdict(judge(before, after, min_gain=config.min_gain)),
        "small_sample": small,
        "warning": warning if small else "",
    }


def _aligned(distribution: Distribution, labels: Sequence[str]) -> list[float]:
    """Probabilities in the order of the labels; 0 for a label the incumbent does not know."""
    return [float(distribution.get(label, 0.0)) for label in labels]


def write_outcome(output: Path, outcome: Outcome) -> ModelRef:
    """Write checkpoint/, predictions.jsonl, curves.csv, TensorBoard events and, last, result.json.

    Raises:
        MachineError: They cannot be written.
    """
    with writing(output):
        return _write_outcome(output, outcome)


def _write_outcome(output: Path, outcome: Outcome) -> ModelRef:
    model = save_checkpoint(output / "checkpoint", outcome.checkpoint)
    lines: list[str] = []
    for utterance_id, shares in sorted(outcome.predictions.items()):
        row = {"utterance_id": utterance_id, "label": top_label(shares), "distribution": shares}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_file(output / "predictions.jsonl", "".join(lines).encode())
    epochs = [asdict(epoch) for epoch in outcome.fit.curves]
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, list(epochs[0]))
    writer.writeheader()
    writer.writerows(epochs)
    write_file(output / "curves.csv", table.getvalue().encode())
    _write_events(output / "tensorboard", outcome.fit.curves)
    card = {
        "name": model.name,
        "revision": model.revision,
        "params": dict(model.params),
        "key": model.key,
    }
    result = json.dumps({**outcome.result, "model": card}, ensure_ascii=False, indent=2) + "\n"
    write_file(output / "result.json", result.encode())
    return model


def _write_events(folder: Path, curves: Sequence[Epoch]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    for row in curves:
        for name, value in asdict(row).items():
            if name != "epoch" and value is not None:
                writer.add_scalar(name, value, row.epoch)
    writer.close()
