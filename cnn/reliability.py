"""How far probabilities can be trusted: reliability, calibration error, ROC, confusion at a threshold."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from sklearn.metrics import confusion_matrix, log_loss, roc_auc_score, roc_curve

BIN_COUNT = 10
SMALLEST = 1e-9  # probability whose logit is taken


@dataclass(frozen=True, eq=False)
class Reliability:
    """Probabilities in bins of equal width, empty bins left out.

    Attributes:
        predicted: mean probability of each bin, float64 [B].
        observed: share of class 1 among its members, float64 [B].
        counts: members, int64 [B].
    """

    predicted: np.ndarray
    observed: np.ndarray
    counts: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of observed from predicted, weighted by members (Guo et al. 2017, eq. 3)."""
        return float(np.average(np.abs(self.observed - self.predicted), weights=self.counts))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Probabilities of class 1 held against labels.

    Attributes:
        reliability: binned probabilities.
        auroc: area under the ROC curve.
        accuracy: share of right answers at 0.5.
        threshold: least probability that counts as class 1 in `confusion`.
        confusion: int64 [2, 2], rows are labels, columns answers at `threshold`.
        roc: float64 [2, K], false and true positive rate for falling thresholds.
    """

    reliability: Reliability
    auroc: float
    accuracy: float
    threshold: float
    confusion: np.ndarray
    roc: np.ndarray

    @property
    def count(self) -> int:
        """Number of labels."""
        return int(self.confusion.sum())

    @property
    def found_zeros(self) -> float:
        """Share of class 0 below the threshold: of the bad pictures, those that are removed."""
        return float(self.confusion[0, 0] / self.confusion[0].sum())

    @property
    def lost_ones(self) -> float:
        """Share of class 1 below the threshold: of the good pictures, those that are lost."""
        return float(self.confusion[1, 0] / self.confusion[1].sum())

    def to_dict(self) -> dict[str, object]:
        """The figures as plain numbers."""
        bins = self.reliability
        return {
            "count": self.count,
            "auroc": self.auroc,
            "accuracy": self.accuracy,
            "expected_calibration_error": bins.expected_calibration_error,
            "threshold": self.threshold,
            "confusion": self.confusion.tolist(),
            "found_zeros": self.found_zeros,
            "lost_ones": self.lost_ones,
            "bins": {
                "predicted": bins.predicted.tolist(),
                "observed": bins.observed.tolist(),
                "counts": bins.counts.tolist(),
            },
        }


def reliability(probability: np.ndarray, labels: np.ndarray) -> Reliability:
    """Put probabilities [N] in [0, 1] with their labels, 0 or 1 [N], into bins of equal width.

    Raises:
        ValueError: there are none, or one is outside [0, 1].
    """
    probability, labels = np.asarray(probability, np.float64), np.asarray(labels)
    if not len(probability) or probability.min() < 0 or probability.max() > 1:
        raise ValueError("reliability needs probabilities between 0 and 1")
    bins = np.minimum((probability * BIN_COUNT).astype(np.int64), BIN_COUNT - 1)
    counts = np.bincount(bins, minlength=BIN_COUNT)
    filled = counts > 0
    predicted = np.bincount(bins, probability, BIN_COUNT)[filled] / counts[filled]
    observed = np.bincount(bins, labels, BIN_COUNT)[filled] / counts[filled]
    return Reliability(predicted, observed, counts[filled])


def evaluate(probability: np.ndarray, labels: np.ndarray, threshold: float) -> Evaluation:
    """Hold probabilities of class 1, float [N], against labels 0 or 1 [N].

    Raises:
        ValueError: labels of one class only, or probabilities outside [0, 1].
    """
    if len(np.unique(labels)) < 2:
        raise ValueError(
            "only one class is among the labels, so nothing tells how well the two are separated"
        )
    false_positive, true_positive, _ = roc_curve(labels, probability)
    return Evaluation(
        reliability=reliability(probability, labels),
        auroc=float(roc_auc_score(labels, probability)),
        accuracy=float(np.mean((probability >= 0.5) == (labels == 1))),
        threshold=threshold,
        confusion=confusion_matrix(labels, probability >= threshold, labels=[0, 1]),
        roc=np.stack([false_positive, true_positive]),
    )


def sharpened(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [N] with their logits divided by a temperature."""
    clipped = np.clip(np.asarray(probability, np.float64), SMALLEST, 1 - SMALLEST)
    found: np.ndarray = expit(logit(clipped) / temperature)
    return found


def fit_temperature(probability: np.ndarray, labels: np.ndarray) -> float:
    """The temperature whose probabilities [N] have the least cross-entropy with labels 0 or 1 [N] that the
    network did not learn from (Guo et al., "On calibration of modern neural networks", 2017, section 4.2).
    """

    def cross_entropy(temperature: float) -> float:
        return float(log_loss(labels, sharpened(probability, temperature), labels=[0, 1]))

    return float(min(np.geomspace(0.2, 5, 161), key=cross_entropy))
