"""Damaged and foreign files are refused with one kind of error that names what is wrong."""

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.pipeline import UserError, files, tables
from scripts.pipeline.layers import read_toml
from scripts.stages.image_files import ImageFileError, image_size, read_image, read_label_map


def saved(kind: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (64, 64)).save(buffer, kind)
    return buffer.getvalue()


def huge_png() -> bytes:
    """The beginning of a PNG of 8,500 x 8,500 pixels."""
    header = b"IHDR" + struct.pack(">2L5B", 8_500, 8_500, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">L", 13)
        + header
        + struct.pack(">L", zlib.crc32(header))
        + bytes(4)
        + b"IDAT"
    )


def cut(content: bytes, seed: int) -> bytes:
    return content[: random.Random(seed).randrange(1, len(content))]


@pytest.mark.parametrize("reader", [read_image, read_label_map, image_size])
@pytest.mark.parametrize(
    ("content", "message"), [(huge_png(), "too large"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "no picture")]
)
def test_pictures_are_refused_by_their_header(tmp_path: Path, reader, content: bytes, message: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageFileError, match=message):
        reader(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "I;16"), ("TIFF", "RGB"), ("GIF", "P"), ("AVIF", "RGB")],
)
def test_pictures_of_every_kind_are_read(tmp_path: Path, kind: str, mode: str) -> None:
    (tmp_path / "a").write_bytes(saved(kind, mode))
    assert read_image(tmp_path / "a").shape == (64, 64, 3)


def test_a_picture_other_than_recorded_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved("PNG"))
    with pytest.raises(ImageFileError, match="changed"):
        read_image(tmp_path / "a.png", sha256="0" * 64)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_that_were_cut_off(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "whole", kind)
    for seed in range(20):
        (tmp_path / "a").write_bytes(cut((tmp_path / "whole").read_bytes(), seed))
        with pytest.raises(ImageFileError):
            read_image(tmp_path / "a")


def test_arrays(tmp_path: Path) -> None:
    archive, single = tmp_path / "a.npz", tmp_path / "a.npy"
    files.write(archive, {"a": np.arange(1000), "b": np.ones(3)})
    np.save(single, np.arange(1000))
    assert list(files.read_arrays(archive)) == ["a", "b"]
    assert files.read_arrays(archive, ["b"])["b"].tolist() == [1, 1, 1]
    assert files.map_array(single)[7] == 7
    for path, reader in ((archive, files.read_arrays), (single, files.map_array)):
        whole = path.read_bytes()
        for content in (*(cut(whole, seed) for seed in range(5)), b"", b"x" * 99):
            path.write_bytes(content)
            with pytest.raises(files.ArrayFileError, match=path.name):
                reader(path)
    np.savez(archive, a=np.array([{}], object))
    for names in ((), ("other",)):
        with pytest.raises(files.ArrayFileError):
            files.read_arrays(archive, names)


@pytest.mark.parametrize("content", [b"[1]", b"[" * 99_999, b"\xff", b'"\0"'])
def test_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(files.TextFileError, match=r"a\.json"):
        files.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = [" * 5000, b"a = 1\0", b"x = "])
def test_toml(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.toml"):
        read_toml(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"img_no\n1\n", "has no column 'x'"),
        (b"img_no,x\n1,2\n1,3\n", "more than once"),
        (b"img_no,x\none,2\n", "no whole number"),
        (b"img_no,x\n,2\n", "no whole number"),
        (b"img_no,x\n1,2,3,4\n1\n", "not a readable"),
        (b"img_no,x\n1,\xe4\n", "not a readable"),
        (b"img_no,x\n1,\0\n", "not a readable"),
        (b"", "not a readable"),
    ],
)
def test_tables(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.csv .*{message}(.|\n)*Make it anew"):
        tables.read_csv(tmp_path / "a.csv", ("x",), "Make it anew.")


def test_a_table_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfimg_no,score\r\n0,0.5\r\n1,0.25\r\n")
    assert tables.read_csv(tmp_path / "a.csv", ("img_no",))["score"].tolist() == [0.5, 0.25]
