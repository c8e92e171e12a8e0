"""One property learned from hand labels, and predicted for every picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from cnn.dataset import AugmentationOptions, normalize, regression_folds, to_tensor
from cnn.ensemble import Ensemble, out_of_fold
from cnn.models import FilterCNNConfig, gender_config, save_filter_cnn
from cnn.tasks import REGRESSION, regression_measures
from cnn.training import FoldResult, TrainingOptions, train_fold
from scripts.pipeline import MissingInputError, Tool, UserError, tables
from scripts.pipeline.files import sha256_file
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.filtering.images import CandidateImages
from scripts.stages.scoring import regression_report
from scripts.stages.scoring.labels import LabelledProperty, labelled_property, load_property_labels
from scripts.stages.training_events import followed_epochs
from scripts.stages.workspace import (
    CANDIDATES,
    FACES,
    FILTER_NETWORK,
    FOLD_EPOCHS,
    FOLD_LOG,
    KEPT_PICTURES,
    PREDICTED,
    PREDICTIONS,
    segmented_path,
)
from segmentation.normalization import fit
from stylegan.seeds import Purpose, derived_seed

PREDICTION_STATISTICS = f"{PREDICTIONS}/property_{{}}.json"
BRIGHTNESS_IS_MEANT = {"hair_color", "background_mean", "background_std"}
SIDES_ARE_MEANT = {"pose"}
# Where it shows in a whole picture: rows 5/16 to 13/16 and columns 1/4 to 3/4 hold the crops of eyes, mouth
# and pose of the document's property CNN. The other properties need the whole picture.
SHOWS_IN_THE_FACE = {"eyes", "mouth", "pose"}
FACE_REGION, FACE_TOP = (1 / 2, 1 / 2), 5 / 16


class Trained(NamedTuple):
    """The networks of all folds and what they say about the labelled pictures, in units of the labels."""

    folds: list[FoldResult]
    out_of_fold: np.ndarray
    mean: float
    std: float


def regress(tool: Tool, options: Any) -> None:
    """Read and check the labels, train, predict, write scores and what shows how good they are."""
    keep_freed_memory()
    meant = labelled_property(options.property)
    known, wanted, numbers = chosen_pictures(tool, options)
    column = options.column or meant.column
    labels = load_property_labels(options.labels, column, numbers)
    images = CandidateImages(tool, known, options.image_size)
    found, pictures = images.read(labels["img_no"].tolist())
    if len(found) < len(labels):
        raise UserError(
            f"{len(labels) - len(found)} labelled pictures cannot be read, so their labels would be lost: "
            f"{next(iter(images.reasons.values()))}. Put them back, or drop their rows in {options.labels}."
        )
    truth = labels["label"].to_numpy()
    trained = train(tool, options, meant.name, truth, to_tensor(pictures).to(tool.device))

    seen = dict(zip(labels["img_no"], trained.out_of_fold.tolist(), strict=True))
    unseen = [img_no for img_no in wanted["img_no"] if img_no not in seen]
    values = predict(tool, options, trained, images, unseen) | seen
    with tool.foreseen(ValueError, mend="Label more pictures, or pictures that differ more."):
        table, statistics = score_table(wanted, meant, values, set(seen))
    figures = regression_measures(trained.out_of_fold, truth)
    figures["mse"] = figures.pop("loss")
    tool.write_csv(PREDICTED.format(meant.name), table)
    record = {"labels": len(truth), "column": column, "is_reversed": meant.is_reversed}
    record["labels_sha256"] = sha256_file(options.labels)
    tool.write_json(
        PREDICTION_STATISTICS.format(meant.name), {**statistics, "out_of_fold": figures, **record}
    )
    regression_report.save_pictures(tool, images, meant.name, truth, trained.out_of_fold, table)
    regression_report.report(tool, meant, figures, table)
    failed = int((~table["valid"]).sum())
    numbers = {"pictures": f"{len(table)}, {failed} unreadable", "out of fold": f"r {figures['r']:.3f}"}
    tool.finish(numbers, [regression_report.FIGURE.format(meant.name), PREDICTED.format(meant.name)])
    tool.log(f"{tool.workspace / PREDICTED.format(meant.name)}: {len(table)} pictures, {failed} unreadable")


def chosen_pictures(tool: Tool, options: Any) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """The pictures of a run.

    Returns:
        tables `img_no`, `img_path` of all pictures that labels may name, and of those to predict; and file
        name -> img_no of the former. A face has the name of the picture that it was cut from.
    """
    if options.pictures == "faces":
        faces = read_table(tool, FACES, tool.command("03_segment_faces"), "status")
        faces = faces[faces["status"] == "ok"]
        crops = [segmented_path("face", img_no) for img_no in faces["img_no"]]
        pictures = faces[["img_no"]].assign(img_path=crops)
        return pictures, pictures, numbers_by_name(faces)
    candidates = read_table(tool, CANDIDATES, tool.command("01_generate_candidates"))
    numbers = numbers_by_name(candidates)
    if options.pictures == "candidates":
        return candidates, candidates, numbers
    folder = tool.workspace / KEPT_PICTURES
    if not folder.is_dir():
        raise MissingInputError(
            f"it needs {KEPT_PICTURES}, which is not in {tool.workspace}. 02_filter_candidates makes it:\n"
            f"    {tool.command('02_filter_candidates')}\nor predict for all with --pictures candidates."
        )
    names = {path.name for path in folder.iterdir()}
    is_kept = [Path(path).name in names for path in candidates["img_path"]]
    return candidates, candidates[is_kept], numbers


def numbers_by_name(pictures: pd.DataFrame) -> dict[str, int]:
    """File name without folders -> img_no."""
    names = pictures["img_path"].str.rsplit("/", n=1).str[-1]
    return dict(zip(names, pictures["img_no"], strict=True))


def read_table(tool: Tool, relative: str, command: str, *columns: str) -> pd.DataFrame:
    """`img_no`, `img_path` and `columns` of a table of an earlier script."""
    path = tool.workspace / relative
    if not path.is_file():
        raise MissingInputError(
            f"it needs {relative}, which is not in {tool.workspace}. Make it:\n    {command}"
        )
    names = ["img_no", "img_path", *columns]
    return tables.read_csv(path, names, f"Make it anew: {command} --force")[names]


def augmentation(name: str, options: Any) -> AugmentationOptions:
    """Random changes that leave the property as it is."""
    changes_light = name not in BRIGHTNESS_IS_MEANT
    return AugmentationOptions(
        flip=name not in SIDES_ARE_MEANT,
        shift=options.shift,
        brightness=options.brightness if changes_light else 0.0,
        contrast=options.contrast if changes_light else 0.0,
    )


def recipe(name: str, options: Any) -> TrainingOptions:
    """How a fold is trained."""
    return TrainingOptions(
        loss_limit=options.loss_limit,
        attempts=options.attempts,
        max_epochs=options.max_epochs,
        patience=options.patience,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        cosine_period=options.cosine_period,
        augmentation=augmentation(name, options),
        task=REGRESSION,
    )


def network_config(name: str, image_size: int, options: Any) -> FilterCNNConfig:
    """Layer table of the gender network, on the part of the picture where the property shows."""
    config = gender_config(image_size, options.width)
    if name in SHOWS_IN_THE_FACE and options.pictures != "faces":
        return replace(config, region=FACE_REGION, top=FACE_TOP)
    return config


def train(tool: Tool, options: Any, name: str, labels: np.ndarray, images: Tensor) -> Trained:
    """Fit one network per fold to labels [N] of uint8 pictures [N, 3, H, W]; writes networks and epochs."""
    mean, std = float(labels.mean()), float(labels.std())
    targets = (labels - mean) / std
    mend = (
        f"Label more pictures in {options.labels}, or use fewer folds (--fold-count) or smaller batches "
        "(--batch-size)."
    )
    with tool.foreseen(ValueError, mend=mend):
        folds = regression_folds(
            len(labels), options.fold_count, derived_seed(Purpose.REGRESSION_FOLDS, options.seed)
        )
        config = network_config(name, images.shape[-1], options)
        results = []
        with tool.progress(len(folds), "folds") as progress:
            for number, fold in enumerate(folds):
                with followed_epochs(tool, f"{name}_{number}") as on_epoch:
                    result = train_fold(
                        *(config, images, targets, fold, recipe(name, options)),
                        seed=derived_seed(Purpose.REGRESSION_FOLD, options.seed, number=number),
                        on_epoch=on_epoch,
                    )
                results.append(result)
                tool.log(
                    f"{name}_{number}: r {result.best.valid['r']:.3f}, MSE {result.best.valid_loss:.3f} "
                    f"variances, {result.attempts} attempt(s){', above the limit' if result.failed else ''}"
                )
                progress.update()
    for number, result in enumerate(results):
        extra = {"property": name, "fold": number, "mean": mean, "std": std, **result.best.row()}
        with tool.atomic(FILTER_NETWORK.format(f"property_{name}", number)) as temporary:
            save_filter_cnn(temporary, result.model, extra)
    epochs = [{"fold": k, **epoch.row()} for k, result in enumerate(results) for epoch in result.history]
    tool.write_csv(FOLD_EPOCHS.format(f"property_{name}"), pd.DataFrame(epochs))
    tool.write_csv(
        FOLD_LOG.format(f"property_{name}"),
        pd.DataFrame([{"fold": k, **fold.row()} for k, fold in enumerate(results)]),
    )
    predicted = out_of_fold([result.model for result in results], folds, images, REGRESSION)
    return Trained(results, predicted * std + mean, mean, std)


def predict(
    tool: Tool, options: Any, trained: Trained, images: CandidateImages, img_nos: list[int]
) -> dict[int, float]:
    """Predictions of the mean of all networks, in units of the labels: img_no -> value."""
    ensemble = Ensemble([result.model for result in trained.folds], REGRESSION)
    values: dict[int, float] = {}
    with tool.progress(len(img_nos)) as progress:
        for found, pictures in images.batches(img_nos, options.inference_batch_size):
            if found:
                outputs = ensemble(normalize(to_tensor(pictures).to(tool.device))).double().cpu().numpy()
                values |= dict(zip(found, (outputs * trained.std + trained.mean).tolist(), strict=True))
            progress.update(min(options.inference_batch_size, len(img_nos) - progress.done))
    return values


def score_table(
    wanted: pd.DataFrame, meant: LabelledProperty, values: dict[int, float], seen: set[int]
) -> tuple[pd.DataFrame, dict[str, object]]:
    """The table of predictions and scores, and the statistics that normalise them.

    Columns `img_no`, `img_path`, `<name>` (units of the labels), `<name>_score` (mean 0, standard deviation
    1, in the direction of the property table), `valid`, `source`.
    """
    table = wanted.copy()
    table[meant.name] = table["img_no"].map(values)
    valid = table[meant.name].notna().to_numpy()
    raw = table[[meant.name]].to_numpy(np.float64) * (-1 if meant.is_reversed else 1)
    statistics = fit(raw, valid[:, None], (meant.name,))
    table[f"{meant.name}_score"] = statistics.normalize(raw)[:, 0].round(6)
    table[meant.name] = table[meant.name].round(6)
    table["valid"] = valid
    table["source"] = np.where(table["img_no"].isin(seen), "out of fold", "ensemble")
    return table, statistics.to_dict()
