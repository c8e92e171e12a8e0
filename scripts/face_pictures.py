"""Pictures for the segmentation: which there are, and how files of any kind become RGB arrays."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from scripts.pipeline import Stage, UserError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

PICTURES = "stylegan/synthesize_results_filtered"
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png"}
# Memory for a batch of pictures stays bounded; photographs of 60 megapixels still pass.
LARGEST_PIXELS = 64_000_000
# The detector enlarges the shorter side, so a thin strip would become huge.
LARGEST_ASPECT = 8
# What Pillow raises on damaged files, beside its own DecompressionBombError.
UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, zlib.error)

Picture: TypeAlias = "np.ndarray | str"
"""uint8 [H, W, 3] RGB, or the reason why there is none."""


def list_pictures(stage: Stage) -> dict[int, str]:
    """Number and workspace-relative path of every kept picture, by number; what the folder holds counts.

    Raises:
        UserError: no picture, a name that is no number, or two pictures of one number.
    """
    found: dict[int, str] = {}
    for path in sorted((stage.workspace / PICTURES).iterdir()):
        if path.suffix.lower() not in PICTURE_SUFFIXES or path.name.startswith("."):
            continue
        relative = stage.relative(path)
        if not (path.stem.isascii() and path.stem.isdecimal()):
            raise UserError(
                f"{relative} is not named by its number, so its row could not be joined with other tables. "
                "Rename it, for example to 000123.jpg, or move it out of the folder."
            )
        if int(path.stem) in found:
            raise UserError(
                f"{found[int(path.stem)]} and {relative} have the same number, so their results would "
                "overwrite each other. Remove one of them."
            )
        found[int(path.stem)] = relative
    if not found:
        raise UserError(
            f"{PICTURES} holds no picture, so there is nothing to segment. Filter again, perhaps with lower "
            f"thresholds:\n    {stage.command('02_filter_candidates', '--force')}"
        )
    return dict(sorted(found.items()))


def read_picture(path: Path) -> Picture:
    """The picture as RGB, turned upright, transparency over white; or the reason why it cannot be read."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as picture:
            width, height = picture.size
            if width * height > LARGEST_PIXELS:
                return f"too large: {width} x {height} pixels, more than {LARGEST_PIXELS / 1e6:g} million"
            if max(width, height) > LARGEST_ASPECT * min(width, height):
                return f"too narrow: {width} x {height} pixels"
            return np.array(to_rgb(picture))
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        reason = "file is missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return f"{reason}: {str(error).replace(str(path), path.name)}"


def to_rgb(picture: "Image.Image") -> "Image.Image":
    """RGB, 8 bits per channel, whatever the file's own kind is; upright, transparency over white."""
    import numpy as np
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip instead of scaling
        grey = (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return picture.convert("RGB")


def decoded_batches(
    stage: Stage, paths: Mapping[int, str], batches: Sequence[Sequence[int]]
) -> Iterator[tuple[Sequence[int], list[Picture]]]:
    """Batches of numbers with their pictures; the next batch is decoded while one is worked on."""

    def decode(batch: Sequence[int]) -> list[Picture]:
        return [read_picture(stage.workspace / paths[img_no]) for img_no in batch]

    with ThreadPoolExecutor(1) as reader:
        ahead: Future | None = None
        for batch, following in zip(batches, [*batches[1:], None], strict=True):
            decoded = ahead.result() if ahead is not None else decode(batch)
            ahead = reader.submit(decode, following) if following is not None else None
            yield batch, decoded
