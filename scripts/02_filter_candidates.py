"""Train the gender and quality networks on the hand labels and keep the candidates that pass both."""

import errno
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, UserError, files, option, run_stage
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.filtering import (
    excluded_pictures,
    filter_folds,
    filter_networks,
    filter_pictures,
    hand_labels,
)
from scripts.stages.filtering.candidate_images import CandidateImages, check_images

if TYPE_CHECKING:
    import pandas as pd

    from cnn.ensemble import Ensemble

IMAGES = "stylegan/synthesize_results"
FILTERED = "stylegan/synthesize_results_filtered"
ALL_IMAGES = "cnn/all_image_quality_and_gender.csv"
PROPERTIES = hand_labels.PROPERTIES


@dataclass(frozen=True)
class Options(StageOptions):
    """Train the gender and quality networks on the hand labels and keep the candidates that pass both."""

    keep: Literal["women", "men", "all"] = option("women", help="who is kept")
    gender_threshold: float = option(0.7, help="least probability of the kept gender")
    quality_threshold: float = option(0.9, help="least probability of good quality")
    exclude: tuple[Path, ...] = option(
        (),
        help="never keep these: text files with one picture name per line, CSVs, folders of pictures",
        affects_results=False,  # what they hold does, as inputs
    )
    label_count: int = option(0, help="learn from the labels of the first pictures only; 0: all")
    fold_count: int = option(5, help="folds, and networks, per property")
    seed: int = option(0, help="decides folds, weights, order and augmentation")
    width: float = option(1.0, help="multiplier of all channels; 1 is the document's network")
    image_size: int = option(
        0, help="the networks see the pictures shrunk to this width and height, in pixels; 0: as they are"
    )
    precision: Literal["float32", "bfloat16"] = option(
        "float32", help="numbers in which the convolutions judge pictures without labels"
    )
    max_epochs: int = option(200, help="epochs after which training of a fold ends at the latest")
    patience: int = option(20, help="epochs without a better validation loss before training ends")
    batch_size: int = option(16, help="pictures per step")
    learning_rate: float = option(5e-5, help="highest learning rate of AdamW")
    cosine_period: int = option(10, help="epochs from the highest learning rate to zero (T_max)")
    attempts: int = option(
        3, help="trainings of a fold whose loss stays above the limit, before it is accepted"
    )
    gender_loss_limit: float = option(0.35, help="validation BCE above which a gender fold has failed")
    quality_loss_limit: float = option(0.13, help="validation BCE above which a quality fold has failed")
    quality_minority_share: float = option(0.0, help="share of bad pictures in an epoch; 0: as labelled")
    flip: bool = option(False, help="mirror half of the training pictures")
    shift: float = option(0.0, help="largest random shift, as a share of the picture's size")
    brightness: float = option(0.0, help="largest random change of brightness, as a share of its range")
    contrast: float = option(0.0, help="largest random relative change of contrast")
    inference_batch_size: int = option(64, help="pictures per forward pass", affects_results=False)

    def __post_init__(self) -> None:
        self.need_at_least(2, "fold_count")
        self.need_at_least(1, "attempts", "max_epochs", "batch_size", "inference_batch_size", "cosine_period")
        self.need_at_least(0, "label_count", "image_size", "patience", "shift", "brightness", "contrast")
        self.need_above(0, "width", "learning_rate")
        if not 0 <= self.quality_minority_share < 1:
            raise ValueError("--quality-minority-share must be at least 0 and below 1.")
        thresholds = (self.gender_threshold, self.quality_threshold)
        if min(thresholds) < 0 or max(thresholds) > 1:
            raise ValueError("--gender-threshold and --quality-threshold are probabilities, 0 to 1.")


def inputs(options: Options) -> tuple[Input, ...]:
    """Candidates, labels with their record, and what `--exclude` names."""
    note = (
        "Or write one row (img_name, quality, gender; 1 = good, 1 = woman) for each of the first candidates. "
        "Labels of the embedded preset's portraits come with 00_fetch_weights."
    )
    return (
        Input(hand_labels.CANDIDATES, made_by="01_generate_candidates"),
        Input(hand_labels.LABELS, made_by=hand_labels.LABEL_SCRIPT, note=note),
        Input(hand_labels.RECORD, optional=True),
        *excluded_pictures.inputs(options.exclude),
    )


def outputs(options: Options) -> tuple[str, ...]:
    """Networks of all folds, logs, tables and the folder of kept pictures."""
    models = tuple(
        filter_networks.model_path(name, fold) for name in PROPERTIES for fold in range(options.fold_count)
    )
    inference = tuple(f"cnn/inference_result/{name}.csv" for name in PROPERTIES)
    return (*models, *filter_folds.log_paths(), *inference, ALL_IMAGES, FILTERED)


def read_inputs(stage: Stage, options: Options) -> "tuple[pd.DataFrame, pd.DataFrame, dict[int, str]]":
    """Candidates, their labels, and who is excluded (img_no -> why), all checked."""
    candidates = stage.read_csv(hand_labels.CANDIDATES, ("img_no", "img_path", "seed", "weights_id"))
    check_images(stage, candidates)
    labels = hand_labels.load_labels(stage, candidates, options.fold_count, options.label_count)
    return candidates, labels, excluded_pictures.find_excluded(stage, candidates, options.exclude)


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError` for bad labels, vanished pictures, wrong exclusions, networks of the user that cannot
    be used and networks that cannot be trained, before earlier results go.
    """
    candidates, labels, _ = read_inputs(stage, options)
    size = CandidateImages(stage, candidates, options.image_size).size
    networks = [(name, fold) for name in PROPERTIES for fold in range(options.fold_count)]
    filter_folds.check(stage, options, labels, size)
    filter_networks.check_given(stage, networks, size)


SPEC = StageSpec(
    name="02_filter_candidates",
    inputs=inputs,
    outputs=outputs,
    clears=(filter_networks.FOLDER, "cnn/log", "cnn/inference_result", FILTERED, *filter_pictures.SHEETS),
    next_script="03_segment_faces",
    check=check,
    keeps=filter_networks.belonging_to_the_user,
    version=3,
)


def estimate(
    stage: Stage, options: Options, images: CandidateImages, img_nos: list[int], judges: "dict[str, Ensemble]"
) -> "pd.DataFrame":
    """Probabilities of the pictures without labels: columns `img_no`, `gender`, `quality`."""
    import pandas as pd
    import torch

    from cnn.dataset import normalize, to_tensor

    rows: list[tuple[float, ...]] = []
    batch_size = options.inference_batch_size
    with stage.progress(len(img_nos)) as progress:
        for found, pictures in images.batches(img_nos, batch_size):
            if found:
                x = normalize(to_tensor(pictures).to(stage.device))
                probability = torch.stack([judges[name](x) for name in PROPERTIES], dim=1).double().cpu()
                rows += [(n, *values) for n, values in zip(found, probability.tolist(), strict=True)]
            progress.update(min(batch_size, len(img_nos) - progress.done))
    return pd.DataFrame(rows, columns=["img_no", *PROPERTIES]).astype({"img_no": "int64"}).round(6)


def merge(
    options: Options,
    candidates: "pd.DataFrame",
    labels: "pd.DataFrame",
    estimates: "pd.DataFrame",
    reasons: dict[int, str],
    excluded: dict[int, str],
) -> "pd.DataFrame":
    """One row per candidate: its label or estimate, whether it is kept, and why it failed or is excluded."""
    import pandas as pd

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
    return table[["img_no", "img_path", *PROPERTIES, "source", "kept", "status", "reason"]]


def link_kept(stage: Stage, table: "pd.DataFrame") -> None:
    """Fill the folder of filtered pictures, and remove what an earlier run left there."""
    kept = {Path(path).name: path for path in table.loc[table["kept"] == 1, "img_path"]}
    folder = stage.workspace / FILTERED
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


def run(stage: Stage, options: Options) -> None:
    """Train what is missing, judge the pictures without labels, keep those that pass."""
    keep_freed_memory()
    candidates, labels, excluded = read_inputs(stage, options)
    if excluded:
        stage.log(f"--exclude rules out {len(excluded)} of {len(candidates)} candidates")
    images = CandidateImages(stage, candidates, options.image_size)
    labelled, pictures = images.store(labels["img_no"].tolist(), stage.device)
    usable = labels[labels["img_no"].isin(labelled)].reset_index(drop=True)
    judges, figures = filter_folds.train(stage, options, usable, pictures)

    unlabelled = sorted(set(candidates["img_no"]) - set(labels["img_no"]))
    estimates = estimate(stage, options, images, unlabelled, judges)
    paths = candidates[["img_no", "img_path"]]
    for name in PROPERTIES:
        inferred = paths.merge(estimates[["img_no", name]], on="img_no", validate="one_to_one")
        stage.write_csv(f"cnn/inference_result/{name}.csv", inferred)
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
    sheets = filter_pictures.save_sheets(stage, options, images, table)
    stage.write_csv(ALL_IMAGES, table)
    who = {"women": "women of good quality", "men": "men of good quality", "all": "of good quality"}
    by_network = int((table.loc[table["kept"] == 1, "source"] == "network").sum())
    kept = f"{kept_count} of {len(table)} images, {who[options.keep]} ({by_network} judged by the networks)"
    numbers = {"kept": kept, **figures}
    stage.finish(numbers, [*sheets, *filter_folds.figure_paths(), ALL_IMAGES])


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
