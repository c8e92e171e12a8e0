"""Stage 03 on a few portraits: files, table, bad pictures, parts, memory, interruption and resume."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from data import portraits
from scripts.pipeline import files
from scripts.pipeline.places import REPOSITORY
from scripts.stages.image_files import read_image
from segmentation.face_attributes import AGE_CLASSES
from segmentation.face_classes import CLASS_NAMES
from segmentation.facexformer import FaceXFormer, load_facexformer, safetensors_metadata
from segmentation.facexformer_config import TASKS, FaceXFormerConfig
from segmentation.parsing import best_precision, visualize
from tests.processes import exit_code
from tests.segmentation.tiny_parser import TINY

SCRIPT = REPOSITORY / "scripts/03_segment_faces.py"
NUMBERS = (3, 4, 11, 12, 20, 21)
UNREADABLE, FACELESS = 5, 13
SEGMENTED = "segmentation/segmentation_results"
FACES = "segmentation/faces.csv"
PIXELS = [f"{name}_pixels" for name in CLASS_NAMES]


PARSER = "segmentation/models/segmentation_model.safetensors"


@pytest.fixture(scope="module")
def parser_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "parser.safetensors"
    save_file(FaceXFormer(TINY).state_dict(), path, metadata=safetensors_metadata(TINY))
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
    (folder / PARSER).write_bytes(parser_file.read_bytes())
    return folder


@pytest.fixture
def run_stage_03(workspace: Path) -> Callable[..., int]:
    usual = ("--workspace", workspace, "--batch-size", 3, "--precision", "float32")
    return lambda *words: exit_code(SCRIPT, *usual, *words)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_files_table_and_bad_pictures(run_stage_03, workspace: Path, capsys) -> None:
    assert run_stage_03("--max-failures", 0.3, "--precision", "auto") == 0
    table = pd.read_csv(workspace / FACES)
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
    for name in ("faces_sheet", "faces_unsure_sheet", "faces_failed_sheet"):
        assert read(workspace / f"segmentation/{name}.png").std() > 10
    text = capsys.readouterr().out
    has_choice = best_precision(torch.device("cpu")) == torch.bfloat16
    assert ("bfloat16 keeps" in text) == has_choice
    assert "6 of 8 pictures" in text and "04_compute_property_scores.py" in text


def test_interrupted_run_goes_on_where_it_was(run_stage_03, workspace: Path, monkeypatch) -> None:
    saved: list[str] = []
    original = files.write

    def write_or_stop(path: Path, value: object, **options: object) -> None:
        if len(saved) == 7:
            raise KeyboardInterrupt
        if path.parent.name == "segmentation_results":
            saved.append(path.name)
        original(path, value, **options)

    monkeypatch.setattr(files, "write", write_or_stop)
    assert run_stage_03("--max-failures", 0.3) == 130
    assert not (workspace / FACES).exists()
    journal = workspace / "_stages/03_segment_faces/journal.csv"
    finished = {int(line.split(",")[0]) for line in journal.read_text().splitlines()[1:]}
    assert 0 < len(finished) < 8
    saved[:] = [""] * 8
    assert run_stage_03("--max-failures", 0.3) == 0
    assert not {int(name[-10:-4]) for name in saved if name[-10:-4].isdecimal()} & finished
    resumed = (workspace / FACES).read_bytes()
    assert run_stage_03("--max-failures", 0.3, "--force") == 0
    assert (workspace / FACES).read_bytes() == resumed


def test_mistakes_are_explained(run_stage_03, workspace: Path, capsys) -> None:
    kept = workspace / "stylegan/synthesize_results_filtered"
    (kept / "holiday.jpg").write_bytes((kept / "000003.jpg").read_bytes())
    assert run_stage_03() == 5
    assert "not named by its number" in capsys.readouterr().err
    (kept / "holiday.jpg").unlink()

    model = workspace / PARSER
    state = load_facexformer(model).state_dict()
    wider = FaceXFormerConfig(**{**vars(TINY), "embed_dim": 16})
    save_file(state, model, metadata=safetensors_metadata(wider))
    assert run_stage_03() == 5
    message = capsys.readouterr().err
    assert "instead of" in message and "00_fetch_weights.py" in message
    model.write_bytes(model.read_bytes()[:1000])
    assert run_stage_03("--force") == 5
    assert "damaged" in capsys.readouterr().err
    model.unlink()
    assert run_stage_03() == 3
    assert "00_fetch_weights" in capsys.readouterr().err


def test_pictures_of_every_kind(run_stage_03, workspace: Path) -> None:
    kept = workspace / "stylegan/synthesize_results_filtered"
    for path in kept.iterdir():
        path.unlink()
    images = portraits.render_many(NUMBERS, 64).images
    grey = Image.fromarray(images[0]).convert("L")
    opaque = np.full((64, 64), 255, np.uint8)
    opaque[:8] = 0
    Image.fromarray(np.concatenate(images[:2], axis=1)).save(kept / "000000.jpg", quality=95)
    grey.save(kept / "000001.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(kept / "000002.png")
    Image.fromarray(np.dstack([images[2], opaque])).save(kept / "000003.png")
    Image.new("RGB", (4, 400)).save(kept / "000004.png")
    (kept / "000005.jpg").write_bytes(b"")
    assert run_stage_03("--max-failures", 0.5) == 0

    table = pd.read_csv(workspace / FACES).set_index("img_no")
    assert table["status"].tolist() == [*["ok"] * 4, "no_face", "failed"]
    assert table.loc[0, "face_count"] == 2 and "2 faces" in table.loc[0, "reason"]
    assert "unreadable" in table.loc[5, "reason"]
    eight, sixteen = (read(workspace / f"{SEGMENTED}/face_{number:06d}.png").astype(int) for number in (1, 2))
    assert np.abs(eight - sixteen).max() <= 2 and np.ptp(eight, axis=2).max() == 0
    seen = read_image(kept / "000003.png")
    assert (seen[:8] == 255).all() and np.array_equal(seen[8:], images[2][8:])


def test_memory_that_runs_out_halves_the_batch(run_stage_03, monkeypatch, capsys) -> None:
    forward, most = FaceXFormer.forward, 1

    def forward_of_few(self, images, *arguments):
        if len(images) > most:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")
        return forward(self, images, *arguments)

    monkeypatch.setattr(FaceXFormer, "forward", forward_of_few)
    assert run_stage_03("--max-failures", 0.3) == 0
    told = capsys.readouterr().out
    assert "memory ran out; pictures at once from now on: 1" in told and "6 of 8 pictures" in told
    most = 0
    assert run_stage_03("--max-failures", 0.3, "--force") == 5
    assert "not enough memory for a single item" in capsys.readouterr().err


def test_attributes_only_from_a_parser_that_learned_them(run_stage_03, workspace: Path, capsys) -> None:
    extras = ("--max-failures", 0.3, "--extras")
    assert run_stage_03(*extras[:2]) == 0
    made = {path: path.read_bytes() for path in (workspace / "segmentation").rglob("*.*")}
    assert run_stage_03(*extras, "--force") == 5
    assert {path: path.read_bytes() for path in (workspace / "segmentation").rglob("*.*")} == made
    message = capsys.readouterr().err
    assert "--extras needs headpose, landmarks" in message and "trained for segmentation alone" in message
    state = load_facexformer(workspace / PARSER).state_dict()
    save_file(state, workspace / PARSER, metadata=safetensors_metadata(TINY, tuple(TASKS)))
    assert run_stage_03(*extras, "--force") == 0
    table = pd.read_csv(workspace / FACES)
    face = table[table["status"] == "ok"].iloc[0]
    assert face["age"] in AGE_CLASSES and 1 / 8 < face["age_probability"] <= 1
    assert 0 < face["attribute_smiling"] < 1 and abs(face["yaw_deg"]) < 360
    assert len([name for name in table.columns if name.startswith("landmark_")]) == 136
    assert table[table["status"] != "ok"]["yaw_deg"].isna().all()


def test_no_face_at_all(run_stage_03, workspace: Path, capsys) -> None:
    kept = workspace / "stylegan/synthesize_results_filtered"
    for number in (*NUMBERS, UNREADABLE):
        (kept / f"{number:06d}.jpg").unlink()
    assert run_stage_03() == 4
    assert "1 of 1 items failed" in capsys.readouterr().err and (workspace / FACES).exists()
    assert run_stage_03("--max-failures", 1) == 0
    assert "0 of 1 pictures; 1 without" in capsys.readouterr().out
    assert pd.read_csv(workspace / FACES)["status"].tolist() == ["no_face"]
