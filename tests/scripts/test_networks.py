"""Everybody reads pictures as stage 03 of the workspace did: its options, its arithmetic, its weights."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from facenet_pytorch import MTCNN
from PIL import Image
from safetensors.torch import save_file

from data import portraits
from scripts.pipeline import MissingInputError, Tool, ToolOptions, UserError, records
from scripts.pipeline.console import StopRequest
from scripts.stages import networks
from scripts.stages.image_files import read_image
from scripts.stages.regenerating.photographs import PhotographEncoder
from scripts.stages.segmenting import stage as segmenting
from segmentation import segmenter as segmenter_module
from segmentation.facexformer import FaceXFormer, safetensors_metadata
from segmentation.segmenter_settings import SegmenterSettings
from tests.processes import exit_code
from tests.scripts.segmentation_record import record_segmentation
from tests.scripts.test_stage_03 import PARSER
from tests.segmentation.tiny_parser import TINY

NUMBERS = (3, 4)
ODD = ("--margin", "0.4", "--detection-size", "120", "--min-face", "0.3")
OTHER_PARSER = "segmentation/models/other.safetensors"


def save_parser(path: Path, seed: int) -> None:
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(FaceXFormer(TINY).state_dict(), path, metadata=safetensors_metadata(TINY))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    kept = folder / "stylegan/synthesize_results_filtered"
    kept.mkdir(parents=True)
    for number, image in zip(NUMBERS, portraits.render_many(NUMBERS, 64).images, strict=True):
        Image.fromarray(image).save(kept / f"{number:06d}.jpg", quality=95)
    save_parser(folder / PARSER, 0)
    save_parser(folder / OTHER_PARSER, 1)
    return folder


@pytest.fixture
def workspace(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "workspace"))


def run_03(workspace: Path, *words: str) -> int:
    return exit_code("03_segment_faces", "--workspace", workspace, "--device", "cpu", "--quiet", *words)


def tool_in(workspace: Path) -> Tool:
    return Tool("any", ToolOptions(workspace=workspace, device="cpu", quiet=True), StopRequest())


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_readers_see_what_stage_03_saw(workspace: Path) -> None:
    assert run_03(workspace, *ODD, "--parser", OTHER_PARSER, "--precision", "bfloat16") == 0
    paths = [workspace / f"stylegan/synthesize_results_filtered/{number:06d}.jpg" for number in NUMBERS]
    judge = networks.load_judge(tool_in(workspace), None)
    segmented = judge.segmenter([read_image(path) for path in paths])
    assert judge.segmenter.settings == SegmenterSettings(120, 0.3, 0.4, "bfloat16")
    for number, face in zip(NUMBERS, segmented, strict=True):
        results = workspace / "segmentation/segmentation_results"
        assert np.array_equal(face.crop.image, pixels(results / f"face_{number:06d}.png"))
        assert np.array_equal(face.label_map, pixels(results / f"parsing_{number:06d}.png"))


def test_the_arithmetic_that_auto_chose_is_kept(workspace: Path, monkeypatch) -> None:
    monkeypatch.setattr(segmenter_module, "best_precision", lambda device: torch.bfloat16)
    monkeypatch.setattr(segmenting, "PRECISION_AGREEMENT", 0.5)
    assert run_03(workspace) == 0
    monkeypatch.undo()
    assert networks.load_segmenter(tool_in(workspace)).settings.precision == "bfloat16"
    monkeypatch.setattr(segmenter_module, "best_precision", lambda device: torch.bfloat16)
    monkeypatch.setattr(segmenting, "PRECISION_AGREEMENT", 1.1)
    assert run_03(workspace, "--force") == 0
    assert networks.load_segmenter(tool_in(workspace)).settings.precision == "float32"


def test_a_workspace_that_was_not_segmented_says_what_to_run(workspace: Path) -> None:
    with pytest.raises(MissingInputError, match=r"03_segment_faces\.py"):
        networks.load_segmenter(tool_in(workspace))
    record_segmentation(workspace, margin=0.1)
    found = networks.recorded_segmentation(tool_in(workspace))
    assert found.settings == SegmenterSettings(margin=0.1) and found.parser == PARSER
    record = records.read(workspace, networks.SEGMENTING)
    records.write(workspace, networks.SEGMENTING, record | {"state": "running"})
    with pytest.raises(MissingInputError, match=r"03_segment_faces\.py"):
        networks.recorded_segmentation(tool_in(workspace))


def test_photographs_are_cut_as_stage_03_cuts(workspace: Path) -> None:
    """The one training picture, drawn larger, is a photograph that the frame brings back to itself."""
    (workspace / "stylegan/synthesize_results_filtered/000004.jpg").unlink()
    encoder = PhotographEncoder.__new__(PhotographEncoder)  # without v3, which framing does not need
    encoder.tool, encoder.size = tool_in(workspace), 64
    photograph, known = (portraits.render_many(NUMBERS[:1], size).images[0] for size in (128, 64))
    with pytest.raises(MissingInputError, match=r"03_segment_faces\.py"):
        encoder.frame(photograph)
    assert run_03(workspace, "--margin", "0.1") == 0
    framed, how = encoder.frame(photograph)
    assert how.startswith("cut out around the face")
    assert np.abs(framed.astype(int) - known).mean() < 8


def test_weights_exchanged_after_stage_03_are_refused(workspace: Path) -> None:
    assert run_03(workspace) == 0
    save_parser(workspace / PARSER, 2)
    with pytest.raises(UserError, match=r"segmentation_model\.safetensors is not the file") as error:
        networks.load_judge(tool_in(workspace), None)
    assert "03_segment_faces.py" in str(error.value) and "--force" in str(error.value)


def test_faces_that_were_not_scored_are_refused(workspace: Path) -> None:
    record_segmentation(workspace)
    faces = workspace / networks.FACES
    pd.DataFrame({"img_no": [1]}).to_csv(faces, index=False)
    depends_on = {"inputs": {networks.FACES: "sha256 of the faces before"}}
    scored = {"state": "complete", "fingerprint": "", "depends_on": depends_on}
    records.write(workspace, networks.SCORING, scored)
    with pytest.raises(UserError, match=r"04_compute_property_scores\.py"):
        networks.load_judge(tool_in(workspace), None)


def test_the_detector_of_the_workspace_finds_the_faces(workspace: Path, capsys) -> None:
    assert run_03(workspace) == 0
    state = MTCNN().onet.state_dict()
    state["dense6_1.bias"] = torch.tensor([99.0, -99.0])  # nothing is a face
    torch.save(state, workspace / "segmentation/models/mtcnn_onet.pt")
    capsys.readouterr()
    assert run_03(workspace) == 5 and "input segmentation/models/mtcnn_onet.pt" in capsys.readouterr().err
    assert run_03(workspace, "--force", "--max-failures", "1") == 0
    assert set(pd.read_csv(workspace / networks.FACES)["status"]) == {"no_face"}
    pictures = portraits.render_many(NUMBERS, 64).images
    assert networks.load_segmenter(tool_in(workspace))(list(pictures)) == [None, None]
