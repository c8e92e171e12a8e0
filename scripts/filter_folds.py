"""The folds of the filter stage: each is trained once, journaled, and never trained again on a resume."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from scripts.hand_labels import PROPERTIES
from scripts.pipeline import Journal, Stage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import Tensor

    from cnn.ensemble import Ensemble
    from cnn.models import FilterCNNConfig
    from cnn.training import FoldResult, TrainingOptions

SUMMARY = "cnn/log/folds.csv"
COLUMNS = (
    *("fold", "property", "status", "attempts", "best_attempt", "best_epoch"),
    *("valid_loss", "valid_accuracy", "valid_auroc", "seconds"),
)
ABOVE_LIMIT = "above limit"
SEED_STEP = {"gender": 0, "quality": 100}


def model_path(name: str, fold: int) -> str:
    """Workspace-relative path of one network."""
    return f"cnn/models/{name}_model_{fold}.pt"


def train(
    stage: Stage, options: Any, labels: pd.DataFrame, pictures: np.ndarray
) -> tuple[dict[str, Ensemble], dict[str, str]]:
    """Train the folds of both properties that are not finished yet.

    Args:
        options: those of the filter stage.
        labels: columns `img_no`, `gender`, `quality`; one row per picture.
        pictures: uint8 [N, H, W, 3].

    Returns:
        The ensemble of each property, and figures to report: name -> text.
    """
    from cnn.dataset import to_tensor

    images = to_tensor(pictures).to(stage.device)
    judges, figures = {}, {}
    total = len(PROPERTIES) * options.fold_count
    with stage.journal(COLUMNS, key="fold") as journal, stage.progress(total, "folds") as progress:
        for name in PROPERTIES:
            trainer = _FoldTrainer(stage, options, name, labels, images, journal)
            for number in range(options.fold_count):
                trainer.train(number)
                progress.update()
            judges[name] = trainer.ensemble()
            figures[f"{name}, out of fold"] = trainer.save_out_of_fold()
        summary = journal.frame()
    stage.write_csv(SUMMARY, summary)
    failed = summary.loc[summary["status"] == ABOVE_LIMIT, "fold"].tolist()
    if failed:
        figures["folds above the loss limit"] = f"{', '.join(failed)} (kept; look at {SUMMARY})"
    return judges, figures


def network_config(name: str, image_size: int, options: Any) -> FilterCNNConfig:
    """Layer table of a property's network."""
    from cnn.models import gender_config, quality_config

    return (gender_config if name == "gender" else quality_config)(image_size, options.width)


def training_options(name: str, options: Any) -> TrainingOptions:
    """Recipe of a property."""
    from cnn.dataset import AugmentationOptions
    from cnn.training import TrainingOptions

    return TrainingOptions(
        loss_limit=options.gender_loss_limit if name == "gender" else options.quality_loss_limit,
        attempts=options.attempts,
        max_epochs=options.max_epochs,
        patience=options.patience,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        cosine_period=options.cosine_period,
        minority_share=options.quality_minority_share if name == "quality" else 0.0,
        augmentation=AugmentationOptions(
            flip=options.flip,
            shift=options.shift,
            brightness=options.brightness,
            contrast=options.contrast,
        ),
    )


class _FoldTrainer:
    """Trains the networks of one property."""

    def __init__(
        self, stage: Stage, options: Any, name: str, labels: pd.DataFrame, images: Tensor, journal: Journal
    ) -> None:
        from cnn.dataset import make_folds

        self.stage, self.name, self.images, self.journal = stage, name, images, journal
        self.img_no = labels["img_no"]
        self.targets = labels[name].to_numpy()
        self.seed = options.seed + SEED_STEP[name]
        self.config = network_config(name, images.shape[-1], options)
        self.recipe = training_options(name, options)
        with stage.foreseen(ValueError, mend="Label more pictures, or use fewer folds (--fold-count)."):
            self.folds = make_folds(
                self.targets, options.fold_count, stratified=name == "quality", seed=self.seed
            )

    def train(self, number: int) -> None:
        """Train a fold unless an earlier run finished it; the journal's row comes after its files."""
        key = f"{self.name}_{number}"
        if key in self.journal and (self.stage.workspace / model_path(self.name, number)).exists():
            return
        from cnn.training import train_fold

        started_at = time.monotonic()
        with self.stage.foreseen(ValueError):
            result = train_fold(
                *(self.config, self.images, self.targets, self.folds[number], self.recipe),
                seed=self.seed + number,
                on_epoch=lambda _: self.stage.check_stop(),
            )
        self._save(number, result)
        row = self._row(key, result, time.monotonic() - started_at)
        self.stage.log(
            f"{key}: BCE {result.best.valid_loss:.3f}, AUROC {result.best.valid_auroc:.3f}, "
            f"{row['attempts']} attempt(s), {row['status']}, {row['seconds']} s"
        )
        if key not in self.journal:
            self.journal.append(row)

    def ensemble(self) -> Ensemble:
        """The networks of all folds, read back from their files."""
        from cnn.ensemble import Ensemble
        from cnn.models import load_filter_cnn

        mend = f"Start over:\n    {self.stage.command(self.stage.name, '--force')}"
        with self.stage.foreseen(ValueError, mend=mend):
            paths = [
                self.stage.workspace / model_path(self.name, number) for number in range(len(self.folds))
            ]
            return Ensemble([load_filter_cnn(path, self.stage.device)[0] for path in paths])

    def save_out_of_fold(self) -> str:
        """Write each labelled picture's probability by the network that did not see it; returns a summary."""
        import pandas as pd

        from cnn.ensemble import out_of_fold
        from cnn.training import scores

        probability = out_of_fold(list(self.ensemble().models), self.folds, self.images)
        table = pd.DataFrame({"img_no": self.img_no, "label": self.targets, "probability": probability})
        self.stage.write_csv(f"cnn/log/{self.name}_out_of_fold.csv", table)
        loss, accuracy, auroc = scores(probability, self.targets)
        return f"AUROC {auroc:.3f}, accuracy {accuracy:.3f}, BCE {loss:.3f} on {len(table)} labels"

    def _save(self, number: int, result: FoldResult) -> None:
        import dataclasses

        import pandas as pd

        from cnn.models import save_filter_cnn

        train_rows = self.folds[number][0]
        dropped = len(train_rows) % self.recipe.batch_size
        if dropped:
            text = f"the incomplete last batch of {dropped} pictures is left out of each epoch"
            self.stage.log(f"{self.name}_{number}: {text}")
        history = pd.DataFrame([dataclasses.asdict(epoch) for epoch in result.history])
        self.stage.write_csv(f"cnn/log/{self.name}_train_log_{number}.csv", history)
        extra = {
            "property": self.name,
            "fold": number,
            "seed": self.seed + number,
            **dataclasses.asdict(result.best),
        }
        with self.stage.atomic(model_path(self.name, number)) as temporary:
            save_filter_cnn(temporary, result.model, extra)

    def _row(self, key: str, result: FoldResult, seconds: float) -> dict[str, Any]:
        best = result.best
        return {
            "fold": key,
            "property": self.name,
            "status": ABOVE_LIMIT if result.failed else "ok",
            "attempts": result.history[-1].attempt + 1,
            "best_attempt": best.attempt,
            "best_epoch": best.epoch,
            "valid_loss": best.valid_loss,
            "valid_accuracy": best.valid_accuracy,
            "valid_auroc": best.valid_auroc,
            "seconds": round(seconds, 1),
        }
