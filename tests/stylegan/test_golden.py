"""Our networks agree with the reference implementation, number by number and name by name."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator
from tests.stylegan.tiny import fill_with_known_weights

GOLDEN = Path(__file__).parents[1] / "golden"
TOLERANCE = 1e-3
CROP = 48


def _load(name: str) -> tuple[dict[str, np.ndarray], dict, dict]:
    with np.load(GOLDEN / name) as file:
        stored = dict(file)
    return stored, ast.literal_eval(str(stored["config"])), ast.literal_eval(str(stored["call"]))


def _error(found: torch.Tensor, expected: np.ndarray) -> float:
    return float(np.abs(found.numpy() - expected).max() / expected.std())


def _noise(stored: dict[str, np.ndarray], *shape: int) -> torch.Tensor:
    return torch.randn(int(stored["n"]), *shape, generator=torch.Generator().manual_seed(int(stored["seed"])))


@pytest.mark.parametrize(
    "name", ["generator_64", "generator_64_lod", "generator_256", "generator_256_truncated"]
)
@torch.no_grad()
def test_generator_equals_reference(name: str) -> None:
    stored, config, call = _load(f"{name}.npz")
    generator = fill_with_known_weights(StyleGANGenerator(**config), str(stored["salt"]))
    found = generator(_noise(stored, generator.z_space_dim), **call)
    image = found["image"]
    start = (image.shape[-1] - CROP) // 2
    center = image[:, :, start : start + CROP, start : start + CROP]
    assert _error(found["w"], stored["w"]) < TOLERANCE
    assert _error(center, stored["center"]) < TOLERANCE
    assert _error(F.adaptive_avg_pool2d(image, 8), stored["pool8"]) < TOLERANCE
    assert np.allclose(image.mean((2, 3)).numpy(), stored["mean"], atol=TOLERANCE * stored["std"].max())


@pytest.mark.parametrize("name", ["discriminator_64", "discriminator_64_lod", "discriminator_256"])
@torch.no_grad()
def test_discriminator_equals_reference(name: str) -> None:
    stored, config, call = _load(f"{name}.npz")
    discriminator = fill_with_known_weights(StyleGANDiscriminator(**config), str(stored["salt"]))
    size = config["resolution"]
    found = discriminator(_noise(stored, 3, size, size), **call)
    assert found.shape == stored["score"].shape
    assert _error(found, stored["score"]) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "network", "parameters"),
    [
        ("generator", StyleGANGenerator, 26_086_229),
        ("discriminator", StyleGANDiscriminator, 23_052_353),
    ],
)
def test_names_shapes_and_size_of_the_published_network(name: str, network: type, parameters: int) -> None:
    expected = json.loads((GOLDEN / "genforce_stylegan256_keys.json").read_text())[name]
    with torch.device("meta"):
        found = network(256)
    assert {key: list(value.shape) for key, value in found.state_dict().items()} == expected
    assert sum(p.numel() for p in found.parameters()) == parameters
