"""The work of stage 02: networks trained on the hand labels, candidates judged, and those kept that pass."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from scripts.pipeline import Stage, UserError, files
from scripts.stages import workspace as at
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.filtering import figures, folds, hand_labels, networks
from scripts.stages.filtering.excluded import find_excluded
from scripts.stages.filtering.images import CandidateImages, check_images

NO_LINKS = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


def read_inputs(stage: Stage, options: Any) -> tuple[pd.DataFrame, pd.DataFrame, dict[int, str]]:
    """Candidates, their labels, and who is excluded (img_no -> why), all checked."""
    candidates = stage.read_csv(at.CANDIDATES, ("img_no", "img_path", "seed", "weights_id"))
    check_images(stage, candidates)
    labels = hand_labels.load_labels(stage, candidates, options.fold_count, options.label_count)
    return candidates, labels, find_excluded(stage, candidates, options.exclude)


def check(stage: Stage, options: Any) -> None:
    """Raise `UserError`, before earlier results go, for bad labels, vanished pictures, wrong exclusions,
    networks of the user that cannot be used and networks that cannot be trained.
    """
    candidates, labels, _ = read_inputs(stage, options)
    size = CandidateImages(stage, candidates, options.image_size).size
    folds.check(stage, options, labels, size)
    networks.check_given(stage, options.fold_count, size)


def filter_candidates(stage: Stage, options: Any) -> None:
    """Train what is missing, judge the pictures without labels, keep those that pass."""
    keep_freed_memory()
    candidates, labels, excluded = read_inputs(stage, options)
    if excluded:
        stage.log(f"--exclude rules out {len(excluded)} of {len(candidates)} candidates")
    images = CandidateImages(stage, candidates, options.image_size)
    labelled, pictures = images.store(labels["img_no"].tolist())
    usable = labels[labels["img_no"].isin(labelled)].reset_index(drop=True)
    judges, numbers = folds.train(stage, options, usable, pictures)

    unlabelled = sorted(set(candidates["img_no"]) - set(labels["img_no"]))
    estimates = images.judge(unlabelled, options.inference_batch_size, judges).round(6)
    for name in at.FILTERS:
        inferred = candidates[["img_no", "img_path"]].merge(estimates[["img_no", name]], on="img_no")
        stage.write(at.FILTER_PREDICTIONS.format(name), inferred)
    table = merge(options, candidates, labels, estimates, images.reasons, excluded)
    found = table["status"].value_counts()
    failed, left_out = (int(found.get(status, 0)) for status in ("failed", "excluded"))
    stage.count("candidates", len(table) - failed - left_out, left_out, failed)
    stage.check_failures(failed, len(table))
    kept = table[table["kept"] == 1]
    if kept.empty:
        raise UserError(
            f"none of {len(table)} candidates passes the thresholds, so later stages would have nothing to "
            "work on. Lower --gender-threshold or --quality-threshold, or generate more candidates."
        )
    link_kept(stage, kept["img_path"].tolist())
    sheets = figures.save_sheets(stage, options, images, table)
    stage.write(at.FILTER_TABLE, table)
    who = "" if options.keep == "all" else f"{options.keep} "
    by_network = (kept["source"] == "network").sum()
    text = f"{len(kept)} of {len(table)} images, {who}of good quality ({by_network} judged by the networks)"
    stage.finish(
        {"kept": text} | numbers, [*sheets, *map(at.FILTER_FIGURE.format, at.FILTERS), at.FILTER_TABLE]
    )


def merge(
    options: Any,
    candidates: pd.DataFrame,
    labels: pd.DataFrame,
    estimates: pd.DataFrame,
    reasons: dict[int, str],
    excluded: dict[int, str],
) -> pd.DataFrame:
    """One row per candidate: its label or estimate, whether it is kept, and why it failed or is excluded."""
    sources = (labels.assign(source="label"), estimates.assign(source="network"))
    known = pd.concat([table for table in sources if len(table)])  # an empty one would change the types
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
    return table[["img_no", "img_path", *at.FILTERS, "source", "kept", "status", "reason"]]


def link_kept(stage: Stage, paths: list[str]) -> None:
    """Fill the folder of kept pictures with hard links, or copies; remove what an earlier run left there."""
    link_files(
        stage.workspace / at.KEPT_PICTURES, {Path(path).name: stage.workspace / path for path in paths}
    )


def link_files(folder: Path, wanted: Mapping[str, Path]) -> None:
    """Make a folder hold files of these names and no others, as hard links or copies of these paths."""
    folder.mkdir(parents=True, exist_ok=True)
    present = {path.name for path in folder.iterdir()}
    for name in present - wanted.keys():
        files.remove(folder / name)
    for name in wanted.keys() - present:
        try:
            os.link(wanted[name], folder / name)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            files.copy_file(wanted[name], folder / name)
