"""What stage 09 draws for people: response matrices, strips of the sweeps, and edited pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from scripts.stages.sheets import labelled_grid
from segmentation.normalization import LEVEL_NAMES
from segmentation.property_table import PROPERTIES, PROPERTY_NAMES


def response_figure(results: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Heat map per version: slope of each measured property (column) on each requested one (row)."""
    figure = Figure(figsize=(4.4 * len(results) + 1.2, 5.2))
    panels = figure.subplots(1, len(results), squeeze=False, sharey=True)[0]
    figure.subplots_adjust(left=1.2 / figure.get_figwidth(), right=0.99, bottom=0.24, top=0.92, wspace=0.05)
    for panel, (version, entry) in zip(panels, results.items(), strict=True):
        matrix = np.array(entry["response"], np.float64)
        panel.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        for (row, column), value in np.ndenumerate(matrix):
            colour = "white" if abs(value) > 0.6 else "black"
            panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
        panel.set_title(f"{version} (n = {entry['n_latents']} latents)", fontsize=10)
        panel.set_xticks(range(len(PROPERTY_NAMES)), PROPERTY_NAMES, rotation=45, ha="right", fontsize=8)
        panel.set_yticks(range(len(PROPERTY_NAMES)), PROPERTY_NAMES, fontsize=8)
    panels[0].set_ylabel("requested", fontsize=9)
    figure.supxlabel("measured: slope in sd per sd requested", fontsize=9)
    return figure


def strips(images: np.ndarray, seed: int) -> Image.Image:
    """One strip per property for each latent: rows are properties, groups of columns are people.

    Args:
        images: uint8 [n, 7, 5, H, W, 3] sweeps.
        seed: of the first latent.
    """
    rows = [[picture for person in images for picture in person[j]] for j in range(images.shape[1])]
    columns = [f"{n}: {level}" for n in range(len(images)) for level in LEVEL_NAMES]
    title = f"latents {seed} + n: percentile of the training scores"
    return labelled_grid(rows, PROPERTY_NAMES, columns, max(1, 96 // images.shape[3]), title)


def dials(person: np.ndarray) -> Image.Image:
    """One person: a row per property, turned from low to high; uint8 [7, 5, H, W, 3]."""
    sides = [f"{prop.name}: {prop.low} - {prop.high}" for prop in PROPERTIES]
    return labelled_grid([list(row) for row in person], sides, LEVEL_NAMES, max(1, 96 // person.shape[2]))


def editing_sheet(given: np.ndarray, copies: np.ndarray, edits: np.ndarray) -> Image.Image:
    """Given pictures, reconstructions and both ends of every dial; arguments as
    `GivenPictures.pictures` gives them.
    """
    ends = edits[:, :, [0, -1]]
    rows = [
        [picture, copy, *person.reshape(-1, *picture.shape)]
        for picture, copy, person in zip(given, copies, ends, strict=True)
    ]
    columns = ["given", "v3", *(f"{name} {end}" for name in PROPERTY_NAMES for end in ("5%", "95%"))]
    title = "given pictures, their reconstructions, and each dial at the ends of the training scores"
    names = [str(n) for n in range(len(rows))]
    return labelled_grid(rows, names, columns, max(1, 96 // given.shape[2]), title)
