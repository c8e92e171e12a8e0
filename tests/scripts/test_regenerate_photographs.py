"""08 and photographs: whose picture is whose, and what the table keeps."""

import os
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scripts.stages.regenerating.stage import with_earlier
from segmentation.property_table import PROPERTY_NAMES
from tests.scripts.pages.explore_workspace import make_workspace, run_command
from tests.stylegan_modified import tiny

FOLDER = "stylegan_modified/synthesize_results"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture
def regenerate(workspace: Path):
    """Runs 08 without measuring; returns its exit code."""

    def run(*arguments: object) -> int:
        words = ["python", "scripts/08_regenerate_images.py", "--workspace", workspace, "--device", "cpu"]
        return run_command(shlex.join(map(str, words)), "--no-measure", *arguments)

    return run


def person(path: Path, shade: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (tiny.RESOLUTION, tiny.RESOLUTION), (shade, 90, 250 - shade)).save(path)
    return path


def table(workspace: Path) -> pd.DataFrame:
    return pd.read_csv(workspace / FOLDER / "images.csv")


def test_two_photographs_of_one_name_are_two_people(regenerate, workspace: Path, tmp_path: Path) -> None:
    made = []
    for letter in "ab":
        photograph = person(tmp_path / f"{letter}/IMG_1.png", 200 * (letter == "b"))
        assert regenerate("--from-image", photograph, "--mouth", "1") == 0
        made.append(workspace / table(workspace)["file"][0])
    assert len(table(workspace)) == 2
    assert not np.array_equal(Image.open(made[0]), Image.open(made[1]))
    made[0].unlink()  # who is removed goes, people by seed come to the others
    assert regenerate("--seeds", "3-4", "--version", "v1", "--mouth", "1") == 0
    kept = table(workspace)
    assert kept["file"].map(lambda name: (workspace / name).is_file()).tolist() == [True] * 3
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


def test_a_damaged_table_is_refused_before_pictures_are_made(regenerate, workspace: Path, capsys) -> None:
    path = workspace / FOLDER / "images.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("nothing\n1\n")
    assert regenerate("--seeds", "77") == 5
    assert "Move it away" in capsys.readouterr().err
    assert not list(path.parent.glob("*77*"))
    path.unlink()


def test_names_of_photographs_of_any_length(regenerate, workspace: Path, tmp_path: Path, capsys) -> None:
    dials = [word for name in PROPERTY_NAMES for word in (f"--{name.replace('_', '-')}", "1")]
    korean = person(tmp_path / ("\uac00" * 38 + "\u202f.png"), 40)
    assert regenerate("--from-image", korean, *dials, "--sweep", "background_mean=-1:1:2") == 0
    assert all((workspace / name).is_file() for name in table(workspace)["file"].head(2))
    assert table(workspace)["from_image"][0] == korean.name
    undecodable = person(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")), 41)
    assert regenerate("--from-image", undecodable) == 2
    assert "Rename" in capsys.readouterr().err
