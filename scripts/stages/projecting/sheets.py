"""The sheet of project_photos: each photograph beside what was found, with what was read from both."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from scripts.pipeline import files
from scripts.stages.image_files import read_image
from scripts.stages.sheets import labelled_grid
from segmentation.property_table import PROPERTY_NAMES

SHEET_ROWS = 48


def save_sheet(path: Path, output: Path, table: pd.DataFrame) -> None:
    """The first rows of the table as pictures; `output` holds what they name."""
    shown = table.head(SHEET_ROWS)
    cells: list[list[np.ndarray]] = [
        [read_image(output / row[name]) for name in ("aligned", "picture")] for _, row in shown.iterrows()
    ]
    labels = [row_label(row) for _, row in shown.iterrows()]
    files.write(path, labelled_grid(cells, labels, ["photograph", "found"]))


def row_label(row: pd.Series) -> str:
    """What the table says of a face, for the margin of the sheet."""
    name = PurePosixPath(row["source"]).stem
    lines = [f"{name}: {row['quality']}", f"error {row['pixel_error']:.1f} of 255"]
    if pd.notna(row["similarity"]):
        lines[1] += f", likeness {row['similarity']:.2f}"
    for prop in PROPERTY_NAMES:
        before, after = row[f"{prop}_photo"], row[f"{prop}_projection"]
        if pd.notna(before) or pd.notna(after):
            lines.append(f"{prop.replace('_', ' ')} {before:+.2f} to {after:+.2f}")
    return "\n".join(lines)
