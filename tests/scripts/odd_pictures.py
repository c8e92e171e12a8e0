"""Pictures as cameras and programs leave them."""

import io
import struct

from PIL import Image


def with_odd_exif(picture: Image.Image) -> bytes:
    """JPEG to be shown turned clockwise by 90 degrees, with a tag that Pillow cannot write again."""
    entries = [(0x0102, 7, 8, struct.pack("<I", 38)), (0x0112, 3, 1, struct.pack("<HH", 6, 0))]
    body = b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    block = b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4) + bytes(8)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, exif=b"Exif\0\0" + block)
    return buffer.getvalue()
