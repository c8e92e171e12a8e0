"""What a network learns: a yes or no, or a number. Each task knows its loss, its output and its measures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

SMALLEST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Task:
    """A way to learn labels [N] from pictures.

    Attributes:
        loss: raw outputs [N] and labels [N] to the mean loss.
        activation: raw outputs to predictions on the labels' scale.
        measure: predictions and labels, float64 [N], to named measures; `loss` is among them, and the epoch
            with the lowest one is kept.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]
    measure: Callable[[np.ndarray, np.ndarray], dict[str, float]]


def classification_measures(probability: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`loss` (BCE), `accuracy` at 0.5 and `auroc` of probabilities [N] of class 1 against labels 0 or 1."""
    clipped = np.clip(probability, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    bce = -np.mean(np.where(labels == 1, np.log(clipped), np.log1p(-clipped)))
    accuracy = np.mean((probability >= 0.5) == (labels == 1))
    auroc = roc_auc_score(labels, probability)
    return {"loss": float(bce), "accuracy": float(accuracy), "auroc": float(auroc)}


def regression_measures(predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`loss` (mean squared error), `r` (Pearson; 0 where either side is constant) and `mae`."""
    error = predicted - labels
    spread = predicted.std() * labels.std()
    covariance = np.mean((predicted - predicted.mean()) * (labels - labels.mean()))
    r = float(covariance / spread) if spread > 0 else 0.0
    return {"loss": float(np.mean(error**2)), "r": r, "mae": float(np.mean(np.abs(error)))}


def _unchanged(outputs: Tensor) -> Tensor:
    return outputs


CLASSIFICATION = Task(functional.binary_cross_entropy_with_logits, Tensor.sigmoid, classification_measures)
REGRESSION = Task(functional.mse_loss, _unchanged, regression_measures)
