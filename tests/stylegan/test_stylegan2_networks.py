"""Interface of the StyleGAN2 networks: one with v1's, differentiable twice, clamped, refusals."""

import pytest
import torch

from stylegan.interface import Discriminator, Generator
from stylegan.sampling import synthesize
from tests.stylegan import tiny

Z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("generator", [tiny.generator(), tiny.stylegan2_generator()])
@torch.no_grad()
def test_one_interface_for_both_generations(generator: Generator) -> None:
    assert isinstance(generator, Generator)
    found = next(synthesize(generator, Z, trunc_psi=0.5, trunc_layers=3))
    assert found["image"].shape == (4, 3, 16, 16)
    assert found["wp"].shape == (4, generator.layer_count, generator.w_space_dim)
    by_hand = generator.synthesis(generator.truncation(generator.mapping(Z), 0.5, 3), randomize_noise=False)
    assert torch.equal(by_hand, found["image"])
    assert torch.equal(type(generator)(**generator.config)(Z)["z"], Z)


@pytest.mark.parametrize("discriminator", [tiny.discriminator(), tiny.stylegan2_discriminator()])
@torch.no_grad()
def test_one_interface_for_both_discriminators(discriminator: Discriminator) -> None:
    assert isinstance(discriminator, Discriminator)
    assert discriminator(torch.zeros(4, 3, 16, 16)).shape == (4, 1)
    assert discriminator.features(torch.zeros(4, 3, 16, 16)).shape == (4, 8)
    with pytest.raises(ValueError, match=r"images must be \[N,C,16,16\]"):
        discriminator(torch.zeros(4, 3, 8, 8))


@torch.no_grad()
def test_average_of_w_is_an_entry_of_the_mapping_network() -> None:
    generator = tiny.stylegan2_generator().train()
    w = generator(Z, update_w_avg=True)["w"]
    assert torch.allclose(generator.state_dict()["mapping.w_avg"], 0.005 * w.mean(dim=0))
    generator.truncation.w_avg.copy_(torch.arange(8.0))
    assert torch.equal(generator(Z, trunc_psi=0.0)["wp"][2, 3], torch.arange(8.0))
    assert not [name for name in generator.state_dict() if "truncation" in name]


@torch.no_grad()
def test_noise_is_stored_or_fresh() -> None:
    generator = tiny.stylegan2_generator()
    for layer in (generator.synthesis.b16.conv0, generator.synthesis.b16.conv1):
        layer.noise_strength.fill_(0.5)
    assert torch.allclose(generator(Z)["image"][1:2], generator(Z[1:2])["image"], atol=1e-5)
    fresh = generator(Z[:1].expand(2, -1), randomize_noise=True)["image"]
    assert not torch.allclose(fresh[0], fresh[1])


@torch.no_grad()
def test_clamp_bounds_every_layer() -> None:
    free, clamped = tiny.stylegan2_generator(), tiny.stylegan2_generator(conv_clamp=0.1)
    largest = 0.1 * len(clamped.synthesis.sizes)  # what the layers' pictures can add up to
    assert free(Z)["image"].abs().max() > largest
    assert clamped(Z)["image"].abs().max() <= largest
    x = torch.full((4, 3, 16, 16), 100.0)
    assert (
        tiny.stylegan2_discriminator()(x).abs().max()
        > tiny.stylegan2_discriminator(conv_clamp=1.0)(x).abs().max()
    )


def test_networks_can_be_differentiated_twice() -> None:
    discriminator = tiny.stylegan2_discriminator().double()
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    slope.square().sum().backward()
    assert discriminator.b16.conv0.weight.grad.abs().max() > 0

    generator = tiny.stylegan2_generator()
    wp = generator.truncation(generator.mapping(Z))
    image = generator.synthesis(wp)
    (slope,) = torch.autograd.grad((image * torch.randn_like(image)).sum(), wp, create_graph=True)
    slope.square().sum(dim=2).mean().sqrt().backward()
    assert generator.mapping.fc0.weight.grad.abs().max() > 0
    assert generator.synthesis.b8.conv0.weight.grad.abs().max() > 0


def test_refusals() -> None:
    generator = tiny.stylegan2_generator()
    with pytest.raises(ValueError, match=r"z must be \[N,8\]"):
        generator(torch.zeros(2, 9))
    with pytest.raises(ValueError, match="belong to training mode"):
        generator(Z, style_mixing_prob=0.5)
    with pytest.raises(ValueError, match="power of two"):
        tiny.stylegan2_generator(resolution=48)
