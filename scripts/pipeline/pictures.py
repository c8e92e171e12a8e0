"""Contact sheets and labelled grids. Labels are never cut: they are wrapped between words, or turned."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
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
    """Pictures side by side, row after row, each with an optional text below, as wide as its longest word.

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
    texts = [_wrapped(label, width) for label in labels or ()]
    step_x = max(width, _widest(line for lines in texts for line in lines)) + GAP_PX
    step_y = height + GAP_PX + LABEL_HEIGHT_PX * max(map(len, texts), default=0)
    sheet = _blank(min(columns, len(images)) * step_x + GAP_PX, row_count * step_y + GAP_PX)
    for index, image in enumerate(images):
        x, y = GAP_PX + (index % columns) * step_x, GAP_PX + (index // columns) * step_y
        sheet.paste(_enlarged(image, scale), (x, y))
        if labels is not None:
            _write(sheet, texts[index], x, y + height)
    return sheet


def labelled_grid(
    images: Sequence[Sequence[np.ndarray]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    scale: int = 1,
    title: str = "",
) -> Image.Image:
    """A table of pictures with a text before each row and above each column, wrapped or turned to fit.

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
    left = GAP_PX + _widest(row_labels) + 2 * GAP_PX
    whole_width = left + len(column_labels) * (width + GAP_PX)
    title_lines = _wrapped(title, whole_width) if title else []
    header, is_turned = _header(column_labels, width)
    top = LABEL_HEIGHT_PX * len(title_lines) + header
    grid = _blank(whole_width, top + len(images) * (height + GAP_PX))
    _write(grid, title_lines, GAP_PX, 0)
    for column, text in enumerate(column_labels):
        x = left + column * (width + GAP_PX)
        if is_turned:
            turned = _blank(header, LABEL_HEIGHT_PX)
            _write(turned, [text], 0, 0)
            grid.paste(turned.rotate(90, expand=True), (x + (width - LABEL_HEIGHT_PX) // 2, top - header))
        else:
            lines = _wrapped(text, width)
            _write(grid, lines, x, top - LABEL_HEIGHT_PX * len(lines))
    for row, text in enumerate(row_labels):
        y = top + row * (height + GAP_PX)
        _write(grid, [text], GAP_PX, y + (height - LABEL_HEIGHT_PX) // 2)
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


def _widest(texts: Iterable[str]) -> int:
    """Pixels of the widest of these texts, with one to the left and one to the right."""
    return 2 + max((math.ceil(_font().getlength(text)) for text in texts), default=0)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of whole words, at most as wide as `width` pixels; a word that is wider has a line of its own.

    Words end with a space or an underscore.
    """
    lines = [""]
    for word in re.findall(r"[^ _]*[ _]|[^ _]+", text):
        if lines[-1] and _widest([(lines[-1] + word).rstrip()]) > width:
            lines.append("")
        lines[-1] += word
    return [line.rstrip() for line in lines]


def _header(labels: Sequence[str], width: int) -> tuple[int, bool]:
    """Height of the column labels in pixels, and whether they are turned: a word is wider than a column."""
    texts = [_wrapped(label, width) for label in labels]
    is_turned = _widest(line for lines in texts for line in lines) > width and any(labels)
    line_count = -(-_widest(labels) // LABEL_HEIGHT_PX) if is_turned else max(map(len, texts))
    return LABEL_HEIGHT_PX * line_count, is_turned


def _write(picture: Image.Image, lines: Sequence[str], x: int, y: int) -> None:
    """Write lines of text, one below the other."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(picture)
    for row, line in enumerate(lines):
        draw.text((x + 1, y + row * LABEL_HEIGHT_PX + 1), line, fill=INK, font=_font())
