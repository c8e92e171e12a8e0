"""Pictures inside the page: scaled down, as data URIs; a damaged one becomes a sentence."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scripts.pipeline.image_files import ImageFileError, read_image
from scripts.pipeline.pictures import GAP_PX, labelled_grid, read_grid
from scripts.stages.evaluating.drawings import LEVEL_NAMES
from scripts.stages.workspace import PREVIEWS, STRIPS
from segmentation.property_table import PROPERTIES, PROPERTY_NAMES, Property

LEVELS, PREVIEW_LEVELS = len(LEVEL_NAMES), 3  # pictures of each dial
FRAMES = 6  # of a filmstrip
LARGEST_SIDE_PX = 1600
SMALL_PX = 96  # side of a picture in the strips of all people
JPEG_QUALITY = 82
KEPT_BYTES = 120_000  # smaller files go in as they are: plots stay sharp
TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@dataclass(frozen=True)
class Picture:
    """An ``<img>``: its address, size in pixels, and what it shows."""

    src: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Figure:
    """A picture with its caption, or why there is none.

    Attributes:
        caption: below the picture; path: of its file, beside that.
        picture: None if it cannot be read; problem: why.
        is_plot: it is drawn on white, and gets a white frame.
        is_wide: it scrolls in its own box on a narrow screen.
    """

    caption: str
    path: str = ""
    picture: Picture | None = None
    problem: str = ""
    is_plot: bool = False
    is_wide: bool = False


@dataclass(frozen=True)
class Strip:
    """One dial: the property, and for each person a row of pictures as it is turned from low to high."""

    prop: Property
    people: tuple[Picture, ...]


def figures_of(workspace: Path, looks: Sequence[Sequence[Any]]) -> list[Figure]:
    """The figures of those picture files that exist.

    Args:
        workspace: of the run.
        looks: path and caption of each, and True for a plot.
    """
    return [_figure(workspace, *look) for look in looks if (workspace / look[0]).is_file()]


def _figure(workspace: Path, path: str, caption: str, is_plot: bool = False) -> Figure:
    file = workspace / path
    try:
        content = Image.fromarray(read_image(file))
    except ImageFileError as error:
        return Figure(caption, path, problem=f"{file.name} cannot be read ({error})")
    kind = TYPES.get(file.suffix.lower())
    if kind and file.stat().st_size <= KEPT_BYTES and max(content.size) <= LARGEST_SIDE_PX:
        picture = Picture(_uri(file.read_bytes(), kind), *content.size, caption)
    else:
        picture = _embedded(content, caption)
    is_wide = content.width > 2 * content.height or content.width > 700
    return Figure(caption, path, picture, is_plot=is_plot, is_wide=is_wide)


def hero(workspace: Path, best: str | None) -> tuple[str, list[Strip], bool]:
    """One person with every dial turned, by the best version, or before 09 by the newest one.

    Returns:
        caption, the dials (none: there is no such version), and whether they are a preview's few pictures.
    """
    sheets = [(f"{PREVIEWS}/{version}.png", version, PREVIEW_LEVELS) for version in ("v3", "v2", "v1")]
    for path, version, levels in [(STRIPS.format(best), best, LEVELS)] * bool(best) + sheets:
        is_preview = levels == PREVIEW_LEVELS
        try:
            grid = read_grid(workspace / path)
        except ValueError:
            continue
        who = "One person" if is_preview else "One person that no training saw"
        caption = f"{who}, by {version}: each dial from low to high, all else the same."
        # A row of a preview is a person with all dials one after the other; of 09, a dial of all people.
        cells = [grid[0][n * levels :] if is_preview else grid[n] for n in range(len(PROPERTIES))]
        strips = []
        for prop, row in zip(PROPERTIES, cells, strict=True):
            alt = f"One person by {version}, {prop.meaning}: {prop.low} to {prop.high} in {levels} steps"
            strips.append(Strip(prop, (_embedded(_row_of(row[:levels]), alt),)))
        return caption, strips, is_preview
    return "", [], True


def all_strips(workspace: Path, version: str) -> list[Strip]:
    """All people of the sheet of 09, dial by dial; empty if it cannot be taken apart."""
    try:
        grid = read_grid(workspace / STRIPS.format(version))
    except ValueError:
        return []
    strips = []
    for prop, row in zip(PROPERTIES, grid, strict=True):
        small = [np.asarray(Image.fromarray(cell).resize((SMALL_PX, SMALL_PX))) for cell in row]
        people = [_row_of(small[start : start + LEVELS]) for start in range(0, len(row), LEVELS)]
        alt = f"Person {{}} by {version}: {prop.name} at {', '.join(LEVEL_NAMES)}"
        strips.append(Strip(prop, tuple(_embedded(one, alt.format(n)) for n, one in enumerate(people))))
    return strips


def filmstrip(workspace: Path, version: str) -> Figure | None:
    """What the previews of a training show, some of them from the first to the last; None without two."""
    what = "one person, each dial low and high" if version != "v3" else "pictures and what v3 makes of them"
    caption = f"As the training of {version} went on: {what}."
    steps = sorted(
        (int(path.stem.rpartition("_")[2]), path)
        for path in (workspace / PREVIEWS).glob(f"{version}_[0-9]*.png")
        if path.stem.rpartition("_")[2].isdigit()
    )
    if len(steps) < 2:
        return None
    rows, columns = {}, [f"{name} {end}" for name in PROPERTY_NAMES for end in ("-", "+")]
    for index in sorted({round(k * (len(steps) - 1) / (FRAMES - 1)) for k in range(FRAMES)}):
        step, path = steps[index]
        try:
            grid = read_grid(path)
        except ValueError as error:
            problem = f"There is no filmstrip of {version}: {path.name} cannot be read ({error})"
            return Figure(caption, problem=problem)
        if version == "v3":
            rows.setdefault("given", grid[0])
            rows[f"step {step}"], columns = grid[1], [""] * len(grid[1])
        else:
            rows[f"step {step}"] = [cell for n, cell in enumerate(grid[0]) if n % PREVIEW_LEVELS != 1]
    film = labelled_grid(list(rows.values()), list(rows), columns)
    return Figure(caption, picture=_embedded(film, caption), is_wide=True)


def _embedded(content: Image.Image, alt: str) -> Picture:
    """A picture as JPEG, not larger than is sensible in a page."""
    content.thumbnail((LARGEST_SIDE_PX, LARGEST_SIDE_PX), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    content.save(data, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
    return Picture(_uri(data.getvalue(), "image/jpeg"), *content.size, alt)


def _row_of(cells: Sequence[np.ndarray]) -> Image.Image:
    """Pictures of one size side by side."""
    height, width = cells[0].shape[:2]
    step = width + GAP_PX
    row = np.full((height, len(cells) * step - GAP_PX, 3), 127, np.uint8)
    for index, cell in enumerate(cells):
        row[:, index * step : index * step + width] = cell
    return Image.fromarray(row)


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
