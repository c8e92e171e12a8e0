"""Pictures inside the page: scaled down, as data URIs, each with a caption; a damaged one becomes a note."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.pages.report.html import Html, element, figure, note, scroll_box
from scripts.pipeline.image_files import ImageFileError, read_image

if TYPE_CHECKING:
    from PIL import Image

LARGEST_SIDE_PX = 1600
SHEET_ASPECT = 100
JPEG_QUALITY = 82
KEPT_BYTES = 120_000  # smaller files go in as they are: plots stay sharp
TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


class UnreadablePictureError(ValueError):
    """A file that should be a picture is not one, or is not what its name says."""


def read_picture(path: Path) -> Image.Image:
    """An RGB picture.

    Raises:
        UnreadablePictureError: it cannot be read.
    """
    from PIL import Image

    try:
        return Image.fromarray(read_image(path, largest_aspect=SHEET_ASPECT))
    except (OSError, ImageFileError) as error:
        raise UnreadablePictureError(f"{path.name} cannot be read ({error})") from error


def data_uri(picture: Image.Image) -> str:
    """A picture as JPEG in a ``data:`` address."""
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
    return _uri(data.getvalue(), "image/jpeg")


def image(picture: Image.Image, alt: str) -> Html:
    """An ``<img>`` of a picture, not larger than is sensible in a page."""
    from PIL import Image

    shown = picture
    if max(picture.size) > LARGEST_SIDE_PX:
        shown = picture.copy()
        shown.thumbnail((LARGEST_SIDE_PX, LARGEST_SIDE_PX), Image.Resampling.LANCZOS)
    return _img(data_uri(shown), shown.size, alt)


def row_of(pictures: Sequence[Image.Image], gap_px: int = 2) -> Image.Image:
    """Pictures of one size side by side."""
    from PIL import Image

    width, height = pictures[0].size
    row = Image.new("RGB", (len(pictures) * (width + gap_px) - gap_px, height), (127, 127, 127))
    for index, picture in enumerate(pictures):
        row.paste(picture, (index * (width + gap_px), 0))
    return row


def picture_figure(path: Path, caption: object, alt: str, is_plot: bool = False) -> Html:
    """A figure of a picture file. Wide sheets scroll in their own box on a narrow screen.

    Args:
        path: the file.
        caption: below the picture.
        alt: what it shows.
        is_plot: it is drawn on white, and gets a white frame.
    """
    try:
        picture = read_picture(path)
    except UnreadablePictureError as error:
        return note(f"{error}.")
    kind = TYPES.get(path.suffix.lower())
    if kind and path.stat().st_size <= KEPT_BYTES and max(picture.size) <= LARGEST_SIDE_PX:
        img = _img(_uri(path.read_bytes(), kind), picture.size, alt)
    else:
        img = image(picture, alt)
    box = scroll_box(img, alt) if picture.width > 2 * picture.height or picture.width > 700 else img
    return figure(box, caption, class_="plot" if is_plot else "sheet")


def _img(source: str, size: tuple[int, int], alt: str) -> Html:
    return element("img", src=source, width=size[0], height=size[1], alt=alt)


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
