"""08 and photographs: whose picture is whose, and what the table keeps."""

import os
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from segmentation.property_table import PROPERTY_NAMES
from tests.scripts.explore_workspace import make_workspace, run_command
from tests.scripts.odd_pictures import with_odd_exif
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
    photographs = [person(tmp_path / f"{letter}/IMG_1.png", 200 * (letter == "b")) for letter in "ab"]
    for photograph in photographs:
        assert regenerate("--from-image", photograph, "--mouth", "1") == 0
    second, first = (workspace / name for name in table(workspace)["file"])
    assert not np.array_equal(Image.open(first), Image.open(second))
    # People by seed come to them, and the same picture has one row; who is removed goes.
    first.unlink()
    for seeds in ("3-4", "4"):
        assert regenerate("--seeds", seeds, "--version", "v1", "--mouth", "1") == 0
        kept = table(workspace)
        assert kept["file"].map(lambda name: (workspace / name).is_file()).tolist() == [True] * 3
        assert sorted(kept["seed"].dropna()) == [3, 4]
        assert kept["from_image"].dropna().tolist() == ["IMG_1.png"]
        assert ".0," not in (workspace / FOLDER / "images.csv").read_text().replace("1.0,", "")


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


def test_a_photograph_with_odd_exif_is_edited(regenerate, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.jpg").write_bytes(with_odd_exif(Image.new("RGB", (tiny.RESOLUTION,) * 2)))
    assert regenerate("--from-image", tmp_path / "odd.jpg") == 0
