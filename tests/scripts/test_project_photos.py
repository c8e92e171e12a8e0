"""People of photographs are found once, can be turned, and say what was invented."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from data import portraits
from scripts.stages import workspace as paths
from scripts.stages.regenerating.regenerator import Regenerator, Request
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
    regenerator = Regenerator(make_tool(workspace), "v2", corrections=0)
    person = regenerator.found(found / table["person"][0])
    assert np.array_equal(regenerator([Request(person, person.own)]).images[0], projection)

    words = ("--version", "v2", "--person", found / table["person"][0], "--no-measure", "--mouth", "3")
    assert script("08_regenerate_images", workspace, *words, "--out", tmp_path) == 0
    (made,) = tmp_path.glob("v2_photo_*.png")
    assert not np.array_equal(np.asarray(Image.open(made)), projection)
    assert "--person" in Image.open(made).text["Command"]


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


def test_without_a_face_it_says_so(
    workspace: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script("project_photos", workspace, photos / "wall.png", "--out", tmp_path, *FEW) == 5
    said = capsys.readouterr()
    assert "nobody can be found" in said.err and "the detector finds no face" in said.out
    assert script("project_photos", workspace, photos / "list.txt", "--out", tmp_path / "b", *FEW) == 5
    assert script("project_photos", workspace) == 2
