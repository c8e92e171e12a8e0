"""Contact sheets and labelled grids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.pipeline import files
from scripts.pipeline.image_files import ImageFileError, picture_text, read_image

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image, ImageFont

BACKGROUND = (255, 255, 255)
INK = (30, 30, 30)
GAP_PX = 2
FONT_SIZE_PX = 12
LABEL_HEIGHT_PX = 16
GRID_TEXT = "Grid"  # the text in a PNG that says where its pictures are
SHEET_ASPECT = 100  # sheets of ours are wider than any photograph


def contact_sheet(
    images: Sequence[np.ndarray] | np.ndarray,
    columns: int,
    labels: Sequence[str] | None = None,
    scale: int = 1,
) -> Image.Image:
    """Pictures side by side, row after row, each with an optional text below.

    Args:
        images: uint8 arrays [H, W, 3] RGB or [H, W] grey, all of one size.
        columns: pictures per row.
        labels: one text per picture.
        scale: whole factor by which pictures are enlarged (nearest neighbour, so that pixels stay visible).

    Returns:
        RGB picture.
    """
    if len(images) == 0:
        raise ValueError("a contact sheet needs at least one image")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"{len(images)} images but {len(labels)} labels")
    row_count = -(-len(images) // columns)
    height, width = images[0].shape[0] * scale, images[0].shape[1] * scale
    step_x = width + GAP_PX
    step_y = height + GAP_PX + (LABEL_HEIGHT_PX if labels is not None else 0)
    sheet = _blank(min(columns, len(images)) * step_x + GAP_PX, row_count * step_y + GAP_PX)
    for index, image in enumerate(images):
        x, y = GAP_PX + (index % columns) * step_x, GAP_PX + (index // columns) * step_y
        sheet.paste(_enlarged(image, scale), (x, y))
        if labels is not None:
            _write(sheet, labels[index], x, y + height, width)
    return sheet


def labelled_grid(
    images: Sequence[Sequence[np.ndarray]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    scale: int = 1,
    title: str = "",
) -> Image.Image:
    """A table of pictures with a text before each row and above each column.

    Args:
        images: rows of uint8 arrays [H, W, 3] RGB or [H, W] grey, all of one size; rows of one length.
        row_labels: one text per row.
        column_labels: one text per column.
        scale: whole factor by which pictures are enlarged.
        title: text above the whole.

    Returns:
        RGB picture; as PNG it says where its pictures are, for `read_grid`.
    """
    if len(images) != len(row_labels) or any(len(row) != len(column_labels) for row in images):
        raise ValueError("the grid's rows and columns need one label each")
    height, width = images[0][0].shape[0] * scale, images[0][0].shape[1] * scale
    left = GAP_PX + max(int(_font().getlength(text)) for text in row_labels) + 2 * GAP_PX
    top = LABEL_HEIGHT_PX * (2 if title else 1)
    grid = _blank(left + len(column_labels) * (width + GAP_PX), top + len(images) * (height + GAP_PX))
    if title:
        _write(grid, title, GAP_PX, 0, grid.width)
    for column, text in enumerate(column_labels):
        _write(grid, text, left + column * (width + GAP_PX), top - LABEL_HEIGHT_PX, width)
    for row, text in enumerate(row_labels):
        y = top + row * (height + GAP_PX)
        _write(grid, text, GAP_PX, y + (height - LABEL_HEIGHT_PX) // 2, left)
        for column, image in enumerate(images[row]):
            grid.paste(_enlarged(image, scale), (left + column * (width + GAP_PX), y))
    step = {"step_x": width + GAP_PX, "step_y": height + GAP_PX}
    cells = {"left": left, "top": top, "width": width, "height": height, **step}
    grid.info[GRID_TEXT] = json.dumps({**cells, "rows": len(images), "columns": len(column_labels)})
    return grid


def read_grid(path: Path) -> list[list[np.ndarray]]:
    """The pictures of a stored `labelled_grid`, row after row, uint8 [H, W, 3] each.

    Raises:
        ImageFileError: it cannot be read, or does not say where its pictures are.
    """
    grid, text = read_image(path, largest_aspect=SHEET_ASPECT), picture_text(path, GRID_TEXT, SHEET_ASPECT)
    if not text:
        raise ImageFileError("it does not say where its pictures are, as sheets of today do")
    cell = files.parse_json(text)
    xs = [cell["left"] + column * cell["step_x"] for column in range(cell["columns"])]
    ys = [cell["top"] + row * cell["step_y"] for row in range(cell["rows"])]
    return [[grid[y : y + cell["height"], x : x + cell["width"]] for x in xs] for y in ys]


def _blank(width: int, height: int) -> Image.Image:
    from PIL import Image

    return Image.new("RGB", (width, height), BACKGROUND)


def _enlarged(image: np.ndarray, scale: int) -> Image.Image:
    from PIL import Image

    picture = Image.fromarray(image).convert("RGB")
    if scale == 1:
        return picture
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(FONT_SIZE_PX)


def _write(picture: Image.Image, text: str, x: int, y: int, width: int) -> None:
    """Write one line of text, cut to the width."""
    from PIL import ImageDraw

    font = _font()
    while text and font.getlength(text) > width:
        text = text[:-1]
    ImageDraw.Draw(picture).text((x + 1, y + 1), text, fill=INK, font=font)
