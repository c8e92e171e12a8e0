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
from cnn.training import ABOVE_LIMIT, FoldResult, TrainingOptions, check_fold, train_fold
from scripts.pipeline import Journal, Stage
from scripts.stages.filtering import networks
from scripts.stages.filtering.figures import evaluation_figure
from scripts.stages.stored_rows import StoredRows
from scripts.stages.training_events import TrainingEvents, followed_epochs
from scripts.stages.workspace import (
    FILTER_FIGURE,
    FILTER_LOGS,
    FILTER_NETWORK,
    FILTERS,
    FOLD_EPOCHS,
    FOLD_LOG,
    OUT_OF_FOLD,
)
from stylegan.seeds import Purpose, derived_seed

EVALUATION_NUMBERS = f"{FILTER_LOGS}/evaluation.json"
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
    total = len(FILTERS) * options.fold_count
    trained = 0
    with stage.journal(COLUMNS, key="fold") as journal, stage.progress(total, "folds") as progress:
        networks.begin(stage, (FILTER_NETWORK.format(*fold.rsplit("_", 1)) for fold in journal.rows))
        for name in FILTERS:
            trainer = _FoldTrainer(stage, options, name, labels, images, journal)
            for number in range(options.fold_count):
                trained += trainer.train(number)
                progress.update()
            if not (stage.workspace / FOLD_EPOCHS.format(name)).exists():  # every network was given
                stage.write_csv(FOLD_EPOCHS.format(name), pd.DataFrame(columns=EPOCH_COLUMNS))
            judges[name] = trainer.ensemble()
            numbers[name], figures[f"{name}, out of fold"] = trainer.evaluate()
        summary = journal.frame()
    stage.count("folds", trained, total - trained)
    stage.write_json(EVALUATION_NUMBERS, numbers)
    for name in FILTERS:
        rows = summary[summary["property"] == name].drop(columns="property")
        rows["fold"] = rows["fold"].str.rsplit("_", n=1).str[-1].astype(int)
        whole = ["best_attempt", "best_epoch"]
        rows[whole] = rows[whole].astype("Int64")  # a given network has none
        stage.write_csv(FOLD_LOG.format(name), rows.sort_values("fold"))
    return judges, figures | _trouble(summary)


def check(stage: Stage, options: Any, labels: pd.DataFrame, image_size: int) -> None:
    """Raise `UserError` if the networks cannot be trained on these labels, or not on pictures this small."""
    for name in FILTERS:
        with stage.foreseen(ValueError, mend="Use a larger --image-size."):
            fitting_pools(network_config(name, image_size, options))
        for fold in split_folds(stage, options, name, labels[name].to_numpy()):
            with stage.foreseen(ValueError, mend="Use a smaller --batch-size, or label more pictures."):
                check_fold(fold, training_options(name, options))


def split_folds(
    stage: Stage, options: Any, name: str, targets: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers (training, validation) of the folds of a property, from its labels [N]."""
    with stage.foreseen(ValueError, mend="Label more pictures, or use fewer folds (--fold-count)."):
        seed = derived_seed(SPLITS[name], options.seed)
        return make_folds(targets, options.fold_count, stratified=name == "quality", seed=seed)


def _trouble(summary: pd.DataFrame) -> dict[str, str]:
    """Folds that were trained more than once, and those that stayed above the limit all the same."""
    figures = {}
    given = summary.loc[summary["status"] == GIVEN, "fold"].tolist()
    if given:
        figures["networks not trained here"] = f"{', '.join(given)} (used as they are)"
    retried = summary[summary["attempts"] > 1]
    if len(retried):
        texts = [
            f"{fold} ({count} times)"
            for fold, count in zip(retried["fold"], retried["attempts"], strict=True)
        ]
        figures["folds trained again"] = ", ".join(texts)
    failed = summary.loc[summary["status"] == ABOVE_LIMIT, "fold"].tolist()
    if failed:
        figures["folds above the loss limit"] = f"{', '.join(failed)} (kept; look at cnn/log)"
    return figures


def network_config(name: str, image_size: int, options: Any) -> FilterCNNConfig:
    """Layer table of a property's network."""
    return (gender_config if name == "gender" else quality_config)(image_size, options.width)


def training_options(name: str, options: Any) -> TrainingOptions:
    """Recipe of a property."""
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


def _threshold(name: str, options: Any) -> float:
    """Least probability of class 1, woman or good, at which the filter changes its mind."""
    if name == "quality":
        return options.quality_threshold
    return 1 - options.gender_threshold if options.keep == "men" else options.gender_threshold


class _FoldTrainer:
    """Trains the networks of one property."""

    def __init__(
        self,
        stage: Stage,
        options: Any,
        name: str,
        labels: pd.DataFrame,
        images: StoredRows,
        journal: Journal,
    ) -> None:
        self.stage, self.name, self.images, self.journal = stage, name, images, journal
        self.img_no = labels["img_no"]
        self.targets = labels[name].to_numpy()
        self.config = network_config(name, images.shape[-1], options)
        self.recipe = training_options(name, options)
        self.precision, self.threshold = options.precision, _threshold(name, options)
        self.fold_count = options.fold_count
        self.seeds = [derived_seed(FOLDS[name], options.seed, number=n) for n in range(options.fold_count)]
        self.folds = split_folds(stage, options, name, self.targets)

    def train(self, number: int) -> bool:
        """Train a fold unless an earlier run finished it or a person brought its network, and say so; the row
        comes after its files.
        """
        key = f"{self.name}_{number}"
        if key in self.journal and self._is_there(number):
            return False
        if networks.is_given(self.stage, FILTER_NETWORK.format(self.name, number)):
            self._use_given(key, FILTER_NETWORK.format(self.name, number))
            return False

        started_at = time.monotonic()
        with self.stage.foreseen(ValueError), followed_epochs(self.stage, key) as on_epoch:
            result = train_fold(
                *(self.config, self.images, self.targets, self.folds[number], self.recipe),
                seed=self.seeds[number],
                on_epoch=on_epoch,
            )
        self._save(number, result)
        row = self._row(key, result, time.monotonic() - started_at)
        self.stage.log(
            f"{key}: BCE {result.best.valid_loss:.3f}, AUROC {result.best.valid['auroc']:.3f}, "
            f"{row['attempts']} attempt(s), {row['status']}, {row['seconds']} s"
        )
        if key not in self.journal:
            self.journal.append(row)
        return True

    def _use_given(self, key: str, relative: str) -> None:
        """Take a person's own network as it is, as the document does with every file that is there."""
        self.stage.log(
            f"{key}: {relative} was not trained here and is used as it is; move it away to have it trained"
        )
        if key not in self.journal:
            unknown = dict.fromkeys(COLUMNS)
            self.journal.append(
                unknown
                | {"fold": key, "property": self.name, "status": GIVEN}
                | {"attempts": 0, "epochs": 0, "seconds": 0.0}
            )

    def ensemble(self) -> Ensemble:
        """The networks of all folds, read back from their files."""
        mend = f"Start over:\n    {self.stage.command(self.stage.name, '--force')}"
        with self.stage.foreseen(ValueError, mend=mend):
            paths = [
                self.stage.workspace / FILTER_NETWORK.format(self.name, number)
                for number in range(len(self.folds))
            ]
            judges = [load_filter_cnn(path, self.stage.device)[0] for path in paths]
        return Ensemble(judges, precision=self.precision)

    def evaluate(self) -> tuple[dict[str, Any], str]:
        """Judge each labelled picture by the network that did not train on it: table, figure, numbers, text.

        The epoch that is kept was chosen on these same pictures, so the figures are a little too good. Which
        pictures a given network learned from is not known.
        """
        probability = out_of_fold(list(self.ensemble().models), self.folds, self.images)
        table = pd.DataFrame({"img_no": self.img_no, "label": self.targets, "probability": probability})
        self.stage.write_csv(OUT_OF_FOLD.format(self.name), table)
        found = evaluate(probability, self.targets, self.threshold)
        given = any(
            row["property"] == self.name and row["status"] == GIVEN for row in self.journal.rows.values()
        )
        unseen = "they did not train on" if not given else "that given ones may have trained on"
        figure = evaluation_figure(found, self.name, f"networks on labelled pictures {unseen}")
        self.stage.save_figure(FILTER_FIGURE.format(self.name), figure)
        with TrainingEvents.of(self.stage, f"{self.name}_evaluation") as events:
            events.begin(0)
            events.picture(0, "evaluation", self.stage.workspace / FILTER_FIGURE.format(self.name))
        loss = classification_measures(probability, self.targets)["loss"]
        numbers = found.to_dict() | {"bce": loss}
        text = (
            f"AUROC {found.auroc:.3f}, accuracy {found.accuracy:.3f}, BCE {loss:.3f}, calibration error "
            f"{found.reliability.expected_calibration_error:.3f} on {found.count} labels"
            + (", which given networks may have learned from" if given else "")
        )
        return numbers, text

    def _save(self, number: int, result: FoldResult) -> None:
        """Write the epochs, then the network."""
        train_rows = self.folds[number][0]
        dropped = len(train_rows) % self.recipe.batch_size
        if dropped:
            text = f"the incomplete last batch of {dropped} pictures is left out of each epoch"
            self.stage.log(f"{self.name}_{number}: {text}")
        self._save_epochs(number, result)
        extra = {"property": self.name, "fold": number, "seed": self.seeds[number], **result.best.row()}
        relative = FILTER_NETWORK.format(self.name, number)
        with self.stage.atomic(relative) as temporary:
            save_filter_cnn(temporary, result.model, extra)
            networks.remember(self.stage, relative, temporary)

    def _is_there(self, number: int) -> bool:
        """Whether a fold's network and, if it was trained here, its epochs are where its row says."""
        path = FOLD_EPOCHS.format(self.name)
        if self.journal.rows[f"{self.name}_{number}"]["status"] == GIVEN:
            return (self.stage.workspace / FILTER_NETWORK.format(self.name, number)).exists()
        if not all(
            (self.stage.workspace / each).exists()
            for each in (FILTER_NETWORK.format(self.name, number), path)
        ):
            return False
        return number in set(self.stage.read_csv(path, ("fold",))["fold"])

    def _save_epochs(self, number: int, result: FoldResult) -> None:
        """Put the epochs of a fold among those of the folds that are finished."""
        path = FOLD_EPOCHS.format(self.name)
        table = pd.DataFrame([{"fold": number, **epoch.row()} for epoch in result.history])
        if (self.stage.workspace / path).exists():
            earlier = self.stage.read_csv(path, table.columns)
            others = earlier[(earlier["fold"] != number) & (earlier["fold"] < self.fold_count)]
            table = pd.concat([others, table]) if len(others) else table
        self.stage.write_csv(path, table.sort_values(["fold", "attempt", "epoch"]))

    def _row(self, key: str, result: FoldResult, seconds: float) -> dict[str, Any]:
        return {"fold": key, "property": self.name, **result.row(), "seconds": round(seconds, 1)}
