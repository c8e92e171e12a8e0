"""Generators and discriminators of both architectures: levels of detail, truncation, modes, refusals."""

from collections.abc import Callable

import pytest
import torch

from stylegan.interface import Discriminator, Generator
from stylegan.layers import MinibatchStd
from stylegan.sampling import synthesize
from stylegan.stylegan_generator import MappingNetwork, mix_styles
from tests.stylegan import tiny

Z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
GENERATORS = pytest.mark.parametrize("build", [tiny.generator, tiny.stylegan2_generator])
DISCRIMINATORS = pytest.mark.parametrize("build", [tiny.discriminator, tiny.stylegan2_discriminator])


@GENERATORS
@torch.no_grad()
def test_submodules_make_the_same_picture_as_forward(build: Callable[..., Generator]) -> None:
    generator = build()
    found = next(synthesize(generator, Z, trunc_psi=0.5, trunc_layers=3))
    assert found["image"].shape == (4, 3, 16, 16)
    assert found["wp"].shape == (4, generator.layer_count, generator.w_space_dim)
    by_hand = generator.synthesis(generator.truncation(generator.mapping(Z), 0.5, 3), randomize_noise=False)
    assert torch.equal(by_hand, found["image"])
    again = type(generator)(**generator.config)
    again.load_state_dict(generator.state_dict(), strict=True)


@GENERATORS
@torch.no_grad()
def test_truncation(build: Callable[..., Generator]) -> None:
    generator = build()
    average = torch.arange(8.0)
    generator.truncation.w_avg.copy_(average)
    w = generator.mapping(Z)
    wp = generator.truncation(w, 0.7, 2)
    assert wp.shape == (4, 6, 8)
    assert torch.allclose(wp[:, :2], (average + 0.7 * (w - average))[:, None].expand(-1, 2, -1))
    assert torch.equal(wp[:, 2:], w[:, None].expand(-1, 4, -1))
    assert torch.equal(generator.truncation(w, 0.0), average.expand(4, 6, 8))
    assert torch.equal(generator.truncation(w), w[:, None].expand(-1, 6, -1))


@pytest.mark.parametrize(
    ("build", "entry"),
    [(tiny.generator, "truncation.w_avg"), (tiny.stylegan2_generator, "mapping.w_avg")],
)
@torch.no_grad()
def test_average_of_w_moves_only_when_asked(build: Callable[..., Generator], entry: str) -> None:
    generator = build().train()
    generator(Z)
    assert torch.equal(generator.state_dict()[entry], torch.zeros(8))
    w = generator(Z, update_w_avg=True)["w"]
    assert torch.allclose(generator.state_dict()[entry], 0.005 * w.mean(0), atol=1e-6)


@GENERATORS
@torch.no_grad()
def test_fresh_noise_changes_details_and_stored_noise_does_not(build: Callable[..., Generator]) -> None:
    generator = build()
    for name, parameter in generator.named_parameters():
        if name.endswith(("apply_noise.weight", "noise_strength")):
            parameter.fill_(0.5)
    assert torch.allclose(generator(Z)["image"][1:2], generator(Z[1:2])["image"], atol=1e-5)
    fresh = generator(Z[:1].expand(2, -1), randomize_noise=True)["image"]
    assert not torch.allclose(fresh[0], fresh[1])


@GENERATORS
def test_what_a_generator_refuses(build: Callable[..., Generator]) -> None:
    with pytest.raises(ValueError, match=r"z must be \[N,8\]"):
        build()(torch.zeros(2, 9))
    for options in ({"style_mixing_prob": 0.5}, {"update_w_avg": True}):
        with pytest.raises(ValueError, match="belong to training mode"):
            build()(Z, **options)
    with pytest.raises(ValueError, match="power of two"):
        build(resolution=24)


@DISCRIMINATORS
@torch.no_grad()
def test_scores_and_features(build: Callable[..., Discriminator]) -> None:
    discriminator, images = build(), torch.randn(4, 3, 16, 16)
    features = discriminator.features(images)
    assert features.shape == (4, 8)
    last = discriminator.get_submodule(discriminator.dense_layers[-1])
    assert torch.equal(discriminator(images), last(features))
    with pytest.raises(ValueError, match=r"images must be \[N,C,16,16\]"):
        discriminator(torch.zeros(4, 3, 8, 8))


@torch.no_grad()
def test_stored_lod_is_the_default() -> None:
    generator, discriminator = tiny.generator(), tiny.discriminator()
    images = generator(Z, lod=1.0)["image"]
    scores = discriminator(images, lod=1.0)
    generator.synthesis.set_lod(1.0)
    discriminator.set_lod(1.0)
    assert torch.equal(generator(Z)["image"], images)
    assert torch.equal(discriminator(images), scores)


@pytest.mark.parametrize("lod", [-0.5, 2.5])
def test_impossible_lod_is_refused(lod: float) -> None:
    for network, given in ((tiny.generator(), Z), (tiny.discriminator(), torch.zeros(4, 3, 16, 16))):
        with pytest.raises(ValueError, match="lod must be from 0 to 2"):
            network(given, lod=lod)


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
    generator = tiny.generator(mapping=MappingNetwork(12, 8, fmaps=8, layer_count=2))
    assert generator.mapping(torch.randn(3, 12)).shape == (3, 8)
    assert generator.state_dict()["mapping.dense0.weight"].shape == (8, 12)


def test_minibatch_deviation_of_two_groups_and_of_any_batch() -> None:
    x = torch.zeros(8, 1, 2, 2)
    x[0::2] = torch.tensor([0.0, 2.0, 0.0, 2.0]).view(4, 1, 1, 1)
    deviation = MinibatchStd(4)(x)[:, 1, 0, 0]
    assert torch.allclose(deviation, torch.tensor([1.0, 0.0] * 4), atol=1e-3)
    for count in (1, 3, 6, 7):
        found = MinibatchStd(4)(torch.randn(count, 2, 4, 4))
        assert found.shape == (count, 3, 4, 4) and torch.isfinite(found).all()


@torch.no_grad()
def test_clamp_bounds_every_layer() -> None:
    free, clamped = tiny.stylegan2_generator(), tiny.stylegan2_generator(conv_clamp=0.1)
    largest = 0.1 * len(clamped.synthesis.sizes)  # what the layers' pictures can add up to
    assert free(Z)["image"].abs().max() > largest
    assert clamped(Z)["image"].abs().max() <= largest
    x = torch.full((4, 3, 16, 16), 100.0)
    scores = [tiny.stylegan2_discriminator(conv_clamp=clamp)(x).abs().max() for clamp in (None, 1.0)]
    assert scores[0] > scores[1]


def test_stylegan2_can_be_differentiated_twice() -> None:
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
