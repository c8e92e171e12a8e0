"""Pictures inside the page: scaled down, as data URIs; a damaged one becomes a sentence."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from scripts.stages.image_files import ImageFileError, read_image
from scripts.stages.workspace import DIALS, PREVIEWS, STRIPS

FILM_FRAMES = 4
LARGEST_SIDE_PX = 1600
JPEG_QUALITY = 82
KEPT_BYTES = 120_000  # smaller files go in as they are: plots stay sharp
TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


@dataclass(frozen=True)
class Figure:
    """A picture with its caption, or why there is none.

    Attributes:
        caption: below the picture; path: of its file, beside that.
        src, width, height: the picture as a data URI, and its size in pixels; empty if it cannot be read.
        problem: why it cannot.
        is_plot: it is drawn on white, and gets a white frame.
    """

    caption: str
    path: str
    src: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""
    is_plot: bool = False

    @property
    def is_wide(self) -> bool:
        """True if it scrolls in its own box on a narrow screen."""
        return self.width > min(2 * self.height, 1000)


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
    kind, data = TYPES.get(file.suffix.lower()), file.read_bytes()
    if not kind or len(data) > KEPT_BYTES or max(content.size) > LARGEST_SIDE_PX:
        content.thumbnail((LARGEST_SIDE_PX, LARGEST_SIDE_PX), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        content.save(buffer, "JPEG", quality=JPEG_QUALITY)
        kind, data = "image/jpeg", buffer.getvalue()
    src = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return Figure(caption, path, src, *content.size, is_plot=is_plot)


def hero(workspace: Path, best: str | None) -> Figure | None:
    """People with every dial turned, by the best version, or before 09 by the newest one."""
    unseen = f"People that no training saw, by {best}: each dial from low to high, all else the same."
    looks = [(path.format(best), unseen) for path in (DIALS, STRIPS) if best]
    for version in ("v3", "v2", "v1"):
        caption = f"Four people, by {version}: each dial from low to high, all else the same."
        looks.append((f"{PREVIEWS}/{version}.png", caption))
    return next((shown for shown in figures_of(workspace, looks) if not shown.problem), None)


def film(workspace: Path, version: str) -> list[Figure]:
    """Previews of a training, some of them from the first to the last; none if there is but one."""
    what = "people, each dial from low to high" if version != "v3" else "pictures and what v3 makes of them"
    frames = sorted((workspace / PREVIEWS).glob(f"{version}_[0-9]*.png"))
    shown = sorted({round(k * (len(frames) - 1) / (FILM_FRAMES - 1)) for k in range(FILM_FRAMES)})
    looks = []
    for path in (frames[index] for index in shown if len(frames) > 1):
        step = int(path.stem.rpartition("_")[2])
        relative = path.relative_to(workspace).as_posix()
        looks.append((relative, f"The training of {version} after {step} steps: {what}."))
    return figures_of(workspace, looks)
