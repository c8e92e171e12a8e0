"""People of photographs are found once, can be turned, and say what was invented."""

import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw

from data import portraits
from scripts.stages import workspace as paths
from scripts.stages.projecting.projector import Projector
from scripts.stages.regenerating.regenerator import Regenerator, Request
from tests.cnn.face_networks import onnx_means, onnx_restorer
from tests.scripts.pages.explore_workspace import make_tool, make_workspace, run_command, save
from tests.stylegan_modified import tiny

FEW = ("--w-steps", "2", "--wp-steps", "2", "--no-measure")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two faces, a wall, and a text."""
    folder = tmp_path_factory.mktemp("photos")
    for number, image in enumerate(portraits.render_many(range(2), 256, processes=1).images):
        Image.fromarray(image).save(folder / f"face_{number}.png")
    Image.new("RGB", (200, 200), (90, 120, 80)).save(folder / "wall.png")
    (folder / "list.txt").write_text("face_0\n")
    return folder


def script(name: str, workspace: Path, *arguments: object) -> int:
    words = ["python", f"scripts/{name}.py", "--workspace", workspace, "--device", "cpu", *arguments]
    return run_command(shlex.join(map(str, words)))


@pytest.fixture(scope="module")
def found(workspace: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("found")
    assert script("project_photos", workspace, photos, "--out", out, "--tune", "2", *FEW) == 0
    return out


def test_every_face_has_its_files_and_its_row(found: Path) -> None:
    table = pd.read_csv(found / "projections.csv")
    assert table["source"].tolist() == ["face_0.png", "face_1.png"]
    for _, row in table.iterrows():
        assert np.asarray(Image.open(found / row["picture"])).shape == (tiny.RESOLUTION, tiny.RESOLUTION, 3)
        assert (found / row["person"]).is_file() and row["pixel_error"] > 0
    assert (found / "projections.png").is_file()


def test_turning_no_dial_gives_the_projection_and_turning_one_does_not(
    found: Path, workspace: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(found / "projections.csv")
    projection = np.asarray(Image.open(found / table["picture"][0]))
    regenerator = Regenerator(make_tool(workspace), "v2")
    person = regenerator.found(found / table["person"][0])
    turned = tuple(value + 1 for value in person.own)
    both = regenerator([Request(person, person.own), Request(person, turned)]).images
    assert np.array_equal(both[0], projection) and not np.array_equal(both[1], projection)

    words = ("--version", "v2", "--person", found / table["person"][0], "--no-measure", "--mouth", "3")
    assert script("08_regenerate_images", workspace, *words, "--out", tmp_path) == 0
    (made,) = tmp_path.glob("v2_photo_*.png")
    assert not np.array_equal(np.asarray(Image.open(made)), projection)
    assert "--person" in Image.open(made).text["Command"]


def test_the_table_tells_quality_and_the_sheet_shows_it(found: Path) -> None:
    table = pd.read_csv(found / "projections.csv", keep_default_na=False)
    assert set(table["quality"]) <= {"good", "fair"} and (table["similarity"] == "").all()  # without a judge
    assert [bool(flags) for flags in table["flags"]] == [word == "fair" for word in table["quality"]]
    assert Image.open(found / "projections.png").height > 2 * tiny.RESOLUTION


def test_the_encoder_helps_v2_as_long_as_it_is_of_that_generator(tmp_path: Path) -> None:
    root = make_workspace(tmp_path)
    tool = make_tool(root)
    shutil.copy(root / paths.FINE_TUNED["v2"], root / paths.FINE_TUNED["v3"])
    assert Projector(tool, "v2").encoder is not None
    shutil.copy(root / paths.FINE_TUNED["v1"], root / paths.FINE_TUNED["v3"])  # v2 was trained anew
    assert Projector(tool, "v2").encoder is None


def portrait(seed: int, size: int = 256) -> Image.Image:
    return Image.fromarray(portraits.render_many([seed], 256, processes=1).images[0]).resize((size, size))


def odd_photographs(folder: Path) -> None:
    """Photographs that are hard or impossible."""
    group = Image.new("RGB", (512, 256))
    group.paste(portrait(2), (0, 0))
    group.paste(portrait(3, 200), (280, 20))
    group.save(folder / "group.png")
    portrait(4).resize((150, 256)).save(folder / "profile.png")
    portrait(5).convert("L").save(folder / "grey.png")
    portrait(5).rotate(90).save(folder / "sideways.png")
    portrait(6).convert("CMYK").save(folder / "cmyk.jpg")
    wide = Image.new("RGB", (12_000, 720), (120, 130, 140))
    wide.paste(portrait(7, 700), (5_000, 10))
    wide.save(folder / "wide.jpg")
    Image.new("1", (12_000, 5_400)).save(folder / "huge.png")
    portrait(8, 40).save(folder / "tiny.png")
    cartoon = Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(cartoon)
    draw.ellipse((40, 30, 216, 226), "yellow", "black", 4)
    for x in (95, 160):
        draw.ellipse((x - 12, 90, x + 12, 130), "black")
    draw.arc((85, 110, 170, 190), 20, 160, "black", 6)
    cartoon.save(folder / "cartoon.png")
    covered = portrait(9)
    ImageDraw.Draw(covered).ellipse((80, 150, 180, 215), (225, 180, 150))
    covered.save(folder / "hand.png")


def test_of_hard_photographs_there_is_a_picture_with_its_quality_or_a_reason(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    odd_photographs(folder)
    assert script("project_photos", workspace, folder, "--out", out, *FEW) == 0
    said = capsys.readouterr().out
    table = pd.read_csv(out / "projections.csv", keep_default_na=False).set_index("source")
    for name in (path.name for path in folder.iterdir()):
        assert (name in table.index) != (f"{name}: left out, " in said), name
    assert "huge.png: left out, too large" in said
    assert table.loc["group.png", "face"].tolist() == [1, 2]
    flags = {"profile.png": "turned away", "grey.png": "grey", "tiny.png": "small", "sideways.png": "tilted"}
    for name, flag in flags.items():
        assert flag in table.loc[name, "flags"] and table.loc[name, "quality"] == "fair", name
        assert f"{name}, face 1: fair" in said
    assert {"cmyk.jpg", "wide.jpg", "hand.png"} <= set(table.index)
    colours = np.asarray(Image.open(out / table.loc["cmyk.jpg", "aligned"])).astype(int)
    assert np.ptp(colours, axis=2).mean() > 10  # read as colours, not as four bare channels

    one = (folder / "group.png", "--out", tmp_path / "one", "--face", "2", *FEW)
    assert script("project_photos", workspace, *one) == 0
    (row,) = pd.read_csv(tmp_path / "one/projections.csv").to_dict("records")
    second = np.asarray(Image.open(tmp_path / "one" / row["aligned"]))
    assert np.array_equal(second, np.asarray(Image.open(out / table.loc["group.png", "aligned"].iloc[1])))
    missing = (folder / "grey.png", "--out", tmp_path / "none", "--face", "3", *FEW)
    assert script("project_photos", workspace, *missing) == 5
    assert "grey.png: left out, it has no face number 3, only 1" in capsys.readouterr().out


def test_pictures_in_the_frame_of_the_generator_are_taken_as_they_are(
    workspace: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "wide.png")
    portrait(1, 64).save(tmp_path / "face.png")
    assert script("project_photos", workspace, tmp_path, "--out", tmp_path / "out", "--aligned", *FEW) == 0
    (row,) = pd.read_csv(tmp_path / "out/projections.csv").to_dict("records")
    whole = portrait(1, 64).resize((tiny.RESOLUTION,) * 2, Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / row["aligned"])), np.asarray(whole))
    assert "wide.png: left out, 64 x 48 px are no square" in capsys.readouterr().out


def test_who_was_found_is_not_sought_again(found: Path, workspace: Path, photos: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (found / "people").rglob("*")}
    assert script("project_photos", workspace, photos, "--out", found, "--tune", "2", *FEW) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (found / "people").rglob("*")}


def test_a_person_of_another_generator_is_refused(
    found: Path, workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_workspace(tmp_path / "other")
    model = tiny.dial_generator()
    torch.nn.init.normal_(model.dials.head.weight)
    save(other, paths.FINE_TUNED["v2"], model.checkpoint())
    person = found / pd.read_csv(found / "projections.csv")["person"][0]
    assert script("08_regenerate_images", other, "--version", "v2", "--person", person) == 5
    said = capsys.readouterr().err
    assert "person of another generator" in said and "project_photos.py" in said
    assert script("08_regenerate_images", workspace, "--version", "v1", "--person", person) == 2


def test_faces_are_framed_as_the_generator_draws_them(photos: Path, tmp_path: Path) -> None:
    """Heads of the drawn world are smaller in their pictures than those that align_photos cuts out."""
    workspace = make_workspace(tmp_path / "workspace")
    (workspace / paths.FACES).parent.mkdir(parents=True, exist_ok=True)
    names = [f"drawn_{number}.png" for number in range(6)]
    drawn = portraits.render_many(range(20, 26), 128, processes=1).images
    for name, image in zip(names, drawn, strict=True):
        Image.fromarray(image).save(workspace / name)

    def error(out: Path) -> float:
        """Of an aligned portrait against the portrait itself, which is in the generator's frame already."""
        assert script("project_photos", workspace, photos / "face_0.png", "--out", out, *FEW) == 0
        aligned = Image.open(out / pd.read_csv(out / "projections.csv")["aligned"][0])
        whole = Image.open(photos / "face_0.png").resize(aligned.size, Image.Resampling.LANCZOS)
        return float(np.abs(np.asarray(aligned).astype(float) - np.asarray(whole)).mean())

    usual = error(tmp_path / "usual")
    pd.DataFrame({"img_path": names, "status": "ok"}).to_csv(workspace / paths.FACES, index=False)
    assert error(tmp_path / "framed") < 0.6 * usual


def test_a_small_photograph_says_what_was_invented(workspace: Path, photos: Path, tmp_path: Path) -> None:
    few = (*FEW, "--low-resolution", "16", "--out", tmp_path)
    assert script("project_photos", workspace, photos / "face_1.png", *few) == 0
    table = pd.read_csv(tmp_path / "projections.csv")
    assert len(table) == 1 and table["small_error"][0] > 0
    picture = Image.open(tmp_path / table["picture"][0])
    assert picture.text["note"] == "invented detail: drawn from a photograph of 16 px"
    edited = ("--version", "v2", "--person", tmp_path / table["person"][0], "--pose", "1", "--no-measure")
    assert script("08_regenerate_images", workspace, *edited, "--out", tmp_path / "edited") == 0
    (made,) = (tmp_path / "edited").glob("v2_photo_*.png")
    assert Image.open(made).text["note"] == picture.text["note"]


def test_a_restorer_makes_larger_pictures_that_say_what_was_invented(
    found: Path, workspace: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    restorer = tmp_path / "gfpgan.onnx"
    restorer.write_bytes(onnx_restorer("Tanh", (1, 3, 96, 96)))
    few = ("--out", found, "--tune", "2", *FEW)
    before = pd.read_csv(found / "projections.csv")
    assert script("project_photos", workspace, photos, *few, "--restorer", restorer) == 0
    table = pd.read_csv(found / "projections.csv")
    assert table["person"].equals(before["person"]) and (table["restored_error"] < 30).all()
    picture = Image.open(found / table["restored"][0])
    assert picture.size == (96, 96)
    told = (
        f"invented detail: whatever is finer than {tiny.RESOLUTION} x {tiny.RESOLUTION} px comes from gfpgan"
    )
    assert picture.text["note"].startswith(told)
    assert "is invented by gfpgan.onnx" in capsys.readouterr().out
    made = (found / table["restored"][0]).stat().st_mtime_ns
    assert script("project_photos", workspace, photos, *few, "--restorer", restorer) == 0
    assert (found / table["restored"][0]).stat().st_mtime_ns == made
    restorer.write_bytes(onnx_means((1, 3, 96, 96)))
    assert script("project_photos", workspace, photos, *few, "--restorer", restorer) == 5
    assert "no face restorer" in capsys.readouterr().err


def test_without_a_face_it_says_so(
    workspace: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script("project_photos", workspace, photos / "wall.png", "--out", tmp_path, *FEW) == 5
    said = capsys.readouterr()
    assert "nobody can be found" in said.err and "the detector finds no face" in said.out
    assert script("project_photos", workspace, photos / "list.txt", "--out", tmp_path / "b", *FEW) == 5
    assert script("project_photos", workspace) == 2
