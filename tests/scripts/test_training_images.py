"""The pictures of a training: which count, in which order, and what a checkpoint remembers of them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from data import portraits
from scripts import train_stylegan
from scripts.pipeline import UserError
from scripts.stages.base_generator.images import folder_images, load_images, weighted_order
from tests.scripts.odd_pictures import with_odd_exif

# What a training on `aligned` is resumed by. Another value would refuse every checkpoint that people have.
WHAT = "9 pictures, sha256 c565926ab38eedf8"


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    """Ten JPEGs, two of them in a subfolder, and the table that calls nine of them usable."""
    folder = tmp_path / "pictures"
    (folder / "a.jpg.d").mkdir(parents=True)
    steps = np.add.outer(np.arange(24), np.arange(24))
    names = [*(f"{i}.jpg" for i in range(8)), "a.jpg.d/0.jpg", "a.jpg.d/10.jpg"]
    for i, name in enumerate(names):
        pixels = np.stack([steps * 5, steps[::-1] * 4 + i, np.full((24, 24), 20 * i)], axis=-1)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name, quality=95, subsampling=0)
    rows = [f"{name},{'unsure' if i == 3 else 'ok'},{1 + (i > 5)}" for i, name in enumerate(names)]
    (folder / "aligned.csv").write_text("\n".join(["file,status,weight", *rows]) + "\n")
    return folder


def test_a_checkpoint_knows_the_same_pictures_again(aligned: Path, tmp_path: Path) -> None:
    options, tool = train_stylegan.Options(folder=(aligned,)), SimpleNamespace(log=print)
    for _ in range(2):  # read, and from the cache
        images, what = load_images(tool, options, 16, tmp_path / "out")
        assert what == WHAT
        assert np.asarray(images.images).shape == (9, 16, 16, 3)


def test_unaligned_photographs_are_counted_before_they_are_learned(tmp_path: Path) -> None:
    """Faces at the left edge of wide pictures lie outside the central square."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    faces = portraits.render_many(range(4), 128).images
    for i in range(8):
        wide = Image.new("RGB", (330, 128), (90, 120, 150))
        wide.paste(Image.fromarray(faces[i % 4]), (0 if i < 5 else 101, 0))
        wide.save(folder / f"{i}.tif")
    Image.fromarray(faces[0]).save(folder / "square.jfif")
    said: list[str] = []
    assert len(folder_images([folder], 16, tmp_path / "out", said.append)[0]) == 9
    assert "8 of 9 pictures were cropped" in said[-1] and "4 of 9 that were searched hold a face" in said[-1]
    assert f"align_photos.py --photos {folder}" in said[-1]


def test_what_a_training_does_not_use_is_named(aligned: Path, tmp_path: Path) -> None:
    Image.new("RGB", (24, 24)).save(aligned / "added.jpg")
    Image.new("RGB", (24, 24)).save(aligned / "contact_sheet.png")
    (aligned / "0.jpg").unlink()
    said: list[str] = []
    assert len(folder_images([aligned], 16, tmp_path / "out", said.append)[0]) == 8
    assert "left out added.jpg: not in aligned.csv" in said
    assert "left out 0.jpg: in aligned.csv, but not in the folder" in said

    (aligned / "aligned.csv").rename(aligned / "other.csv")
    (aligned / "odd.jpg").write_bytes(with_odd_exif(Image.new("RGB", (24, 24))))
    (aligned / "gone.jpg").symlink_to("nowhere")
    said.clear()
    images, _, _ = folder_images([aligned], 16, tmp_path / "out", said.append)
    assert len(images) == 12
    assert "left out gone.jpg: a link to nothing" in said and "left out other.csv: no picture" in said


def test_too_few_usable_faces(aligned: Path, tmp_path: Path) -> None:
    table = aligned / "aligned.csv"
    table.write_text(table.read_text().replace(",ok", ",blurred", 2))
    with pytest.raises(UserError, match=r"7 usable pictures(.|\n)*at least 8(.|\n)*align_photos\.py"):
        folder_images([aligned], 16, tmp_path / "out", print)


def test_a_damaged_listing_vouches_for_no_cached_picture(aligned: Path, tmp_path: Path) -> None:
    listing = tmp_path / "out/pictures_16px.json"
    for damage in (lambda whole: whole, lambda whole: whole[: len(whole) // 2]):
        images, _, digest = folder_images([aligned], 16, tmp_path / "out", print)
        assert (len(images), digest[:16]) == (9, WHAT[-16:])
        listing.write_text(damage(listing.read_text()))


def test_weights_decide_how_often_a_picture_is_shown(aligned: Path, tmp_path: Path) -> None:
    _, weights, first = folder_images([aligned], 16, tmp_path / "out", print)
    assert set(weights) == {1, 2}
    assert np.bincount(weighted_order(weights)).tolist() == weights.tolist()
    assert weighted_order(np.ones(5)) is None
    table = aligned / "aligned.csv"
    table.write_text(table.read_text().replace(",2\n", ",1.5\n", 1))
    assert folder_images([aligned], 16, tmp_path / "out", print)[2] != first
    table.write_text(table.read_text().replace("1.5", "much"))
    with pytest.raises(UserError, match="column weight"):
        folder_images([aligned], 16, tmp_path / "out", print)


def test_previews_among_the_pictures_are_none_of_them(aligned: Path) -> None:
    (aligned / "aligned.csv").unlink()
    out = aligned / "training"
    first = folder_images([aligned], 16, out, print)[2]
    Image.new("RGB", (64, 64)).save(out / "preview.png")
    assert folder_images([aligned], 16, out, print)[2] == first


def test_several_folders_are_one_set(aligned: Path, tmp_path: Path) -> None:
    """The second has no table: all of its pictures count, with weight 1."""
    other = tmp_path / "id_photographs"
    other.mkdir()
    for i in range(3):
        Image.new("RGB", (24, 24), (10 * i, 90, 0)).save(other / f"{i}.jpg")  # names that the first has, too
    said: list[str] = []
    images, weights, _ = folder_images([aligned, other], 16, tmp_path / "out", said.append)
    alone = folder_images([aligned], 16, tmp_path / "alone", print)
    assert np.array_equal(images[:9], alone[0]) and weights.tolist() == [*alone[1].tolist(), 1, 1, 1]
    assert any("faces" in line and "hold a face" in line for line in said) or "There is no" in said[-1]
