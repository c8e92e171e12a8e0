"""The five networks of a property as one judge."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cnn.models import FilterCNN
from cnn.training import predict


class Ensemble(nn.Module):
    """Mean probability of the networks of all folds, always in eval mode."""

    def __init__(self, models: Sequence[FilterCNN]) -> None:
        super().__init__()
        if not models:
            raise ValueError("an ensemble needs at least one network")
        self.models = nn.ModuleList(models)
        self.eval()

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Probabilities [N] of pictures [N, 3, H, W], RGB in [-1, 1]."""
        return torch.stack([torch.sigmoid(model.eval()(images)) for model in self.models]).mean(dim=0)


def out_of_fold(
    models: Sequence[FilterCNN], folds: Sequence[tuple[np.ndarray, np.ndarray]], images: Tensor
) -> np.ndarray:
    """Probability of every labelled picture by the one network that did not train on it.

    Args:
        models: one network per fold.
        folds: row numbers (training, validation); the validation parts cover all rows once.
        images: uint8 [N, 3, H, W].

    Returns:
        float64 [N].
    """
    probability = np.full(len(images), np.nan)
    for model, (_, valid_rows) in zip(models, folds, strict=True):
        probability[valid_rows] = predict(model, images, valid_rows)
    return probability
