"""Labels of pictures are whole: no letter is cut off, and none runs into the next column."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scripts.pipeline import files
from scripts.pipeline.pictures import BACKGROUND, contact_sheet, labelled_grid, read_grid
from scripts.stages.evaluating.drawings import editing_sheet, strips
from scripts.stages.fine_tuning import control
from segmentation.normalization import fit
from segmentation.property_table import PROPERTY_NAMES

SIZES = (16, 64, 96, 128)
LONGEST = "background_mean 95%"


def grey(size: int, value: int = 90) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def has_ink(picture: np.ndarray) -> bool:
    return bool((picture != BACKGROUND).any())


@pytest.mark.parametrize("size", SIZES)
def test_column_labels_are_whole_and_in_their_column(size: int) -> None:
    def header(label: str) -> np.ndarray:
        grid = labelled_grid([[grey(size)] * 3] * 2, ["a", "b"], ["", label, ""], title="")
        pixels = np.asarray(grid)
        top = np.argmax((pixels == 90).all(axis=-1).any(axis=1))
        left = pixels.shape[1] - 3 * (size + 2)
        return pixels[:top, left:]

    step = size + 2
    for label in (LONGEST, LONGEST + "x"):
        found = header(label)
        assert has_ink(found[:, step : 2 * step])
        assert not has_ink(found[:, :step]) and not has_ink(found[:, 2 * step :])
    assert not np.array_equal(header(LONGEST), header(LONGEST + "x"))  # the last letter is seen
    assert not np.array_equal(header("background_mean"), header("background_std"))


@pytest.mark.parametrize("size", SIZES)
def test_a_grid_with_any_labels_can_be_cut_again(size: int, tmp_path: Path) -> None:
    rows = [[grey(size, 20 * row + column) for column in range(6)] for row in range(4)]
    for title in ("", "a title of some words " * 3):
        grid = labelled_grid(rows, ["seed 0"] * 4, [LONGEST] * 6, title=title)
        files.save_image(tmp_path / "grid.png", grid)
        np.testing.assert_array_equal(read_grid(tmp_path / "grid.png"), rows)


def test_labels_of_a_contact_sheet_are_whole() -> None:
    def sheet(*labels: str) -> Image.Image:
        return contact_sheet([grey(16)] * 2, 2, labels)

    assert sheet("seed", LONGEST) != sheet("seed", LONGEST + "x")
    apart = np.asarray(sheet(LONGEST, ""))
    pictures = (apart == 90).all(axis=-1).any(axis=0)
    second = np.flatnonzero(pictures)[16]
    assert has_ink(apart[18:, :second]) and not has_ink(apart[18:, second:])


def test_a_title_is_whole() -> None:
    def grid(title: str) -> Image.Image:
        return labelled_grid([[grey(32)]], ["a"], ["x"], title=title)

    assert grid("given pictures and their copies") != grid("given pictures and their copies!")


def columns_of(grid: Image.Image, count: int, size: int) -> list[bytes]:
    """Pixels above each column of pictures."""
    pixels = np.asarray(grid)
    top = np.argmax((pixels == 90).all(axis=-1).any(axis=1))
    left = pixels.shape[1] - count * (size + 2)
    return [pixels[:top, x : x + size].tobytes() for x in range(left, left + count * (size + 2), size + 2)]


def test_every_dial_has_a_name_of_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    statistics = fit(rng.normal(size=(9, 7)), np.ones((9, 7), bool))
    preview = control.preview_grid(
        lambda z, properties: torch.full((len(z), 3, 16, 16), 90 / 127.5 - 1), statistics, torch.zeros(1, 4)
    )
    sheet = editing_sheet(
        np.full((1, 96, 96, 3), 90, np.uint8),
        np.full((1, 96, 96, 3), 90, np.uint8),
        np.full((1, 7, 5, 96, 96, 3), 90, np.uint8),
    )
    for grid, count, size in ((preview, 21, 16), (sheet, 16, 96)):
        names = columns_of(grid, count, size)
        assert len(set(names)) == count
    files.save_image(tmp_path / "strips.png", strips(np.full((1, 7, 5, 96, 96, 3), 90, np.uint8), 0))
    assert np.shape(read_grid(tmp_path / "strips.png")) == (len(PROPERTY_NAMES), 5, 96, 96, 3)
