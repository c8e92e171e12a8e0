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
# Pillow knows many more; some start other programs, such as Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
ANIMATED_FORMATS = {"PNG", "WEBP", "GIF", "AVIF"}
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
ORIENTATION = 0x0112
# Members of PIL.Image.Transpose that bring a picture of this EXIF orientation upright.
# ImageOps.exif_transpose also writes the other EXIF entries anew, and fails on some that cameras leave.
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
WHITES = (1.5, 255, 65_535)  # floats from 0 to 1 may exceed 1 by half


class ImageFileError(ValueError):
    """A picture cannot be read; the text says why, without naming the file."""


class NoPictureError(ImageFileError):
    """The content is that of no picture, whatever the file is called."""


def read_image(path: Path, sha256: str = "") -> np.ndarray:
    """A picture of any kind as uint8 [H, W, 3] RGB, turned upright, transparency over white.

    Args:
        path: JPEG, PNG, WebP, BMP, TIFF, GIF or AVIF; the content decides, not the name.
        sha256: what the file must have; empty if nobody recorded it.

    Raises:
        ImageFileError: missing, damaged or cut off, HEIC, an animation, larger than `LARGEST_PIXELS`, or not
            the recorded file.
        NoPictureError: no picture.
    """
    import numpy as np

    return _decode(path, sha256, lambda picture: np.array(_to_rgb(picture)))


def read_label_map(path: Path, sha256: str = "") -> np.ndarray:
    """The pixels as stored, for grey PNGs class ids uint8 [H, W]. Errors as `read_image`."""
    import numpy as np

    return _decode(path, sha256, np.array)


def read_notes(path: Path) -> dict[str, str]:
    """The texts inside a picture, by name. Errors as `read_image`."""
    return _decode(path, "", lambda picture: {k: v for k, v in picture.info.items() if isinstance(v, str)})


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header alone. Errors as `read_image`."""
    return _decode(path, "", lambda picture: picture.size)


def _decode(path: Path, sha256: str, convert: Callable[[Image.Image], Any]) -> Any:
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
            if file.read(12)[4:] in {b"ftyp" + brand for brand in HEIC_BRANDS}:
                raise ImageFileError("HEIC is not read; convert it to JPEG")
            file.seek(0)
            picture = Image.open(file, formats=FORMATS)
            _check(picture)
            return convert(picture)
    except ImageFileError:
        raise
    except FileNotFoundError:
        raise ImageFileError("file is missing") from None
    except UnidentifiedImageError as error:
        raise NoPictureError("unreadable: no picture of a known kind") from error
    except Exception as error:  # Pillow raises errors of many kinds on damaged files
        raise ImageFileError(f"unreadable: {str(error).replace(str(path), path.name)}") from error


def _check(picture: Image.Image) -> None:
    """Refuse by what the header declares."""
    width, height = picture.size
    if width * height > LARGEST_PIXELS:
        raise ImageFileError(
            f"too large: {width} x {height} pixels, more than {LARGEST_PIXELS / 1e6:g} million"
        )
    count = getattr(picture, "n_frames", 1)
    if picture.format in ANIMATED_FORMATS and count > 1:
        raise ImageFileError(f"an animation of {count} pictures, not one picture")


def _to_rgb(picture: Image.Image) -> Image.Image:
    """RGB, 8 bits per channel, whatever the file's own kind is; upright, transparency over white."""
    from PIL import Image

    picture.load()  # this turns a TIFF, and forgets its orientation
    try:
        turn = TURNS.get(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # a damaged EXIF block says nothing; the pixels are whole
        turn = None
    if turn:
        picture = picture.transpose(Image.Transpose[turn])
    if picture.mode[0] in "IF":
        return Image.fromarray(_eight_bits(picture)).convert("RGB")
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> np.ndarray:
    """Grey of 16 bits, 32 bits or floats as uint8 [H, W]; Pillow would clip it instead of scaling.

    A file does not say which value of 32 bits or of floats is white, so it is the smallest usual one that no
    pixel exceeds.
    """
    import numpy as np

    values = np.nan_to_num(np.asarray(picture).astype(np.float64), posinf=0, neginf=0)
    top = WHITES[-1] if picture.mode.startswith("I;16") else values.max()
    white = int(next((white for white in WHITES if top <= white), top))
    return np.rint(255 * (values / white).clip(0, 1)).astype(np.uint8)
