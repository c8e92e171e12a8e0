"""Training of one fold: gender, quality, or any labelled number."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from cnn.dataset import AugmentationOptions, augment, epoch_batches, oversampling_logit, take
from cnn.models import FilterCNN, FilterCNNConfig
from cnn.tasks import CLASSIFICATION, Task
from stylegan.rows import Rows
from stylegan.seeds import Purpose, derived_seed

ABOVE_LIMIT = "above limit"


@dataclass(frozen=True)
class TrainingOptions:
    """Recipe of one property; the defaults are the document's.

    Attributes:
        loss_limit: a fold whose best validation loss stays above it counts as failed.
        attempts: how often a failed fold is trained, each time with a new seed, before it is accepted.
        patience: epochs without a better validation loss after which training stops.
        cosine_period: epochs from the highest to the lowest learning rate (T_max).
        minority_share: share of the rarer class in an epoch; 0 takes the labels as they are.
    """

    loss_limit: float
    attempts: int = 3
    max_epochs: int = 200
    patience: int = 20
    batch_size: int = 16
    learning_rate: float = 5e-5
    cosine_period: int = 10
    minority_share: float = 0.0
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    task: Task = CLASSIFICATION


@dataclass(frozen=True)
class EpochLog:
    """One epoch: mean training loss, and the task's measures on the validation part in eval mode."""

    attempt: int
    epoch: int
    learning_rate: float
    train_loss: float
    valid: Mapping[str, float]

    @property
    def valid_loss(self) -> float:
        """The measure that decides which epoch is kept."""
        return self.valid["loss"]

    def row(self) -> dict[str, float]:
        """All numbers by name, the measures as `valid_<name>`."""
        numbers = {name: getattr(self, name) for name in ("attempt", "epoch", "learning_rate", "train_loss")}
        return numbers | {f"valid_{name}": value for name, value in self.valid.items()}


@dataclass(frozen=True)
class FoldResult:
    """The kept epoch of a fold; `failed` marks a best loss above the limit after the last attempt."""

    model: FilterCNN
    best: EpochLog
    history: tuple[EpochLog, ...]
    failed: bool

    @property
    def attempts(self) -> int:
        """How often the fold was trained."""
        return self.history[-1].attempt + 1

    def row(self) -> dict[str, float | int | str]:
        """A row of a table with one row per fold; the status says whether the loss stayed above the limit."""
        return {
            "status": ABOVE_LIMIT if self.failed else "ok",
            "attempts": self.attempts,
            "epochs": len(self.history),
            "best_attempt": self.best.attempt,
            "best_epoch": self.best.epoch,
            **{f"valid_{name}": value for name, value in self.best.valid.items()},
        }


def train_fold(
    config: FilterCNNConfig,
    images: Rows,
    labels: np.ndarray,
    fold: tuple[np.ndarray, np.ndarray],
    options: TrainingOptions,
    seed: int,
    on_epoch: Callable[[EpochLog], None] = lambda log: None,
) -> FoldResult:
    """Train until the validation loss no longer falls; retry with a new seed while the fold fails.

    Args:
        images: uint8 [N, 3, H, W] of all labelled pictures; their rows arrive on the device to train on.
        labels: [N]; 0 or 1 for a classification.
        fold: row numbers (training, validation).
        seed: decides weights, order, dropout and augmentation, of each attempt its own.
        on_epoch: called after every epoch; what it raises stops the training.

    Returns:
        The best epoch of the best attempt.

    Raises:
        ValueError: fewer training pictures than one batch, or the loss is no longer finite.
    """
    check_fold(fold, options)
    results: list[FoldResult] = []
    for attempt in range(options.attempts):
        result = _train_once(config, images, labels, fold, options, seed, attempt, on_epoch)
        results.append(result)
        if not result.failed:
            break
    best = min(results, key=lambda result: result.best.valid_loss)
    history = tuple(epoch for result in results for epoch in result.history)
    return FoldResult(best.model, best.best, history, best.failed)


def check_fold(fold: tuple[np.ndarray, np.ndarray], options: TrainingOptions) -> None:
    """Raise `ValueError` if a fold (training, validation) has fewer training pictures than one batch."""
    if len(fold[0]) < options.batch_size:
        raise ValueError(
            f"a fold has {len(fold[0])} pictures to train on, fewer than one batch of {options.batch_size}"
        )


def _train_once(
    config: FilterCNNConfig,
    images: Rows,
    labels: np.ndarray,
    fold: tuple[np.ndarray, np.ndarray],
    options: TrainingOptions,
    seed: int,
    attempt: int,
    on_epoch: Callable[[EpochLog], None],
) -> FoldResult:
    train_rows, valid_rows = fold
    weights_seed, order_seed, augmentation_seed = (
        derived_seed(purpose, seed, number=attempt)
        for purpose in (Purpose.FOLD_WEIGHTS, Purpose.FOLD_ORDER, Purpose.FOLD_AUGMENTATION)
    )
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(weights_seed)  # dropout goes on with it
        model = FilterCNN(config).to(images.device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.cosine_period)
        rng = np.random.default_rng(order_seed)
        generator = torch.Generator().manual_seed(augmentation_seed)
        history: list[EpochLog] = []
        best_weights: dict[str, Tensor] = {}
        for epoch in range(options.max_epochs):
            learning_rate = float(schedule.get_last_lr()[0])
            train_loss = train_epoch(model, optimizer, images, labels, train_rows, options, rng, generator)
            schedule.step()
            predicted = predict(model, images, valid_rows, options.task)
            measures = options.task.measure(predicted, labels[valid_rows])
            log = EpochLog(attempt, epoch, learning_rate, train_loss, measures)
            history.append(log)
            best = min(history, key=lambda epoch: epoch.valid_loss)
            if best is log:
                best_weights = copy.deepcopy(model.state_dict())
            on_epoch(log)
            if epoch - best.epoch >= options.patience:
                break
    model.load_state_dict(best_weights)
    return FoldResult(model.eval(), best, tuple(history), failed=best.valid_loss > options.loss_limit)


def train_epoch(
    model: FilterCNN,
    optimizer: torch.optim.Optimizer,
    images: Rows,
    labels: np.ndarray,
    rows: np.ndarray,
    options: TrainingOptions,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> float:
    """One pass over the training pictures; returns the mean loss.

    Args:
        images, labels: those of all labelled pictures, as for `train_fold`.
        rows: row numbers to learn from.
        rng: decides the order.
        generator: on the CPU; decides the augmentation.

    Raises:
        ValueError: the loss is no longer finite.
    """
    model.train()
    added_logit = oversampling_logit(labels[rows], options.minority_share)
    losses = []
    for batch in epoch_batches(labels[rows], options.batch_size, options.minority_share, rng):
        batch = rows[batch]
        pictures = augment(take(images, batch), options.augmentation, generator)
        target = torch.as_tensor(labels[batch], dtype=torch.float32, device=images.device)
        loss = options.task.loss(model(pictures) + added_logit, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    mean = float(torch.stack(losses).mean())
    if not np.isfinite(mean):
        raise ValueError("the training loss is no longer finite; use a smaller learning rate")
    return mean


@torch.inference_mode()
def predict(
    model: nn.Module,
    images: Rows,
    rows: np.ndarray | None = None,
    task: Task = CLASSIFICATION,
    batch_size: int = 64,
) -> np.ndarray:
    """Predictions [N] float64 (probabilities for a classification) of rows of uint8 pictures, in eval mode.

    Args:
        images: uint8 [M, 3, H, W].
        rows: N row numbers; None takes all.
    """
    model.eval()
    rows = np.arange(len(images)) if rows is None else rows
    parts = [
        task.activation(model(take(images, rows[start : start + batch_size])).double()).cpu()
        for start in range(0, len(rows), batch_size)
    ]
    return torch.cat(parts).numpy() if parts else np.zeros(0)
