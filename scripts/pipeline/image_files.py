"""The one reader of pictures: the declared size is checked before anything is decoded."""

from __future__ import annotations

import hashlib
import os
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
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
ANIMATED_FORMATS = {"PNG", "WEBP", "GIF", "AVIF"}
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
ORIENTATION = 0x0112
# What brings a picture of this EXIF orientation upright: members of PIL.Image.Transpose.
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
SAMPLE_FORMAT, UNSIGNED = 339, 1  # a tag of TIFF and its default
WHITES = (255, 65_535, 2**31 - 1, 2**32 - 1)


class ImageFileError(ValueError):
    """A picture cannot be read; the text says why, without naming the file."""


class NoPictureError(ImageFileError):
    """The content is that of no picture, whatever the file is called."""


def read_image(path: Path, sha256: str = "", largest_aspect: float = LARGEST_ASPECT) -> np.ndarray:
    """A picture of any kind as uint8 [H, W, 3] RGB, turned upright, transparency over white.

    Args:
        path: JPEG, PNG, WebP, BMP, TIFF, GIF or AVIF; the content decides, not the name.
        sha256: what the file must have; empty if nobody recorded it.
        largest_aspect: of the longer side to the shorter one; sheets of ours are wider than any photograph.

    Raises:
        ImageFileError: missing, damaged or cut off, HEIC, an animation, larger than `LARGEST_PIXELS`, a
            strip, or not the recorded file.
        NoPictureError: no picture.
    """
    import numpy as np

    return _decode(path, sha256, lambda picture: np.array(_to_rgb(picture)), largest_aspect)


def read_label_map(path: Path, sha256: str = "") -> np.ndarray:
    """The pixels as stored, for grey PNGs class ids uint8 [H, W]. Errors as `read_image`."""
    import numpy as np

    return _decode(path, sha256, np.array)


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
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > LARGEST_BYTES:
                raise ImageFileError(f"too large: more than {LARGEST_BYTES >> 20} MiB")
            if sha256 and hashlib.sha256(file.read()).hexdigest() != sha256:
                raise ImageFileError(
                    "changed: its contents are not those that were recorded when it was made"
                )
            file.seek(0)
            picture = Image.open(file, formats=FORMATS)
            _check(picture, largest_aspect)
            return convert(picture)
    except ImageFileError:
        raise
    except FileNotFoundError:
        raise ImageFileError("file is missing") from None
    except UnidentifiedImageError as error:
        raise _unidentified(path) from error
    except Exception as error:  # what a library raises on damaged files has no end
        raise ImageFileError(f"unreadable: {str(error).replace(str(path), path.name)}") from error


def _unidentified(path: Path) -> ImageFileError:
    """Why Pillow does not know the content."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp" and head[8:] in HEIC_BRANDS:
        return ImageFileError("HEIC is not read; convert it to JPEG")
    return NoPictureError("unreadable: no picture of a known kind")


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
    from PIL import Image

    picture = _upright(picture)
    if picture.mode[0] in "IF":  # more than 8 bits of grey, which Pillow would clip instead of scaling
        return Image.fromarray(_eight_bits(picture)).convert("RGB")
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return picture.convert("RGB")


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its EXIF block says, of which nothing but the orientation is looked at."""
    from PIL import Image

    picture.load()  # a TIFF is turned by this, and forgets its orientation
    try:
        turn = TURNS.get(picture.getexif().get(ORIENTATION))
    except Exception:  # a damaged block says nothing; the pixels are whole
        turn = None
    return picture.transpose(Image.Transpose[turn]) if turn else picture


def _eight_bits(picture: Image.Image) -> np.ndarray:
    """Grey of 16 bits, 32 bits or floats as uint8 [H, W].

    A file does not say which value of 32 bits or of floats is white, so it is the smallest usual one that no
    pixel exceeds; floats from 0 to 1 may do so by half.
    """
    import numpy as np

    values = np.asarray(picture)
    if values.dtype.itemsize == 2:
        return (values >> 8).astype(np.uint8)
    if picture.mode == "I" and getattr(picture, "tag_v2", {}).get(SAMPLE_FORMAT, (UNSIGNED,))[0] == UNSIGNED:
        values = values.view(np.uint32)  # Pillow stores them as signed ones
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    top = values.max()
    white = 1 if top <= 1.5 else next((white for white in WHITES if top <= white), top)
    return np.rint(255 * (values / white).clip(0, 1)).astype(np.uint8)
