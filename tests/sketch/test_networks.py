"""The document's networks number by number; ours with colours and z; files that are refused."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sketch.patch_discriminator import PatchDiscriminator
from sketch.portrait_network import PortraitConfig, PortraitNetwork, load_network, save_network
from sketch.recipes import SketchRecipe
from sketch.training import build_discriminator, portrait_config
from sketch.unet import UNet, UNetConfig, matched_width, parameter_count
from stylegan.weights_file import WeightsFileError

TINY = UNetConfig(in_channels=1, width=4, most_channels=8, depth=3, condition_size=17, out_channels=8)


def fill(network: torch.nn.Module, prefix: str, salt: str) -> None:
    """The weights of the golden file: see its README."""
    for name, value in network.state_dict().items():
        seed = zlib.crc32((salt + prefix + name).encode())
        numbers = torch.randn(value.shape, generator=torch.Generator().manual_seed(seed))
        value.copy_(numbers * (0.1 if name.endswith(".bias") else 0.05))


def tiny_network() -> PortraitNetwork:
    torch.manual_seed(0)
    network = PortraitNetwork(PortraitConfig(TINY, 16, has_colors=True, latent_size=2), people=5)
    network.palette.copy_(torch.arange(5 * 15).view(5, 5, 3).to(torch.uint8))
    return network.eval()


def test_the_documents_networks_give_its_numbers(golden: Path) -> None:
    generator, discriminator = UNet().eval(), PatchDiscriminator().eval()
    names = json.loads((golden / "pix2pix_keys.json").read_text())
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        assert {key: list(value.shape) for key, value in network.state_dict().items()} == names[name]
    with np.load(golden / "pix2pix_256.npz") as stored:
        expected = dict(stored)
    fill(generator, "g:", str(expected["salt"]))
    fill(discriminator, "d:", str(expected["salt"]))
    rng = torch.Generator().manual_seed(int(expected["seed"]))
    sketch = torch.randn(int(expected["n"]), 3, 256, 256, generator=rng).clamp(-1, 1)
    with torch.no_grad():
        portrait = generator(sketch)
        patch = discriminator(portrait, sketch)
    found = {
        "center": portrait[:, :, 104:152, 104:152],
        "pool8": F.adaptive_avg_pool2d(portrait, 8),
        "patch": patch,
    }
    for name, value in found.items():
        assert value.shape == expected[name].shape
        assert np.abs(value.numpy() - expected[name]).max() < 1e-3 * expected[name].std(), name


def test_sizes_are_those_of_the_published_run() -> None:
    recipes = [SketchRecipe(recipe="document", network=name) for name in ("unet", "residual")]
    with torch.device("meta"):
        drawing = [parameter_count(UNet(portrait_config(recipe, 256).unet)) for recipe in recipes]
        judging = [parameter_count(build_discriminator(recipe)) for recipe in recipes]
    assert drawing == [54_404_099, 122_760_963]
    assert judging == [2_767_808, 5_901_248]


def test_a_residual_network_of_the_plain_ones_size() -> None:
    plain = UNetConfig(width=32, most_channels=128, depth=6)
    residual = replace(plain, residual_convolutions=3)
    matched = matched_width(residual, plain)
    with torch.device("meta"):
        wanted, wide, found = (parameter_count(UNet(one)) for one in (plain, residual, matched))
    assert wide > 1.5 * wanted
    assert abs(found / wanted - 1) < 0.05
    assert matched.residual_convolutions == 3


def test_colours_and_z_change_the_portrait_and_the_batch_does_not() -> None:
    network = tiny_network()
    sketch = np.zeros((16, 16), np.uint8)
    sketch[4:12, 8] = 255
    both, colors = network.variants(sketch, [3, 4])
    again, _ = network.variants(sketch, [4])
    assert np.abs(both[1].astype(int) - again[0]).max() <= 1
    assert not np.array_equal(both[0], both[1])
    many, once = (network.portraits(np.stack([sketch] * n), np.stack([colors[0]] * n)) for n in (40, 1))
    assert len(many) == 40 and np.abs(many.astype(int) - once).max() <= 1
    _, given = network.variants(sketch, [3], {"hair": (1, 2, 3)})
    assert given[0, 0].tolist() == [1, 2, 3] and np.array_equal(given[0, 1:], colors[0, 1:])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no multiples of 8"):
        UNet(replace(TINY, condition_size=0))(torch.zeros(1, 1, 20, 24))
    with pytest.raises(ValueError, match="conditions"):
        UNet(TINY)(torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match="not z and the colours"):
        PortraitConfig(TINY, 16, has_colors=True, latent_size=3)


def test_a_file_gives_the_same_portraits_back(tmp_path: Path) -> None:
    network = tiny_network()
    save_network(tmp_path / "a.safetensors", network, {"steps": 1})
    again = load_network(tmp_path / "a.safetensors")
    sketch = np.zeros((16, 16), np.uint8)
    assert again.config == network.config and torch.equal(again.palette, network.palette)
    apart = again.variants(sketch, [0])[0].astype(int) - network.variants(sketch, [0])[0]
    assert np.abs(apart).max() <= 1  # weights are stored in half precision


def test_files_of_the_document_load_and_others_are_named(tmp_path: Path) -> None:
    small = UNet(UNetConfig(width=4, most_channels=8, depth=3))
    torch.save(small.state_dict(), tmp_path / "Pix2Pix_Generator.pt")
    network = load_network(tmp_path / "Pix2Pix_Generator.pt")
    assert network.config.unet == small.config and network.config.size == 8
    torch.save(PatchDiscriminator(width=4).state_dict(), tmp_path / "other.pt")
    with pytest.raises(WeightsFileError, match="another network than the U-Net of sketches"):
        load_network(tmp_path / "other.pt")
    torch.save(small, tmp_path / "whole.pt")
    with pytest.raises(WeightsFileError, match="whole"):
        load_network(tmp_path / "whole.pt")
    (tmp_path / "torn.safetensors").write_bytes((tmp_path / "other.pt").read_bytes()[:100])
    with pytest.raises(WeightsFileError):
        load_network(tmp_path / "torn.safetensors")
