"""Our networks agree with the reference implementation, number by number and name by name."""

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylegan.stylegan2_discriminator import StyleGAN2Discriminator
from stylegan.stylegan2_generator import StyleGAN2Generator
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator
from tests.stylegan.tiny import fill_with_known_weights

GOLDEN = Path(__file__).parents[1] / "golden"
TOLERANCE = 1e-3
CROP = 48


# Arguments of NVIDIA's networks, and ours.
NVIDIA_NAMES = {
    "img_resolution": "resolution",
    "z_dim": "z_space_dim",
    "w_dim": "w_space_dim",
    "num_layers": "mapping_layers",
    "channel_base": "fmaps_base",
    "channel_max": "fmaps_max",
    "mbstd_group_size": "minibatch_std_group_size",
}


def _load(name: str) -> tuple[dict[str, np.ndarray], dict, dict]:
    with np.load(GOLDEN / name) as file:
        stored = dict(file)
    config, call = (ast.literal_eval(str(stored.get(key, "{}"))) for key in ("config", "call"))
    return stored, config, call


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


def _our_config(config: dict[str, Any]) -> dict[str, Any]:
    """Arguments of our StyleGAN2 networks, from NVIDIA's, which are nested."""
    ours: dict[str, Any] = {}
    for name, value in config.items():
        ours |= _our_config(value) if isinstance(value, dict) else {NVIDIA_NAMES[name]: value}
    return ours


@pytest.mark.parametrize("name", ["64", "128_truncated", "256"])
@torch.no_grad()
def test_stylegan2_generator_equals_reference(name: str) -> None:
    stored, config, call = _load(f"stylegan2_generator_{name}.npz")
    generator = fill_with_known_weights(StyleGAN2Generator(**_our_config(config)), str(stored["salt"]))
    z = _noise(stored, generator.z_space_dim)
    found = generator(z, trunc_psi=call.get("truncation_psi"), trunc_layers=call.get("truncation_cutoff"))
    image = found["image"]
    start = (image.shape[-1] - CROP) // 2
    center = image[:, :, start : start + CROP, start : start + CROP]
    rows = found["wp"][:, :: max(1, generator.layer_count // 3)]
    assert _error(rows, stored["wp"]) < TOLERANCE
    assert _error(center, stored["center"]) < TOLERANCE
    assert _error(F.adaptive_avg_pool2d(image, 8), stored["pool8"]) < TOLERANCE


@pytest.mark.parametrize("size", [64, 256])
@torch.no_grad()
def test_stylegan2_discriminator_equals_reference(size: int) -> None:
    stored, config, _ = _load(f"stylegan2_discriminator_{size}.npz")
    discriminator = fill_with_known_weights(
        StyleGAN2Discriminator(**_our_config(config)), str(stored["salt"])
    )
    found = discriminator(_noise(stored, 3, size, size))
    assert found.shape == stored["score"].shape
    assert _error(found, stored["score"]) < TOLERANCE


@pytest.mark.parametrize(("name", "network"), [("G_ema", StyleGAN2Generator), ("D", StyleGAN2Discriminator)])
def test_names_and_shapes_of_nvidias_networks(name: str, network: type) -> None:
    expected = json.loads((GOLDEN / "stylegan2_256_keys.json").read_text())[name]
    with torch.device("meta"):
        found = network(256, fmaps_base=16384)
    assert {key: list(value.shape) for key, value in found.state_dict().items()} == expected


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
