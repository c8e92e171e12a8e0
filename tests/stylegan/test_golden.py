"""Our networks agree with the reference implementations, number by number and name by name."""

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
# Arguments of NVIDIA's networks and calls, and ours.
NVIDIA_NAMES = {
    "img_resolution": "resolution",
    "z_dim": "z_space_dim",
    "w_dim": "w_space_dim",
    "num_layers": "mapping_layers",
    "channel_base": "fmaps_base",
    "channel_max": "fmaps_max",
    "mbstd_group_size": "minibatch_std_group_size",
    "truncation_psi": "trunc_psi",
    "truncation_cutoff": "trunc_layers",
}


def _load(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, Any]]:
    """Arrays of a golden file, arguments of the network, and those of its call."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        stored = dict(file)
    config, call = (_ours(ast.literal_eval(str(stored.get(key, "{}")))) for key in ("config", "call"))
    return stored, config, call


def _ours(arguments: dict[str, Any]) -> dict[str, Any]:
    """Our names of arguments; NVIDIA's are nested."""
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        found |= _ours(value) if isinstance(value, dict) else {NVIDIA_NAMES.get(name, name): value}
    return found


def _assert_close(found: torch.Tensor, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.numpy() - expected).max() < TOLERANCE * expected.std()


def _noise(stored: dict[str, np.ndarray], *shape: int) -> torch.Tensor:
    return torch.randn(int(stored["n"]), *shape, generator=torch.Generator().manual_seed(int(stored["seed"])))


def _center(image: torch.Tensor, size: int) -> torch.Tensor:
    start = (image.shape[-1] - size) // 2
    return image[:, :, start : start + size, start : start + size]


@pytest.mark.parametrize(
    ("name", "network"),
    [
        *((f"generator_{case}", StyleGANGenerator) for case in ("64", "64_lod", "256", "256_truncated")),
        *((f"stylegan2_generator_{case}", StyleGAN2Generator) for case in ("64", "128_truncated", "256")),
    ],
)
@torch.no_grad()
def test_generator_equals_reference(name: str, network: type) -> None:
    stored, config, call = _load(name)
    generator = fill_with_known_weights(network(**config), str(stored["salt"]))
    found = generator(_noise(stored, generator.z_space_dim), **call)
    image = found["image"]
    if "w" in stored:
        _assert_close(found["w"], stored["w"])
    else:
        _assert_close(found["wp"][:, :: max(1, generator.layer_count // 3)], stored["wp"])
    _assert_close(_center(image, stored["center"].shape[-1]), stored["center"])
    _assert_close(F.adaptive_avg_pool2d(image, 8), stored["pool8"])


@pytest.mark.parametrize(
    ("name", "network"),
    [
        *((f"discriminator_{case}", StyleGANDiscriminator) for case in ("64", "64_lod", "256")),
        *((f"stylegan2_discriminator_{case}", StyleGAN2Discriminator) for case in ("64", "256")),
    ],
)
@torch.no_grad()
def test_discriminator_equals_reference(name: str, network: type) -> None:
    stored, config, call = _load(name)
    discriminator = fill_with_known_weights(network(**config), str(stored["salt"]))
    size = config["resolution"]
    _assert_close(discriminator(_noise(stored, 3, size, size), **call), stored["score"])


@pytest.mark.parametrize(
    ("file", "name", "network", "changes"),
    [
        ("stylegan2_256_keys", "G_ema", StyleGAN2Generator, {"fmaps_base": 16384}),
        ("stylegan2_256_keys", "D", StyleGAN2Discriminator, {"fmaps_base": 16384}),
        ("genforce_stylegan256_keys", "generator", StyleGANGenerator, {}),
        ("genforce_stylegan256_keys", "discriminator", StyleGANDiscriminator, {}),
    ],
)
def test_names_and_shapes_of_the_published_networks(
    file: str, name: str, network: type, changes: dict[str, int]
) -> None:
    expected = json.loads((GOLDEN / f"{file}.json").read_text())[name]
    with torch.device("meta"):
        found = network(256, **changes)
    assert {key: list(value.shape) for key, value in found.state_dict().items()} == expected
