"""Stage 03 on a few portraits: files, table, bad pictures, interruption and resume."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from data import portraits
from scripts.pipeline.layers import REPOSITORY
from segmentation.facexformer import FaceXFormer, FaceXFormerConfig, safetensors_metadata
from segmentation.parsing import CLASS_NAMES, visualize

SCRIPT = REPOSITORY / "scripts/03_segment_faces.py"
NUMBERS = (3, 4, 11, 12, 20, 21)
UNREADABLE, FACELESS = 5, 13
PIXELS = [f"{name}_pixels" for name in CLASS_NAMES]


@pytest.fixture(scope="module")
def parser_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = FaceXFormerConfig(
        patch_size=8,
        embed_dim=8,
        depths=(1, 1, 1, 1),
        head_counts=(1, 1, 2, 2),
        decoder_width=16,
        decoder_head_count=2,
        decoder_mlp_width=16,
    )
    path = tmp_path_factory.mktemp("weights") / "parser.safetensors"
    save_file(FaceXFormer(config).state_dict(), path, metadata=safetensors_metadata(config))
    return path


@pytest.fixture
def workspace(tmp_path: Path, parser_file: Path) -> Path:
    folder = tmp_path / "workspace"
    kept = folder / "stylegan/synthesize_results_filtered"
    kept.mkdir(parents=True)
    for number, image in zip(NUMBERS, portraits.render_many(NUMBERS, 64).images, strict=True):
        Image.fromarray(image).save(kept / f"{number:06d}.jpg", quality=95)
    whole = (kept / "000003.jpg").read_bytes()
    (kept / f"{UNREADABLE:06d}.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (64, 64), (90, 120, 150)).save(kept / f"{FACELESS:06d}.jpg")
    models = folder / "segmentation/models"
    models.mkdir(parents=True)
    (models / "segmentation_model.safetensors").write_bytes(parser_file.read_bytes())
    return folder


@pytest.fixture
def run_stage_03(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the script as ``__main__`` in this process; returns its exit code."""

    def run(*arguments: object) -> int:
        words = [str(SCRIPT), "--workspace", str(workspace), "--batch-size", "3", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return exit_info.value.code or 0

    return run


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_files_table_and_bad_pictures(run_stage_03, workspace: Path, capsys) -> None:
    assert run_stage_03("--max-failures", 0.3) == 0
    table = pd.read_csv(workspace / "segmentation/faces.csv")
    assert table["img_no"].tolist() == sorted((*NUMBERS, UNREADABLE, FACELESS))
    status = table.set_index("img_no")["status"]
    assert status[UNREADABLE] == "failed" and status[FACELESS] == "no_face"
    reasons = table.set_index("img_no")["reason"]
    assert "unreadable" in reasons[UNREADABLE] and "no face" in reasons[FACELESS]

    faces = table[table["status"] == "ok"]
    assert faces["img_no"].tolist() == list(NUMBERS)
    assert (faces[PIXELS].sum(axis=1) == 224 * 224).all()
    assert ((faces["x0"] >= 0) & (faces["x0"] < faces["x1"]) & (faces["x1"] <= 64)).all()
    assert faces["probability"].between(0.7, 1).all() and (faces["face_count"] == 1).all()
    for number in NUMBERS:
        face, labels, colors = (
            read(workspace / f"segmentation/segmentation_results/{kind}_{number:06d}.png")
            for kind in ("face", "parsing", "parsing_visualization")
        )
        assert face.shape == (224, 224, 3)
        assert labels.shape == (224, 224) and labels.dtype == np.uint8
        counts = faces.set_index("img_no").loc[number, PIXELS].to_numpy(int)
        assert np.bincount(labels.ravel(), minlength=11).tolist() == counts.tolist()
        assert np.array_equal(colors, visualize(face, labels))
    assert (workspace / "segmentation/faces_sheet.png").exists()
    text = capsys.readouterr().out
    assert "6 of 8 pictures" in text and "04_compute_property_scores.py" in text


def test_too_many_bad_pictures_end_with_exit_4(run_stage_03, workspace: Path, capsys) -> None:
    assert run_stage_03() == 4
    assert "2 of 8 items failed" in capsys.readouterr().err
    assert (workspace / "segmentation/faces.csv").exists()


def test_interrupted_run_goes_on_where_it_was(run_stage_03, workspace: Path, monkeypatch) -> None:
    from scripts.pipeline.stage import Stage

    saved: list[str] = []
    original = Stage.save_image

    def save_or_stop(self: Stage, relative: str, image: object, **options: object) -> None:
        if len(saved) == 7:
            raise KeyboardInterrupt
        saved.append(relative)
        original(self, relative, image, **options)

    monkeypatch.setattr(Stage, "save_image", save_or_stop)
    assert run_stage_03("--max-failures", 0.3) == 130
    assert not (workspace / "segmentation/faces.csv").exists()
    journal = workspace / "_stages/03_segment_faces/journal.csv"
    finished = {line.split(",")[0] for line in journal.read_text().splitlines()[1:]}
    assert 0 < len(finished) < 8
    journal.write_bytes(journal.read_bytes() + b"21,stylegan/synth")

    saved.clear()
    saved.extend([""] * 8)
    assert run_stage_03("--max-failures", 0.3) == 0
    resumed = {int(name[-10:-4]) for name in saved if name[-10:-4].isdecimal()}
    assert not {f"{number}" for number in resumed} & finished
    table = pd.read_csv(workspace / "segmentation/faces.csv")

    monkeypatch.setattr(Stage, "save_image", original)
    assert run_stage_03("--max-failures", 0.3, "--force") == 0
    pd.testing.assert_frame_equal(table, pd.read_csv(workspace / "segmentation/faces.csv"))


def test_mistakes_are_explained(run_stage_03, workspace: Path, capsys) -> None:
    kept = workspace / "stylegan/synthesize_results_filtered"
    (kept / "holiday.jpg").write_bytes((kept / "000003.jpg").read_bytes())
    assert run_stage_03() == 5
    assert "not named by its number" in capsys.readouterr().err
    (kept / "holiday.jpg").unlink()

    model = workspace / "segmentation/models/segmentation_model.safetensors"
    model.write_bytes(model.read_bytes()[:1000])
    assert run_stage_03("--force") == 5
    message = capsys.readouterr().err
    assert "damaged" in message and "00_fetch_weights.py" in message
    model.unlink()
    assert run_stage_03() == 3
    assert "00_fetch_weights" in capsys.readouterr().err
