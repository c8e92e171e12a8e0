"""Labels of pictures are whole: no letter is cut off, and none runs into the next column."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scripts.pipeline import files
from scripts.pipeline.pictures import BACKGROUND, GRID_TEXT, contact_sheet, labelled_grid, read_grid
from scripts.stages.evaluating.drawings import editing_sheet, strips
from scripts.stages.fine_tuning import control
from segmentation.normalization import fit
from segmentation.property_table import PROPERTY_NAMES

LONGEST = "background_mean 95%"


def grey(size: int, value: int = 90) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def headers_of(grid: Image.Image) -> list[np.ndarray]:
    """Pixels above each column of pictures."""
    cell, pixels = json.loads(grid.info[GRID_TEXT]), np.asarray(grid)
    starts = [cell["left"] + column * cell["step_x"] for column in range(cell["columns"])]
    return [pixels[: cell["top"], start : start + cell["step_x"]] for start in starts]


@pytest.mark.parametrize("size", [16, 96])
def test_labels_of_a_grid_are_whole_and_in_their_column(size: int, tmp_path: Path) -> None:
    rows = [[grey(size, 20 * row + column) for column in range(3)] for row in range(4)]

    def grid(label: str, side: str = "seed 0", title: str = "") -> Image.Image:
        return labelled_grid(rows, [side] * 4, ["", label, ""], title=title)

    inked = [bool((header != BACKGROUND).any()) for header in headers_of(grid(LONGEST))]
    assert inked == [False, True, False]
    usual = grid(LONGEST)
    others = (
        grid(LONGEST + "x"),
        grid(LONGEST, side="seed 0x"),
        grid(LONGEST, title="title of some words " * 3),
    )
    for other in others:
        assert other != usual
        files.write(tmp_path / "grid.png", other)
        np.testing.assert_array_equal(read_grid(tmp_path / "grid.png"), rows)


def test_labels_of_a_contact_sheet_are_whole() -> None:
    def sheet(*labels: str) -> Image.Image:
        return contact_sheet([grey(16)] * 2, 2, labels)

    assert sheet("seed", LONGEST) != sheet("seed", LONGEST + "x")
    apart = np.asarray(sheet(LONGEST, ""))
    second = np.flatnonzero((apart == 90).all(axis=-1).any(axis=0))[16]
    has_ink = (apart[18:] != BACKGROUND).any(axis=(0, 2))
    assert has_ink[:second].any() and not has_ink[second:].any()


def test_every_dial_has_a_name_of_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    statistics = fit(rng.normal(size=(9, 7)), np.ones((9, 7), bool))
    preview = control.preview_grid(
        lambda z, properties: torch.full((len(z), 3, 16, 16), 90 / 127.5 - 1), statistics, torch.zeros(1, 4)
    )
    faces = np.full((1, 96, 96, 3), 90, np.uint8)
    turned = np.full((1, 7, 5, 96, 96, 3), 90, np.uint8)
    for grid in (preview, editing_sheet(faces, faces, turned)):
        names = [header.tobytes() for header in headers_of(grid)]
        assert len(set(names)) == len(names) > 15
    files.write(tmp_path / "strips.png", strips(turned, 0))
    assert np.shape(read_grid(tmp_path / "strips.png")) == (len(PROPERTY_NAMES), 5, 96, 96, 3)
