"""Scores of a property that come from hand labels (`regress_property.py`) instead of the label maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.pipeline import Input, Stage, UserError
from scripts.pipeline.console import script_command

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PREDICTED = "cnn/inference_result/property_{}.csv"
EXAMPLE_COUNT = 3


def check_replaced(names: tuple[str, ...]) -> None:
    """Raise ValueError unless `names` are properties, each once."""
    from segmentation.property_table import PROPERTY_NAMES

    unknown = [name for name in names if name not in PROPERTY_NAMES]
    if unknown or len(set(names)) < len(names):
        raise ValueError(
            f"--replace takes each property at most once, not {', '.join(names)}; the properties are "
            f"{', '.join(PROPERTY_NAMES)}."
        )


def replacement_input(name: str) -> Input:
    """The file with the predicted scores of a property."""
    return Input(
        PREDICTED.format(name),
        note=f"Learn {name} from labels first:\n    "
        + script_command("regress_property", "--property", name, "--labels", "FILE.csv"),
    )


def read_replacement(stage: Stage, name: str, img_nos: pd.Series) -> np.ndarray:
    """Predicted scores of the pictures `img_nos`: float64 [N], in their order, NaN where there is none.

    Raises:
        UserError: the file lacks some of the pictures, or says of one that its score is valid and has none.
    """
    import numpy as np

    relative, column = PREDICTED.format(name), f"{name}_score"
    table = stage.read_csv(relative, ["img_no", column, "valid"]).set_index("img_no")
    missing = img_nos[~img_nos.isin(table.index)]
    again = stage.command("regress_property", "--property", name, "--labels", "FILE.csv")
    if len(missing):
        raise UserError(
            f"{relative} has no score for {len(missing)} of {len(img_nos)} faces (img_no "
            f"{', '.join(map(str, missing[:EXAMPLE_COUNT]))}, ...), so it may belong to other pictures. "
            f"Predict {name} for these:\n    {again}"
        )
    table = table.loc[img_nos]
    is_valid = table["valid"].eq(True)  # a missing word is not True either
    scores = np.where(is_valid, table[column].to_numpy(float), np.nan)
    broken = table.index[table["valid"].isna() | (is_valid & ~np.isfinite(scores))]
    if len(broken):
        raise UserError(
            f"{relative} calls img_no {broken[0]} valid, but its {column} is no finite number, or says not "
            f"whether it is valid. Predict again:\n    {again}"
        )
    return scores


def agreement(measured: np.ndarray, predicted: np.ndarray) -> float | None:
    """Pearson correlation of two scores [N] where both are numbers; None where it is undefined."""
    import numpy as np

    both = np.isfinite(measured) & np.isfinite(predicted)
    if both.sum() < 3 or np.ptp(measured[both]) == 0 or np.ptp(predicted[both]) == 0:
        return None
    return float(np.corrcoef(measured[both], predicted[both])[0, 1])
