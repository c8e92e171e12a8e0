"""Stage 09 on a tiny workspace: real generators and the real oracle; the property judge reads grey levels."""

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from scripts.pipeline import REPOSITORY, Stage, files
from scripts.pipeline.console import StopRequest
from scripts.stages import networks
from scripts.stages import workspace as paths
from scripts.stages.evaluating import stage as body
from scripts.stages.evaluating.generators import UnfittedBaseError
from scripts.stages.evaluating.readings import VersionReadings
from scripts.stages.evaluating.summary import SCHEMA
from scripts.stages.workspace import EVALUATION, EVALUATION_TABLE, EVALUATION_TEXT, STRIPS
from segmentation.normalization import fit
from segmentation.property_table import PROPERTY_NAMES
from stylegan.checkpoint import save_checkpoint
from stylegan_modified.stylegan_generator import transplant
from tests.process_groups import in_processes
from tests.processes import exit_code
from tests.scripts.segmentation_record import record_segmentation
from tests.stylegan_modified.tiny import RESOLUTION, base_discriminator, base_generator, property_cnn

evaluate = importlib.import_module("scripts.09_evaluate")
COUNT = 24
SIZES = ("--latents", "4", "--population", "8", "--protocol-latents", "2", "--resamples", "20")


class GreyJudge:
    """Reads seven grey levels as properties, and a round face in the middle of every picture."""

    read_count = 0

    def __init__(self, tool: object, statistics: object) -> None:
        pass

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.read(images)[:2]

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        GreyJudge.read_count += len(images)
        values = images[:, 4:11, 8].mean(axis=2) / 64 - 2
        return values, np.ones(values.shape, bool), self.label_maps(images)

    def label_maps(self, images: np.ndarray) -> np.ndarray:
        maps = np.zeros(images.shape[:3], np.uint8)
        maps[:, 8:24, 8:24] = 1
        return maps


def build_workspace(folder: Path) -> Path:
    """Weights, scores and pictures that stages 00 to 05 would have left; the base with latents to fit."""
    rng = np.random.default_rng(0)
    base = base_generator()
    (folder / "stylegan").mkdir(parents=True)
    networks = {"generator": base.state_dict(), "discriminator": base_discriminator().state_dict()}
    save_checkpoint(folder / paths.GENERATOR, **networks, metadata={})
    w = torch.randn(COUNT, base.w_space_dim, generator=torch.Generator().manual_seed(0))
    save_file({"w": w}, folder / "stylegan/latents.safetensors")
    v1 = transplant(base)
    config = {**v1.config, "label_size": v1.label_size}
    (folder / "stylegan_modified").mkdir()
    torch.save({"generator": v1.state_dict(), "config": config}, folder / paths.FINE_TUNED["v1"])
    (folder / "judge").mkdir()
    shutil.copy(REPOSITORY / "data/embedded/oracle.safetensors", folder / paths.ORACLE)

    scores = rng.normal(size=(COUNT, 7))
    statistics = {"algorithm_3": fit(scores, np.ones(scores.shape, bool)).to_dict()}
    results = (folder / paths.STATISTICS).parent
    results.mkdir(parents=True)
    (folder / paths.STATISTICS).write_text(json.dumps(statistics))
    table = pd.DataFrame(scores, columns=[f"{name}_score" for name in PROPERTY_NAMES])
    table.insert(0, "img_no", range(COUNT))
    table.insert(1, "img_path", [f"stylegan/{n:06d}.png" for n in range(COUNT)])
    table["valid"] = True
    table.to_csv(folder / paths.SCORES, index=False)
    for path in table["img_path"]:
        pixels = rng.integers(0, 256, (RESOLUTION, RESOLUTION, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / path)
    record_segmentation(folder)
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_workspace(tmp_path_factory.mktemp("evaluation"))


def runner(workspace: Path) -> Callable[..., int]:
    """A function that runs stage 09 on the workspace and returns its exit code."""
    return lambda *words: exit_code("09_evaluate", "--workspace", workspace, "--device", "cpu", *words)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, workspace: Path) -> Callable[..., int]:
    monkeypatch.setattr(networks, "load_judge", GreyJudge)
    return runner(workspace)


def test_results_hold_every_measure_of_every_version(run, workspace: Path, capsys) -> None:
    assert run(*SIZES) == 0
    assert "not evaluated: v2, v3" in capsys.readouterr().out
    results = json.loads((workspace / EVALUATION).read_text())
    assert list(results) == ["base", "v1"]
    for version, entry in results.items():
        assert tuple(entry)[: len(SCHEMA)] == SCHEMA
        assert all(entry[name] is not None for name in SCHEMA)
        assert entry["n_latents"] == 4 and np.shape(entry["response"]) == (7, 7)
        assert list(entry["control"]) == list(entry["repeatability"]) == list(PROPERTY_NAMES)
        assert np.shape(entry["confidence"]["response"]["low"]) == (7, 7)
        assert (workspace / STRIPS.format(version)).stat().st_size > 1000
    # The transplant's label matrix is zero: its dials are dead, and it keeps the person.
    assert results["v1"]["control"]["mouth"] == results["v1"]["leakage"] == results["v1"]["preservation"] == 0
    assert results["v1"]["identity_auc"] == 1 and results["base"]["preservation"] > 0
    table = pd.read_csv(workspace / EVALUATION_TABLE)
    assert set(table["version"]) == {"base", "v1"} and {"value", "low", "high", "goal"} <= set(table)
    text = (workspace / EVALUATION_TEXT).read_text()
    assert "| control r: eyes | >= 0.98 | >= 0.85 |" in text and "seeds from 9000000" in text


def test_baselines_are_measured_where_they_are_asked_for(run, workspace: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(workspace, tmp_path / "copy"))
    names = ["interfacegan", "ganspace", "sefa", "stylespace"]
    measure = runner(copied)
    assert measure(*SIZES, "--versions", *names) == 3  # nothing reads properties with gradients yet
    torch.save(property_cnn().checkpoint(), copied / paths.PROPERTY_CNN)
    assert measure(*SIZES, "--versions", *names, "--force") == 0
    results = json.loads((copied / EVALUATION).read_text())
    assert list(results) == names
    assert len({entry["leakage"] for entry in results.values()}) == 4
    assert all(np.isfinite(entry["slope"]["mouth"]) for entry in results.values())
    own = (*SIZES, "--versions", "base", "ganspace", "--others", "own", "--force")
    assert measure(*own) == 0
    beside_own = json.loads((copied / EVALUATION).read_text())
    assert list(beside_own) == ["base", "ganspace"]
    assert beside_own["ganspace"]["leakage"] != results["ganspace"]["leakage"]
    assert beside_own["ganspace"]["joint_mae"] == results["ganspace"]["joint_mae"]  # it sets every dial
    assert "people_distance_equal_settings" not in beside_own["ganspace"]
    assert "v1" not in beside_own and "what each person has" in (copied / EVALUATION_TEXT).read_text()


def test_more_latents_and_a_repeated_part_read_only_what_is_new(run, workspace: Path, capsys) -> None:
    assert run(*SIZES) == 0
    before = (workspace / EVALUATION).read_bytes()
    capsys.readouterr()
    assert run(*SIZES) == 0 and "up to date" in capsys.readouterr().out
    assert run("--latents", "6", *SIZES[2:]) == 5
    assert "--force" in capsys.readouterr().err
    GreyJudge.read_count = 0
    assert run(*SIZES, "--force") == 0
    assert GreyJudge.read_count == 0
    next((workspace / "evaluation/measured/v1").glob("*/protocol_*.npz")).unlink()
    assert run(*SIZES, "--force") == 0
    assert GreyJudge.read_count == 2 * 50
    assert (workspace / EVALUATION).read_bytes() == before


READ_OTHERWISE = {
    "margin": lambda workspace: record_segmentation(workspace, margin=0.4),
    "chosen precision": lambda workspace: files.write(
        workspace / "_stages/03_segment_faces" / networks.PRECISION, {"precision": "bfloat16"}
    ),
    "another parser": lambda workspace: record_segmentation(workspace, parser="segmentation/other.pt"),
    "detector": lambda workspace: put(workspace / paths.MTCNN_INPUTS[1].path),
}


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"other weights")


@pytest.mark.parametrize("change", READ_OTHERWISE)
def test_readings_belong_to_the_segmenter(workspace: Path, tmp_path: Path, change: str) -> None:
    """Exchanged, it is asked again; what is as it was is not."""
    copied = Path(shutil.copytree(workspace, tmp_path / "workspace"))
    stage = Stage(evaluate.SPEC, evaluate.Options(workspace=copied, device="cpu"), StopRequest())

    def folder() -> str:
        return VersionReadings(stage, "v1", None, None).folder

    before = folder()
    assert folder() == before
    READ_OTHERWISE[change](copied)
    assert folder() != before


def test_without_an_oracle_the_rest_is_measured_and_said_so(run, workspace: Path, capsys) -> None:
    oracle = workspace / paths.ORACLE
    kept = oracle.read_bytes()
    oracle.unlink()
    try:
        assert run(*SIZES, "--versions", "v1", "--force") == 0
    finally:
        oracle.write_bytes(kept)
    entry = json.loads((workspace / EVALUATION).read_text())["v1"]
    assert entry["identity_auc"] is None and entry["women"] is None and entry["kid"] is not None
    text = (workspace / EVALUATION_TEXT).read_text()
    assert "| women | >= 99 % | >= 97 % | no judge |" in text and "No judge in this workspace" in text
    rows = pd.read_csv(workspace / EVALUATION_TABLE).set_index("measure").loc[["women", "identity_auc"]]
    assert rows["reached"].isna().all() and not rows["judged"].any()
    assert run("--versions", "v3", "--force") == 3
    assert "07_fine_tune_v3" in capsys.readouterr().err


def test_photographs_are_judged_by_networks_that_know_real_faces(
    run, workspace: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(workspace, tmp_path / "copy"))
    (copied / paths.ORACLE).unlink()
    for name, path in (
        ("judge_identity.safetensors", paths.IDENTITY_JUDGE),
        ("gender.onnx", paths.GENDER_JUDGE),
    ):
        shutil.copy(REPOSITORY / "data/photographs" / name, copied / path)
    assert runner(copied)(*SIZES, "--versions", "v1", "--force") == 0
    entry = json.loads((copied / EVALUATION).read_text())["v1"]
    judges = entry["setting"]["judges"]
    assert judges["quality"] is None and "ResNet" in judges["identity"] and "gender.onnx" in judges["gender"]
    # The transplant's dials are dead: every end is the same picture, and surely the same person.
    assert entry["identity_auc"] == entry["identity_verified"] == entry["joint_identity_auc"] == 1
    assert entry["people_distance"] > 0 and 0 <= entry["women"] <= 1 and entry["good_quality"] is None
    text = (copied / EVALUATION_TEXT).read_text()
    assert "| identity AUC | >= 0.97 |" in text and "| good quality | >= 98 % | >= 97 % | no judge |" in text
    assert "closer than its published threshold 0.6" in text


class SharedReadings:
    """Readings of a version that only counts its parts of seven pictures."""

    version, made = "v1", 0
    stage = SimpleNamespace(device=torch.device("cpu"))

    def plan(self) -> list[int]:
        return [7] * 3

    def make(self, parts: list[int]) -> None:
        self.made += sum(parts)


def _read_together() -> dict[str, int]:
    return body.read_together([SharedReadings()])


def test_several_processes_know_what_they_made_together(tmp_path: Path) -> None:
    assert _read_together() == {}
    assert in_processes(2, tmp_path, _read_together) == [{"v1": 3 * 7}] * 2


def test_why_a_version_is_left_out_is_a_key_of_the_results(run, workspace: Path, monkeypatch) -> None:
    evaluated = body.evaluate_version

    def without_base(stage: object, options: object, readings: object) -> dict:
        if readings.version == "base":
            raise UnfittedBaseError("It has too few pictures.")
        return evaluated(stage, options, readings)

    monkeypatch.setattr(body, "evaluate_version", without_base)
    assert run(*SIZES, "--force") == 0
    results = json.loads((workspace / EVALUATION).read_text())
    assert results.pop("left_out") == {"base": "It has too few pictures."}
    assert list(results) == ["v1"]
    assert set(pd.read_csv(workspace / EVALUATION_TABLE)["version"]) == {"v1"}
