"""Train the gender and quality networks on the hand labels and keep the candidates that pass both."""

import errno
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import filter_folds, hand_labels
from scripts.fast_memory import keep_freed_memory
from scripts.pipeline import Input, Stage, StageOptions, StageSpec, UserError, files, option, run_stage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cnn.ensemble import Ensemble

IMAGES = "stylegan/synthesize_results"
FILTERED = "stylegan/synthesize_results_filtered"
ALL_IMAGES = "cnn/all_image_quality_and_gender.csv"
KEPT_SHEET, REJECTED_SHEET = "cnn/kept_sheet.png", "cnn/rejected_sheet.png"
PROPERTIES = hand_labels.PROPERTIES
SHEET_COUNT = 60
SHEET_COLUMNS = 12


@dataclass(frozen=True)
class Options(StageOptions):
    """Train the gender and quality networks on the hand labels and keep the candidates that pass both."""

    keep: Literal["women", "men", "all"] = option("women", help="who is kept")
    gender_threshold: float = option(0.7, help="least probability of the kept gender")
    quality_threshold: float = option(0.9, help="least probability of good quality")
    label_count: int = option(0, help="learn from the labels of the first pictures only; 0: all")
    fold_count: int = option(5, help="folds, and networks, per property")
    seed: int = option(0, help="decides folds, weights, order and augmentation")
    width: float = option(1.0, help="multiplier of all channels; 1 is the document's network")
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
        if self.fold_count < 2:
            raise ValueError("--fold-count must be at least 2.")
        if min(self.attempts, self.max_epochs, self.batch_size, self.inference_batch_size) < 1:
            raise ValueError("--attempts, --max-epochs and batch sizes must be at least 1.")


def outputs(options: Options) -> tuple[str, ...]:
    """Networks of all folds, tables and contact sheets."""
    models = tuple(
        filter_folds.model_path(name, fold) for name in PROPERTIES for fold in range(options.fold_count)
    )
    inference = tuple(f"cnn/inference_result/{name}.csv" for name in PROPERTIES)
    return (*models, filter_folds.SUMMARY, *inference, ALL_IMAGES, FILTERED)


SPEC = StageSpec(
    name="02_filter_candidates",
    inputs=(
        Input(hand_labels.CANDIDATES, made_by="01_generate_candidates"),
        Input(
            hand_labels.LABELS,
            note="Write one row (img_name, quality, gender; 1 = good, 1 = woman) for each of the first "
            "candidates. Those of the embedded preset come with:\n    python scripts/00_fetch_weights.py",
        ),
        Input(hand_labels.RECORD, optional=True),
    ),
    outputs=outputs,
    clears=("cnn/models", "cnn/log", "cnn/inference_result", FILTERED, KEPT_SHEET, REJECTED_SHEET),
    next_script="03_segment_faces",
)


def check_images(stage: Stage, candidates: "pd.DataFrame") -> None:
    """Raise `UserError` if pictures of the table are gone; unreadable ones are found when they are read."""
    missing = [path for path in candidates["img_path"] if not (stage.workspace / path).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(candidates)} candidates vanished ({', '.join(missing[:3])}), so the "
            "filter would not see them. Put them back, or generate all of them again:\n    "
            f"{stage.command('01_generate_candidates', '--force')}"
        )


class CandidateImages:
    """Reads candidates; remembers why some could not be read.

    Attributes:
        size: height and width of the pictures, in pixels.
        reasons: img_no -> why it could not be read.
    """

    def __init__(self, stage: Stage, candidates: "pd.DataFrame") -> None:
        self.workspace = stage.workspace
        self.paths = dict(zip(candidates["img_no"], candidates["img_path"], strict=True))
        self.reasons: dict[int, str] = {}
        self.size = self._first_size(stage)

    def read(self, img_nos: list[int]) -> "tuple[list[int], np.ndarray]":
        """Numbers and pictures uint8 [N, size, size, 3] of those that can be read."""
        import numpy as np

        from cnn.dataset import read_image

        found, images = [], np.zeros((len(img_nos), self.size, self.size, 3), np.uint8)
        for img_no in img_nos:
            try:
                images[len(found)] = read_image(self.workspace / self.paths[img_no], self.size)
                found.append(img_no)
            except ValueError as error:
                self.reasons[img_no] = str(error)
        return found, images[: len(found)]

    def _first_size(self, stage: Stage) -> int:
        from PIL import Image, UnidentifiedImageError

        for path in self.paths.values():
            try:
                with Image.open(self.workspace / path) as image:
                    return image.height
            except (OSError, UnidentifiedImageError):
                continue
        raise UserError(
            "none of the candidates can be read as a picture, so there is nothing to filter. Generate them "
            f"again:\n    {stage.command('01_generate_candidates', '--force')}"
        )


def estimate(
    stage: Stage, options: Options, images: CandidateImages, img_nos: list[int], judges: "dict[str, Ensemble]"
) -> "pd.DataFrame":
    """Probabilities of the pictures without labels: columns `img_no`, `gender`, `quality`."""
    import pandas as pd
    import torch

    from cnn.dataset import normalize, to_tensor

    rows: list[tuple[float, ...]] = []
    with stage.progress(len(img_nos)) as progress:
        for start in range(0, len(img_nos), options.inference_batch_size):
            batch = img_nos[start : start + options.inference_batch_size]
            found, pictures = images.read(batch)
            if found:
                x = normalize(to_tensor(pictures).to(stage.device))
                probability = torch.stack([judges[name](x) for name in PROPERTIES], dim=1).double().cpu()
                rows += [(n, *values) for n, values in zip(found, probability.tolist(), strict=True)]
            progress.update(len(batch))
    return pd.DataFrame(rows, columns=["img_no", *PROPERTIES]).astype({"img_no": "int64"}).round(6)


def merge(
    options: Options,
    candidates: "pd.DataFrame",
    labels: "pd.DataFrame",
    estimates: "pd.DataFrame",
    reasons: dict[int, str],
) -> "pd.DataFrame":
    """One row per candidate: its label or estimate, whether it is kept, and why it failed if it did."""
    import pandas as pd

    known = pd.concat([labels.assign(source="label"), estimates.assign(source="network")], ignore_index=True)
    table = candidates[["img_no", "img_path"]].merge(known, on="img_no", how="left", validate="one_to_one")
    table["reason"] = [reasons.get(img_no, "") for img_no in table["img_no"]]
    is_ok = table["reason"] == ""
    table["status"] = is_ok.map({True: "ok", False: "failed"})
    passes = is_ok & (table["quality"] >= options.quality_threshold)
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


def save_sheets(stage: Stage, images: CandidateImages, table: "pd.DataFrame") -> list[str]:
    """Contact sheets of kept and rejected pictures, each with its gender and quality; returns their paths."""
    from scripts.pipeline.pictures import contact_sheet

    written = []
    for relative, kept in ((KEPT_SHEET, 1), (REJECTED_SHEET, 0)):
        rows = (
            table[(table["kept"] == kept) & (table["status"] == "ok")].head(SHEET_COUNT).set_index("img_no")
        )
        found, pictures = images.read(rows.index.tolist())
        if found:
            texts = [f"{rows.at[n, 'gender']:.2f} / {rows.at[n, 'quality']:.2f}" for n in found]
            sheet = contact_sheet(pictures, SHEET_COLUMNS, texts, max(1, 128 // images.size))
            stage.save_image(relative, sheet)
            written.append(relative)
    return written


def run(stage: Stage, options: Options) -> None:
    """Train what is missing, judge the pictures without labels, keep those that pass."""
    keep_freed_memory()
    candidates = stage.read_csv(hand_labels.CANDIDATES, ("img_no", "img_path", "seed", "weights_id"))
    check_images(stage, candidates)
    labels = hand_labels.load_labels(stage, candidates, options.fold_count, options.label_count)
    images = CandidateImages(stage, candidates)
    labelled, pictures = images.read(labels["img_no"].tolist())
    usable = labels[labels["img_no"].isin(labelled)].reset_index(drop=True)
    judges, figures = filter_folds.train(stage, options, usable, pictures)

    unlabelled = sorted(set(candidates["img_no"]) - set(labels["img_no"]))
    estimates = estimate(stage, options, images, unlabelled, judges)
    paths = candidates[["img_no", "img_path"]]
    for name in PROPERTIES:
        inferred = paths.merge(estimates[["img_no", name]], on="img_no", validate="one_to_one")
        stage.write_csv(f"cnn/inference_result/{name}.csv", inferred)
    table = merge(options, candidates, labels, estimates, images.reasons)
    stage.check_failures(int((table["status"] == "failed").sum()), len(table))
    kept_count = int(table["kept"].sum())
    if kept_count == 0:
        raise UserError(
            f"none of {len(table)} candidates passes the thresholds, so later stages would have nothing to "
            "work on. Lower --gender-threshold or --quality-threshold, or generate more candidates."
        )
    link_kept(stage, table)
    sheets = save_sheets(stage, images, table)
    stage.write_csv(ALL_IMAGES, table)
    numbers = {f"kept ({options.keep}, good quality)": f"{kept_count} of {len(table)} images", **figures}
    stage.finish(numbers, [*sheets, ALL_IMAGES, filter_folds.SUMMARY])


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
