"""The training loop, in the open: AdamW, warm-up and cosine, early stopping on held-out voices."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch.nn import functional

from training.config import TrainingConfig
from training.feature_store import Rows
from training.metrics import Floats, average_recall, confusion_matrix
from training.models.average import HeadAverage, make_head
from training.models.head import Head
from training.regularise import disturb
from training.result import Epoch
from training.state import State, StateKeeper
from voxdata.errors import TrainingError
from voxdata.identity import digest

MAX_GRADIENT_NORM = 1.0
BLOCK_CLIPS = 1024
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
        features: (num_clips, num_layers, dim) float32, read a batch at a time.
        targets: (num_clips, num_labels) float32 on the device; rows add up to 1.
    """

    features: Rows
    targets: torch.Tensor

    def read(self, indices: torch.Tensor) -> torch.Tensor:
        """(len(indices), num_layers, dim) float32 on the device."""
        rows = self.features[indices.numpy()]
        return torch.from_numpy(rows).to(self.targets.device)

    def blocks(self) -> Iterator[torch.Tensor]:
        """All features, in their order, some at a time."""
        everything = torch.arange(self.features.shape[0])
        for indices in torch.split(everything, BLOCK_CLIPS):
            yield self.read(indices)


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
    features: Rows,
    targets: Floats,
    *,
    validation_features: Rows,
    validation_targets: Floats,
    config: TrainingConfig,
    device: torch.device = CPU,
    keeper: StateKeeper | None = None,
    progress: Callable[[Epoch, int], None] | None = None,
) -> Fit:
    """Train a head; the same inputs, seed and device give the same weights.

    Args:
        features: (num_clips, num_layers, dim) float32, which need not be in memory.
        targets: (num_clips, num_labels); rows add up to 1.
        validation_features: As `features`, of other voices; may be empty.
        validation_targets: As `targets`.
        device: Where it learns; it comes back on the CPU.
        keeper: Keeps how far the fit has come; one that was killed goes on from there, and ends in
            the same weights, bit for bit.
        progress: Told of each epoch, and how many there are at most.
    """
    schedule = _plan_epochs(validation_targets, config)
    clips = _as_clips(features, targets, device)
    validation = None
    if schedule.validated:
        validation = _as_clips(validation_features, validation_targets, device)

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        trainer = _Trainer(
            clips,
            validation=validation,
            num_epochs=schedule.num_epochs,
            config=config,
            keeper=keeper,
        )
        trainer.resume()
        while not trainer.is_done:
            row = trainer.run_epoch()
            if progress:
                progress(row, schedule.num_epochs)
    return trainer.finish(note=schedule.note)


class _Trainer:
    """A head under training.

    What is random comes from torch's generator, in a fixed order; only the order of the clips comes
    from the seed and the epoch alone, so that a fit can begin in the middle of an epoch.
    """

    def __init__(
        self,
        clips: _Clips,
        *,
        validation: _Clips | None,
        num_epochs: int,
        config: TrainingConfig,
        keeper: StateKeeper | None,
    ) -> None:
        num_clips, num_layers, dim = clips.features.shape
        self._head = make_head(
            num_layers=num_layers,
            dim=dim,
            num_labels=clips.targets.shape[1],
            config=config,
        ).to(clips.targets.device)
        self._head.fit_standardiser(clips.blocks())
        self._clips = clips
        self._validation = validation
        self._config = config
        self._keeper = keeper
        self._num_epochs = num_epochs
        self._label_weights = _weigh_labels(clips.targets) if config.fit.class_weights else None
        self._optimizer = _make_optimizer(self._head, config)
        num_steps = math.ceil(num_clips / config.fit.batch_size) * num_epochs

        def factor(step: int) -> float:
            return learning_rate_factor(step, num_steps, config.fit.warmup_share)

        self._learning_rate = torch.optim.lr_scheduler.LambdaLR(self._optimizer, factor)
        self._curves: list[Epoch] = []
        self._best = self._snapshot(epoch=0, rank=(-1.0, -math.inf))
        self._num_batches = 0
        self._total_loss = 0.0

    @property
    def is_done(self) -> bool:
        """Whether all epochs have run, or nothing became better for as long as is waited."""
        num_run = len(self._curves)
        return (
            num_run >= self._num_epochs or num_run - self._best.epoch >= self._config.fit.patience
        )

    def resume(self) -> None:
        """Go on from where an earlier fit was killed, if one was."""
        state = None if self._keeper is None else self._keeper.read()
        if state is None:
            return
        self._head.load_state_dict(state["head"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._learning_rate.load_state_dict(state["learning_rate"])
        self._curves = [Epoch(**row) for row in state["curves"]]
        weights, epoch, rank = state["best"]
        self._best = _Best(weights=weights, epoch=epoch, rank=tuple(rank))
        self._num_batches = state["num_batches"]
        self._total_loss = state["total_loss"]
        torch.set_rng_state(state["generator"])
        if self._clips.targets.is_cuda:
            torch.cuda.set_rng_state(state["cuda_generator"], self._clips.targets.device)

    def run_epoch(self) -> Epoch:
        """See every clip once, or those that are left of the epoch, then validate."""
        epoch = len(self._curves) + 1
        self._head.train()
        batches = torch.split(self._order(epoch), self._config.fit.batch_size)
        for rows in batches[self._num_batches :]:
            self._total_loss += self._step(rows) * len(rows)
            self._num_batches += 1
            if self._keeper is not None:
                self._keeper.offer(self._state)
        row = self._measure(epoch)
        self._curves.append(row)
        self._num_batches = 0
        self._total_loss = 0.0
        rank = _rank(row)
        if rank > self._best.rank:
            self._best = self._snapshot(epoch=epoch, rank=rank)
        return row

    def finish(self, *, note: str) -> Fit:
        """The head with its best weights."""
        self._head.load_state_dict(self._best.weights)
        return Fit(
            head=self._head.eval().cpu(),
            curves=tuple(self._curves),
            best_epoch=self._best.epoch,
            note=note,
        )

    def _order(self, epoch: int) -> torch.Tensor:
        """The clips in the order of an epoch: the same for a seed, whatever was random before."""
        generator = torch.Generator()
        seed = digest("order", self._config.seed, epoch)
        generator.manual_seed(int(seed[:15], 16))
        return torch.randperm(len(self._clips.targets), generator=generator)

    def _state(self) -> State:
        """All that the rest of the fit depends on."""
        state = {
            "head": self._head.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "learning_rate": self._learning_rate.state_dict(),
            "curves": [asdict(row) for row in self._curves],
            "best": [self._best.weights, self._best.epoch, list(self._best.rank)],
            "num_batches": self._num_batches,
            "total_loss": self._total_loss,
            "generator": torch.get_rng_state(),
        }
        if self._clips.targets.is_cuda:
            state["cuda_generator"] = torch.cuda.get_rng_state(self._clips.targets.device)
        return state

    def _snapshot(self, *, epoch: int, rank: tuple[float, float]) -> _Best:
        """A copy of the weights as they are."""
        weights = copy.deepcopy(self._head.state_dict())
        return _Best(weights=weights, epoch=epoch, rank=rank)

    def _measure(self, epoch: int) -> Epoch:
        """An epoch's row of the curves."""
        validation_loss = validation_uar = None
        if self._validation is not None:
            logits = self._score(self._validation)
            validation_loss = float(self._loss(logits, self._validation.targets))
            validation_uar = _uar(logits, self._validation.targets)
        train_loss = self._total_loss / len(self._clips.targets)
        if not math.isfinite(train_loss):
            raise TrainingError(
                f"the loss of epoch {epoch} is {train_loss}: training has diverged; lower "
                "fit.learning_rate or fit.weight_decay"
            )
        return Epoch(
            epoch=epoch,
            train_loss=train_loss,
            validation_loss=validation_loss,
            validation_uar=validation_uar,
            learning_rate=float(self._learning_rate.get_last_lr()[0]),
        )

    def _step(self, rows: torch.Tensor) -> float:
        """One step of every seed on a batch; returns their mean loss."""
        self._optimizer.zero_grad()
        inputs = self._head.standardise(self._clips.read(rows))
        targets = self._clips.targets[rows]
        total_loss = 0.0
        for member in self._head.members:
            disturbed, softened = disturb(inputs, targets, self._config.fit)
            loss = self._loss(member.classify(disturbed), softened)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(member.parameters(), MAX_GRADIENT_NORM)
            total_loss += float(loss.detach())
        self._optimizer.step()
        self._learning_rate.step()
        return total_loss / len(self._head.members)

    def _loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, targets, weight=self._label_weights)

    @torch.no_grad()
    def _score(self, clips: _Clips) -> torch.Tensor:
        self._head.eval()
        return torch.cat([self._head(block) for block in clips.blocks()])


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


def _as_clips(features: Rows, targets: Floats, device: torch.device) -> _Clips:
    return _Clips(
        features=features,
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
def predict(head: Head | HeadAverage, features: Rows) -> Floats:
    """(num_clips, num_layers, dim) float32 -> (num_clips, num_labels) probabilities.

    One clip at a time, so that an answer does not depend, not even in its last bit, on the clips
    beside it.
    """
    head.eval()
    num_clips = features.shape[0]
    answers = np.zeros((num_clips, head.members[0].out.out_features))
    for number in range(num_clips):
        clip = features[np.array([number])]
        logits = head(torch.from_numpy(clip))
        answers[number] = logits.double().softmax(dim=1)[0].numpy()
    return answers
