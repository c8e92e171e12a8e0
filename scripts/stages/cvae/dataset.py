"""The pictures and tables of the conditional VAE, as its stages read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from cnn.dataset import resize
from cvae.conditions import AUGMENTATIONS
from scripts.pipeline import Stage, Tool, UserError, files, tables
from scripts.stages import workspace as at
from scripts.stages.cvae.augmenting import CHANGES, FEWEST
from scripts.stages.image_files import ImageFileError, read_image
from scripts.stages.stored_rows import StoredRows, store_rows
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified.fine_tuning import TrainingPictures

HELD_OUT_SHARE = 0.1
SPLIT_SEED = 0  # one for all: no stage may learn from the people that another one judges by


def read_picture(tool: Tool, file: str) -> np.ndarray:
    """A picture of the dataset, uint8 [H, W, 3]; an unreadable one is a `UserError`."""
    try:
        return read_image(tool.workspace / file)
    except ImageFileError as error:
        raise UserError(
            f"{file} cannot be used ({error}), so what the tables say of it has no picture. "
            f"Make them anew: {tool.command('20_augment_pictures', '--force')}"
        ) from error


def store(tool: Tool, paths: Sequence[str], square: int = 0) -> StoredRows:
    """Pictures on the disk: uint8 [N, H, W, 3]; or [N, 3, square, square] for the networks of `cnn`,
    which take them on the device.
    """
    if square:
        read = (resize(read_picture(tool, path), square).transpose(2, 0, 1)[None] for path in paths)
    else:
        read = (read_picture(tool, path)[None] for path in paths)
    with tool.foreseen(ValueError, mend=tool.command("20_augment_pictures", "--force")):
        return store_rows(tool.workspace, read, tool.device if square else "cpu")


def chosen_pictures(stage: Stage) -> pd.DataFrame:
    """The rows of 20's table that 21 chose, with the columns of 20 and ``final``, the path of the choice."""
    known = stage.read_csv(at.VAE_PICTURES, ("img_no", "file", "source", "is_augmented", *CHANGES))
    decided = stage.read_csv(at.DECIDED, ("img_no", "chosen", "final"))
    table = known.merge(decided.loc[decided["chosen"] == 1, ["img_no", "final"]], on="img_no")
    if table["source"].nunique() < FEWEST:
        lower = stage.command("21_decide_training_data", "--gender-threshold", ".9", "--force")
        raise UserError(
            f"{at.DECIDED} chooses {table['source'].nunique()} different pictures, and a training needs at "
            f"least {FEWEST}. Lower the threshold:\n    {lower}"
        )
    return table.reset_index(drop=True)


def is_held_out(sources: np.ndarray) -> np.ndarray:
    """Which pictures no training may see, bool [N]: every variant of a tenth of the sources, by their numbers
    int [N] alone, so that the choice is the same whatever was filtered.
    """
    drawn = [np.random.default_rng(derived_seed(Purpose.VAE_SPLIT, SPLIT_SEED, n)).random() for n in sources]
    return np.array(drawn) < HELD_OUT_SHARE


def condition_record(tool: Tool) -> dict[str, Any]:
    """What 22 says of the conditions: ``names``, and ``scale`` if they are scores of stage 04."""
    mend = f"Make it anew: {tool.command('22_decide_inputs', '--force')}"
    tool.check_unchanged(at.CONDITION_RECORD)
    with tool.foreseen(OSError, ValueError, mend=mend):
        return files.read_json(tool.workspace / at.CONDITION_RECORD)


def load_dataset(stage: Stage) -> tuple[TrainingPictures, TrainingPictures]:
    """Pictures to learn from, and unchanged ones of people that no training sees.

    Their properties are the conditions, followed by how each picture was changed (`AUGMENTATIONS`).

    Raises:
        UserError: too few pictures, or one has no conditions.
    """
    table, names = described_pictures(stage)
    known = torch.zeros(len(table), len(names) + len(AUGMENTATIONS))
    known[:, :-1] = torch.from_numpy(table[[*names, *CHANGES]].to_numpy(np.float32))
    seen, unseen = (torch.from_numpy(np.flatnonzero(side)) for side in sides(table))
    people = torch.tensor(table["source"].to_numpy(np.int64))
    data = TrainingPictures(store(stage, table["final"].tolist()), known, people)
    return data.chosen(seen), data.chosen(unseen)


def seen_conditions(stage: Stage) -> torch.Tensor:
    """Conditions float32 [N, C] of the pictures to learn from, without the pictures."""
    table, names = described_pictures(stage)
    return torch.from_numpy(table[list(names)].to_numpy(np.float32)[sides(table)[0]])


def drawn(known: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Rows [count, ...] drawn at random, such as conditions of training pictures for new people."""
    return known[torch.from_numpy(np.random.default_rng(seed).integers(len(known), size=count))]


def described_pictures(stage: Stage) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The chosen pictures with a column for each condition, and the names of these.

    Raises:
        UserError: too few pictures, or one has no conditions.
    """
    table = chosen_pictures(stage)
    names = tuple(condition_record(stage)["names"])
    for name in names:
        values = tables.read_csv(stage.workspace / at.DECIDED_INPUT.format(name), ("img_no", name))
        table = table.merge(values[["img_no", name]], on="img_no")
    known = table[[*names, *CHANGES]].to_numpy(np.float32)
    asked = known[:, : len(names)]
    if not (np.isfinite(known).all() and ((asked >= 0) & (asked <= 1)).all()):
        raise UserError(
            f"a condition in {at.VAE_TABLES} is missing or outside 0 to 1, so the VAE cannot be told what a "
            f"picture shows. Make them anew:\n    {stage.command('22_decide_inputs', '--force')}"
        )
    return table, names


def sides(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which of the chosen pictures are learned from, and which unchanged ones are held out, both bool [N]."""
    sources, unchanged = table["source"].to_numpy(), table["is_augmented"].to_numpy() == 0
    held_out = is_held_out(sources)
    if held_out.all() or not (held_out & unchanged).any():  # a handful of pictures
        held_out = sources == sources[unchanged][0]
    return ~held_out, held_out & unchanged
