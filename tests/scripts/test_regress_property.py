"""Property regression from labels: directions, predictions, refusals."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from scripts import regress_property
from scripts.pipeline import Tool, ToolOptions, UserError
from scripts.pipeline.console import StopRequest
from scripts.pipeline.places import REPOSITORY
from scripts.stages.scoring import labels as property_labels
from scripts.stages.scoring import regression
from segmentation.property_table import PROPERTY_NAMES

SCRIPT = REPOSITORY / "scripts" / "regress_property.py"
IMAGE_COUNT, LABEL_COUNT = 30, 20
TRUTH = np.random.default_rng(0).random(IMAGE_COUNT).round(3)
QUICK = (
    *("--fold-count", 2, "--width", 1 / 32, "--batch-size", 5, "--learning-rate", 0.01, "--max-epochs", 12),
    *("--attempts", 1, "--threads", 1),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Pictures as bright as the truth; all but the first five are kept."""
    root = tmp_path / "workspace"
    (root / "stylegan/synthesize_results").mkdir(parents=True)
    (root / "stylegan/synthesize_results_filtered").mkdir()
    rng = np.random.default_rng(0)
    paths = [f"stylegan/synthesize_results/{img_no:06d}.jpg" for img_no in range(IMAGE_COUNT)]
    for img_no, path in enumerate(paths):
        picture = rng.integers(0, 30, (64, 64, 3)) + 200 * TRUTH[img_no]
        Image.fromarray(picture.astype(np.uint8)).save(root / path, quality=95)
        if img_no >= 5:
            (root / "stylegan/synthesize_results_filtered" / Path(path).name).write_bytes(b"")
    pd.DataFrame({"img_no": range(IMAGE_COUNT), "img_path": paths}).to_csv(
        root / "stylegan/candidates.csv", index=False
    )
    return root


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Dark hair is 1, as the earlier project labelled it."""
    path = tmp_path / "labels.csv"
    names = [f"{img_no:06d}.jpg" for img_no in range(LABEL_COUNT)]
    pd.DataFrame({"img_name": names, "hair_color": 1 - TRUTH[:LABEL_COUNT]}).to_csv(path, index=False)
    return path


@pytest.fixture
def run(workspace: Path, run_here: Callable) -> Callable:
    return lambda *words, expect=0: run_here(SCRIPT, "--workspace", workspace, *QUICK, *words, expect=expect)


def test_scores_run_as_the_property_table_says(workspace: Path, labels: Path, run: Callable) -> None:
    measured = workspace / "segmentation/property_score_results/all_scores_v3.csv"
    measured.parent.mkdir(parents=True)
    truth = pd.DataFrame({"img_no": range(IMAGE_COUNT), "hair_color_score": TRUTH})
    truth.to_csv(measured, index=False)
    output = run("--property", "input_hair_color", "--labels", labels).out
    table = pd.read_csv(workspace / "cnn/inference_result/property_hair_color.csv")
    expected = ["img_no", "img_path", "hair_color", "hair_color_score", "valid", "source"]
    assert list(table) == expected
    assert table["img_no"].tolist() == list(range(5, IMAGE_COUNT))
    assert (table["source"] == "out of fold").tolist() == [n < LABEL_COUNT for n in table["img_no"]]
    score = table["hair_color_score"]
    assert np.corrcoef(score, TRUTH[5:])[0, 1] > 0.5, "labels from bright to dark, scores from dark to bright"
    assert np.corrcoef(table["hair_color"], TRUTH[5:])[0, 1] < -0.5
    assert (score.mean(), score.std(ddof=0)) == pytest.approx((0, 1), abs=1e-5)
    record = json.loads((workspace / "cnn/inference_result/property_hair_color.json").read_text())
    assert record["out_of_fold"]["r"] > 0.5
    assert record["labels"] == LABEL_COUNT
    assert "against the measured scores" in output
    assert "run the other way" not in output
    folds = pd.read_csv(workspace / "cnn/log/train_log_property_hair_color.csv")
    assert folds["fold"].tolist() == list(range(len(folds)))
    assert set(folds["status"]) <= {"ok", "above limit"}
    events = workspace / "logs/regress_property/events"
    assert {path.name for path in events.iterdir()} == {f"hair_color_{n}" for n in folds["fold"]}
    for relative in ("property_hair_color.png", "property_hair_color_sheet.png"):
        assert (workspace / "cnn/log" / relative).exists()

    words = ("--property", "hair_color", "--labels", labels, "--pictures", "candidates")
    assert "run the other way" in run(*words).out
    assert len(pd.read_csv(workspace / "cnn/inference_result/property_hair_color.csv")) == IMAGE_COUNT


def test_labels_name_pictures_of_any_suffix_and_faces_need_no_candidates(workspace: Path) -> None:
    (workspace / "segmentation").mkdir()
    folder = "stylegan/synthesize_results_filtered"
    rows = [f"7,{folder}/000007.png,ok", f"8,{folder}/000008.jpg,ok", f"9,{folder}/000009.jpg,no_face"]
    (workspace / "segmentation/faces.csv").write_text("\n".join(["img_no,img_path,status", *rows]) + "\n")
    (workspace / "stylegan/candidates.csv").unlink()
    tool = Tool("regress_property", ToolOptions(workspace=workspace), StopRequest())
    known, wanted, numbers = regression.chosen_pictures(tool, regress_property.Options(pictures="faces"))
    assert numbers == {"000007.png": 7, "000008.jpg": 8}
    assert known["img_path"].tolist() == wanted["img_path"].tolist()
    assert known["img_path"].iloc[0] == "segmentation/segmentation_results/face_000007.png"


def test_the_five_inputs_are_properties_of_the_table() -> None:
    names = ("eyes", "hair_color", "mouth", "background", "head")
    meant = {name: property_labels.labelled_property(f"input_{name}") for name in names}
    assert {prop.name for prop in meant.values()} <= set(PROPERTY_NAMES)
    assert [name for name, prop in meant.items() if prop.is_reversed] == ["hair_color"]
    assert (meant["head"].name, meant["background"].name) == ("pose", "background_mean")
    with pytest.raises(UserError, match="input_eyes"):
        property_labels.labelled_property("ears")


BAD_LABELS = {
    "text": ({"label": ["dark", 0.5]}, "000000.jpg has the label 'dark'"),
    "empty": ({"label": [0.5, None]}, "000001.jpg has the label 'nan'"),
    "duplicate": ({"img_name": ["000000.jpg", "000000.jpg"]}, "000000.jpg is labelled more than once"),
    "unknown picture": ({"img_name": ["000000.jpg", "000077.jpg"]}, "000077.jpg"),
    "all equal": ({"label": [0.5, 0.5]}, "nothing to tell apart"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_wrong_labels_are_refused(tmp_path: Path, name: str) -> None:
    changes, message = BAD_LABELS[name]
    table = {"img_name": ["000000.jpg", "000001.jpg"], "label": [0.25, 0.5]} | changes
    path = tmp_path / "labels.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    with pytest.raises(UserError, match=message):
        property_labels.load_property_labels(path, "label", {"000000.jpg": 0, "000001.jpg": 1})


def test_decimal_commas_are_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text('img_name,eyes\n000000.jpg,"-1,25"\n"C:\\x\\000001.jpg","0,5"\n')
    found = property_labels.load_property_labels(path, "eyes", {"000000.jpg": 0, "000001.jpg": 1})
    assert found.to_dict("list") == {"img_no": [0, 1], "label": [-1.25, 0.5]}


def test_missing_things_are_named(workspace: Path, labels: Path, run: Callable, tmp_path: Path) -> None:
    for words, code, message in (
        ((), 5, "--property eyes --labels eyes.csv"),
        (("--property", "eyes", "--labels", labels), 5, "no column 'eyes'"),
        (("--property", "eyes", "--labels", tmp_path / "none.csv"), 3, "columns img_name and eyes"),
        (("--property", "hair_color", "--labels", labels, "--fold-count", 15), 5, "at least 30 labels"),
        (("--property", "hair_color", "--labels", labels, "--pictures", "faces"), 3, "03_segment_faces"),
    ):
        assert message in run(*words, expect=code).err
    (workspace / "stylegan/synthesize_results/000007.jpg").unlink()
    assert "000007.jpg" in run("--property", "hair_color", "--labels", labels, expect=5).err
    assert not (workspace / "cnn").exists()
