"""`08_regenerate_images.py`: dials beyond the training pictures, and the generator that has none."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.pages.explorer.explorer import ExploreError, Explorer
from scripts.pipeline.options import resolve_options
from scripts.stages.regenerating.stage import enough_digits, far_requests, spelled
from tests.scripts.pages.explore_workspace import make_tool, make_workspace, properties, run_command

NAME = "08_regenerate_images"
stage = importlib.import_module(f"scripts.{NAME}")
PERCENTILES = np.tile([-1.0, 0.0, 2.0], (7, 1))  # half the range is 1.5


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("dials"))


def regenerate(workspace: Path, *words: object) -> int:
    """Make pictures in this process; exit code."""
    command = f"python scripts/{NAME}.py --workspace {workspace} --device cpu --no-measure"
    return run_command(command, *words)


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
def test_steps_of_a_sweep_have_names_of_their_own(sweep: tuple[float, ...], names: list[str]) -> None:
    digits = enough_digits([("mouth", value) for value in sweep])
    assert [f"{value:+.{digits}f}" for value in sweep] == names


@pytest.mark.parametrize(("value", "text"), [(1.5, "+1.50"), (-0.0625, "-0.0625"), (0.001, "+0.001")])
def test_a_dial_of_a_name_reads_back(value: float, text: str) -> None:
    assert spelled(value) == text and float(text) == value
