"""Finding pictures in a folder, and reading what cameras and programs leave."""

import io
import os
import random
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.pipeline import UserError
from scripts.stages.image_files import ImageFileError, read_image
from scripts.stages.pictures import find_pictures, plain_text, read_ahead, short_name
from tests.scripts.odd_pictures import with_odd_exif

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def saved(kind: str, picture: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (picture or Image.new("RGB", (24, 16), "red")).save(buffer, kind, **options)
    return buffer.getvalue()


def test_the_content_makes_a_picture_and_everything_else_is_named(tmp_path: Path) -> None:
    kinds = {".jfif": "JPEG", ".JPE": "JPEG", ".tif": "TIFF", ".gif": "GIF", ".avif": "AVIF", "": "PNG"}
    kinds |= {".dat": "WEBP", ".png": "BMP"}
    for suffix, kind in kinds.items():
        (tmp_path / f"a{suffix}").write_bytes(saved(kind))
    (tmp_path / "phone").write_bytes(HEIC)
    (tmp_path / "broken.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.jpg").write_bytes(saved("JPEG"))
    os.mkfifo(tmp_path / "pipe")
    found = find_pictures(tmp_path)
    assert set(found.pictures) == {*(f"a{suffix}" for suffix in kinds), "phone", "broken.jpg"}
    assert found.left_out == {
        ".hidden.jpg": "hidden, its name begins with a dot",
        "notes.txt": "no picture",
        "pipe": "no file",
    }
    for suffix in kinds:
        assert read_image(found.pictures[f"a{suffix}"]).shape == (16, 24, 3)
    with pytest.raises(ImageFileError, match="HEIC is not read; convert it to JPEG"):
        read_image(found.pictures["phone"])


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    (folder / "real").mkdir(parents=True)
    (elsewhere / "deep").mkdir(parents=True)
    for path in (folder / "real/1.jpg", elsewhere / "2.jpg", elsewhere / "deep/3.jpg"):
        path.write_bytes(saved("JPEG"))
    (folder / "album").symlink_to(elsewhere)
    (elsewhere / "up").symlink_to(folder)
    (elsewhere / "again").symlink_to(elsewhere / "deep")
    (folder / "a copy").symlink_to(folder / "real")
    (folder / "all").symlink_to(tmp_path)
    (folder / "self").symlink_to(folder / "self")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    found = find_pictures(folder)
    assert list(found.pictures) == ["album/2.jpg", "album/deep/3.jpg", "real/1.jpg"]
    twice = dict.fromkeys(
        ["a copy", "album/again", "album/up", "all"], "a link to a folder that is searched anyway"
    )
    assert found.left_out == twice | dict.fromkeys(["gone.jpg", "self"], "a link to nothing")
    said: list[str] = []
    found.tell(said.append)
    assert said[0].startswith("left out a copy, album/again, album/up and 1 more: a link to a folder")


def test_results_are_no_pictures(tmp_path: Path) -> None:
    for name in ("1.jpg", "out/preview.png", "earlier/train_log.csv", "earlier/preview.png", "aligned/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(saved("PNG"))
    (tmp_path / "aligned/align_photos.json").touch()
    found = find_pictures(tmp_path, tmp_path / "out")
    assert list(found.pictures) == ["1.jpg"]
    assert set(found.left_out) == {"aligned", "earlier"}
    assert list(find_pictures(tmp_path / "aligned").pictures) == ["2.png"]
    with pytest.raises(UserError, match="Name another folder for the results"):
        find_pictures(tmp_path, tmp_path)


def test_of_exif_the_orientation_alone_is_read(tmp_path: Path) -> None:
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, :8] = 255
    picture = Image.fromarray(pixels)
    (tmp_path / "a.jpg").write_bytes(with_odd_exif(picture))
    turned = read_image(tmp_path / "a.jpg")
    assert turned.shape == (24, 16, 3)
    assert turned[:6].min() > 200 and turned[-6:].max() < 50
    for seed in range(150):
        block = random.Random(seed).randbytes(60)
        content = saved("JPEG", picture, exif=b"Exif\0\0II*\0\x08\0\0\0\x04\0" + block)
        (tmp_path / "a.jpg").write_bytes(content)
        assert read_image(tmp_path / "a.jpg").size == pixels.size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((16, 24), np.uint8)
    upright[:8], upright[:8, :8] = 120, 250
    inverse = {6: "ROTATE_90", 8: "ROTATE_270", 2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM"}
    inverse |= {5: "TRANSPOSE", 7: "TRANSVERSE"}
    stored = Image.fromarray(upright)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose[inverse[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("PNG", "TIFF"):
        stored.save(tmp_path / "a", kind, exif=exif)
        np.testing.assert_array_equal(read_image(tmp_path / "a")[..., 0], upright)


@pytest.mark.parametrize(
    ("dtype", "white"),
    [("float32", 1), ("float32", 255), ("float32", 65535), ("int32", 255), ("int32", 65535)],
)
def test_grey_of_more_bits_is_not_black(tmp_path: Path, dtype: str, white: int) -> None:
    expected = np.arange(256).reshape(16, 16)
    values = (expected / 255 * white).astype(dtype)
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_allclose(read_image(tmp_path / "a.tif")[..., 1], expected, atol=1)


def test_a_moving_picture_is_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    for kind in ("GIF", "AVIF"):
        frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageFileError, match="animation of 2 pictures"):
            read_image(tmp_path / "a")


def test_the_next_is_read_while_one_is_worked_on() -> None:
    begun = {key: threading.Event() for key in range(4)}

    def read(key: int) -> int:
        begun[key].set()
        return 1 // (key - 2)

    values = []
    for key, future in read_ahead(range(4), read):
        assert begun[min(key + 1, 3)].wait(5)
        values.append(future.exception() is None and future.result())
    assert values == [-1, -1, False, 1]


def test_names_fit_tables_and_file_systems() -> None:
    assert plain_text(os.fsdecode(b"a\xe9\n\x80\xc2\x85.jpg")) == "a\\xe9\\x0a\\x80\\x85.jpg"
    assert plain_text("\u202f\xa0\u200d\uac00") == "\u202f\xa0\u200d\uac00"
    names = {short_name("\uac00" * 100 + end) for end in "ab"}
    assert len(names) == 2 and all(len(name.encode()) <= 200 for name in names)
    assert short_name("a" * 200) == "a" * 200
