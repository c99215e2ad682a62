"""The training loop, in the open: AdamW, warm-up and cosine, early stopping on held-out voices."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from training.config import TrainingConfig
from training.metrics import Floats, average_recall, confusion_matrix
from training.models.average import HeadAverage, make_head
from training.models.head import Head
from training.models.pool import Features
from training.regularise import disturb
from training.result import Epoch

MAX_GRADIENT_NORM = 1.0
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A trained head.

    Attributes:
        head: With the weights of `best_epoch`; several seeds are one `HeadAverage`.
        curves: One row per epoch.
        best_epoch: 1-based.
        note: What the reader must know, such as that no validation was possible; otherwise "".
    """

    head: Head | HeadAverage
    curves: tuple[Epoch, ...]
    best_epoch: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clips:
    """Clips to learn from or to validate on.

    Attributes:
        features: (num_clips, num_layers, dim) float32.
        targets: (num_clips, num_labels) float32; rows add up to 1.
    """

    features: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Schedule:
    """How long to train, and what to tell the reader when nothing validates."""

    num_epochs: int
    validated: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Best:
    """The best weights so far, and what they are compared by: the higher rank wins."""

    weights: dict[str, torch.Tensor]
    epoch: int
    rank: tuple[float, float]


def fit_head(
    features: Features,
    targets: Floats,
    *,
    validation_features: Features,
    validation_targets: Floats,
    config: TrainingConfig,
    device: torch.device = CPU,
    progress: Callable[[Epoch, int], None] | None = None,
) -> Fit:
    """Train a head; the same inputs, seed and device give the same weights.

    Args:
        features: (num_clips, num_layers, dim) float32.
        targets: (num_clips, num_labels); rows add up to 1.
        validation_features: As `features`, of other voices; may be empty.
        validation_targets: As `targets`.
        device: Where it learns; it comes back on the CPU.
        progress: Told of each epoch, and how many there are at most.
    """
    schedule = _plan_epochs(validation_targets, config)
    clips = _as_tensors(features, targets, device)
    validation = None
    if schedule.validated:
        validation = _as_tensors(validation_features, validation_targets, device)

    curves: list[Epoch] = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        trainer = _Trainer(clips, num_epochs=schedule.num_epochs, config=config)
        best = trainer.snapshot(epoch=0, rank=(-1.0, -math.inf))
        for epoch in range(1, schedule.num_epochs + 1):
            curves.append(trainer.run_epoch(epoch, validation))
            rank = _rank(curves[-1])
            if rank > best.rank:
                best = trainer.snapshot(epoch=epoch, rank=rank)
            if progress:
                progress(curves[-1], schedule.num_epochs)
            if epoch - best.epoch >= config.fit.patience:
                break

    trainer.head.load_state_dict(best.weights)
    return Fit(
        head=trainer.head.eval().cpu(),
        curves=tuple(curves),
        best_epoch=best.epoch,
        note=schedule.note,
    )


class _Trainer:
    """A head under training. Everything random comes from torch's generator, in a fixed order."""

    def __init__(self, clips: _Clips, *, num_epochs: int, config: TrainingConfig) -> None:
        num_clips, num_layers, dim = clips.features.shape
        self.head = make_head(
            num_layers=num_layers,
            dim=dim,
            num_labels=clips.targets.shape[1],
            config=config,
        ).to(clips.features.device)
        self.head.fit_standardiser(clips.features)
        self._clips = clips
        self._fit = config.fit
        self._label_weights = _weigh_labels(clips.targets) if config.fit.class_weights else None
        self._optimizer = _make_optimizer(self.head, config)
        num_steps = math.ceil(num_clips / config.fit.batch_size) * num_epochs

        def factor(step: int) -> float:
            return learning_rate_factor(step, num_steps, config.fit.warmup_share)

        self._learning_rate = torch.optim.lr_scheduler.LambdaLR(self._optimizer, factor)

    def snapshot(self, *, epoch: int, rank: tuple[float, float]) -> _Best:
        """A copy of the weights as they are."""
        weights = copy.deepcopy(self.head.state_dict())
        return _Best(weights=weights, epoch=epoch, rank=rank)

    def run_epoch(self, epoch: int, validation: _Clips | None) -> Epoch:
        """See every clip once, then validate."""
        self.head.train()
        num_clips = len(self._clips.features)
        order = torch.randperm(num_clips)
        total_loss = 0.0
        for rows in torch.split(order, self._fit.batch_size):
            total_loss += self._step(rows) * len(rows)

        validation_loss = validation_uar = None
        if validation is not None:
            logits = self._score(validation)
            validation_loss = float(self._loss(logits, validation.targets))
            validation_uar = _uar(logits, validation.targets)
        return Epoch(
            epoch=epoch,
            train_loss=total_loss / num_clips,
            validation_loss=validation_loss,
            validation_uar=validation_uar,
            learning_rate=float(self._learning_rate.get_last_lr()[0]),
        )

    def _step(self, rows: torch.Tensor) -> float:
        """One step of every seed on a batch; returns their mean loss."""
        self._optimizer.zero_grad()
        inputs = self.head.standardise(self._clips.features[rows])
        targets = self._clips.targets[rows]
        total_loss = 0.0
        for member in self.head.members:
            disturbed, softened = disturb(inputs, targets, self._fit)
            loss = self._loss(member.classify(disturbed), softened)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(member.parameters(), MAX_GRADIENT_NORM)
            total_loss += float(loss.detach())
        self._optimizer.step()
        self._learning_rate.step()
        return total_loss / len(self.head.members)

    def _loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, targets, weight=self._label_weights)

    @torch.no_grad()
    def _score(self, clips: _Clips) -> torch.Tensor:
        logits: torch.Tensor = self.head.eval()(clips.features)
        return logits


def learning_rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """Linear warm-up to 1, then a cosine down to 0."""
    warmup = int(steps * warmup_share)
    if step < warmup:
        return (step + 1) / warmup
    after_warmup = (step - warmup) / max(1, steps - warmup)
    angle = math.pi * min(1.0, after_warmup)
    return 0.5 * (1 + math.cos(angle))


def can_validate(targets: Floats) -> bool:
    """Whether clips have two labels, and so can tell how good a model is."""
    gold = targets.argmax(axis=1)
    return len(set(gold.tolist())) >= 2


def _plan_epochs(validation_targets: Floats, config: TrainingConfig) -> _Schedule:
    """Stop early where validation clips of two labels can tell; else train a fixed time."""
    if can_validate(validation_targets):
        return _Schedule(
            num_epochs=config.fit.max_epochs,
            validated=True,
            note="",
        )
    state = "empty" if len(validation_targets) == 0 else "of one label only"
    return _Schedule(
        num_epochs=config.fit.fixed_epochs,
        validated=False,
        note=f"the validation split is {state}: "
        f"no early stopping, {config.fit.fixed_epochs} epochs as configured",
    )


def _as_tensors(features: Features, targets: Floats, device: torch.device) -> _Clips:
    return _Clips(
        features=torch.from_numpy(features).to(device),
        targets=torch.from_numpy(targets.astype(np.float32)).to(device),
    )


def _weigh_labels(targets: torch.Tensor) -> torch.Tensor:
    """(num_labels,): the inverse frequency of each label, with 0 for one that never occurs."""
    mass = targets.sum(dim=0)
    present = mass > 0
    average = mass.clamp(min=1e-9) * present.sum()
    return torch.where(present, mass.sum() / average, 0.0)


def _make_optimizer(head: Head | HeadAverage, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW that decays matrices only: neither biases nor layer scores."""
    matrices = [weights for weights in head.parameters() if weights.dim() > 1]
    vectors = [weights for weights in head.parameters() if weights.dim() <= 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.fit.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=config.fit.learning_rate,
    )


def _rank(row: Epoch) -> tuple[float, float]:
    """Highest validation UAR, then lowest validation loss; without validation, the last epoch."""
    if row.validation_uar is None or row.validation_loss is None:
        return float(row.epoch), 0.0
    return row.validation_uar, -row.validation_loss


def _uar(logits: torch.Tensor, targets: torch.Tensor) -> float:
    gold = targets.argmax(dim=1).cpu().numpy()
    predicted = logits.argmax(dim=1).cpu().numpy()
    confusion = confusion_matrix(gold, predicted, num_labels=targets.shape[1])
    return float(average_recall(confusion))


@torch.inference_mode()
def predict(head: Head | HeadAverage, features: Features) -> Floats:
    """(num_clips, num_layers, dim) float32 -> (num_clips, num_labels) probabilities.

    One clip at a time, so that an answer does not depend, not even in its last bit, on the clips
    beside it.
    """
    head.eval()
    answers = np.zeros((len(features), head.members[0].out.out_features))
    for row, clip in zip(answers, features, strict=True):
        logits = head(torch.from_numpy(clip[None]))
        row[:] = logits.double().softmax(dim=1)[0].numpy()
    return answers
