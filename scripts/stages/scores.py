"""The scores of stage 04 and their pictures, as the trainings and the evaluation read them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from scripts.pipeline import Stage, Tool, UserError, files
from scripts.stages.image_files import ImageFileError, read_image
from scripts.stages.stored_rows import near, store_rows
from scripts.stages.workspace import SCORES, STATISTICS
from segmentation.normalization import ScoreStatistics
from segmentation.property_table import LABEL_ALGORITHM, PROPERTY_NAMES
from stylegan_modified.fine_tuning import TrainingPictures

COLUMNS = [f"{name}_score" for name in PROPERTY_NAMES]  # of the seven scores


def training_table(stage: Stage) -> tuple[pd.DataFrame, int]:
    """Rows of the filtered pictures with seven valid scores of algorithm 3, and how many have none.

    Raises:
        UserError: fewer than 8 pictures are usable.
    """
    listed = stage.read_csv(SCORES, ["img_no", "img_path", "valid", *COLUMNS])
    table = _valid_rows(stage, listed)
    if len(table) < 8:
        raise UserError(
            f"only {len(table)} pictures have seven valid scores in {SCORES}, too few to learn from. "
            f"Generate more: {stage.command('01_generate_candidates', '--count', '4000', '--force')}"
        )
    return table, len(listed) - len(table)


def load_training_pictures(stage: Stage) -> TrainingPictures:
    """Filtered pictures with seven valid scores of algorithm 3, joined on img_no through the score table.

    Raises:
        UserError: fewer than 8 pictures are usable, or one of them cannot be read.
    """
    table, unusable = training_table(stage)
    stage.count("pictures to learn from", len(table), unusable)
    with stage.foreseen(ValueError, mend=stage.command("01_generate_candidates", "--force")):
        images = store_rows(stage.workspace, (read_picture(stage, path)[None] for path in table["img_path"]))
    properties = torch.from_numpy(table[COLUMNS].to_numpy(np.float32))
    return TrainingPictures(near(images, stage.device), properties)


def read_scores(stage: Stage) -> tuple[np.ndarray, np.ndarray]:
    """Image numbers int64 [N] and normalised scores float32 [N, 7] of the pictures with seven valid ones."""
    table = _valid_rows(stage, stage.read_csv(SCORES, ["img_no", "valid", *COLUMNS]))
    if len(table) < 2:
        more = stage.command("01_generate_candidates", "--count", "4000", "--force")
        raise UserError(
            f"only {len(table)} pictures have seven valid scores in {SCORES}, so there is nothing to "
            f"compare with. Generate more: {more}"
        )
    return table["img_no"].to_numpy(np.int64), table[COLUMNS].to_numpy(np.float32)


def _valid_rows(stage: Stage, table: pd.DataFrame) -> pd.DataFrame:
    """The faces that the table calls valid; `UserError` if one of them has no seven numbers."""
    rows = table[table["valid"].eq(True)]
    scores = rows[COLUMNS].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if table["valid"].isna().any() or not np.isfinite(scores).all():
        raise UserError(
            f"{SCORES} is damaged: a face has no seven numbers, or nothing says whether it is valid. Make it "
            f"anew: {stage.command('04_compute_property_scores', '--force')}"
        )
    return rows


def load_statistics(tool: Tool) -> ScoreStatistics:
    """Means, standard deviations and percentiles of the training scores."""
    path = tool.workspace / STATISTICS
    tool.check_unchanged(STATISTICS)
    mend = f"Make {STATISTICS} anew: {tool.command('04_compute_property_scores', '--force')}"
    with tool.foreseen(OSError, ValueError, LookupError, TypeError, AttributeError, mend=mend):
        return ScoreStatistics.from_dict(files.read_json(path)[f"algorithm_{LABEL_ALGORITHM}"])


def sweep_levels(statistics: ScoreStatistics) -> np.ndarray:
    """Normalised scores at the 5th, 25th, 50th, 75th and 95th percentile: float64 [5, 7]."""
    return statistics.normalized_percentiles()[:, 1:6].T


def read_picture(tool: Tool, relative: str) -> np.ndarray:
    """A picture of the workspace as uint8 [H, W, 3] RGB; an unreadable one is a `UserError`."""
    try:
        return read_image(tool.workspace / relative, tool.recorded_sha256(relative))
    except ImageFileError as error:
        raise UserError(
            f"{relative} cannot be used ({error}), so what the tables say of it has no picture. Bring it "
            f"back, or make the pictures anew: {tool.command('01_generate_candidates', '--force')}"
        ) from error
