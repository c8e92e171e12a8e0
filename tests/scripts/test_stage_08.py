"""Stage 08: dials beyond the training pictures or of no use, names of pictures, and what the table keeps."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scripts.pages.explorer.explorer import ExploreError, Explorer
from scripts.pipeline.options import resolve_options
from scripts.stages.regenerating.stage import enough_digits, far_requests, spelled, with_earlier
from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified import editing
from tests.processes import exit_code
from tests.scripts.pages.explore_workspace import make_tool, make_workspace, properties
from tests.stylegan_modified import tiny

NAME = "08_regenerate_images"
FOLDER = "stylegan_modified/synthesize_results"
stage = importlib.import_module(f"scripts.{NAME}")
PERCENTILES = np.tile([-1.0, 0.0, 2.0], (7, 1))  # half the range is 1.5


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("dials"))


@pytest.fixture(autouse=True)
def short_refinement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editing, "REFINE_STEPS", 2)


def regenerate(workspace: Path, *words: object) -> int:
    """Make pictures in this process; exit code."""
    return exit_code(NAME, "--workspace", workspace, "--device", "cpu", "--no-measure", *words)


@pytest.mark.parametrize(
    ("asked", "far"),
    [
        ({"mouth": 3.5, "pose": -2.5}, []),
        ({"mouth": 3.6, "pose": -2.4}, ["mouth 3.6 (-1.00 to 2.00)"]),
        ({"sweep": ("eyes=-3:0:2", "eyes=-4:-3:2")}, ["eyes -4, -3 (-1.00 to 2.00)"]),
        ({"show": ("eyes=-3:0:2",)}, ["eyes -3 (-1.00 to 2.00)"]),
        ({"show": ("eyes=-3:0:2",), "mouth": 0.0}, []),
    ],
)
def test_requests_far_from_the_training_pictures_are_named(asked: dict, far: list[str]) -> None:
    assert far_requests(stage.Options(**asked), PERCENTILES) == far


def test_a_person_is_told_of_them_with_the_range(workspace: Path, capsys: pytest.CaptureFixture) -> None:
    words = ("--version", "v2", "--seeds", "0")
    assert regenerate(workspace, *words, "--mouth", "10") == 0
    assert "Faces may break" in (told := capsys.readouterr().out) and "mouth 10 (-" in told
    assert regenerate(workspace, *words, "--mouth", "1") == 0
    assert "Faces may break" not in capsys.readouterr().out


@pytest.mark.parametrize("dials", [("--pose", "0"), ("--sweep", "mouth=-1:1:3")])
def test_dials_of_the_base_are_refused(dials: tuple[str, ...], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        resolve_options(stage.Options, NAME, ["--version", "base", *dials])
    assert ended.value.code == 2
    assert "--version base has no dials" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_pictures_of_the_base_generator_say_nothing_of_dials(workspace: Path, tmp_path: Path) -> None:
    """Also with a preset that shows sweeps."""
    assert regenerate(workspace, "--version", "base", "--seeds", "4", "--out", tmp_path) == 0
    assert sorted(path.name for path in tmp_path.glob("base*")) == ["base_seed000004.png"]
    table = pd.read_csv(tmp_path / "images.csv")
    assert table["mouth_requested"].isna().all() and len(table) == 1


def test_the_explorer_has_no_strip_of_the_base_generator(workspace: Path) -> None:
    explorer = Explorer(make_tool(workspace))
    message = {"version": "base", "seed": 3, "properties": properties(), "dial": "pose", "count": 5}
    with pytest.raises(ExploreError, match="no dials"):
        explorer.strip(message)
    assert "--pose" not in explorer.picture(message)["command"]


@pytest.mark.parametrize(
    ("sweep", "names"),
    [
        ((-1.0, 0.0, 1.0), ["-1.00", "+0.00", "+1.00"]),
        ((-2 / 3, 2 / 3), ["-0.67", "+0.67"]),
        ((0.0, 0.002, 0.004), ["+0.000", "+0.002", "+0.004"]),
    ],
)
def test_every_picture_has_a_name_of_its_own(sweep: tuple[float, ...], names: list[str]) -> None:
    digits = enough_digits([("mouth", value) for value in sweep])
    assert [f"{value:+.{digits}f}" for value in sweep] == names
    assert [spelled(value) for value in (1.5, -0.0625, 0.001)] == ["+1.50", "-0.0625", "+0.001"]


def person(path: Path, shade: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (tiny.RESOLUTION, tiny.RESOLUTION), (shade, 90, 250 - shade)).save(path)
    return path


def table(workspace: Path) -> pd.DataFrame:
    return pd.read_csv(workspace / FOLDER / "images.csv")


@pytest.mark.parametrize(
    "change", ["none", "a picture is gone", "another picture", "other options", "others since"]
)
def test_pictures_that_are_there_are_not_made_again(workspace: Path, capsys, change: str) -> None:
    words = ("--version", "v1", "--seeds", "5-6", "--mouth", "1")
    assert regenerate(workspace, *words) == 0
    first = workspace / table(workspace)["file"][0]
    made = first.read_bytes()
    if change == "a picture is gone":
        first.unlink()
    if change == "another picture":
        Image.open(first).save(first)  # without its texts
    if change == "others since":
        assert regenerate(workspace, "--version", "v1", "--seeds", "5") == 0
    capsys.readouterr()
    assert regenerate(workspace, *words, *(("--scale", "3") if change == "other options" else ())) == 0
    assert ("already" in capsys.readouterr().out) == (change == "none")
    assert first.read_bytes() == made and table(workspace)["file"].is_unique


def test_two_photographs_of_one_name_are_two_people(workspace: Path, tmp_path: Path) -> None:
    made = []
    for letter in "ab":
        photograph = person(tmp_path / f"{letter}/IMG_1.png", 200 * (letter == "b"))
        assert regenerate(workspace, "--from-image", photograph, "--mouth", "1") == 0
        made.append(workspace / table(workspace)["file"][0])
    assert table(workspace)["from_image"].eq("IMG_1.png").sum() == 2
    assert not np.array_equal(Image.open(made[0]), Image.open(made[1]))
    made[0].unlink()  # who is removed goes, people by seed come to the others
    assert regenerate(workspace, "--seeds", "3-4", "--version", "v1", "--mouth", "1") == 0
    kept = table(workspace)
    assert all((workspace / name).is_file() for name in kept["file"])
    assert kept["from_image"].dropna().tolist() == ["IMG_1.png"]
    text = (workspace / FOLDER / "images.csv").read_text()
    assert ",3," in text and ",4," in text  # seeds stay whole numbers


def test_a_picture_that_is_made_again_has_one_row(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).touch()
    earlier = pd.DataFrame({"file": ["f/a", "f/b", "f/gone"], "seed": [1, 2, 3], "mouth_measured": 0.5})
    again = pd.DataFrame({"file": ["f/b", "f/c"], "seed": [2, 4]})
    whole = with_earlier(again, earlier, tmp_path)
    assert whole["file"].tolist() == ["f/b", "f/c", "f/a"]
    assert whole["mouth_measured"].isna().tolist() == [True, True, False]


def test_a_damaged_table_is_refused_before_pictures_are_made(workspace: Path, capsys) -> None:
    path = workspace / FOLDER / "images.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("nothing\n1\n")
    assert regenerate(workspace, "--seeds", "77") == 5
    assert "Move it away" in capsys.readouterr().err
    assert not list(path.parent.glob("*77*"))
    path.unlink()


def test_names_of_photographs_of_any_length(workspace: Path, tmp_path: Path) -> None:
    dials = [word for name in PROPERTY_NAMES for word in (f"--{name.replace('_', '-')}", "1")]
    korean = person(tmp_path / ("\uac00" * 38 + "\u202f.png"), 40)
    assert regenerate(workspace, "--from-image", korean, *dials, "--sweep", "background_mean=-1:1:2") == 0
    assert all((workspace / name).is_file() for name in table(workspace)["file"].head(2))
    assert table(workspace)["from_image"][0] == korean.name
