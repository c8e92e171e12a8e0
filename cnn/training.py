"""Training of one fold of the gender or the quality network."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional

from cnn.dataset import AugmentationOptions, augment, epoch_batches, oversampling_logit, take
from cnn.models import FilterCNN, FilterCNNConfig

ATTEMPT_SEED_STEP = 1000


@dataclass(frozen=True)
class TrainingOptions:
    """Recipe of one property; the defaults are the document's.

    Attributes:
        loss_limit: a fold whose best validation loss (BCE) stays above it counts as failed.
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


@dataclass(frozen=True)
class EpochLog:
    """Losses of one epoch; the validation loss is BCE in eval mode."""

    attempt: int
    epoch: int
    train_loss: float
    valid_loss: float
    valid_accuracy: float
    valid_auroc: float
    learning_rate: float


@dataclass(frozen=True)
class FoldResult:
    """The kept epoch of a fold; `failed` marks a best loss above the limit after the last attempt."""

    model: FilterCNN
    best: EpochLog
    history: tuple[EpochLog, ...]
    failed: bool


def train_fold(
    config: FilterCNNConfig,
    images: Tensor,
    labels: np.ndarray,
    fold: tuple[np.ndarray, np.ndarray],
    options: TrainingOptions,
    seed: int,
    on_epoch: Callable[[EpochLog], None] = lambda log: None,
) -> FoldResult:
    """Train until the validation loss no longer falls; retry with a new seed while the fold fails.

    Args:
        images: uint8 [N, 3, H, W] of all labelled pictures, on the device to train on.
        labels: 0 or 1, [N].
        fold: row numbers (training, validation).
        seed: decides weights, order, dropout and augmentation; attempt a uses `seed + 1000 a`.
        on_epoch: called after every epoch; what it raises stops the training.

    Returns:
        The best epoch of the best attempt.

    Raises:
        ValueError: fewer training pictures than one batch, or the loss is no longer finite.
    """
    if len(fold[0]) < options.batch_size:
        raise ValueError(
            f"a fold has {len(fold[0])} pictures to train on, fewer than one batch of {options.batch_size}"
        )
    results: list[FoldResult] = []
    for attempt in range(options.attempts):
        result = _train_once(config, images, labels, fold, options, seed, attempt, on_epoch)
        results.append(result)
        if not result.failed:
            break
    best = min(results, key=lambda result: result.best.valid_loss)
    history = tuple(epoch for result in results for epoch in result.history)
    return FoldResult(best.model, best.best, history, best.failed)


def _train_once(
    config: FilterCNNConfig,
    images: Tensor,
    labels: np.ndarray,
    fold: tuple[np.ndarray, np.ndarray],
    options: TrainingOptions,
    seed: int,
    attempt: int,
    on_epoch: Callable[[EpochLog], None],
) -> FoldResult:
    train_rows, valid_rows = fold
    seed = seed + ATTEMPT_SEED_STEP * attempt
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        model = FilterCNN(config).to(images.device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=options.cosine_period)
        rng = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(seed)
        history: list[EpochLog] = []
        best: EpochLog | None = None
        best_weights: dict[str, Tensor] = {}
        for epoch in range(options.max_epochs):
            learning_rate = schedule.get_last_lr()[0]
            train_loss = _train_epoch(model, optimizer, images, labels, train_rows, options, rng, generator)
            schedule.step()
            probability = predict(model, images, valid_rows)
            log = EpochLog(
                attempt, epoch, train_loss, *scores(probability, labels[valid_rows]), learning_rate
            )
            history.append(log)
            if best is None or log.valid_loss < best.valid_loss:
                best, best_weights = log, copy.deepcopy(model.state_dict())
            on_epoch(log)
            if epoch - best.epoch >= options.patience:
                break
    model.load_state_dict(best_weights)
    return FoldResult(model.eval(), best, tuple(history), failed=best.valid_loss > options.loss_limit)


def _train_epoch(
    model: FilterCNN,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: np.ndarray,
    rows: np.ndarray,
    options: TrainingOptions,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> float:
    """One pass over the fold's training pictures; returns the mean loss."""
    model.train()
    added_logit = oversampling_logit(labels[rows], options.minority_share)
    losses = []
    for batch in epoch_batches(labels[rows], options.batch_size, options.minority_share, rng):
        batch = rows[batch]
        pictures = augment(take(images, batch), options.augmentation, generator)
        target = torch.as_tensor(labels[batch], dtype=torch.float32, device=images.device)
        loss = functional.binary_cross_entropy_with_logits(model(pictures) + added_logit, target)
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
    model: nn.Module, images: Tensor, rows: np.ndarray | None = None, batch_size: int = 64
) -> np.ndarray:
    """Probabilities [N] float64 of rows of uint8 pictures [N, 3, H, W], in eval mode."""
    model.eval()
    rows = np.arange(len(images)) if rows is None else rows
    parts = [
        torch.sigmoid(model(take(images, rows[start : start + batch_size])).double()).cpu()
        for start in range(0, len(rows), batch_size)
    ]
    return torch.cat(parts).numpy() if parts else np.zeros(0)


def scores(probability: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """BCE, accuracy at 0.5 and AUROC of probabilities [N] against labels [N]."""
    clipped = np.clip(probability, 1e-7, 1 - 1e-7)
    bce = -np.mean(np.where(labels == 1, np.log(clipped), np.log1p(-clipped)))
    accuracy = np.mean((probability >= 0.5) == (labels == 1))
    return float(bce), float(accuracy), float(roc_auc_score(labels, probability))
