"""The work of stage 02: networks trained on the hand labels, candidates judged, and those kept that pass."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cnn.dataset import normalize, to_tensor
from cnn.ensemble import Ensemble
from scripts.pipeline import Stage, UserError, files
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.filtering import figures, folds, hand_labels, networks
from scripts.stages.filtering.excluded import find_excluded
from scripts.stages.filtering.images import CandidateImages, check_images
from scripts.stages.workspace import (
    CANDIDATES,
    FILTER_FIGURE,
    FILTER_PREDICTIONS,
    FILTER_TABLE,
    FILTERS,
    KEPT_PICTURES,
)


def read_inputs(stage: Stage, options: Any) -> tuple[pd.DataFrame, pd.DataFrame, dict[int, str]]:
    """Candidates, their labels, and who is excluded (img_no -> why), all checked."""
    candidates = stage.read_csv(CANDIDATES, ("img_no", "img_path", "seed", "weights_id"))
    check_images(stage, candidates)
    labels = hand_labels.load_labels(stage, candidates, options.fold_count, options.label_count)
    return candidates, labels, find_excluded(stage, candidates, options.exclude)


def check(stage: Stage, options: Any) -> None:
    """Raise `UserError` for bad labels, vanished pictures, wrong exclusions, networks of the user that cannot
    be used and networks that cannot be trained, before earlier results go.
    """
    candidates, labels, _ = read_inputs(stage, options)
    size = CandidateImages(stage, candidates, options.image_size).size
    judged = [(name, fold) for name in FILTERS for fold in range(options.fold_count)]
    folds.check(stage, options, labels, size)
    networks.check_given(stage, judged, size)


def filter_candidates(stage: Stage, options: Any) -> None:
    """Train what is missing, judge the pictures without labels, keep those that pass."""
    keep_freed_memory()
    candidates, labels, excluded = read_inputs(stage, options)
    if excluded:
        stage.log(f"--exclude rules out {len(excluded)} of {len(candidates)} candidates")
    images = CandidateImages(stage, candidates, options.image_size)
    labelled, pictures = images.store(labels["img_no"].tolist(), stage.device)
    usable = labels[labels["img_no"].isin(labelled)].reset_index(drop=True)
    judges, numbers = folds.train(stage, options, usable, pictures)

    unlabelled = sorted(set(candidates["img_no"]) - set(labels["img_no"]))
    estimates = estimate(stage, options, images, unlabelled, judges)
    paths = candidates[["img_no", "img_path"]]
    for name in FILTERS:
        inferred = paths.merge(estimates[["img_no", name]], on="img_no", validate="one_to_one")
        stage.write_csv(FILTER_PREDICTIONS.format(name), inferred)
    table = merge(options, candidates, labels, estimates, images.reasons, excluded)
    found = table["status"].value_counts()
    failed, left_out = (int(found.get(status, 0)) for status in ("failed", "excluded"))
    stage.count("candidates", len(table) - failed - left_out, left_out, failed)
    stage.check_failures(failed, len(table))
    kept_count = int(table["kept"].sum())
    if kept_count == 0:
        raise UserError(
            f"none of {len(table)} candidates passes the thresholds, so later stages would have nothing to "
            "work on. Lower --gender-threshold or --quality-threshold, or generate more candidates."
        )
    link_kept(stage, table)
    sheets = figures.save_sheets(stage, options, images, table)
    stage.write_csv(FILTER_TABLE, table)
    who = {"women": "women of good quality", "men": "men of good quality", "all": "of good quality"}
    by_network = int((table.loc[table["kept"] == 1, "source"] == "network").sum())
    kept = f"{kept_count} of {len(table)} images, {who[options.keep]} ({by_network} judged by the networks)"
    stage.finish({"kept": kept} | numbers, [*sheets, *map(FILTER_FIGURE.format, FILTERS), FILTER_TABLE])


def estimate(
    stage: Stage, options: Any, images: CandidateImages, img_nos: list[int], judges: dict[str, Ensemble]
) -> pd.DataFrame:
    """Probabilities of the pictures without labels: columns `img_no`, `gender`, `quality`."""
    rows: list[tuple[float, ...]] = []
    batch_size = options.inference_batch_size
    with stage.progress(len(img_nos)) as progress:
        for found, pictures in images.batches(img_nos, batch_size):
            if found:
                x = normalize(to_tensor(pictures).to(stage.device))
                probability = torch.stack([judges[name](x) for name in FILTERS], dim=1).double().cpu()
                rows += [(n, *values) for n, values in zip(found, probability.tolist(), strict=True)]
            progress.update(min(batch_size, len(img_nos) - progress.done))
    return pd.DataFrame(rows, columns=["img_no", *FILTERS]).astype({"img_no": "int64"}).round(6)


def merge(
    options: Any,
    candidates: pd.DataFrame,
    labels: pd.DataFrame,
    estimates: pd.DataFrame,
    reasons: dict[int, str],
    excluded: dict[int, str],
) -> pd.DataFrame:
    """One row per candidate: its label or estimate, whether it is kept, and why it failed or is excluded."""
    known = pd.concat([labels.assign(source="label"), estimates.assign(source="network")], ignore_index=True)
    table = candidates[["img_no", "img_path"]].merge(known, on="img_no", how="left", validate="one_to_one")
    table["status"], table["reason"] = "ok", ""
    for status, why in (("excluded", excluded), ("failed", reasons)):
        rows = table["img_no"].isin(why)
        table.loc[rows, "status"] = status
        table.loc[rows, "reason"] = table.loc[rows, "img_no"].map(why)
    passes = (table["status"] == "ok") & (table["quality"] >= options.quality_threshold)
    if options.keep == "women":
        passes &= table["gender"] >= options.gender_threshold
    elif options.keep == "men":
        passes &= 1 - table["gender"] >= options.gender_threshold
    table["kept"] = passes.astype(int)
    return table[["img_no", "img_path", *FILTERS, "source", "kept", "status", "reason"]]


def link_kept(stage: Stage, table: pd.DataFrame) -> None:
    """Fill the folder of filtered pictures, and remove what an earlier run left there."""
    kept = {Path(path).name: path for path in table.loc[table["kept"] == 1, "img_path"]}
    folder = stage.workspace / KEPT_PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        if stale.name not in kept:
            files.remove(stale)
    for name, source in kept.items():
        link_or_copy(stage.workspace / source, folder / name)


def link_or_copy(source: Path, target: Path) -> None:
    """Hard link; a copy where the file system has no hard links."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}:
            raise
        files.copy_file(source, target)
