"""Figures of people who were found: who is shown, dials against the truth, edits, photographs by name."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

from cnn.face_window import FaceWindow
from cnn.identity import FaceEmbedder, NetworkCard
from data import portraits
from scripts.pipeline import REPOSITORY
from scripts.stages import networks
from scripts.stages import workspace as paths
from scripts.stages.projecting import measuring
from scripts.stages.projecting.measuring import IdentityReader, PropertyReader, compare_people, usual_frame
from scripts.stages.regenerating.stage import spelled_readings
from scripts.stages.sheets import FONT_SIZE_PX
from segmentation.face_alignment import Similarity
from segmentation.face_crop import FaceCropper
from segmentation.property_table import PROPERTY_NAMES
from stylegan.sampling import to_uint8
from tests.processes import exit_code
from tests.scripts.pages.explore_workspace import make_workspace
from tests.scripts.segmentation_record import record_segmentation
from tests.stylegan_modified import tiny

FEW = ("--w-steps", "2", "--wp-steps", "2", "--tune", "3", "--device", "cpu")


class GreyJudge:
    """Reads seven grey levels as properties; the first is unreadable in dark pictures, which are strange."""

    def __init__(self, tool: object, statistics: object) -> None:
        self.segmenter = SimpleNamespace(cropper=FaceCropper("cpu"))

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = images[:, 4:11, 8].mean(axis=2) / 64 - 2
        valid = np.ones(values.shape, bool)
        valid[:, 0] = images.mean(axis=(1, 2, 3)) > 20
        return values, valid

    def strangeness(self, images: np.ndarray) -> np.ndarray:
        return np.where(images.mean(axis=(1, 2, 3)) > 20, 0.5, 2.0)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(networks, "load_judge", GreyJudge)
    root = make_workspace(tmp_path / "workspace")
    record_segmentation(root)
    (root / "judge").mkdir()
    shutil.copy(REPOSITORY / paths.BUNDLED_ORACLE, root / paths.ORACLE)
    return root


def validate(workspace: Path, *words: object, expect: int = 0) -> dict:
    assert exit_code("validate_projection", "--workspace", workspace, *FEW, *words) == expect
    return json.loads((workspace / "validate_projection/results.json").read_text())


def test_portraits_are_found_read_and_edited(workspace: Path) -> None:
    results = validate(workspace, "--count", "3", "--editing", "2")
    assert results["people"] == 3 and results["judge"].startswith("oracle")
    assert results["tuned"]["pixel_error"] < results["untuned"]["pixel_error"]
    for kind in ("untuned", "tuned"):
        assert 0 <= results[kind]["identity_auc"] <= 1
        assert set(results[kind]["dials_mae"]) == set(results["parser_mae"]) == set(PROPERTY_NAMES)
    assert results["editing"]["people"] == 2 and set(results["editing"]["control"]) == set(PROPERTY_NAMES)
    out = workspace / "validate_projection"
    assert {"comparison.png", "strips.png", "projections.png"} <= {path.name for path in out.iterdir()}
    table = pd.read_csv(out / "projections.csv")
    assert set(table["quality"]) <= {"good", "fair", "poor"} and table["similarity_other"].notna().all()
    before = (out / table["person"][0]).stat().st_mtime_ns
    edited = ("--version", "v2", "--person", out / table["person"][0], "--mouth", "1", "--device", "cpu")
    assert exit_code("08_regenerate_images", "--workspace", workspace, *edited, "--out", out / "edited") == 0
    assert pd.read_csv(out / "edited/images.csv")["mouth_measured"].notna().all()
    assert Image.open(out / "edited/grid.png").height > 2 * tiny.RESOLUTION + 3 * FONT_SIZE_PX  # readings
    again = validate(workspace, "--count", "3", "--editing", "0")
    assert again["tuned"] == results["tuned"] and "editing" not in again
    assert (out / table["person"][0]).stat().st_mtime_ns == before


def test_photographs_of_one_person_are_not_others(workspace: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    images = portraits.render_many(range(2), 128, processes=1).images
    for name, image in zip(("ann_1", "ann_2", "bob_1"), images[[0, 0, 1]], strict=True):
        Image.fromarray(image).save(folder / f"{name}.png")
    words = ("--photos", folder, "--people-by-name", "--editing", "0", "--low-resolution", "16")
    results = validate(workspace, *words)
    assert results["people"] == 3 and results["small_error"] > 0 and "parser_mae" not in results
    table = pd.read_csv(workspace / "validate_projection/projections.csv").set_index("source")
    # Both pictures of Ann are the same, so that only Bob can differ from them.
    assert table.loc["ann_1.png", "similarity_other"] == table.loc["ann_2.png", "similarity_other"]


def test_without_a_judge_nobody_is_sought(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / paths.ORACLE).unlink()
    assert exit_code("validate_projection", "--workspace", workspace, "--count", "2", *FEW) == 5
    assert "Give --judge" in " ".join(capsys.readouterr().err.split())
    assert not (workspace / "validate_projection/projections.csv").exists()


def test_readings_are_told_below_a_title() -> None:
    values = np.array([[0.5, -1.25, 0, 0, 0, 0, 0], [0.0] * 7])
    valid = np.array([[True, True, *[False] * 5], [False] * 7])
    assert spelled_readings(values, valid) == ["reads eyes +0.50, hair color -1.25", "unreadable"]


class Colours(torch.nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


def painted(*colours: tuple[int, int, int]) -> list[np.ndarray]:
    return [np.full((32, 32, 3), colour, np.uint8) for colour in colours]


def test_who_is_like_whom() -> None:
    reader = IdentityReader(FaceEmbedder(Colours(), NetworkCard("colours", "none", threshold=0.5)))
    photos = painted((255, 0, 0), (250, 0, 0), (0, 255, 0), (0, 0, 255))
    drawn = painted((255, 10, 0), (240, 0, 0), (0, 250, 0), (250, 0, 200))
    table, auc = compare_people(reader, photos, drawn, ["a", "a", "b", "c"], limit=0.5)
    assert table["alike"].tolist() == [True, True, True, False]
    assert (table["similarity"] > table["similarity_other"])[:3].all()
    assert auc == pytest.approx(38 / 40)  # the last one is nearer to both photographs of a
    alone = compare_people(reader, photos[:2], drawn[:2], ["a", "a"], limit=0.5)
    assert alone[1] is None and alone[0]["similarity_other"].isna().all()


class Strangers:
    """A generator of people who are one colour each."""

    z_space_dim = 3

    def __call__(self, z: Tensor) -> dict[str, Tensor]:
        return {"image": z.tanh()[..., None, None].expand(-1, -1, 8, 8)}


def test_strangers_are_seldom_nearer_than_their_distance() -> None:
    projector = SimpleNamespace(model=Strangers(), tool=SimpleNamespace(device="cpu"))
    reader = IdentityReader(FaceEmbedder(Colours(), NetworkCard("colours", "none")))
    limit = reader.stranger_distance(projector)
    others = Strangers()(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)))["image"]
    nearer = torch.pdist(reader(list(to_uint8(others)))) < limit
    assert 0.003 < nearer.float().mean() < 0.03
    published = FaceEmbedder(Colours(), NetworkCard("colours", "none", threshold=0.6))
    assert IdentityReader(published).stranger_distance(projector) == 0.6


def test_published_networks_see_faces_where_they_expect_them() -> None:
    """Their window lies in the frame of align_photos, and the generator may draw faces elsewhere."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[16:48, 16:48] = 200  # the usual frame of this generator: the middle half of its pictures
    frame = Similarity(0.5 + 0j, 64 + 64j).inverse()
    np.testing.assert_array_equal(usual_frame(picture, frame, 32)[2:-2, 2:-2], 200)
    window = FaceWindow(0, 0, 256, 16)
    embedder = FaceEmbedder(Colours(), NetworkCard("colours", "none", threshold=0.5), window)
    framed, whole = (IdentityReader(embedder, one)([picture]) for one in (frame, None))
    assert framed.mean() > whole.mean() + 0.5


def test_what_speaks_against_readings_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "load_judge", GreyJudge)
    monkeypatch.setattr(measuring, "load_statistics", lambda tool: None)
    reader = PropertyReader(SimpleNamespace())
    dark, bright = painted((5, 5, 5), (120, 120, 120))
    row, against = reader(dark, bright)
    assert np.isnan(row["eyes_photo"]) and np.isfinite(row["eyes_projection"])
    assert against == ["unreadable: eyes", "unlike the parser's training"]
    assert reader(bright, dark)[1] == []
