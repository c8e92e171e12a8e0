"""One property learned from hand labels, and predicted for every picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from cnn.dataset import AugmentationOptions, regression_folds
from cnn.ensemble import Ensemble, out_of_fold
from cnn.models import FilterCNNConfig, gender_config, save_filter_cnn
from cnn.tasks import REGRESSION, regression_measures
from cnn.training import train_fold
from scripts.pipeline import MissingInputError, Tool, UserError, tables
from scripts.pipeline.files import sha256_file
from scripts.stages import workspace as at
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.filtering.folds import training_options
from scripts.stages.filtering.images import CandidateImages
from scripts.stages.label_tables import numbers_by_name
from scripts.stages.scoring import plots
from scripts.stages.scoring.labels import LabelledProperty, labelled_property, load_property_labels
from scripts.stages.stored_rows import StoredRows
from scripts.stages.training_events import followed_epochs
from segmentation.normalization import fit
from segmentation.property_table import PROPERTIES
from stylegan.seeds import Purpose, derived_seed

STATISTICS = f"{at.PREDICTIONS}/property_{{}}.json"
FIGURE, SHEET = f"{at.FILTER_LOGS}/property_{{}}.png", f"{at.FILTER_LOGS}/property_{{}}_sheet.png"
BRIGHTNESS_IS_MEANT = {"hair_color", "background_mean", "background_std"}
SIDES_ARE_MEANT = {"pose"}
# Where it shows in a whole picture: rows 5/16 to 13/16 and columns 1/4 to 3/4 hold the crops of eyes, mouth
# and pose of the document's property CNN. The other properties need the whole picture.
SHOWS_IN_THE_FACE = {"eyes", "mouth", "pose"}
FACE_REGION, FACE_TOP = (1 / 2, 1 / 2), 5 / 16


def regress(tool: Tool, options: Any) -> None:
    """Read and check the labels, train, predict, write scores and what shows how good they are."""
    keep_freed_memory()
    meant = labelled_property(options.property)
    name, column = meant.name, options.column or meant.column
    known, wanted, numbers = chosen_pictures(tool, options)
    labels = load_property_labels(options.labels, column, numbers)
    images = CandidateImages(tool, known, options.image_size)
    found, pictures = images.store(labels["img_no"].tolist())
    if len(found) < len(labels):
        raise UserError(
            f"{len(labels) - len(found)} labelled pictures cannot be read, so their labels would be lost: "
            f"{next(iter(images.reasons.values()))}. Put them back, or drop their rows in {options.labels}."
        )
    truth = labels["label"].to_numpy()
    mean, std = float(truth.mean()), float(truth.std())
    network, unseen = train(tool, options, name, truth, pictures)

    predicted = labels[["img_no"]].assign(source="out of fold", **{name: unseen})
    others = wanted.loc[~wanted["img_no"].isin(labels["img_no"]), "img_no"].tolist()
    judged = images.judge(others, options.inference_batch_size, {name: network})
    judged[name] = judged[name] * std + mean
    table = wanted.merge(pd.concat([predicted, judged.assign(source="ensemble")]), on="img_no", how="left")
    with tool.foreseen(ValueError, mend="Label more pictures, or pictures that differ more."):
        table, statistics = normalize(table, meant)
    measures = regression_measures(unseen, truth)
    measures["mse"] = measures.pop("loss")
    tool.write(at.PREDICTED.format(name), table)
    record = {"labels": len(truth), "column": column, "is_reversed": meant.is_reversed}
    record["labels_sha256"] = sha256_file(options.labels)
    tool.write(STATISTICS.format(name), {**statistics, "out_of_fold": measures, **record})

    title = f"{name}: r {measures['r']:.3f}, n = {len(truth)}"
    tool.write(FIGURE.format(name), plots.scatter(truth, unseen, title))
    valid = table[table["valid"]]
    img_nos = valid["img_no"].tolist()
    scores = valid[f"{name}_score"].to_numpy()
    sheet = plots.property_sheet(scores, img_nos, lambda row: images.read(img_nos[row]))
    tool.write(SHEET.format(name), sheet)
    report(tool, meant, measures, valid)
    failed = len(table) - len(valid)
    tool.finish(
        {"pictures": f"{len(table)}, {failed} unreadable", "out of fold": f"r {measures['r']:.3f}"},
        [FIGURE.format(name), at.PREDICTED.format(name)],
    )
    tool.log(f"{tool.workspace / at.PREDICTED.format(name)}: {len(table)} pictures, {failed} unreadable")


def chosen_pictures(tool: Tool, options: Any) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """The pictures of a run.

    Returns:
        tables `img_no`, `img_path` of all pictures that labels may name, and of those to predict; and file
        name -> img_no of the former. A face has the name of the picture that it was cut from.
    """
    if options.pictures == "faces":
        faces = read_table(tool, at.FACES, "03_segment_faces", "status")
        faces = faces[faces["status"] == "ok"]
        crops = [at.segmented_path("face", img_no) for img_no in faces["img_no"]]
        pictures = faces[["img_no"]].assign(img_path=crops)
        return pictures, pictures, numbers_by_name(faces)
    candidates = read_table(tool, at.CANDIDATES, "01_generate_candidates")
    numbers = numbers_by_name(candidates)
    if options.pictures == "candidates":
        return candidates, candidates, numbers
    folder = tool.workspace / at.KEPT_PICTURES
    if not folder.is_dir():
        raise MissingInputError(
            f"it needs {at.KEPT_PICTURES}, which is not in {tool.workspace}. 02_filter_candidates makes it:\n"
            f"    {tool.command('02_filter_candidates')}\nor predict for all with --pictures candidates."
        )
    names = {path.name for path in folder.iterdir()}
    is_kept = [Path(path).name in names for path in candidates["img_path"]]
    return candidates, candidates[is_kept], numbers


def read_table(tool: Tool, relative: str, maker: str, *columns: str) -> pd.DataFrame:
    """`img_no`, `img_path` and `columns` of a table of an earlier script."""
    path, command = tool.workspace / relative, tool.command(maker)
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


def network_config(name: str, image_size: int, options: Any) -> FilterCNNConfig:
    """Layer table of the gender network, on the part of the picture where the property shows."""
    config = gender_config(image_size, options.width)
    if name in SHOWS_IN_THE_FACE and options.pictures != "faces":
        return replace(config, region=FACE_REGION, top=FACE_TOP)
    return config


def train(
    tool: Tool, options: Any, name: str, labels: np.ndarray, images: StoredRows
) -> tuple[nn.Module, np.ndarray]:
    """Fit one network per fold to labels [N] of uint8 pictures [N, 3, H, W]; writes networks and epochs.

    Returns:
        the mean of all networks, which predicts standard deviations of the labels from their mean; and what
        the network that did not train on a labelled picture says of it, in units of the labels [N].
    """
    mean, std = float(labels.mean()), float(labels.std())
    recipe = training_options(options, options.loss_limit, augmentation(name, options), task=REGRESSION)
    mend = (
        f"Label more pictures in {options.labels}, or use fewer folds (--fold-count) or smaller batches "
        "(--batch-size)."
    )
    with tool.foreseen(ValueError, mend=mend):
        split_seed = derived_seed(Purpose.REGRESSION_FOLDS, options.seed)
        folds = regression_folds(len(labels), options.fold_count, split_seed)
        config = network_config(name, images.shape[-1], options)
        results = []
        with tool.progress(len(folds), "folds") as progress:
            for number, fold in enumerate(folds):
                seed = derived_seed(Purpose.REGRESSION_FOLD, options.seed, number=number)
                with followed_epochs(tool, f"{name}_{number}") as on_epoch:
                    result = train_fold(
                        config, images, (labels - mean) / std, fold, recipe, seed=seed, on_epoch=on_epoch
                    )
                results.append(result)
                tool.log(
                    f"{name}_{number}: r {result.best.valid['r']:.3f}, MSE {result.best.valid_loss:.3f} "
                    f"variances, {result.attempts} attempt(s){', above the limit' if result.failed else ''}"
                )
                progress.update()
    for number, result in enumerate(results):
        extra = {"property": name, "fold": number, "mean": mean, "std": std, **result.best.row()}
        with tool.atomic(at.FILTER_NETWORK.format(f"property_{name}", number)) as temporary:
            save_filter_cnn(temporary, result.model, extra)
    epochs = [{"fold": k, **epoch.row()} for k, result in enumerate(results) for epoch in result.history]
    tool.write(at.FOLD_EPOCHS.format(f"property_{name}"), pd.DataFrame(epochs))
    rows = [{"fold": number, **result.row()} for number, result in enumerate(results)]
    tool.write(at.FOLD_LOG.format(f"property_{name}"), pd.DataFrame(rows))
    models = [result.model for result in results]
    return Ensemble(models, REGRESSION), out_of_fold(models, folds, images, REGRESSION) * std + mean


def normalize(
    table: pd.DataFrame, meant: LabelledProperty
) -> tuple[pd.DataFrame, dict[str, dict[str, object]]]:
    """The table of predictions with scores, and the statistics that normalise them.

    Columns `img_no`, `img_path`, `<name>` (units of the labels), `<name>_score` (mean 0, standard deviation
    1, in the direction of the property table), `valid`, `source`.
    """
    name, score = meant.name, f"{meant.name}_score"
    valid = table[name].notna()
    raw = table[[name]].to_numpy(np.float64) * (-1 if meant.is_reversed else 1)
    statistics = fit(raw, valid.to_numpy()[:, None], (name,))
    table = table.assign(**{score: statistics.normalize(raw)[:, 0], "valid": valid}).round(6)
    table["source"] = table["source"].fillna("ensemble")
    return table[["img_no", "img_path", name, score, "valid", "source"]], statistics.to_dict()


def report(tool: Tool, meant: LabelledProperty, measures: dict[str, float], valid: pd.DataFrame) -> None:
    """Print which way the scores run, how good they are, and how far stage 04 agrees.

    Args:
        measures: `r` and `mae` of labelled pictures by the network that did not train on them.
        valid: columns `img_no` and `<name>_score`, without NaN.
    """
    prop = next(prop for prop in PROPERTIES if prop.name == meant.name)
    low_label = prop.high if meant.is_reversed else prop.low
    tool.log(f"a low label means {low_label!r}; the score runs from {prop.low!r} to {prop.high!r}")
    tool.log(
        f"out of fold: r {measures['r']:.3f}, mean absolute error {measures['mae']:.3f} (units of the labels)"
    )
    column = f"{meant.name}_score"
    if (tool.workspace / at.SCORES).is_file():
        measured = tables.read_csv(tool.workspace / at.SCORES, ("img_no", column))
        both = valid.merge(measured[["img_no", column]].dropna(), on="img_no", suffixes=("", "_04"))
        r = both[column].corr(both[f"{column}_04"], min_periods=3)
        if not np.isnan(r):
            warning = "; they run the other way: do the labels?" if r < 0 else ""
            tool.log(
                f"against the measured scores of {at.SCORES}: r {r:.3f} on {len(both)} pictures{warning}"
            )
    tool.log(f"look at {tool.workspace / SHEET.format(meant.name)} and {FIGURE.format(meant.name)}")
