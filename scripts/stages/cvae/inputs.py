"""What 22 does: the conditions of every picture, from the scores of stage 04 or from hand labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cnn.dataset import AugmentationOptions, regression_folds
from cnn.ensemble import out_of_fold
from cnn.models import FilterCNN
from cnn.tasks import REGRESSION, regression_measures
from cnn.training import predict
from cvae.conditions import CONDITION_NAMES, ConditionScale
from scripts.pipeline import Stage, UserError
from scripts.stages import scores
from scripts.stages import workspace as at
from scripts.stages.cvae import dataset, hand_labels
from scripts.stages.cvae.augmenting import FEWEST
from scripts.stages.cvae.folds import SIZE_PX, save_folds, train_folds
from stylegan.seeds import Purpose, derived_seed

BRIGHTNESS_IS_MEANT = {"hair_color", "background", "background_std"}


def decide_inputs(stage: Stage, options: Any) -> None:
    """Write a table for each condition, what is known of them, and their histograms."""
    table = dataset.chosen_pictures(stage)
    if options.source == "scores":
        values, record = from_scores(stage, options.conditions, table)
    else:
        values, record = from_labels(stage, options, table)
    for name in options.conditions:
        spread = float(values[name].std())
        if not spread > 0:
            raise UserError(
                f"{name} is {values[name].iloc[0]:g} for every picture, so a VAE cannot learn what it means. "
                "Leave it out of --conditions, or label pictures that differ."
            )
        stage.write(
            at.DECIDED_INPUT.format(name), table[["img_no", "final"]].assign(**{name: values[name]}).round(6)
        )
    stage.write(at.CONDITION_RECORD, {"names": list(options.conditions), **record})
    stage.write(at.CONDITION_FIGURE, histograms(values[list(options.conditions)]))
    numbers = {"pictures": f"{len(table)} with {len(options.conditions)} conditions"}
    if "out_of_fold" in record:
        numbers["out of fold"] = ", ".join(f"{n} r {m['r']:.3f}" for n, m in record["out_of_fold"].items())
    stage.finish(numbers, [at.CONDITION_FIGURE])


def from_scores(
    stage: Stage, names: tuple[str, ...], table: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Conditions of the pictures from their sources' scores; those without valid scores leave the dataset.

    Raises:
        UserError: the pictures are none of stage 01.
    """
    known = stage.read_csv(at.SCORES, ("img_no", "valid", *scores.COLUMNS))
    known = known[known["valid"].eq(True)]
    scale = ConditionScale.fit(names, scores.load_statistics(stage))
    found = pd.DataFrame(scale.conditions(known[scores.COLUMNS].to_numpy()), columns=list(names))
    joined = table.merge(found.assign(source=known["img_no"].to_numpy()), on="source", how="left")
    joined.index = table.index
    missing = joined[list(names)].isna().any(axis=1)
    if table.loc[~missing, "source"].nunique() < FEWEST:
        raise UserError(
            f"{at.SCORES} has scores of fewer than {FEWEST} of the chosen pictures, so nothing says what "
            f"they show. Make the pictures from stage 01's (20 without --pictures), or use hand labels:\n    "
            f"{stage.command('22_decide_inputs', '--source', 'labels')}"
        )
    if missing.any():
        stage.log(f"{missing.sum()} pictures have no seven valid scores and leave the dataset")
        table.drop(index=table.index[missing], inplace=True)
    return joined.loc[~missing, list(names)], {"source": "scores", "scale": scale.to_dict()}


def from_labels(stage: Stage, options: Any, table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Conditions of all pictures by networks that learned from hand labels, for their own labels as well, so
    that all are of one kind (document).
    """
    resized = stage.read_csv(at.VAE_PICTURES, ("img_no", "file", "source_path", "is_augmented"))
    resized = resized[resized["is_augmented"] == 0]
    images = dataset.store(stage, table["final"].tolist(), SIZE_PX)
    values, measures = pd.DataFrame(index=table.index), {}
    with stage.progress(len(options.conditions), "conditions") as progress:
        for name in options.conditions:
            labels = read_labels(stage, options, name, resized)
            networks, measures[name] = learn(stage, options, name, labels)
            predicted = np.mean([predict(network, images, task=REGRESSION) for network in networks], axis=0)
            values[name] = np.clip(predicted, 0, 1)
            progress.update()
    return values, {"source": "labels", "out_of_fold": measures}


def read_labels(stage: Stage, options: Any, name: str, resized: pd.DataFrame) -> pd.DataFrame:
    """Columns ``file`` and ``label`` of the labelled pictures.

    Raises:
        UserError: a picture is unknown, or a label is no number from 0 to 1, or all are alike.
    """
    folder = stage.workspace / at.VAE_TABLES if options.labels is None else options.labels
    path = hand_labels.table_of(folder, name)
    given = hand_labels.read(path, name)
    by_name = {Path(p).name: file for p, file in zip(resized["source_path"], resized["file"], strict=True)}
    unknown = [n for n in given["img_name"] if Path(n).name not in by_name]
    if unknown:
        raise UserError(
            f"{path} labels {unknown[0]}, which is no picture of {at.VAE_PICTURES}. Label the pictures "
            "that 20 was given, by their file names."
        )
    label = given[name]
    if not label.std() > 0:
        raise UserError(
            f"{path} gives every picture the same {name}, so there is nothing to learn. Label pictures that "
            "differ, or leave it out of --conditions."
        )
    files_of = [by_name[Path(n).name] for n in given["img_name"]]
    return pd.DataFrame({"file": files_of, "label": label.to_numpy()})


def learn(
    stage: Stage, options: Any, name: str, labels: pd.DataFrame
) -> tuple[list[FilterCNN], dict[str, float]]:
    """Networks of a condition, one for each fold, and how good they are on labels they did not learn from."""
    images = dataset.store(stage, labels["file"].tolist(), SIZE_PX)
    truth = labels["label"].to_numpy()
    light = 0.0 if name in BRIGHTNESS_IS_MEANT else 0.1
    augmentation = AugmentationOptions(flip=name != "head", shift=0.03, brightness=light)
    place = CONDITION_NAMES.index(name)
    with stage.foreseen(ValueError, mend="Label more pictures, or use fewer folds (--fold-count)."):
        folds = regression_folds(
            len(truth), options.fold_count, derived_seed(Purpose.VAE_FOLDS, options.seed, place)
        )
        networks = list(train_folds(stage, options, images, truth, folds, augmentation, REGRESSION, place))
    save_folds(stage, at.INPUT_NETWORK.format(name, "{}"), networks, name)
    measures = regression_measures(out_of_fold(networks, folds, images, REGRESSION), truth)
    measures["mse"] = measures.pop("loss")
    return networks, measures


def histograms(values: pd.DataFrame) -> Figure:
    """How often each condition has which value."""
    figure = Figure(figsize=(2.2 * len(values.columns), 2.2), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(values.columns), sharey=True))
    for axis, name in zip(axes, values.columns, strict=True):
        axis.hist(values[name], bins=20, range=(0, 1))
        axis.set_title(name)
    return figure
