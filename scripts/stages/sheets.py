"""Contact sheets and labelled grids. Labels are never cut: they are wrapped, or make their column wider."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

BACKGROUND = (255, 255, 255)
INK = (30, 30, 30)
GAP_PX = 2
FONT_SIZE_PX = 12
CHARACTER_PX = 7  # width of an average letter


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
    pictures = [_enlarged(image, scale) for image in images]
    texts = [_text(label, pictures[0].width) for label in labels or [""] * len(images)]
    step_x = max(picture.width for picture in (*pictures, *texts)) + GAP_PX
    step_y = pictures[0].height + max(text.height for text in texts) + GAP_PX
    row_count = math.ceil(len(images) / columns)
    sheet = _blank(min(columns, len(images)) * step_x + GAP_PX, row_count * step_y + GAP_PX)
    for index, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
        x, y = GAP_PX + index % columns * step_x, GAP_PX + index // columns * step_y
        sheet.paste(picture, (x, y))
        sheet.paste(text, (x, y + picture.height))
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
        RGB picture.
    """
    if len(images) != len(row_labels) or any(len(row) != len(column_labels) for row in images):
        raise ValueError("the grid's rows and columns need one label each")
    rows = [[_enlarged(image, scale) for image in row] for row in images]
    width, height = rows[0][0].size
    sides = [_text(label) for label in row_labels]
    headers = [_text(label, width) for label in column_labels]
    step_x = max(width, *(header.width for header in headers)) + GAP_PX
    step_y = max(height, *(side.height for side in sides)) + GAP_PX
    left = max(side.width for side in sides) + 2 * GAP_PX
    heading = _text(title, left + len(headers) * step_x)
    top = heading.height + max(header.height for header in headers)
    grid = _blank(max(heading.width, left + len(headers) * step_x), top + len(rows) * step_y)
    grid.paste(heading, (0, 0))
    for column, header in enumerate(headers):
        grid.paste(header, (left + column * step_x, top - header.height))
    for row, side in enumerate(sides):
        y = top + row * step_y
        grid.paste(side, (0, y + (height - side.height) // 2))
        for column, picture in enumerate(rows[row]):
            grid.paste(picture, (left + column * step_x, y))
    return grid


def _blank(width: int, height: int) -> Image.Image:
    from PIL import Image

    return Image.new("RGB", (width, height), BACKGROUND)


def _enlarged(image: np.ndarray, scale: int) -> Image.Image:
    from PIL import Image

    picture = Image.fromarray(image).convert("RGB")
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def _text(text: str, width: int | None = None) -> Image.Image:
    """A text as a picture, wrapped between words to about ``width`` pixels; wider if a word is."""
    from PIL import ImageDraw, ImageFont

    if width is not None:
        text = textwrap.fill(text, max(1, width // CHARACTER_PX), break_long_words=False)
    font = ImageFont.load_default(FONT_SIZE_PX)
    *_, right, bottom = ImageDraw.Draw(_blank(1, 1)).multiline_textbbox((1, 1), text, font=font)
    picture = _blank(math.ceil(right) + 2, math.ceil(bottom) + 3 if text else 0)
    ImageDraw.Draw(picture).multiline_text((1, 1), text, INK, font=font)
    return picture
