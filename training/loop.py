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
from training.features import Features
from training.metrics import Floats, average_recall, confusion_matrix
from training.model import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One row of the learning curves. The validation figures are None when there is no validation."""

    epoch: int
    train_loss: float
    validation_loss: float | None
    validation_uar: float | None
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A trained head.

    Attributes:
        head: With the weights of `best_epoch`.
        curves: One row an epoch.
        best_epoch: 1-based.
        note: What the reader must know, such as that no validation was possible; "" else.
    """

    head: Head
    curves: tuple[Epoch, ...]
    best_epoch: int
    note: str


def fit_head(
    features: Features,
    targets: Floats,
    *,
    validation_features: Features,
    validation_targets: Floats,
    config: TrainingConfig,
    progress: Callable[[Epoch], None] | None = None,
) -> Fit:
    """Train a head; the same inputs and seed give the same weights.

    Args:
        features: (num_clips, num_layers, dim) float32.
        targets: (num_clips, num_labels); rows add up to 1.
        validation_features: As `features`, of other voices; may be empty.
        validation_targets: As `targets`.
    """
    gold = validation_targets.argmax(axis=1)
    validated = len(set(gold.tolist())) >= 2
    num_epochs = config.max_epochs if validated else config.fixed_epochs
    what = "empty" if len(gold) == 0 else "of one label only"
    note = (
        ""
        if validated
        else f"the validation split is {what}: no early stopping, {num_epochs} epochs as configured"
    )
    x, y = torch.from_numpy(features), torch.from_numpy(targets.astype(np.float32))
    vx, vy = (
        torch.from_numpy(validation_features),
        torch.from_numpy(validation_targets.astype(np.float32)),
    )
    mass = y.sum(dim=0)
    weights = (
        torch.where(mass > 0, mass.sum() / (mass.clamp(min=1e-9) * (mass > 0).sum()), 0.0)
        if config.class_weights
        else None
    )
    steps = math.ceil(len(x) / config.batch_size) * num_epochs
    curves: list[Epoch] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        head = Head(num_layers=x.shape[1], dim=x.shape[2], num_labels=y.shape[1], config=config)
        head.fit_standardiser(x)
        optimizer = torch.optim.AdamW(
            [
                {
                    "params": [p for p in head.parameters() if p.dim() > 1],
                    "weight_decay": config.weight_decay,
                },
                {"params": [p for p in head.parameters() if p.dim() <= 1], "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, steps, config.warmup_share)
        )
        best, best_epoch, best_rank = copy.deepcopy(head.state_dict()), 0, (-1.0, -math.inf)
        for epoch in range(1, num_epochs + 1):
            head.train()
            order, total = torch.randperm(len(x)), 0.0
            for rows in torch.split(order, config.batch_size):
                optimizer.zero_grad()
                loss = functional.cross_entropy(head(x[rows]), y[rows], weight=weights)
                torch.autograd.backward(loss)
                torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                total += float(loss.detach()) * len(rows)
            validation_loss = validation_uar = None
            if validated:
                validation_loss, validation_uar = _validate(head, vx, vy, weights)
            rank = (
                (validation_uar, -validation_loss)
                if validation_uar is not None and validation_loss is not None
                else (float(epoch), 0.0)
            )
            if rank > best_rank:
                best, best_epoch, best_rank = copy.deepcopy(head.state_dict()), epoch, rank
            curves.append(
                Epoch(
                    epoch=epoch,
                    train_loss=total / len(x),
                    validation_loss=validation_loss,
                    validation_uar=validation_uar,
                    learning_rate=float(schedule.get_last_lr()[0]),
                )
            )
            if progress:
                progress(curves[-1])
            if epoch - best_epoch >= config.patience:
                break
    head.load_state_dict(best)
    return Fit(head=head.eval(), curves=tuple(curves), best_epoch=best_epoch, note=note)


def learning_rate_factor(step: int, steps: int, warmup_share: float) -> float:
    """Linear warm-up to 1, then a cosine down to 0."""
    warmup = int(steps * warmup_share)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


@torch.no_grad()
def _validate(
    head: Head, x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor | None
) -> tuple[float, float]:
    logits = head.eval()(x)
    confusion = confusion_matrix(
        y.argmax(dim=1).numpy(), logits.argmax(dim=1).numpy(), num_labels=y.shape[1]
    )
    return float(functional.cross_entropy(logits, y, weight=weights)), float(
        average_recall(confusion)
    )


@torch.inference_mode()
def predict(head: Head, features: Features) -> Floats:
    """(num_clips, num_layers, dim) float32 -> (num_clips, num_labels) probabilities.

    One clip at a time, so that an answer does not depend, not even in its last bit, on the clips beside it.
    """
    head.eval()
    rows = [
        head(torch.from_numpy(row[None])).double().softmax(dim=1)[0].numpy() for row in features
    ]
    return np.stack(rows) if rows else np.zeros((0, head.out.out_features))
