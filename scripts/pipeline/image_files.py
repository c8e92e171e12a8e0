"""The one reader of pictures: the declared size is checked before anything is decoded."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

# Photographs of 60 megapixels still pass; as RGB this is 192 MB.
LARGEST_PIXELS = 64_000_000
LARGEST_BYTES = 1 << 28
# The detector enlarges the shorter side, so a thin strip would become huge.
LARGEST_ASPECT = 8
# Pillow knows many more; some start other programs, such as Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
ANIMATED_FORMATS = {"PNG", "WEBP"}
# What Pillow raises on damaged files, beside its own DecompressionBombError.
DAMAGED = (OSError, EOFError, SyntaxError, ValueError, LookupError, TypeError, OverflowError, MemoryError)


class ImageFileError(ValueError):
    """A picture cannot be read; the text says why, without naming the file."""


def read_image(path: Path, sha256: str = "", largest_aspect: float = LARGEST_ASPECT) -> np.ndarray:
    """A picture of any kind as uint8 [H, W, 3] RGB, turned upright, transparency over white.

    Args:
        path: JPEG, PNG, WebP, BMP or TIFF.
        sha256: what the file must have; empty if nobody recorded it.
        largest_aspect: of the longer side to the shorter one; sheets of ours are wider than any photograph.

    Raises:
        ImageFileError: missing, damaged or cut off, no picture, an animation, larger than `LARGEST_PIXELS`,
            a strip, or not the recorded file.
    """
    import numpy as np

    return _decode(path, sha256, lambda picture: np.array(_to_rgb(picture)), largest_aspect)


def read_label_map(path: Path, sha256: str = "") -> np.ndarray:
    """The pixels as stored, for grey PNGs class ids uint8 [H, W]. Errors as `read_image`."""
    import numpy as np

    return _decode(path, sha256, np.array)


def picture_text(path: Path, key: str, largest_aspect: float = LARGEST_ASPECT) -> str:
    """A text that a PNG carries; empty if it has none of this name. Errors as `read_image`."""
    return _decode(path, "", lambda picture: str(picture.info.get(key, "")), largest_aspect)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header alone. Errors as `read_image`."""
    return _decode(path, "", lambda picture: picture.size)


def _decode(
    path: Path,
    sha256: str,
    convert: Callable[[Image.Image], Any],
    largest_aspect: float = LARGEST_ASPECT,
) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ImageFileError(f"too large: more than {LARGEST_BYTES >> 20} MiB")
        content = path.read_bytes()
        if sha256 and hashlib.sha256(content).hexdigest() != sha256:
            raise ImageFileError("changed: its contents are not those that were recorded when it was made")
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
        _check(picture, largest_aspect)
        return convert(picture)
    except ImageFileError:
        raise
    except FileNotFoundError:
        raise ImageFileError("file is missing") from None
    except (*DAMAGED, zlib.error, Image.DecompressionBombError) as error:
        text = "no picture of a known kind" if isinstance(error, UnidentifiedImageError) else str(error)
        raise ImageFileError(f"unreadable: {text.replace(str(path), path.name)}") from error


def _check(picture: Image.Image, largest_aspect: float) -> None:
    """Refuse by what the header declares."""
    width, height = picture.size
    if width * height > LARGEST_PIXELS:
        raise ImageFileError(
            f"too large: {width} x {height} pixels, more than {LARGEST_PIXELS / 1e6:g} million"
        )
    if max(width, height) > largest_aspect * min(width, height):
        raise ImageFileError(f"too narrow: {width} x {height} pixels")
    if picture.format in ANIMATED_FORMATS and getattr(picture, "n_frames", 1) > 1:
        raise ImageFileError(f"an animation of {picture.n_frames} pictures, not one picture")


def _to_rgb(picture: Image.Image) -> Image.Image:
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
