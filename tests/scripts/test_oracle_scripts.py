"""Training the oracle, labelling with it, and comparing a generator with portraits."""

import json
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from cnn.oracle import Oracle, OracleConfig, load_oracle, save_oracle
from data import portraits
from data.portraits import TRUTH_NAMES
from scripts.bundle import train_oracle
from scripts.pipeline import files
from scripts.pipeline.options import resolve_options
from scripts.pipeline.places import REPOSITORY, script_path
from stylegan.checkpoint import save_checkpoint, weights_id
from stylegan.stylegan_generator import StyleGANGenerator

TRAIN = ("--people", 8, "--held-out", 12, "--people-per-batch", 8, "--stem-channels", 2)
TRAIN += ("--stage-channels", 4, 4, 4, "--log-every", 1, "--threads", 1)


@pytest.fixture
def in_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs a script as ``__main__`` in this process: exit code and what it printed."""

    def run(name: str, *arguments: object) -> tuple[int, str]:
        script = str(REPOSITORY / script_path(name))
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(script, run_name="__main__")
        printed = capsys.readouterr()
        return exit_info.value.code or 0, printed.out + printed.err

    return run


@pytest.fixture
def oracle_path(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    path = tmp_path / "oracle.safetensors"
    save_oracle(path, Oracle(OracleConfig(TRUTH_NAMES[2:], stem_channels=2, stage_channels=(4, 4, 4))), {})
    return path


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with the weights of a tiny generator."""
    torch.manual_seed(0)
    sizes = {"z_space_dim": 8, "w_space_dim": 8, "mapping_layers": 2, "mapping_fmaps": 8}
    generator = StyleGANGenerator(64, **sizes, fmaps_base=128, fmaps_max=8)
    root = tmp_path / "workspace"
    state = generator.state_dict()
    save_checkpoint(root / "stylegan/stylegan_model.pth", generator=state, generator_smooth=state)
    return root


@pytest.mark.parametrize("trunk", ["residual", "strided"])
def test_training_resumes_and_refuses_other_options(in_process: Callable, tmp_path: Path, trunk: str) -> None:
    output = tmp_path / "oracle.safetensors"
    arguments = ("--workspace", tmp_path / "workspace", "--out", output, "--trunk", trunk, *TRAIN)
    code, text = in_process("train_oracle", *arguments, "--steps", 3)
    assert code == 0, text
    assert "gender_auroc" in text
    config = load_oracle(output).config
    assert (config.property_names, config.trunk) == (TRUTH_NAMES[2:], trunk)
    with safe_open(output, "pt") as file:
        metadata = json.loads(file.metadata()["metadata"])
    words = shlex.split(metadata["command"])
    again = resolve_options(train_oracle.Options, "train_oracle", words[2:]).options
    assert words[:2] == ["python", "scripts/bundle/train_oracle.py"]
    assert (again.people, again.stage_channels, again.trunk) == (8, (4, 4, 4), trunk)
    assert "--first-seed" not in words  # it is the default
    assert set(metadata["figures"]["property_r"]) == set(TRUTH_NAMES[2:])

    log = pd.read_csv(tmp_path / "workspace/logs/train_oracle/train_log.csv")
    assert log["step"].tolist() == [1, 2, 3]
    assert log[["gender", "quality", "properties", "identity"]].notna().all(axis=None)

    drawn = next((tmp_path / "workspace/train_oracle").glob("people_64px_1000000_*.npz"))
    made_at, first = drawn.stat().st_mtime_ns, output.read_bytes()
    code, text = in_process("train_oracle", *arguments, "--steps", 3)
    assert code == 0, text
    assert "resumed at step 3" in text
    assert drawn.stat().st_mtime_ns == made_at
    assert output.read_bytes() == first
    code, text = in_process("train_oracle", *arguments, "--steps", 4)
    assert code == 5
    assert "cannot be continued" in text


def test_labels_are_made_for_the_pictures_of_stage_01(
    in_process: Callable, workspace: Path, oracle_path: Path, tmp_path: Path
) -> None:
    from scripts.stages.generated_pictures import jpeg_round_trip

    code, text = in_process("01_generate_candidates", "--workspace", workspace, "--count", 12, "--seed", 3)
    assert code == 0, text
    bundle = tmp_path / "bundle"
    common = ("--workspace", workspace, "--network", oracle_path, "--count", 12)
    weights = workspace / "stylegan/stylegan_model.pth"
    code, text = in_process("make_labels", *common, "--weights", weights, "--seed", 3, "--out", bundle)
    assert code == 0, text
    code, text = in_process("make_labels", *common, "--from-workspace")
    assert code == 0, text
    name = "synthesize_results_quality_and_gender"
    regenerated = pd.read_csv(bundle / f"{name}.csv")
    pd.testing.assert_frame_equal(regenerated, pd.read_csv(workspace / f"cnn/{name}.csv"))
    record = json.loads((bundle / f"{name}.json").read_text())
    assert (record["weights_id"], record["seed"], record["count"]) == (weights_id(weights), 3, 12)
    assert record["made_by"].startswith("machine (oracle.safetensors")
    assert record["network_sha256"] == files.sha256_file(oracle_path)

    saved = np.asarray(Image.open(workspace / "stylegan/synthesize_results/000000.jpg"))
    Image.fromarray(saved).save(tmp_path / "again.jpg", quality=95, subsampling=0)
    assert np.array_equal(jpeg_round_trip(saved), np.asarray(Image.open(tmp_path / "again.jpg")))


def test_missing_files_name_the_command(in_process: Callable, tmp_path: Path) -> None:
    missing = tmp_path / "none.safetensors"
    code, text = in_process("make_labels", "--network", missing, "--out", tmp_path)
    assert code == 5
    assert "python scripts/bundle/train_oracle.py" in text
    assert not list(tmp_path.glob("*.csv"))


def test_comparison_of_a_generator_with_portraits(
    in_process: Callable, workspace: Path, oracle_path: Path
) -> None:
    arguments = ("--workspace", workspace, "--oracle", oracle_path, "--count", 6)
    arguments += ("--training-portraits", 4, "--parsed", 4, "--weights")
    code, text = in_process("compare_generator", *arguments, workspace / "stylegan/stylegan_model.pth")
    assert code == 0, text
    results = json.loads((workspace / "compare_generator/results.json").read_text())
    assert set(results["sd_ratio"]) == set(TRUTH_NAMES[2:])
    assert 0 <= results["generator"]["women"] <= 1
    assert results["kid"] > results["kid_of_portraits"]
    assert results["parts_found"]["face"] == 0.0, "an untrained generator draws no faces"
    nearest = results["nearest_training_portrait"]
    assert nearest["generator"] > nearest["portraits"] > 0
    assert (workspace / "compare_generator/generated.png").is_file()
    for name in TRUTH_NAMES[2:]:
        assert name in text


def test_comparison_of_a_generator_with_faces(in_process: Callable, workspace: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    for number, image in enumerate(portraits.render_many(range(5), 64, processes=1).images):
        Image.fromarray(image).save(faces / f"{number}.png")
    arguments = ("--workspace", workspace, "--count", 4, "--parsed", 2, "--faces", faces)
    weights = ("--weights", workspace / "stylegan/stylegan_model.pth")
    code, text = in_process("compare_generator", *arguments, *weights, "--training-faces", faces)
    assert code == 0, text
    results = json.loads((workspace / "compare_generator/results.json").read_text())
    assert results["faces"] == 5 and results["kid"] > results["kid_of_halves"]
    assert results["nearest_training_face"]["generator"] > 0.1
    assert results["nearest_training_face"]["faces"] == pytest.approx(0, abs=1e-3), "they are the same ones"
    assert results["parts_found_in_faces"]["face"] == 1.0
    assert results["people_distance"]["faces"] > 0
    assert (workspace / "compare_generator/nearest.png").is_file()
    code, text = in_process("compare_generator", *arguments[:-1], tmp_path / "none", *weights)
    assert code == 5 and "no picture" in text


@pytest.mark.parametrize("name", ["train_oracle", "train_parser"])
def test_sizes_at_which_no_portrait_can_be_drawn_are_told(in_process, tmp_path: Path, name: str) -> None:
    code, text = in_process(name, "--workspace", tmp_path, "--portrait-size-px", 32)
    assert code == 5
    assert "64 to 256 pixels, not 32" in text and "--portrait-size-px" in text
