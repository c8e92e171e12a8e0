"""Interface of the generator and the discriminator: levels of detail, truncation, modes, refusals."""

import pytest
import torch

from stylegan.layers import MinibatchStd
from stylegan.stylegan_generator import MappingNetwork, mix_styles
from tests.stylegan import tiny

Z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_lod_shows_a_coarser_picture_of_the_same_size() -> None:
    generator = tiny.generator()
    coarse = generator(Z, lod=1.0)["image"]
    assert coarse.shape == (4, 3, 16, 16)
    assert torch.equal(coarse[:, :, ::2, ::2], coarse[:, :, 1::2, 1::2])
    fine, between = generator(Z, lod=0.0)["image"], generator(Z, lod=0.25)["image"]
    assert torch.allclose(between, 0.75 * fine + 0.25 * coarse, atol=1e-5)


@torch.no_grad()
def test_stored_lod_is_the_default() -> None:
    generator, discriminator = tiny.generator(), tiny.discriminator()
    images = generator(Z, lod=1.0)["image"]
    scores = discriminator(images, lod=1.0)
    generator.synthesis.lod.fill_(1.0)
    discriminator.lod.fill_(1.0)
    assert torch.equal(generator(Z)["image"], images)
    assert torch.equal(discriminator(images), scores)


@pytest.mark.parametrize("lod", [-0.5, 2.5])
def test_impossible_lod_is_refused(lod: float) -> None:
    with pytest.raises(ValueError, match="lod must be from 0 to 2"):
        tiny.generator()(Z, lod=lod)
    with pytest.raises(ValueError, match="lod must be from 0 to 2"):
        tiny.discriminator()(torch.zeros(4, 3, 16, 16), lod=lod)


@torch.no_grad()
def test_truncation() -> None:
    generator = tiny.generator()
    average = torch.arange(8.0)
    generator.truncation.w_avg.copy_(average)
    w = generator.mapping(Z)
    wp = generator.truncation(w, 0.7, 2)
    assert wp.shape == (4, 6, 8)
    assert torch.allclose(wp[:, :2], (average + 0.7 * (w - average))[:, None].expand(-1, 2, -1))
    assert torch.equal(wp[:, 2:], w[:, None].expand(-1, 4, -1))
    assert torch.equal(generator.truncation(w, 0.0), average.expand(4, 6, 8))
    assert torch.equal(generator.truncation(w), w[:, None].expand(-1, 6, -1))


@torch.no_grad()
def test_submodules_make_the_same_picture_as_forward() -> None:
    generator = tiny.generator()
    by_hand = generator.synthesis(generator.truncation(generator.mapping(Z), 0.5))
    assert torch.equal(by_hand, generator(Z, trunc_psi=0.5)["image"])


@torch.no_grad()
def test_average_of_w_moves_only_when_asked() -> None:
    generator = tiny.generator()
    with pytest.raises(ValueError, match="training mode"):
        generator(Z, update_w_avg=True)
    generator.train()
    generator(Z)
    assert torch.equal(generator.truncation.w_avg, torch.zeros(8))
    w = generator(Z, update_w_avg=True)["w"]
    assert torch.allclose(generator.truncation.w_avg, 0.005 * w.mean(0), atol=1e-6)


@torch.no_grad()
def test_fresh_noise_changes_details_and_stored_noise_does_not() -> None:
    generator = tiny.generator()
    for name, parameter in generator.named_parameters():
        if name.endswith("apply_noise.weight"):
            parameter.fill_(0.5)
    assert torch.equal(generator(Z)["image"], generator(Z)["image"])
    assert not torch.equal(generator(Z, randomize_noise=True)["image"], generator(Z)["image"])


def test_style_mixing_swaps_the_later_layers() -> None:
    torch.manual_seed(5)
    wp, other = torch.zeros(50, 6, 2), torch.ones(50, 6, 2)
    mixed = mix_styles(wp, other, 1.0, layer_count=4)[:, :, 0]
    assert (mixed[:, 0] == 0).all()
    assert (mixed[:, 3:] == 1).all()
    assert (mixed.diff(dim=1) >= 0).all()
    half = torch.tensor([0.0, 1.0] * 25)
    assert torch.equal(mix_styles(wp, other, half, 4).flatten(1).amax(1), half)


def test_a_mapping_network_with_a_wider_input_can_take_its_place() -> None:
    mapping = MappingNetwork(12, 8, fmaps=8, layer_count=2)
    generator = tiny.generator(mapping=mapping)
    assert generator.mapping(torch.randn(3, 12)).shape == (3, 8)
    assert generator.state_dict()["mapping.dense0.weight"].shape == (8, 12)


@pytest.mark.parametrize("count", [1, 3, 4, 6, 7])
def test_no_batch_size_breaks_the_minibatch_deviation(count: int) -> None:
    x = torch.randn(count, 2, 4, 4)
    found = MinibatchStd(4)(x)
    assert found.shape == (count, 3, 4, 4)
    assert torch.isfinite(found).all()


def test_minibatch_deviation_of_two_groups() -> None:
    x = torch.zeros(8, 1, 2, 2)
    x[0::2] = torch.tensor([0.0, 2.0, 0.0, 2.0]).view(4, 1, 1, 1)
    deviation = MinibatchStd(4)(x)[:, 1, 0, 0]
    assert torch.allclose(deviation, torch.tensor([1.0, 0.0] * 4), atol=1e-3)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        tiny.generator(resolution=24)
    with pytest.raises(ValueError, match=r"z must be \[N,8\]"):
        tiny.generator()(torch.zeros(1, 9))
    with pytest.raises(ValueError, match="images must be"):
        tiny.discriminator()(torch.zeros(1, 3, 32, 32))
