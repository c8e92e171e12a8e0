"""The five networks of a property as one judge."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from cnn.models import FilterCNN
from cnn.tasks import CLASSIFICATION, Task
from cnn.training import predict
from stylegan.rows import Rows


class Ensemble(nn.Module):
    """Mean prediction of the networks of all folds, always in eval mode.

    Args:
        models: one network per fold, all with the same layer table.
        precision: numbers in which the convolutions compute; dense layers and the mean stay in float32.

    Raises:
        ValueError: there is no network.
    """

    def __init__(
        self,
        models: Sequence[FilterCNN],
        task: Task = CLASSIFICATION,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        super().__init__()
        if not models:
            raise ValueError("an ensemble needs at least one network")
        self.networks = tuple(models)
        self.models = nn.ModuleList(models)  # moves and saves them with this module
        self.task, self.precision = task, precision
        self.eval()

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Predictions [N] (probabilities for a classification) of pictures [N, 3, H, W], RGB in [-1, 1]."""
        window = self.networks[0].crop(images)  # the same for all networks
        outputs = [self.task.activation(self._output(model.eval(), window)) for model in self.networks]
        return torch.stack(outputs).mean(dim=0)

    def _output(self, model: FilterCNN, window: Tensor) -> Tensor:
        with torch.autocast(window.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            features = model.features(window)
        return model.classifier(features.float()).squeeze(1)


def out_of_fold(
    models: Sequence[FilterCNN],
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    images: Rows,
    task: Task = CLASSIFICATION,
) -> np.ndarray:
    """Prediction for every labelled picture by the one network that did not train on it.

    Args:
        models: one network per fold.
        folds: row numbers (training, validation); the validation parts cover all rows once.
        images: uint8 [N, 3, H, W].

    Returns:
        float64 [N].
    """
    predicted = np.full(len(images), np.nan)
    for model, (_, valid_rows) in zip(models, folds, strict=True):
        predicted[valid_rows] = predict(model, images, valid_rows, task)
    return predicted
