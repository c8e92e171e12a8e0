"""Scores of a property that come from hand labels (`regress_property.py`) instead of the label maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scripts.pipeline import Stage, UserError
from scripts.stages.pictures import some_of
from scripts.stages.workspace import PREDICTED
from segmentation.property_table import PROPERTY_NAMES


def read_replaced(stage: Stage, names: Sequence[str], raw: pd.DataFrame) -> dict[int, np.ndarray]:
    """Predicted scores [N] of the replaced properties by column; NaN for faces that could not be read."""
    readable = (raw["status"] == "ok").to_numpy()
    replaced = {}
    for name in names:
        scores = np.full(len(raw), np.nan)
        scores[readable] = read_replacement(stage, name, raw.loc[readable, "img_no"])
        replaced[PROPERTY_NAMES.index(name)] = scores
        stage.log(f"{name}: labels from {PREDICTED.format(name)} instead of the label maps")
    return replaced


def read_replacement(stage: Stage, name: str, img_nos: pd.Series) -> np.ndarray:
    """Predicted scores of the pictures `img_nos`: float64 [N], NaN where a prediction failed."""
    relative, column = PREDICTED.format(name), f"{name}_score"
    table = stage.read_csv(relative, ["img_no", column, "valid"]).set_index("img_no")
    missing = img_nos[~img_nos.isin(table.index)]
    again = stage.command("regress_property", "--property", name, "--labels", "FILE.csv")
    if len(missing):
        raise UserError(
            f"{relative} has no score for {len(missing)} of {len(img_nos)} faces (img_no "
            f"{some_of(list(map(str, missing)))}), so it may belong to other pictures. Predict {name} for "
            f"these:\n    {again}"
        )
    table = table.loc[img_nos]
    is_valid = table["valid"].eq(True)  # an empty field is not True either
    scores = np.where(is_valid, table[column].to_numpy(float), np.nan)
    broken = table.index[table["valid"].isna() | (is_valid & ~np.isfinite(scores))]
    if len(broken):
        raise UserError(
            f"{relative} calls img_no {broken[0]} valid, but its {column} is no finite number, or says not "
            f"whether it is valid. Predict again:\n    {again}"
        )
    return scores
