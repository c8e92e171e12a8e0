"""The alignment script: files, table, bad photographs, EXIF orientation, resume and other options."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from data import portraits
from scripts import train_stylegan
from scripts.pipeline.options import resolve_options
from scripts.pipeline.places import REPOSITORY
from scripts.stages.base_generator import plan
from tests.scripts.odd_pictures import with_odd_exif

SCRIPT = REPOSITORY / "scripts/align_photos.py"
LIMITS = ("--size", "64", "--min-face", "70", "--min-sharpness", "0.03", "--rotations", "never")


@pytest.fixture(scope="module")
def portrait() -> Image.Image:
    return Image.fromarray(portraits.render_many([3], 192).images[0])


@pytest.fixture
def photos(tmp_path: Path, portrait: Image.Image) -> Path:
    folder = tmp_path / "photos"
    (folder / "album one").mkdir(parents=True)
    portrait.save(folder / "album one/good.png")
    sideways = portrait.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by 90 degrees
    sideways.save(folder / "good.jpg", quality=95, exif=exif)
    portrait.filter(ImageFilter.GaussianBlur(7)).save(folder / "blurred.png")
    canvas = Image.new("RGB", (192, 192), (110, 110, 110))
    canvas.paste(portrait.resize((80, 80)), (60, 60))
    canvas.save(folder / "small.png")
    Image.new("RGB", (90, 70), (90, 120, 150)).save(folder / "empty.png")
    (folder / "broken.jpg").write_bytes((folder / "good.jpg").read_bytes()[:3000])
    (folder / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def align(photos: Path, tmp_path: Path, run_here: Callable) -> Callable:
    words = ("--photos", photos, "--workspace", tmp_path / "ws", "--device", "cpu", *LIMITS)
    return lambda *more, expect=0: run_here(SCRIPT, *words, *more, expect=expect)


def test_table_files_resume_and_changed_photos(align, photos: Path, tmp_path: Path) -> None:
    said = align().out
    out = tmp_path / "ws/aligned"
    table = pd.read_csv(out / "aligned.csv", keep_default_na=False).set_index("source")
    assert table["status"].to_dict() == {
        "album one/good.png": "ok",
        "good.jpg": "ok",
        "blurred.png": "too_blurred",
        "small.png": "too_small",
        "empty.png": "no_face",
        "broken.jpg": "unreadable",
        "phone.HEIC": "unreadable",
    }
    assert "convert it to JPEG" in table.loc["phone.HEIC", "reason"]
    assert (table.loc[table["status"] != "ok", "file"] == "").all()
    assert (table.loc[table["status"] != "ok", "reason"] != "").all()
    first = np.asarray(Image.open(out / table.loc["album one/good.png", "file"]))
    second = np.asarray(Image.open(out / table.loc["good.jpg", "file"]))
    assert first.shape == second.shape == (64, 64, 3)
    assert np.abs(first.astype(int) - second).mean() < 4
    assert float(table.loc["good.jpg", "left_eye_x"]) == pytest.approx(
        float(table.loc["album one/good.png", "left_eye_x"]), abs=0.5
    )
    assert (out / "contact_sheet.png").exists()
    assert "2 faces of 64 px from 7 photographs" in said
    command = shlex.split(said.rpartition("next: ")[2])
    assert Path(command[1]).name == "train_stylegan.py"
    training = resolve_options(train_stylegan.Options, "train_stylegan", command[2:]).options
    config, _ = plan.read_plan(training)
    assert {phase.kind for phase in config.phases} == {"discriminator", "adversarial"}
    assert [folder.resolve() for folder in training.folder] == [out.resolve()]

    # Another run goes by the journal, and looks only at what is new.
    untouched = out / "faces/good.jpg_1.png"
    written = untouched.stat().st_mtime_ns
    (photos / "empty.png").unlink()
    (photos / "album one/good.png").rename(photos / "album one/renamed.png")
    align()
    assert untouched.stat().st_mtime_ns == written
    after = pd.read_csv(out / "aligned.csv", keep_default_na=False)
    gone = {"empty.png", "album one/good.png"}
    assert after["source"].tolist() == sorted({*table.index, "album one/renamed.png"} - gone)
    assert not (out / "faces/album one/good.png_1.png").exists()
    assert (out / "faces/album one/renamed.png_1.png").exists()

    # A person who deletes a face does not want it, whatever is added later.
    untouched.unlink()
    align()
    unwanted = pd.read_csv(out / "aligned.csv", keep_default_na=False).set_index("source").loc["good.jpg"]
    assert (unwanted["status"], unwanted["file"]) == ("removed", "")
    assert not untouched.exists()


@pytest.fixture
def one_photo(photos: Path) -> Path:
    """The folder with a single photograph, in a subfolder."""
    for path in photos.glob("*.*"):
        path.unlink()
    return photos


def test_other_options_need_force(align, one_photo: Path, tmp_path: Path) -> None:
    align()
    message = align("--size", "128", expect=5).err
    assert "--size: was 64, is 128" in message and "--force" in message
    align("--size", "128", "--force")
    face = tmp_path / "ws/aligned/faces/album one/good.png_1.png"
    assert Image.open(face).size == (128, 128)
    (tmp_path / "mine/faces").mkdir(parents=True)
    (tmp_path / "mine/faces/own.txt").write_text("keep")
    align("--out", tmp_path / "mine", "--force", expect=5)
    assert (tmp_path / "mine/faces/own.txt").exists()


def test_odd_names_and_blocks_cost_nobody_else_a_row(
    align, one_photo: Path, portrait: Image.Image, tmp_path: Path
) -> None:
    names = ["Screenshot 9.41\u202fAM.png", "no\xa0break \u200d.png", "two\nlines.png", "x" * 249 + ".png"]
    for name in names:
        portrait.save(one_photo / name)
    portrait.save(os.fsencode(one_photo) + b"/caf\xe9.png", "PNG")
    (one_photo / "odd.jpg").write_bytes(with_odd_exif(portrait.transpose(Image.Transpose.ROTATE_90)))
    (one_photo / "cut.jpg").write_bytes((one_photo / "odd.jpg").read_bytes()[:3000])
    (one_photo / "gone.png").symlink_to(one_photo / "nowhere.png")
    names[2:3] = ["two\\x0alines.png", "caf\\xe9.png", "odd.jpg", "album one/good.png"]
    for _ in range(2):  # and goes on from its own journal
        assert "left out gone.png: a link to nothing" in align().out
        table = pd.read_csv(tmp_path / "ws/aligned/aligned.csv", keep_default_na=False).set_index("source")
        assert table["status"].to_dict() == {"cut.jpg": "unreadable"} | dict.fromkeys(names, "ok")
        written = {tmp_path / "ws/aligned" / name for name in table["file"] if name}
        assert len(written) == 7 and all(path.is_file() for path in written)
    upright, turned = (
        np.asarray(Image.open(tmp_path / "ws/aligned" / table.loc[name, "file"])).astype(int)
        for name in ("album one/good.png", "odd.jpg")
    )
    assert np.abs(upright - turned).mean() < 4


def test_results_among_the_photographs_are_none_of_them(align, one_photo: Path) -> None:
    for _ in range(2):
        assert "1 faces of 64 px from 1 photographs" in align("--out", one_photo / "faces of all").out
    said = align("--out", one_photo / "others").out
    assert "1 faces of 64 px from 1 photographs" in said
    assert "left out faces of all: results of align_photos.py" in said
    assert "Name another folder for the results" in align("--out", one_photo, expect=5).err


def test_nothing_to_align(align, one_photo: Path, tmp_path: Path) -> None:
    (one_photo / "album one/good.png").unlink()
    assert "holds no picture" in align(expect=5).err
    Image.new("RGB", (90, 70), (90, 120, 150)).save(one_photo / "empty.png")
    assert "No face is usable" in align(expect=5).err
    align("--photos", tmp_path / "nowhere", expect=5)
    align("--size", "100", expect=2)
    align("--max-padding", "2", expect=2)
