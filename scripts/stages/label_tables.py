"""Tables of labels that people wrote beside pictures, as they and their spreadsheets spell them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scripts.pipeline import UserError, tables


def read_label_table(path: Path, columns: Sequence[str], source: object, mend: str) -> pd.DataFrame:
    """A CSV with the columns `img_name` and `columns`, sorted by name; names lose the folders before them.

    Args:
        source: what messages call the table.
        mend: what to do about a table that cannot be read.

    Raises:
        UserError: no table, a column is missing, or a picture is labelled twice.
    """
    table = tables.read_csv(path, ("img_name", *columns), mend)
    names = table["img_name"].astype(str).str.strip().str.replace("\\", "/", regex=False)
    table = table.assign(img_name=names.str.rsplit("/", n=1).str[-1])
    repeated = table.loc[table["img_name"].duplicated(), "img_name"]
    if len(repeated):
        raise UserError(
            f"{source}: {repeated.iloc[0]} is labelled more than once, and the rows may contradict each "
            "other. Keep one row per picture, then run the same command again."
        )
    return table.sort_values("img_name", ignore_index=True)


def numbers_by_name(pictures: pd.DataFrame) -> dict[str, int]:
    """File name -> img_no, of a table with the columns `img_no` and `img_path`."""
    names = pictures["img_path"].str.rsplit("/", n=1).str[-1]
    return dict(zip(names, pictures["img_no"], strict=True))
