"""The user's labels of conditions, `train_output_<condition>.csv`: 22 learns from them, the label page writes
them.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from scripts.pipeline import UserError, tables
from scripts.stages import workspace as at


def table_of(folder: Path, name: str) -> Path:
    """Where the labels of a condition are."""
    return folder / Path(at.HAND_LABELLED_INPUT.format(name)).name


def read(path: Path, name: str) -> pd.DataFrame:
    """``img_name`` and the condition as float, in the table's order.

    Raises:
        UserError: it is no such table, or a label is no number from 0 to 1.
    """
    found = tables.read_csv(path, ("img_name", name), "Write the table anew.")[["img_name", name]]
    numbers = pd.to_numeric(found[name], errors="coerce")
    wrong = ~numbers.between(0, 1)
    if wrong.any():
        raise UserError(
            f"{path} says {found.loc[wrong, name].iloc[0]} of {found.loc[wrong, 'img_name'].iloc[0]}, and a "
            "condition is a number from 0 to 1. Correct that row."
        )
    return found.assign(**{name: numbers.astype(float)}).astype({"img_name": str})
