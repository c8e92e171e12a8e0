"""Damages files: at random places, or so that they are hostile to whoever reads them."""

from __future__ import annotations

import io
import json
import pickle
import random
import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

BOMB_BYTES = 3 << 30
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
EXECUTED = "executed"  # the file that hostile pickles try to make


class _Attack:
    """Makes a file when it is unpickled by a reader that runs code."""

    def __reduce__(self) -> tuple:
        return Path(EXECUTED).touch, ()


def cut(content: bytes, rng: random.Random) -> bytes:
    """End at a random place."""
    return content[: rng.randrange(1, max(2, len(content)))]


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG of any size, without its pixels."""
    return PNG_MAGIC + chunk(b"IHDR", struct.pack(">2L5B", width, height, 8, 2, 0, 0, 0))


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def huge_png() -> bytes:
    """50,000 x 50,000 pixels, packed well."""
    row = zlib.compress(bytes(1 << 20), 9)
    return png_header(50_000, 50_000) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


def huge_jpeg() -> bytes:
    """A small picture that says it has 50,000 x 50,000 pixels."""
    content = bytearray(saved("JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">2H", 50_000, 50_000)
    return bytes(content)


def text_bomb_png() -> bytes:
    """A small PNG with a text of 20 MB, packed."""
    packed = b"note\0\0" + zlib.compress(bytes(20 << 20), 9)
    whole = saved("PNG")
    return whole[:33] + chunk(b"zTXt", packed) + whole[33:]


def animated_png() -> bytes:
    """Two pictures in one file."""
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def saved(kind: str, mode: str = "RGB", size: int = 64, **options: object) -> bytes:
    """A plain picture of some kind."""
    buffer = io.BytesIO()
    Image.new(mode, (size, size)).save(buffer, kind, **options)
    return buffer.getvalue()


def postscript() -> bytes:
    """A program for Ghostscript under the name of a picture."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(executed) (w) file closefile\nshowpage\n"


def zip_archive(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive in memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def declaring(archive: bytes, size: int) -> bytes:
    """The same archive, whose directory says that its last entry has another size."""
    content = bytearray(archive)
    struct.pack_into("<L", content, content.rindex(b"PK\1\2") + 24, size)
    return bytes(content)


def npy_header(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    """The beginning of a numpy file."""
    buffer = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def object_array() -> bytes:
    """A numpy array that is a pickle which runs code."""
    return npy_header((1,), "|O") + pickle.dumps(np.array([_Attack()], object).tolist())


@cache
def hostile_arrays() -> dict[str, bytes]:
    """Archives of arrays that no reader should open."""
    names = ("images", "truth", "values")
    return {
        "array of objects": zip_archive({f"{name}.npy": object_array() for name in names}),
        "packed to a thousandth": declaring(
            zip_archive({f"{name}.npy": bytes(1 << 20) for name in names}, zipfile.ZIP_DEFLATED), BOMB_BYTES
        ),
        "array of more than the memory": zip_archive(
            {f"{name}.npy": npy_header((1 << 42,)) for name in names}
        ),
    }


@cache
def hostile_pictures() -> dict[str, bytes]:
    """Pictures that no reader should decode, by what is wrong with them."""
    return {
        "PNG of 50,000 x 50,000": huge_png(),
        "JPEG of 50,000 x 50,000": huge_jpeg(),
        "PNG with a packed text of 20 MB": text_bomb_png(),
        "animation": animated_png(),
        "PostScript": postscript(),
        "strip": png_header(1, 60_000_000),
    }


@cache
def hostile_torch_files() -> dict[str, bytes]:
    """Torch files that run code, or whose entries are not what torch writes."""
    hollow = {"archive/data.pkl": pickle.dumps({}, 2), "archive/version": b"3\n"}
    return {
        "pickle that runs code": pickle.dumps(_Attack(), 2),
        "archive that runs code": zip_archive({**hollow, "archive/data.pkl": pickle.dumps(_Attack(), 2)}),
        "packed archive": zip_archive({**hollow, "archive/data/0": bytes(1 << 20)}, zipfile.ZIP_DEFLATED),
        "archive of 40,000 long names": zip_archive({f"archive/{n:0250}": b"" for n in range(40_000)}),
        "way out of the archive": zip_archive({"../../etc/passwd": b"x", **hollow}),
        "list": zip_archive({**hollow, "archive/data.pkl": pickle.dumps([1], 2)}),
    }


@cache
def hostile_safetensors() -> dict[str, bytes]:
    """Safetensors with impossible headers."""

    def file(header: dict, data: bytes = bytes(8)) -> bytes:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data

    def entry(start: int, end: int, shape: list[int], kind: str = "F32") -> dict:
        return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}

    return {
        "huge header": struct.pack("<Q", 1 << 40) + b"{}",
        "header of 90 MB": struct.pack("<Q", 90 << 20) + b" " * 1000,
        "overlapping": file({"w": entry(0, 8, [2]), "z": entry(0, 8, [2])}),
        "outside the file": file({"w": entry(0, 1 << 30, [1 << 28])}),
        "negative": file({"w": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}),
        "shape of more than the memory": file({"w": entry(0, 8, [1 << 40])}),
        "not finite": file({"w": entry(0, 8, [1, 2])}, struct.pack("<2f", float("nan"), 1)),
        "metadata of brackets": file({"__metadata__": {"metadata": "[" * 100_000}, "w": entry(0, 8, [1, 2])}),
    }


@cache
def hostile_json() -> dict[str, bytes]:
    """JSON that is none, or not what it should be."""
    return {
        "list": b"[1, 2]",
        "brackets": b"[" * 200_000,
        "not finite": b'{"count": NaN, "seed": 1e999, "weights_id": "x"}',
        "long number": b'{"seed": ' + b"9" * 10_000 + b"}",
        "wrong kinds": b'{"weights_id": [], "seed": {}, "count": "x", "made_by": 3, "state": 5, "files": []}',
    }


@cache
def hostile_tables(table: bytes) -> dict[str, bytes]:
    """Variants of a CSV that lead elsewhere, or are no table."""
    cells = table.splitlines()[1].split(b",")
    path = next((cell for cell in cells if b"/" in cell), cells[0])
    return {
        "way up": table.replace(path, b"../../../../etc/passwd", 1),
        "absolute path": table.replace(path, b"/etc/passwd", 1),
        "NUL bytes": table[:40] + b"\0" * 8 + table[40:],
        "another encoding": table.replace(b"\n", b"\xe4\xff\n", 2),
        "UTF-16": table.decode().encode("utf-16"),
    }
