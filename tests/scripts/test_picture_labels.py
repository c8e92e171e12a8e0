"""Labels of pictures are whole: no letter is cut off, and none runs into the next column."""

import numpy as np
import pytest
import torch
from PIL import Image

from scripts.stages.evaluating.drawings import dials, editing_sheet, strips
from scripts.stages.fine_tuning import control
from scripts.stages.sheets import BACKGROUND, contact_sheet, labelled_grid
from segmentation.normalization import fit

LONGEST = "background_mean 95%"


def grey(size: int, value: int = 90) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def headers_of(grid: Image.Image) -> list[np.ndarray]:
    """Pixels above each column of grey pictures."""
    pixels = np.asarray(grid)
    is_grey = (pixels == 90).all(axis=-1)
    top = np.flatnonzero(is_grey.any(axis=1))[0]
    starts = np.flatnonzero(np.diff(is_grey[top].astype(int), prepend=0) == 1)
    ends = [*starts[1:], pixels.shape[1]]
    return [pixels[:top, start:end] for start, end in zip(starts, ends, strict=True)]


@pytest.mark.parametrize("size", [16, 96])
def test_labels_of_a_grid_are_whole_and_in_their_column(size: int) -> None:
    def grid(label: str, side: str = "seed 0", title: str = "") -> Image.Image:
        return labelled_grid([[grey(size)] * 3] * 4, [side] * 4, ["", label, ""], title=title)

    usual = grid(LONGEST)
    assert [bool((header != BACKGROUND).any()) for header in headers_of(usual)] == [False, True, False]
    for other in (
        grid(LONGEST + "x"),
        grid(LONGEST, side="seed 0x"),
        grid(LONGEST, title="title of some words " * 3),
    ):
        assert other != usual
        assert (np.asarray(other) == 90).all(axis=-1).sum() >= 12 * size**2, "no picture is covered"


def test_labels_of_a_contact_sheet_are_whole() -> None:
    def sheet(*labels: str) -> Image.Image:
        return contact_sheet([grey(16)] * 2, 2, labels)

    assert sheet("seed", LONGEST) != sheet("seed", LONGEST + "x")
    apart = np.asarray(sheet(LONGEST, ""))
    second = np.flatnonzero((apart == 90).all(axis=-1).any(axis=0))[16]
    has_ink = (apart[18:] != BACKGROUND).any(axis=(0, 2))
    assert has_ink[:second].any() and not has_ink[second:].any()


def test_every_dial_has_a_name_of_its_own() -> None:
    rng = np.random.default_rng(0)
    statistics = fit(rng.normal(size=(9, 7)), np.ones((9, 7), bool))
    preview = control.preview_grid(
        lambda z, properties: torch.full((len(z), 3, 16, 16), 90 / 127.5 - 1), statistics, torch.zeros(1, 4)
    )
    faces, turned = np.stack([grey(96)]), np.broadcast_to(grey(96), (2, 7, 5, 96, 96, 3))
    sheets = (
        (preview, 21),
        (editing_sheet(faces, faces, turned[:1]), 16),
        (strips(turned, 0), 10),
        (dials(turned[0]), 5),
    )
    for grid, count in sheets:
        names = {header.tobytes() for header in headers_of(grid)}
        assert len(names) == count
