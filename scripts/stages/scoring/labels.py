"""Hand labels of one property, and which way they run: scores run as the table of properties says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.pipeline import MissingInputError, UserError
from scripts.stages.label_tables import read_label_table
from scripts.stages.pictures import some_of
from segmentation.property_table import PROPERTY_NAMES


@dataclass(frozen=True)
class LabelledProperty:
    """What a column of hand labels means: a property, whose low end may be its high labels."""

    name: str
    column: str
    is_reversed: bool = False


# The five inputs that an earlier project labelled by hand on a scale from 0 to 1 (its tables
# `train_output_<column>.csv`, its models `input_<column>`). Its hair colour runs from bright to dark.
HAND_LABELLED_INPUTS = {
    "input_eyes": LabelledProperty("eyes", "eyes"),
    "input_hair_color": LabelledProperty("hair_color", "hair_color", is_reversed=True),
    "input_mouth": LabelledProperty("mouth", "mouth"),
    "input_background": LabelledProperty("background_mean", "background"),
    "input_head": LabelledProperty("pose", "head"),
}


def labelled_property(name: str) -> LabelledProperty:
    """The property that a name on the command line means; `UserError` if there is none."""
    if name in HAND_LABELLED_INPUTS:
        return HAND_LABELLED_INPUTS[name]
    if name in PROPERTY_NAMES:
        return LabelledProperty(name, name)
    raise UserError(
        f"--property {name} is no property, so nothing says which way its score runs. There are "
        f"{', '.join(PROPERTY_NAMES)}, and hand labels as an earlier project wrote them: "
        f"{', '.join(HAND_LABELLED_INPUTS)}."
    )


def load_property_labels(path: Path, column: str, numbers: dict[str, int]) -> pd.DataFrame:
    """Labels of pictures: columns `img_no` and `label` (float64, finite, not all equal), by `img_no`.

    Args:
        path: CSV with the columns `img_name` and `column`; others may be.
        numbers: file name -> img_no of the pictures that there are.

    Raises:
        MissingInputError: there is no such file.
        UserError: no such column, a label that is no finite number, a picture that is labelled twice or is
            not there, or labels that are all equal.
    """
    if not path.is_file():
        raise MissingInputError(
            f"it needs the labels {path}, which is not there. Write a CSV with the columns img_name and "
            f"{column}, one row per labelled picture, and give it with --labels."
        )
    mend = f"It needs the columns img_name (such as 000123.jpg) and {column} (a number)."
    table = read_label_table(path, [column], path, mend)
    texts = table[column].astype(str).str.replace(",", ".", regex=False)  # decimal commas
    labels = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)
    wrong = table[~np.isfinite(labels)]
    if len(wrong):
        first = wrong.iloc[0]
        raise UserError(
            f"{path}: {first['img_name']} has the {column} '{first[column]}', which is no number to learn. "
            f"{len(wrong)} rows are wrong: edit or remove them, then run the same command again."
        )
    img_no = table["img_name"].map(numbers)
    unknown = table.loc[img_no.isna(), "img_name"].tolist()
    if unknown:
        raise UserError(
            f"{path} labels {len(unknown)} pictures that are not among the {len(numbers)} to read "
            f"({some_of(unknown)}), so it may belong to other people. Remove those rows, or choose the "
            "pictures that were labelled with --pictures."
        )
    if len(table) and labels.min() == labels.max():
        raise UserError(
            f"{path}: all {len(table)} labels of {column} are {labels[0]:g}, so there is nothing to tell "
            "apart. Label pictures that differ."
        )
    found = pd.DataFrame({"img_no": img_no.astype("int64"), "label": labels})
    return found.sort_values("img_no", ignore_index=True)
