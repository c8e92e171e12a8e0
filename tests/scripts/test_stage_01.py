"""Candidates depend on the weights and their seed alone: not on batches, kills or other candidates."""

import csv
import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from scripts.pipeline.places import REPOSITORY
from stylegan.checkpoint import save_checkpoint, weights_id
from tests.processes import wait_until
from tests.stylegan import tiny

SCRIPT = REPOSITORY / "scripts" / "01_generate_candidates.py"
WEIGHTS = "stylegan/stylegan_model.pth"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    generator = tiny.generator().state_dict()
    save_checkpoint(
        tmp_path / "workspace" / WEIGHTS,
        generator=generator,
        discriminator=tiny.discriminator().state_dict(),
        generator_smooth=generator,
    )
    return tmp_path / "workspace"


def pixels(workspace: Path) -> np.ndarray:
    paths = sorted((workspace / "stylegan/synthesize_results").glob("*.jpg"))
    return np.stack([np.asarray(Image.open(path)).astype(int) for path in paths])


def latents(workspace: Path) -> tuple[np.ndarray, np.ndarray]:
    with safe_open(workspace / "stylegan/latents.safetensors", "numpy") as file:
        return file.get_tensor("z"), file.get_tensor("w")


def test_truncation_of_no_layer_is_refused() -> None:
    options = importlib.import_module("scripts.01_generate_candidates").Options
    with pytest.raises(ValueError, match="--trunc-layers"):
        options(trunc_psi=0.5)
    assert options(trunc_psi=0.5, trunc_layers=4).trunc_layers == 4


def test_files_columns_and_seeds(run_here, workspace: Path) -> None:
    result = run_here(SCRIPT, "--workspace", workspace, "--count", 5, "--seed", 7, "--batch-size", 2)
    with (workspace / "stylegan/candidates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["img_no"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert rows[3]["img_path"] == "stylegan/synthesize_results/000003.jpg"
    assert rows[3]["seed"] == "10"
    assert {row["weights_id"] for row in rows} == {weights_id(workspace / WEIGHTS)}
    images = pixels(workspace)
    assert images.shape == (5, 16, 16, 3)
    assert np.abs(images[0] - images[1]).max() > 0
    z, w = latents(workspace)
    expected = torch.randn(8, generator=torch.Generator().manual_seed(10)).numpy()
    assert np.array_equal(z[3], expected)
    assert w.shape == (5, 8)
    assert w.dtype == np.float32
    assert (workspace / "stylegan/candidates_sheet.png").exists()
    assert "02_filter_candidates.py" in result.out


@pytest.mark.parametrize(
    "gone", [["synthesize_results/000001.jpg"], ["synthesize_results/000002.jpg", "candidates.csv"]]
)
def test_what_vanished_is_made_again(run_here, workspace: Path, gone: list[str]) -> None:
    arguments = ("--workspace", workspace, "--count", 3)
    run_here(SCRIPT, *arguments)
    before = pixels(workspace)
    for name in gone:
        (workspace / "stylegan" / name).unlink()
    result = run_here(SCRIPT, *arguments)
    assert "vanished" in result.out
    assert np.array_equal(pixels(workspace), before)
    assert "up to date" in run_here(SCRIPT, *arguments).out


def test_same_pictures_in_other_batches_and_after_a_kill(
    start_script, run_here, workspace: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    (other / "stylegan").mkdir(parents=True)
    (other / WEIGHTS).write_bytes((workspace / WEIGHTS).read_bytes())
    run_here(SCRIPT, "--workspace", other, "--count", 40, "--batch-size", 40)

    arguments = ("--workspace", workspace, "--count", 40, "--batch-size", 7)
    process = start_script(SCRIPT, *arguments)
    journal = workspace / "_stages/01_generate_candidates/journal.csv"
    wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 7, process)
    process.kill()
    process.wait()
    finished_batch = sorted((workspace / "stylegan/synthesize_results").glob("0*.jpg"))[:7]
    before = {path: path.stat().st_mtime_ns for path in finished_batch}

    run_here(SCRIPT, *arguments)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert np.abs(pixels(workspace) - pixels(other)).max() <= 4  # one grey level before JPEG
    for mine, theirs in zip(latents(workspace), latents(other), strict=True):
        assert np.allclose(mine, theirs, atol=1e-5)
    tables = [(place / "stylegan/candidates.csv").read_bytes() for place in (workspace, other)]
    assert tables[0] == tables[1]


def test_bad_weights_are_one_message_and_new_ones_make_the_candidates_stale(
    run_here, workspace: Path
) -> None:
    arguments, path = ("--workspace", workspace, "--count", 2), workspace / WEIGHTS
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    result = run_here(SCRIPT, *arguments, expect=5)
    assert "00_fetch_weights.py" in result.err and "Traceback" not in result.err
    path.write_bytes(whole)
    run_here(SCRIPT, *arguments)
    states = torch.load(path, weights_only=True)
    states["generator_smooth"]["synthesis.layer0.const"] += 1
    torch.save(states, path)
    stale = run_here(SCRIPT, *arguments, expect=5)
    assert f"input {WEIGHTS}" in stale.err
