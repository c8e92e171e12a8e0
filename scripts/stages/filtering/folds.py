"""The folds of the filter stage: each is trained once, journaled, and never trained again on a resume."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd

from cnn.dataset import AugmentationOptions, make_folds
from cnn.ensemble import Ensemble, out_of_fold
from cnn.models import (
    FilterCNNConfig,
    fitting_pools,
    gender_config,
    load_filter_cnn,
    quality_config,
    save_filter_cnn,
)
from cnn.reliability import evaluate
from cnn.tasks import classification_measures
from cnn.training import ABOVE_LIMIT, TrainingOptions, check_fold, train_fold
from scripts.pipeline import Journal, Stage
from scripts.stages import workspace as at
from scripts.stages.filtering import networks
from scripts.stages.filtering.figures import evaluation_figure
from scripts.stages.stored_rows import StoredRows
from scripts.stages.training_events import TrainingEvents, followed_epochs
from stylegan.seeds import Purpose, derived_seed

EVALUATION_NUMBERS = f"{at.FILTER_LOGS}/evaluation.json"
COLUMNS = (
    *("fold", "property", "status", "attempts", "epochs", "best_attempt", "best_epoch"),
    *("valid_loss", "valid_accuracy", "valid_auroc", "seconds"),
)
EPOCH_COLUMNS = (
    *("fold", "attempt", "epoch", "learning_rate", "train_loss"),
    *("valid_loss", "valid_accuracy", "valid_auroc"),
)
GIVEN = "given"  # status of a network that a person brought
SPLITS = {"gender": Purpose.GENDER_FOLDS, "quality": Purpose.QUALITY_FOLDS}
FOLDS = {"gender": Purpose.GENDER_FOLD, "quality": Purpose.QUALITY_FOLD}


def network_config(options: Any, name: str, image_size: int) -> FilterCNNConfig:
    """Layer table of a property's network."""
    return (gender_config if name == "gender" else quality_config)(image_size, options.width)


def training_options(
    options: Any, loss_limit: float, augmentation: AugmentationOptions, **more: Any
) -> TrainingOptions:
    """The recipe of a fold from the options of a script; `more` are further fields."""
    names = ("attempts", "max_epochs", "patience", "batch_size", "learning_rate", "cosine_period")
    same = {name: getattr(options, name) for name in names}
    return TrainingOptions(loss_limit, augmentation=augmentation, **same, **more)


def recipe_of(options: Any, name: str) -> TrainingOptions:
    """Recipe of a property's networks."""
    augmentation = AugmentationOptions(options.flip, options.shift, options.brightness, options.contrast)
    if name == "gender":
        return training_options(options, options.gender_loss_limit, augmentation)
    share = options.quality_minority_share
    return training_options(options, options.quality_loss_limit, augmentation, minority_share=share)


def split_folds(
    stage: Stage, options: Any, name: str, targets: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers (training, validation) of the folds of a property, from its labels [N]."""
    with stage.foreseen(ValueError, mend="Label more pictures, or use fewer folds (--fold-count)."):
        seed = derived_seed(SPLITS[name], options.seed)
        return make_folds(targets, options.fold_count, stratified=name == "quality", seed=seed)


def check(stage: Stage, options: Any, labels: pd.DataFrame, image_size: int) -> None:
    """Raise `UserError` if the networks cannot be trained on these labels, or not on pictures this small."""
    for name in at.FILTERS:
        with stage.foreseen(ValueError, mend="Use a larger --image-size."):
            fitting_pools(network_config(options, name, image_size))
        for fold in split_folds(stage, options, name, labels[name].to_numpy()):
            with stage.foreseen(ValueError, mend="Use a smaller --batch-size, or label more pictures."):
                check_fold(fold, recipe_of(options, name))


def train(
    stage: Stage, options: Any, labels: pd.DataFrame, images: StoredRows
) -> tuple[dict[str, Ensemble], dict[str, str]]:
    """Train the folds of both properties that are not finished yet.

    Args:
        options: those of the filter stage.
        labels: columns `img_no`, `gender`, `quality`; one row per picture.
        images: uint8 [N, 3, H, W].

    Returns:
        The ensemble of each property, and figures to report: name -> text.
    """
    judges, figures, numbers = {}, {}, {}
    total = len(at.FILTERS) * options.fold_count
    trained = 0
    with stage.journal(COLUMNS, key="fold") as journal, stage.progress(total, "folds") as progress:
        networks.begin(stage)
        for name in at.FILTERS:
            trainer = _Trainer(stage, options, name, labels, images, journal)
            for number in range(options.fold_count):
                trained += trainer.train(number)
                progress.update()
            judges[name], numbers[name], figures[f"{name}, out of fold"] = trainer.evaluate()
        summary = journal.frame()
    stage.count("folds", trained, total - trained)
    stage.write(EVALUATION_NUMBERS, numbers)
    for name in at.FILTERS:
        rows = summary[summary["property"] == name].drop(columns="property")
        rows["fold"] = rows["fold"].str.rsplit("_", n=1).str[-1].astype(int)
        whole = ["best_attempt", "best_epoch"]
        rows[whole] = rows[whole].astype("Int64")  # a given network has none
        stage.write(at.FOLD_LOG.format(name), rows.sort_values("fold"))
    return judges, figures | _trouble(summary)


def _trouble(summary: pd.DataFrame) -> dict[str, str]:
    """Folds that were given, trained more than once, or stayed above the limit all the same."""
    retried = summary[summary["attempts"] > 1]
    times = [f"{fold} ({n} times)" for fold, n in zip(retried["fold"], retried["attempts"], strict=True)]
    given, failed = (
        ", ".join(summary.loc[summary["status"] == status, "fold"]) for status in (GIVEN, ABOVE_LIMIT)
    )
    figures = {
        "networks not trained here": f"{given} (used as they are)" if given else "",
        "folds trained again": ", ".join(times),
        "folds above the loss limit": f"{failed} (kept; look at cnn/log)" if failed else "",
    }
    return {name: text for name, text in figures.items() if text}


class _Trainer:
    """Trains and judges the networks of one property."""

    def __init__(
        self,
        stage: Stage,
        options: Any,
        name: str,
        labels: pd.DataFrame,
        images: StoredRows,
        journal: Journal,
    ) -> None:
        self.stage, self.options, self.name = stage, options, name
        self.labels, self.images, self.journal = labels, images, journal
        self.targets = labels[name].to_numpy()
        self.folds = split_folds(stage, options, name, self.targets)

    def train(self, number: int) -> bool:
        """Train a fold unless an earlier run finished it or a person brought its network; whether it was.

        The row of the journal comes after the files.
        """
        key, relative = f"{self.name}_{number}", at.FILTER_NETWORK.format(self.name, number)
        if self._is_there(key, number, relative):
            return False
        row = dict.fromkeys(COLUMNS) | {"fold": key, "property": self.name}
        given = networks.is_given(self.stage, relative)
        if given:  # the document uses every network that is there
            advice = "move it away to have it trained"
            self.stage.log(f"{key}: {relative} was not trained here and is used as it is; {advice}")
            row |= {"status": GIVEN, "attempts": 0, "epochs": 0, "seconds": 0.0}
        else:
            row |= self._train(key, number, relative)
        if key not in self.journal:
            self.journal.append(row)
        return not given

    def _is_there(self, key: str, number: int, relative: str) -> bool:
        """Whether a fold has a row, its network and, if it was trained here, its epochs."""
        if key not in self.journal or not (self.stage.workspace / relative).exists():
            return False
        return self.journal.rows[key]["status"] == GIVEN or number in set(self._epochs()["fold"])

    def _epochs(self) -> pd.DataFrame:
        """The epochs of the folds that are finished."""
        path = at.FOLD_EPOCHS.format(self.name)
        if (self.stage.workspace / path).exists():
            return self.stage.read_csv(path, EPOCH_COLUMNS)
        return pd.DataFrame(columns=EPOCH_COLUMNS)

    def _train(self, key: str, number: int, relative: str) -> dict[str, Any]:
        """Train a fold, and write its epochs and its network; what the journal says of it."""
        started_at = time.monotonic()
        recipe, fold = recipe_of(self.options, self.name), self.folds[number]
        config = network_config(self.options, self.name, self.images.shape[-1])
        seed = derived_seed(FOLDS[self.name], self.options.seed, number=number)
        with self.stage.foreseen(ValueError), followed_epochs(self.stage, key) as on_epoch:
            result = train_fold(config, self.images, self.targets, fold, recipe, seed=seed, on_epoch=on_epoch)
        if dropped := len(fold[0]) % recipe.batch_size:
            self.stage.log(
                f"{key}: the incomplete last batch of {dropped} pictures is left out of each epoch"
            )
        epochs = pd.DataFrame([{"fold": number, **epoch.row()} for epoch in result.history])
        others = self._epochs()
        others = others[(others["fold"] != number) & (others["fold"] < self.options.fold_count)]
        epochs = pd.concat([others, epochs]) if len(others) else epochs
        self.stage.write(at.FOLD_EPOCHS.format(self.name), epochs.sort_values(["fold", "attempt", "epoch"]))
        extra = {"property": self.name, "fold": number, "seed": seed, **result.best.row()}
        with self.stage.atomic(relative) as temporary:
            save_filter_cnn(temporary, result.model, extra)
            networks.remember(self.stage, relative, temporary)
        row = result.row() | {"seconds": round(time.monotonic() - started_at, 1)}
        self.stage.log(
            f"{key}: BCE {result.best.valid_loss:.3f}, AUROC {result.best.valid['auroc']:.3f}, "
            f"{row['attempts']} attempt(s), {row['status']}, {row['seconds']} s"
        )
        return row

    def evaluate(self) -> tuple[Ensemble, dict[str, Any], str]:
        """The networks as one judge, and what each says of labelled pictures that it did not train on.

        The epoch that is kept was chosen on these same pictures, so the figures are a little too good. Which
        pictures a given network learned from is not known.

        Returns:
            the networks of all folds, read back from their files; numbers, and the same as a text.
        """
        mend = f"Start over:\n    {self.stage.command(self.stage.name, '--force')}"
        with self.stage.foreseen(ValueError, mend=mend):
            paths = [
                self.stage.workspace / at.FILTER_NETWORK.format(self.name, n) for n in range(len(self.folds))
            ]
            models = [load_filter_cnn(path, self.stage.device)[0] for path in paths]
        if not (self.stage.workspace / at.FOLD_EPOCHS.format(self.name)).exists():  # every network was given
            self.stage.write(at.FOLD_EPOCHS.format(self.name), self._epochs())
        probability = out_of_fold(models, self.folds, self.images)
        table = pd.DataFrame(
            {"img_no": self.labels["img_no"], "label": self.targets, "probability": probability}
        )
        self.stage.write(at.OUT_OF_FOLD.format(self.name), table)
        found = evaluate(probability, self.targets, self._threshold())
        given = any(self.journal.rows[f"{self.name}_{n}"]["status"] == GIVEN for n in range(len(self.folds)))
        unseen = "that given ones may have trained on" if given else "they did not train on"
        figure = evaluation_figure(found, self.name, f"networks on labelled pictures {unseen}")
        self.stage.write(at.FILTER_FIGURE.format(self.name), figure)
        with TrainingEvents.of(self.stage, f"{self.name}_evaluation") as events:
            events.begin(0)
            events.picture(0, "evaluation", self.stage.workspace / at.FILTER_FIGURE.format(self.name))
        loss = classification_measures(probability, self.targets)["loss"]
        text = (
            f"AUROC {found.auroc:.3f}, accuracy {found.accuracy:.3f}, BCE {loss:.3f}, calibration error "
            f"{found.reliability.expected_calibration_error:.3f} on {found.count} labels"
            + (", which given networks may have learned from" if given else "")
        )
        return Ensemble(models, precision=self.options.precision), found.to_dict() | {"bce": loss}, text

    def _threshold(self) -> float:
        """Least probability of class 1, woman or good, at which the filter changes its mind."""
        if self.name == "quality":
            return self.options.quality_threshold
        limit = self.options.gender_threshold
        return 1 - limit if self.options.keep == "men" else limit
