"""What 21 does: the gender network's word on every picture, calibrated, and the choice of those to keep."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import torch

from cnn.dataset import AugmentationOptions, make_folds, normalize
from cnn.ensemble import Ensemble, out_of_fold
from cnn.models import FilterCNN, load_filter_cnn
from cnn.reliability import fit_temperature, reliability, sharpened
from scripts.pipeline import Stage, UserError
from scripts.stages import workspace as at
from scripts.stages.cvae import dataset
from scripts.stages.cvae.augmenting import FEWEST
from scripts.stages.cvae.folds import SIZE_PX, save_folds, train_folds
from scripts.stages.filtering.stage import link_files
from scripts.stages.sheets import contact_sheet
from scripts.stages.stored_rows import StoredRows
from stylegan.seeds import Purpose, derived_seed

SIDES = {"male": 0, "female": 1}  # folders that say who is shown, and the label
SHEET_PICTURES = 40
JUDGED_AT_ONCE = 64


def decide_training_data(stage: Stage, options: Any) -> None:
    """Judge every picture, write the table, and link what passes into the final dataset."""
    table = stage.read_csv(at.VAE_PICTURES, ("img_no", "file", "source", "folder", "is_augmented"))
    networks, held_out = gender_networks(stage, options, table)
    size = networks[0].config.image_size
    images = dataset.store(stage, table["file"].tolist(), size)
    temperature = fit_temperature(held_out["probability"].to_numpy(), held_out["label"].to_numpy())
    table["female"] = sharpened(judge(stage, networks, images), temperature)
    good = stored_networks(stage, "quality")
    table["quality"] = judge(stage, good, images) if good else np.nan
    table["reason"] = ""
    table.loc[table["quality"].fillna(1.0) < options.quality_threshold, "reason"] = "quality"
    table.loc[table["female"] < options.gender_threshold, "reason"] = "gender"
    table.loc[table["folder"].isin(options.exclude), "reason"] = "folder"
    table["chosen"] = (table["reason"] == "").astype(int)
    kinds = np.where(table["is_augmented"] == 1, "augmented", "resized")
    names = [PurePosixPath(file).name for file in table["file"]]
    parts = zip(kinds, table["folder"], names, strict=True)
    table["final"] = [f"{at.VAE_FINAL}/{kind}_{folder}_{name}" for kind, folder, name in parts]
    chosen = table[table["chosen"] == 1]
    if chosen["source"].nunique() < FEWEST:
        raise UserError(
            f"{chosen['source'].nunique()} different pictures pass, and a training needs at least {FEWEST}: "
            f"the highest probability of a woman is {table['female'].max():.5f}. Lower --gender-threshold "
            f"(now {options.gender_threshold:g}), or add pictures."
        )
    links = zip(chosen["final"], chosen["file"], strict=True)
    wanted = {PurePosixPath(final).name: stage.workspace / file for final, file in links}
    link_files(stage.workspace / at.VAE_FINAL, wanted)
    stage.write(
        at.DECIDED, table[["img_no", "file", "female", "quality", "chosen", "reason", "final"]].round(6)
    )
    figures = judged_by(held_out, temperature, options.gender_threshold)
    stage.write(at.DECIDING_RECORD, figures)
    shown = chosen.iloc[np.linspace(0, len(chosen) - 1, min(SHEET_PICTURES, len(chosen))).astype(int)]
    pictures = [dataset.read_picture(stage, path) for path in shown["file"]]
    stage.write(at.FINAL_SHEET, contact_sheet(pictures, 10, scale=2))
    stage.finish(
        {
            "chosen": f"{len(chosen)} of {len(table)} pictures, of {chosen['source'].nunique()} people",
            "at the cut": f"precision {figures['precision']:.4f}, recall {figures['recall']:.3f} "
            f"(n = {figures['count']} labels that the network did not learn from)",
        },
        [at.FINAL_SHEET, at.DECIDED],
    )


def judge(stage: Stage, networks: list[FilterCNN], images: StoredRows) -> np.ndarray:
    """Mean probability [N] of networks for pictures uint8 [N, 3, S, S]."""
    judge = Ensemble([network.to(stage.device) for network in networks])
    found = []
    with stage.progress(len(images)) as progress:
        for rows in torch.arange(len(images)).split(JUDGED_AT_ONCE):
            found.append(judge(normalize(images[rows])).double().cpu().numpy())
            progress.update(len(rows))
    return np.concatenate(found)


def stored_networks(stage: Stage, name: str) -> list[FilterCNN]:
    """The networks of stage 02, or none."""
    found: list[FilterCNN] = []
    while (path := stage.workspace / at.FILTER_NETWORK.format(name, len(found))).is_file():
        with stage.foreseen(ValueError, mend=stage.command("02_filter_candidates", "--force")):
            found.append(load_filter_cnn(path)[0])
    return found


def gender_networks(stage: Stage, options: Any, table: pd.DataFrame) -> tuple[list[FilterCNN], pd.DataFrame]:
    """Networks, and columns ``label`` and ``probability`` of pictures that they did not learn from.

    They are those of stage 02, where there are some; else they learn from folders called female and male.
    Copies of them are in the documents' place.

    Raises:
        UserError: there are neither, or only one of the folders.
    """
    networks = stored_networks(stage, "gender")
    if networks:
        held_out = stage.read_csv(at.OUT_OF_FOLD.format("gender"), ("label", "probability"))
        held_out = held_out[["label", "probability"]].dropna()
    else:
        networks, held_out = train_on_folders(stage, options, table)
    if held_out["label"].nunique() < 2:
        raise UserError(
            "the labels that the gender network is judged by are of one gender only, so nothing says how "
            f"often it errs. Label pictures of both:\n    {stage.command('label_images')}"
        )
    save_folds(stage, f"{at.DECIDING_NETWORKS}/gender_model_{{}}.pt", networks, "gender")
    return networks, held_out


def train_on_folders(stage: Stage, options: Any, table: pd.DataFrame) -> tuple[list[FilterCNN], pd.DataFrame]:
    """Networks that learn from resized pictures in folders called female and male, and what each says of the
    pictures that it did not see.
    """
    rows = table[(table["is_augmented"] == 0) & table["folder"].isin(SIDES)]
    labels = rows["folder"].map(SIDES).to_numpy(np.int64)
    if len(set(labels)) < 2:
        there = ", ".join(sorted(table["folder"].unique()))
        raise UserError(
            "nothing says who is a woman: there are no networks of 02_filter_candidates, and the pictures do "
            f"not lie in two folders called female and male (there are: {there}). With one gender only, a "
            f"network learns nothing. Sort pictures into both, or train the networks:\n    "
            f"{stage.command('02_filter_candidates')}"
        )
    images = dataset.store(stage, rows["file"].tolist(), SIZE_PX)
    augmentation = AugmentationOptions(flip=True, shift=0.04)
    networks = []
    mend = "Add pictures of both, or use fewer folds (--fold-count)."
    with stage.foreseen(ValueError, mend=mend), stage.progress(options.fold_count, "folds") as progress:
        seed = derived_seed(Purpose.VAE_FOLDS, options.seed)
        folds = make_folds(labels, options.fold_count, stratified=True, seed=seed)
        for network in train_folds(stage, options, images, labels, folds, augmentation):
            networks.append(network)
            progress.update()
        probability = out_of_fold(networks, folds, images)
    return networks, pd.DataFrame({"label": labels, "probability": probability})


def judged_by(held_out: pd.DataFrame, temperature: float, threshold: float) -> dict[str, Any]:
    """How far the calibrated probabilities of held-out labels can be trusted, and what the cut does to them.

    One network speaks of each label, where the mean of all decides, so this is the lower bound.
    """
    labels = held_out["label"].to_numpy()
    calibrated = sharpened(held_out["probability"].to_numpy(), temperature)
    passes = calibrated >= threshold
    return {
        "count": len(labels),
        "temperature": temperature,
        "threshold": threshold,
        "expected_calibration_error": reliability(calibrated, labels).expected_calibration_error,
        "passing": int(passes.sum()),
        "precision": float(labels[passes].mean()) if passes.any() else 0.0,
        "recall": float(passes[labels == 1].mean()),
    }
