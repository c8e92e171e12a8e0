"""The row of sketches: from faces to pairs, a network, portraits and figures; kills and bad input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from scripts.pages.report.page import page, read_run
from scripts.pipeline import REPOSITORY
from scripts.stages import workspace as paths
from scripts.stages.sketching.evaluating import Reader
from sketch.lines import draw, strokes_of_face
from sketch.pairs import SPLITS, split_of
from sketch.portrait_network import load_network
from tests import readme
from tests.cnn.face_networks import onnx_yunet
from tests.processes import ScriptProcess, exit_code, wait_until
from tests.scripts.sketch_workspace import COUNT, make_workspace
from tests.segmentation.drawn_faces import draw_face

SCRIPTS = {path.name[:2]: path for path in sorted((REPOSITORY / "scripts").glob("3[0-9]_*.py"))}


def run(number: str, workspace: Path, *arguments: object, code: int = 0) -> None:
    given = ("--preset", "smoke", "--workspace", workspace, *arguments)
    assert exit_code(SCRIPTS[number], *given) == code


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After all scripts of the row."""
    folder = make_workspace(tmp_path_factory.mktemp("sketch"))
    run("30", folder)
    for number in ("31", "32", "33"):
        run(number, folder)
    return folder


@pytest.fixture
def copied(workspace: Path, tmp_path: Path) -> Path:
    return shutil.copytree(workspace, tmp_path / "copy")


def test_pairs_lie_side_by_side_in_the_split_of_their_person(workspace: Path) -> None:
    table = pd.read_csv(workspace / paths.SKETCH_TABLE)
    assert len(table) == COUNT and table["status"].eq("ok").all()
    for row in table.itertuples():
        assert row.split == split_of(str(row.img_no))
        pair = np.asarray(Image.open(workspace / paths.SKETCH_PAIRS / row.split / f"{row.img_no:06d}.png"))
        assert pair.shape == (32, 64, 3)
        portrait = Image.open(workspace / paths.SKETCH_PORTRAITS / f"{row.img_no:06d}.png")
        assert np.array_equal(pair[:, 32:], np.asarray(portrait)) and pair[:, :32].max() > 100
    assert set(table["split"]) == set(SPLITS)


def test_what_the_row_leaves(workspace: Path) -> None:
    log = pd.read_csv(workspace / paths.SKETCH_LOG)
    assert log["step"].iloc[-1] == 3 and log["pixel"].notna().all()
    assert load_network(workspace / paths.SKETCH_NETWORK).config.size == 32
    drawn = pd.read_csv(workspace / paths.SKETCH_DRAWN / "images.csv")
    assert len(drawn) == 2 * drawn["sketch"].nunique()
    assert all((workspace / name).is_file() for name in drawn["file"])
    results = json.loads((workspace / paths.SKETCH_EVALUATION).read_text())
    own = results["networks"]["workspace"]
    assert 0 < own["l1"] < 2 and 0 <= own["faces_mtcnn"] <= 1 and own["parameters"] > 1000
    described = readme.table_columns(readme.TABLES)
    for path in (workspace / "sketch").rglob("*.csv"):
        relative = path.relative_to(workspace).as_posix()
        columns = set(path.read_text(encoding="utf-8").split("\n", 1)[0].split(","))
        assert columns <= (readme.documented(relative, described) or set()), relative


def test_the_report_shows_the_row_that_was_begun(workspace: Path) -> None:
    found = read_run(workspace, workspace / "logs")
    states = {stage.number: stage.state for stage in found.stages if stage.number >= "20"}
    assert states == dict.fromkeys(("30", "31", "32", "33"), "complete")
    assert "Make sketch pairs" in page(found, "now")


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(copied: Path) -> None:
    common = ("--preset", "smoke", "--workspace", copied, "--save-seconds", "0")
    (copied / paths.SKETCH_CHECKPOINT).unlink()
    process = ScriptProcess(SCRIPTS["31"], *common, "--steps", 12, "--force", folder=copied)
    wait_until((copied / paths.SKETCH_CHECKPOINT).exists, process)
    process.kill()
    process.wait()
    run("31", copied, "--steps", 12)
    resumed = (copied / paths.SKETCH_NETWORK).read_bytes()
    run("31", copied, "--steps", 12, "--force")
    assert (copied / paths.SKETCH_NETWORK).read_bytes() == resumed


def test_a_sketch_of_ones_own_and_what_is_none(workspace: Path, tmp_path: Path, capsys) -> None:
    lines = draw(strokes_of_face(draw_face()[0], (0.0, 0.0, 1.0, 1.0)), 300)
    Image.fromarray(255 - lines).save(tmp_path / "mine.png")
    given = ("--hair", "#402010", "--background", "#101010", "--background-left", "#f0f0f0")
    run("32", workspace, tmp_path / "mine.png", "--seeds", "5", *given, "--out", tmp_path / "out")
    drawn = pd.read_csv(tmp_path / "out/images.csv")
    assert drawn["hair"].tolist() == ["#402010"]
    sides = ["background_left", "background_right"]
    assert drawn[sides].to_numpy().tolist() == [["#f0f0f0", "#101010"]]
    said = capsys.readouterr().out
    assert "--from-image" in said and "project_photos" in said and "dark lines on a light ground" in said
    for name, picture in (
        ("empty", np.zeros((64, 64), np.uint8)),
        ("white", np.full((64, 64), 255, np.uint8)),
    ):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        run("32", workspace, tmp_path / f"{name}.png", "--out", tmp_path / "out", code=5)
        assert "no lines" in capsys.readouterr().err
    run("32", workspace, tmp_path / "missing.png", code=5)
    run("32", workspace, "--hair", "brown", code=2)
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    run("32", workspace, "--network", tmp_path / "other.pt", code=5)
    assert "another network than the U-Net of sketches" in capsys.readouterr().err


def test_a_folder_of_pairs_or_pictures(workspace: Path, tmp_path: Path, capsys) -> None:
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    for path in sorted((workspace / paths.SKETCH_PAIRS / "train").glob("*.png"))[:12]:
        shutil.copy(path, pairs)
    own = ("--pictures", pairs, "--side-by-side")
    run("30", tmp_path / "a", *own)
    assert pd.read_csv(tmp_path / "a" / paths.SKETCH_TABLE)["status"].eq("ok").all()
    Image.new("RGB", (50, 32)).save(pairs / "uneven.png")
    run("30", tmp_path / "b", *own, code=4)
    run("30", tmp_path / "b", *own, "--max-failures", "0.2")
    table = pd.read_csv(tmp_path / "b" / paths.SKETCH_TABLE)
    assert "differ in size" in table.loc[table["status"].eq("failed"), "reason"].item()
    run("30", tmp_path / "edges", "--pictures", workspace / paths.SKETCH_PORTRAITS, "--lines", "xdog")
    run("30", tmp_path / "c", "--pictures", tmp_path / "nothing", "--side-by-side", code=5)
    run("30", workspace, "--lines", "landmarks", "--force", code=5)
    assert "no landmarks" in capsys.readouterr().err


def test_what_does_not_fit_is_said_before_anything_is_removed(copied: Path, capsys) -> None:
    run("31", copied, "--depth", "6", "--force", code=5)
    assert "--depth 6" in capsys.readouterr().err
    assert (copied / paths.SKETCH_NETWORK).is_file()
    run("31", copied, "--match-parameters", code=2)
    shutil.copy(copied / paths.SKETCHES / "000001.png", copied / paths.SKETCHES / "000000.png")
    Image.new("L", (8, 8)).save(copied / paths.SKETCHES / "000002.png")
    run("31", copied, "--force", code=5)
    assert "differ in size" in capsys.readouterr().err


def test_another_detector_counts_faces_if_its_file_is_given(copied: Path, capsys) -> None:
    detector = copied / "yunet.onnx"
    detector.write_bytes(onnx_yunet())
    run("33", copied, "--detector", detector, "--force")
    assert "by yunet.onnx (that says a face, not a good face)" in capsys.readouterr().out
    results = json.loads((copied / paths.SKETCH_EVALUATION).read_text())["networks"]
    assert 0 <= results["workspace"]["faces_detector"] <= 1
    reader = Reader.__new__(Reader)
    reader.detector = detector
    assert [reader.share_detected(np.full((2, 32, 32, 3), grey, np.uint8)) for grey in (0, 255)] == [0, 1]
    detector.write_bytes(b"no network")
    run("33", copied, "--detector", detector, "--force", code=5)
    run("33", copied, "--detector", copied / "nothing.onnx", "--force", code=5)
    assert "--detector cannot count faces" in capsys.readouterr().err
