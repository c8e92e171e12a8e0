"""Scores of a folder of faces: tables, statistics, bad pictures, resuming and refusals."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from data import portraits
from scripts.pipeline.places import REPOSITORY
from scripts.stages.scoring import plots
from segmentation.face_classes import FaceClass
from segmentation.normalization import ScoreStatistics
from segmentation.property_scores import compute_scores
from segmentation.property_table import PROPERTY_NAMES

SCRIPT = REPOSITORY / "scripts" / "04_compute_property_scores.py"
FACES = "segmentation/faces.csv"
SEGMENTED = "segmentation/segmentation_results"
RESULTS = "segmentation/property_score_results"
JOURNAL = "_stages/04_compute_property_scores/journal.csv"
COUNT = 10
SCORE_COLUMNS = [f"{name}_score" for name in PROPERTY_NAMES]


def write_face(folder: Path, img_no: int, picture: np.ndarray, label_map: np.ndarray) -> dict[str, object]:
    """Save a portrait the way the segmentation stage does; its row in the table of faces."""
    rows, columns = np.nonzero((label_map > 0) & (label_map < FaceClass.HAIR))
    box = (max(columns.min() - 9.0, 0.0), max(rows.min() - 12.0, 0.0), columns.max() + 9.5, rows.max() + 9.5)
    picture_path = f"stylegan/synthesize_results_filtered/{img_no:06d}.png"
    results = folder / SEGMENTED
    for path in (results, (folder / picture_path).parent):
        path.mkdir(parents=True, exist_ok=True)
    whole = Image.fromarray(picture)
    whole.save(folder / picture_path)
    whole.resize((224, 224), Image.Resampling.BICUBIC, box).save(results / f"face_{img_no:06d}.png")
    labels = Image.fromarray(label_map).resize((224, 224), Image.Resampling.NEAREST, box)
    labels.save(results / f"parsing_{img_no:06d}.png")
    row = {"img_no": img_no, "img_path": picture_path, "status": "ok", "reason": ""}
    return row | dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Workspace as stage 3 leaves it: ten faces, and a picture without a face."""
    folder = tmp_path_factory.mktemp("segmented")
    drawn = portraits.render_many(range(40, 40 + COUNT), 64)
    rows = [write_face(folder, 3 * n, drawn.images[n], drawn.label_maps[n]) for n in range(COUNT)]
    rows.append({"img_no": 1, "img_path": rows[0]["img_path"], "status": "no_face", "reason": "none"})
    pd.DataFrame(rows).to_csv(folder / FACES, index=False)
    return folder


@pytest.fixture
def workspace(segmented: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(segmented, tmp_path / "workspace"))


@pytest.fixture
def score_and_draw(workspace: Path, run_here: Callable) -> Callable[..., str]:
    """Runs the stage; returns what it wrote to the error stream."""
    return lambda *words, expect=0: run_here(SCRIPT, "--workspace", workspace, *words, expect=expect).err


@pytest.fixture
def score(score_and_draw: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The same with a blank in the place of every plot and sheet, which cost more time than all else."""
    for name in ("histograms", "correlation_matrices"):
        monkeypatch.setattr(plots, name, lambda *_: Figure(figsize=(1, 1)))
    for name in ("extremes", "property_sheet"):
        monkeypatch.setattr(plots, name, lambda *_: Image.new("RGB", (8, 8)))
    return score_and_draw


def read(workspace: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(workspace / RESULTS / name)


def pixels(workspace: Path, kind: str, img_no: int) -> np.ndarray:
    return np.asarray(Image.open(workspace / SEGMENTED / f"{kind}_{img_no:06d}.png"))


def test_tables_statistics_and_pictures(score_and_draw, workspace: Path) -> None:
    score_and_draw()
    raw = read(workspace, "raw_scores.csv")
    assert raw["img_no"].tolist() == [3 * n for n in range(COUNT)]
    assert (raw["status"] == "ok").all()
    stored = json.loads((workspace / RESULTS / "score_statistics.json").read_text())
    for algorithm, name in ((1, "all_scores.csv"), (2, "all_scores_v2.csv"), (3, "all_scores_v3.csv")):
        table = read(workspace, name)
        assert list(table.columns) == ["img_no", "img_path", *SCORE_COLUMNS, "valid"]
        labels = table[table["valid"]]
        assert len(labels) >= COUNT - 2
        np.testing.assert_allclose(labels[SCORE_COLUMNS].mean(), 0, atol=1e-9)
        np.testing.assert_allclose(labels[SCORE_COLUMNS].std(ddof=0), 1, atol=1e-9)
        statistics = ScoreStatistics.from_dict(stored[f"algorithm_{algorithm}"])
        values = raw[[f"{name}_v{algorithm}" for name in PROPERTY_NAMES]].to_numpy()
        both = statistics.normalize(values)[table["valid"]]
        np.testing.assert_allclose(both, labels[SCORE_COLUMNS], atol=1e-9)
    sheets = [f"extremes_{name}.png" for name in PROPERTY_NAMES]
    for name in ("histograms.png", "correlations.png", "extremes.png", *sheets):
        with Image.open(workspace / RESULTS / name) as picture:
            assert min(picture.size) > 200


def test_values_are_those_of_the_package(score, workspace: Path) -> None:
    """Also where the picture is stored sideways, as EXIF says."""
    faces = pd.read_csv(workspace / FACES).set_index("img_no")
    path = workspace / faces.loc[6, "img_path"]
    picture = np.asarray(Image.open(path))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by 90 degrees
    Image.fromarray(picture).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    score("--batch-size", 3)
    row = read(workspace, "raw_scores.csv").set_index("img_no").loc[6]
    for algorithm in (1, 2, 3):
        values, valid = compute_scores(
            pixels(workspace, "parsing", 6)[None],
            pixels(workspace, "face", 6)[None],
            algorithm,
            picture[None],
            faces.loc[[6], ["x0", "y0", "x1", "y1"]].to_numpy(float),
        )
        stored = [row[f"{name}_v{algorithm}"] for name in PROPERTY_NAMES]
        np.testing.assert_allclose(stored, values[0], rtol=1e-12)
        assert [row[f"{name}_valid_v{algorithm}"] for name in PROPERTY_NAMES] == valid[0].tolist()


def spoil(workspace: Path) -> dict[int, str]:
    """Spoil seven of the faces; what the reason must say, by image number."""
    results = workspace / SEGMENTED
    (results / "parsing_000000.png").unlink()
    face = results / "face_000003.png"
    face.write_bytes(face.read_bytes()[:200])
    Image.fromarray(pixels(workspace, "face", 6)).save(results / "parsing_000006.png")
    Image.fromarray(pixels(workspace, "parsing", 9)[:100]).save(results / "parsing_000009.png")
    Image.fromarray(pixels(workspace, "parsing", 12) * 20).save(results / "parsing_000012.png")
    (results / "face_000015.png").unlink()
    (workspace / "stylegan/synthesize_results_filtered/000018.png").unlink()
    reasons = {0: "parsing_000000.png: file is missing", 3: "unreadable", 6: "visualization", 9: "224 x 100"}
    return reasons | {
        12: "class id",
        15: "face_000015.png: file is missing",
        18: "000018.png: file is missing",
    }


def test_bad_pictures_are_rows_with_a_reason(score, workspace: Path) -> None:
    expected = spoil(workspace)
    message = score(expect=4)
    assert "7 of 10" in message and "--max-failures" in message
    assert not (workspace / RESULTS / "all_scores_v3.csv").exists()
    score("--max-failures", 0.8)
    raw = read(workspace, "raw_scores.csv").set_index("img_no")
    assert raw.index[raw["status"] == "failed"].tolist() == sorted(expected)
    for img_no, reason in expected.items():
        assert reason in raw.loc[img_no, "reason"]
    table = read(workspace, "all_scores_v3.csv").set_index("img_no")
    assert not table.loc[list(expected), "valid"].any()
    assert table.loc[list(expected), SCORE_COLUMNS].isna().all(axis=None)
    assert table.loc[[21, 24, 27], "valid"].all()


@pytest.mark.parametrize(
    ("absent", "instead", "lost"),
    [
        ((FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE), FaceClass.SKIN, "eyes"),
        ((FaceClass.HAIR,), FaceClass.BACKGROUND, "hair_color"),
        ((FaceClass.BACKGROUND,), FaceClass.HAIR, "background_mean"),
    ],
)
def test_a_face_without_a_region_is_listed_but_no_label(
    score, workspace: Path, absent: tuple[FaceClass, ...], instead: FaceClass, lost: str
) -> None:
    labels = pixels(workspace, "parsing", 9).copy()
    labels[np.isin(labels, absent)] = instead
    Image.fromarray(labels).save(workspace / SEGMENTED / "parsing_000009.png")
    score()
    for name in ("all_scores.csv", "all_scores_v2.csv", "all_scores_v3.csv"):
        row = read(workspace, name).set_index("img_no").loc[9]
        assert not row["valid"] and row[SCORE_COLUMNS].isna().all()
        others = read(workspace, name).set_index("img_no").drop(9)
        assert others.loc[others["valid"], SCORE_COLUMNS].notna().all(axis=None)
    raw = read(workspace, "raw_scores.csv").set_index("img_no").loc[9]
    assert np.isfinite(raw["mouth_v3"]) and not raw[f"{lost}_valid_v3"]


def test_finished_faces_are_not_measured_again(score, workspace: Path) -> None:
    score("--batch-size", 2)
    before = (workspace / RESULTS / "raw_scores.csv").read_bytes()
    journal = workspace / JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:5]) + lines[5][:40])  # four faces, and a row that a kill cut short
    for path in (workspace / RESULTS).iterdir():
        path.unlink()
    for row in csv.DictReader(lines[:5]):
        # Measuring one of them again would fail.
        (workspace / SEGMENTED / f"face_{int(row['img_no']):06d}.png").unlink()
    score("--batch-size", 2)
    assert (workspace / RESULTS / "raw_scores.csv").read_bytes() == before


def test_equal_faces_cannot_be_normalised(score, workspace: Path) -> None:
    for img_no in range(3, 3 * COUNT, 3):
        for kind in ("face", "parsing"):
            source = workspace / SEGMENTED / f"{kind}_000000.png"
            shutil.copy(source, source.with_name(f"{kind}_{img_no:06d}.png"))
    message = score(expect=5)
    assert "standard deviation is zero" in message
    assert "01_generate_candidates" in message


def test_a_table_without_faces_or_columns_is_refused(score, workspace: Path) -> None:
    faces = pd.read_csv(workspace / FACES)
    faces.assign(status="no_face").to_csv(workspace / FACES, index=False)
    assert "no face with status ok" in score(expect=5)
    faces.drop(columns="x0").to_csv(workspace / FACES, index=False)
    assert "'x0'" in score("--force", expect=5)
    (workspace / FACES).unlink()
    assert "03_segment_faces" in score("--force", expect=3)


def write_predictions(workspace: Path, **changes: object) -> pd.DataFrame:
    """Predicted eyes as `regress_property` writes them, also for a picture without a face."""
    numbers = [*range(0, 3 * COUNT, 3), 100]
    table = pd.DataFrame({"img_no": numbers, "img_path": "stylegan/synthesize_results/000000.jpg"})
    table["eyes_score"] = np.random.default_rng(0).normal(size=len(table))
    table["valid"] = True
    table = table.assign(**changes)
    path = workspace / "cnn/inference_result/property_eyes.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    return table


def test_labels_can_come_from_a_regression(score, workspace: Path) -> None:
    """A picture whose prediction failed is no label."""
    valid = write_predictions(workspace)["img_no"] != 6
    predicted = write_predictions(workspace, valid=valid).set_index("img_no")["eyes_score"]
    score("--replace", "eyes")
    table = read(workspace, "all_scores_v3.csv").set_index("img_no")
    assert table.index[~table["valid"]].tolist() == [6] and np.isnan(table.loc[6, "eyes_score"])
    expected = predicted[table.index].drop(6)
    scores = (expected - expected.mean()) / expected.std(ddof=0)
    np.testing.assert_allclose(table["eyes_score"].drop(6), scores)
    stored = json.loads((workspace / RESULTS / "score_statistics.json").read_text())["algorithm_3"]
    said = stored["eyes"]["labels_replaced_by"]
    assert said["file"] == "cnn/inference_result/property_eyes.csv"
    assert said["count"] == COUNT - 1
    assert "labels_replaced_by" not in stored["mouth"]
    # New pictures are still judged on the scale of the measurements.
    raw = read(workspace, "raw_scores.csv").set_index("img_no")["eyes_v3"].drop(6)
    assert ScoreStatistics.from_dict(stored).mean[0] == pytest.approx(raw.mean())


def test_a_regression_must_have_every_face_once(score, workspace: Path) -> None:
    assert "regress_property.py --property eyes" in score("--replace", "eyes", expect=3)
    table = write_predictions(workspace)
    write_predictions(workspace, img_no=table["img_no"] + 3)
    assert "no score for 1 of 10 faces (img_no 0" in score("--replace", "eyes", expect=5)
    write_predictions(workspace, img_no=table["img_no"].replace(100, 0))
    assert "img_no 0 more than once" in score("--replace", "eyes", "--force", expect=5)
    write_predictions(workspace, eyes_score=np.nan)
    assert "no finite number" in score("--replace", "eyes", "--force", expect=5)
    assert "hair_color" in score("--replace", "smile", expect=2)
