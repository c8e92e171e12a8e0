"""Networks that learn a label of the VAE's pictures, one for each fold, and their files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cnn.dataset import AugmentationOptions
from cnn.models import FilterCNN, gender_config, load_filter_cnn, save_filter_cnn
from cnn.tasks import CLASSIFICATION, Task
from cnn.training import TrainingOptions, train_fold
from scripts.pipeline import Stage, Tool, UserError
from scripts.stages import workspace as at
from scripts.stages.stored_rows import StoredRows
from stylegan.seeds import Purpose, derived_seed

SIZE_PX = 64  # the smallest that the networks of `cnn` have room for


def train_folds(
    stage: Stage,
    options: Any,
    images: StoredRows,
    labels: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    augmentation: AugmentationOptions,
    task: Task = CLASSIFICATION,
    *of: int,
) -> Iterator[FilterCNN]:
    """Each fold's network, at its best epoch.

    Args:
        options: those of 21 or 22.
        images: uint8 [N, 3, SIZE_PX, SIZE_PX].
        labels: [N].
        folds: row numbers (training, validation).
        of: what the seeds belong to, besides that of the run.

    Raises:
        ValueError: a fold has fewer pictures than one batch.
    """
    recipe = TrainingOptions(
        loss_limit=math.inf,
        attempts=1,
        max_epochs=options.max_epochs,
        patience=options.max_epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        cosine_period=options.max_epochs,
        augmentation=augmentation,
        task=task,
    )
    config = gender_config(SIZE_PX, options.width)
    for number, fold in enumerate(folds):
        stage.check_stop()
        seed = derived_seed(Purpose.VAE_FOLDS, options.seed, *of, number=1 + number)
        yield train_fold(config, images, labels, fold, recipe, seed=seed).model


def save_folds(stage: Stage, pattern: str, networks: Sequence[FilterCNN], name: str) -> None:
    """Write networks that know a property to ``pattern.format(fold)``."""
    for number, network in enumerate(networks):
        with stage.atomic(pattern.format(number)) as temporary:
            save_filter_cnn(temporary, network, {"property": name, "fold": number})


class MissingReaderError(UserError):
    """There is no network that reads conditions."""


def load_folds(tool: Tool, condition: str) -> list[FilterCNN]:
    """The networks of 22 that know a condition.

    Raises:
        MissingReaderError: there are none; `UserError` if one is damaged.
    """
    pattern = at.INPUT_NETWORK.format(condition, "*")
    paths = sorted(tool.workspace.glob(pattern))
    again = tool.command("22_decide_inputs", "--source", "labels", "--force")
    if not paths:
        raise MissingReaderError(
            f"there is no {pattern}, so nothing reads {condition} from generated pictures. Give "
            f"--conditions-weight 0, or make them:\n    {again}"
        )
    with tool.foreseen(ValueError, mend=again):
        return [load_filter_cnn(path)[0] for path in paths]
