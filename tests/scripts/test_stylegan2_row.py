"""The main job on a StyleGAN2 pickle that a person gives, from the file to turned dials."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scripts.pages.explorer.explorer import Explorer
from scripts.stages import networks
from scripts.stages import workspace as at
from stylegan.sampling import sample_z, to_uint8
from stylegan_modified import editing
from tests.processes import exit_code
from tests.scripts import portrait_stylegan2
from tests.scripts.pages.explore_workspace import make_tool, pixels, properties, regenerated, run_command
from tests.stylegan import nvidia_files

COUNT = 64
ROW = (
    ("01_generate_candidates", "--count", COUNT),
    ("make_labels", "--from-workspace", "--count", COUNT, "--overwrite"),
    ("02_filter_candidates", "--label-count", COUNT),
    ("03_segment_faces", "--max-failures", 0.5),
    ("04_compute_property_scores",),
    ("05_fine_tune_v1",),
    ("06_fine_tune_v2",),
    ("07_fine_tune_v3",),
    ("09_evaluate", "--population", 4),
)


@pytest.fixture(scope="module", autouse=True)
def short_refinement() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(editing, "REFINE_STEPS", 2)
        yield


@pytest.fixture(scope="module")
def workspace(short_refinement: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after the scripts of the main row."""
    folder = tmp_path_factory.mktemp("stylegan2")
    source = folder / "network-snapshot.pkl"
    source.write_bytes(nvidia_files.pickled(portrait_stylegan2.networks()))
    for name, *options in (("00_fetch_weights", "--from", source), *ROW):
        preset = ("--preset", "smoke", "--workspace", folder, "--quiet")
        assert exit_code(name, *options, *preset) == 0, name
    return folder


@pytest.fixture(scope="module")
def explorer(workspace: Path) -> Explorer:
    return Explorer(make_tool(workspace))


def test_the_given_generator_draws_the_candidates(workspace: Path) -> None:
    generator = portrait_stylegan2.networks()["G_ema"]
    with torch.no_grad():
        drawn = to_uint8(generator(sample_z(range(2), 0, portrait_stylegan2.Z_DIM))["image"])
    for number, expected in enumerate(drawn):
        with Image.open(workspace / at.CANDIDATE_PICTURES / f"{number:06d}.jpg") as picture:
            assert np.abs(np.asarray(picture).astype(int) - expected).mean() < 4  # JPEG


def test_every_version_is_a_stylegan2_and_is_judged(workspace: Path) -> None:
    tool = make_tool(workspace)
    assert networks.load_generator(tool, "v1").architecture == "stylegan2"
    for version in ("v2", "v3"):
        assert networks.load_generator(tool, version).generator.architecture == "stylegan2"
    results = json.loads((workspace / at.EVALUATION).read_text())
    assert set(results) == {"v3"}


@pytest.mark.parametrize("version", ["base", "v1", "v2", "v3"])
def test_the_explorers_picture_is_that_of_its_command(
    explorer: Explorer, workspace: Path, version: str
) -> None:
    dials = properties() if version == "base" else properties(hair_color=1.5)
    answer = explorer.picture({"version": version, "seed": 7, "properties": dials})
    assert run_command(answer["command"], "--no-measure", "--quiet", "--device", "cpu") == 0
    (again,) = regenerated(workspace)
    np.testing.assert_array_equal(again, pixels(answer["png"]))


def test_a_given_picture_is_edited(workspace: Path) -> None:
    picture = workspace / at.CANDIDATE_PICTURES / "000003.jpg"
    script = f"python scripts/08_regenerate_images.py --workspace {workspace} --from-image {picture}"
    assert run_command(script, "--no-measure", "--quiet", "--device", "cpu") == 0
    (same,) = regenerated(workspace)
    assert run_command(script, "--mouth", "1", "--no-measure", "--quiet", "--device", "cpu") == 0
    (turned,) = regenerated(workspace)
    assert same.shape == (portrait_stylegan2.RESOLUTION, portrait_stylegan2.RESOLUTION, 3)
    assert not np.array_equal(same, turned)
