"""Starting from trained weights: what is taken over, what is frozen, and growth to a higher resolution."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from stylegan.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stylegan.phases import Phase
from stylegan.stylegan2_discriminator import StyleGAN2Discriminator
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.training import StyleGANTrainer, TrainingError
from stylegan.transfer import trained_parameters
from tests.stylegan import tiny

INIT = {"init": "weights", "init_resolution": 16}


def weights_of(architecture: str, folder: Path) -> Checkpoint:
    """A file with three networks that differ."""
    generator, discriminator = tiny.NETWORKS[architecture]
    networks = {"generator": generator(), "discriminator": discriminator(), "generator_smooth": generator()}
    filled = {name: tiny.fill_with_known_weights(network, name) for name, network in networks.items()}
    path = folder / "weights.pth"
    save_checkpoint(path, **{name: network.state_dict() for name, network in filled.items()})
    return load_checkpoint(path)


@pytest.fixture
def weights(tmp_path: Path) -> Checkpoint:
    return weights_of("stylegan", tmp_path)


def started(start: Checkpoint, size: int = 16, **changes: Any) -> StyleGANTrainer:
    phase = Phase("adversarial", resolution=size, kimg=1, batch=4, fade_kimg=0.016)
    return tiny.trainer(phase, start=start, size=size, **{**INIT, **changes})


@pytest.mark.parametrize(
    ("architecture", "frozen", "moving"),
    [
        ("stylegan", {"freeze_d": 2}, {"layer2", "layer3", "layer4", "layer5", "layer6"}),
        (
            "stylegan2",
            {"freezed": 4},
            {"b8.conv0", "b8.conv1", "b8.skip", "b4.conv", "b4.fc", "b4.out"},
        ),
    ],
)
def test_networks_are_taken_over_and_frozen_layers_stay(
    tmp_path: Path, architecture: str, frozen: dict[str, int], moving: set[str]
) -> None:
    weights = weights_of(architecture, tmp_path)
    trainer = tiny.trainer(start=weights, architecture=architecture, **INIT, **frozen)
    for name, network in trainer.networks():
        for entry, value in network.state_dict().items():
            assert torch.equal(value, getattr(weights, name)[entry]), (name, entry)
    for _ in range(2):
        trainer.step()
    moved = {
        name.rpartition(".")[0]
        for name, value in trainer.discriminator.named_parameters()
        if not torch.equal(value, weights.discriminator[name])
    }
    assert moved == moving


@pytest.mark.parametrize(
    ("network", "counts", "first"),
    [
        (StyleGANDiscriminator, {"freeze_d": 1}, "layer12"),
        (StyleGANDiscriminator, {"freeze_d": 3}, "layer8"),
        (StyleGAN2Discriminator, {"freezed": 10}, "b32.conv0"),  # the document's: from RGB and three blocks
        (StyleGAN2Discriminator, {"freezed": 1}, "b256.conv0"),
        (StyleGAN2Discriminator, {"freeze_d": 1}, "b4.conv"),
        (StyleGAN2Discriminator, {"freeze_d": 3}, "b16.conv0"),
        (StyleGAN2Discriminator, {}, "b256.fromrgb"),
    ],
)
def test_both_ways_to_count_frozen_layers(network: type, counts: dict[str, int], first: str) -> None:
    with torch.device("meta"):
        discriminator = network(256, fmaps_base=1024, fmaps_max=16)
    layers = [(name.rpartition(".")[0], p) for name, p in discriminator.named_parameters()]
    names = [name for name, _ in layers if not name.startswith("input")]
    trained = {id(parameter) for parameter in trained_parameters(discriminator, **counts)}
    assert {name for name, p in layers if id(p) in trained} == set(names[names.index(first) :])


def test_a_file_with_the_average_alone_gives_both_generators(weights: Checkpoint) -> None:
    alone = started(replace(weights, generator=None))
    entry = "mapping.dense0.weight"
    assert torch.equal(alone.generator.state_dict()[entry], weights.generator_smooth[entry])


def test_a_grown_network_starts_where_the_file_stands(weights: Checkpoint) -> None:
    before, grown = started(weights), started(weights, size=32)
    z = torch.randn(4, 8)
    image = before.generator_smooth(z)["image"]
    torch.testing.assert_close(grown.generator_smooth(z)["image"], F.interpolate(image, scale_factor=2))
    scores = before.discriminator(image), grown.discriminator(F.interpolate(image, scale_factor=2))
    torch.testing.assert_close(*scores)
    lods = []
    for _ in range(6):
        grown.step()
        lods.append(float(grown.discriminator.lod))
    assert lods == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"discriminator": None}, "no discriminator"),
        ({"generator": None, "generator_smooth": None}, "nothing to transfer"),
        ({"extra": {"property_count": 7}}, "properties"),
        ({"architecture": "stylegan2"}, "starts from weights of StyleGAN v1"),
        ({"config": {**tiny.GENERATOR, "variant": "openmmlab"}}, "arithmetic of openmmlab"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    weights: Checkpoint, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        started(replace(weights, **changes))


def test_plans_that_do_not_fit_are_refused(tmp_path: Path, weights: Checkpoint) -> None:
    with pytest.raises(TrainingError, match="`mapping.dense0.weight` is .* there and .* here"):
        started(weights, generator={"z_space_dim": 4})
    second = weights_of("stylegan2", tmp_path)
    with pytest.raises(TrainingError, match="starts from weights of StyleGAN2"):
        tiny.trainer(start=weights, architecture="stylegan2")
    with pytest.raises(TrainingError, match="StyleGAN2 does not grow"):
        tiny.trainer(start=second, architecture="stylegan2", size=32, **INIT)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 32, "freeze_d": 1, **INIT}, "would freeze the new"),
        ({"freeze_d": 1}, "starts from random weights: leave freeze_d out"),
        ({"freeze_d": 4, **INIT}, "from 0 to 3"),
        ({"architecture": "stylegan2", "freezed": 1}, "random weights: leave freezed out"),
        ({"architecture": "stylegan2", "freezed": 8, **INIT}, "here 0 to 7"),
        ({"architecture": "stylegan2", "freezed": 1, "freeze_d": 1, **INIT}, "two ways"),
    ],
)
def test_freezing_needs_trained_layers(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny.plan(**changes)


def test_stylegan2_does_not_grow() -> None:
    with pytest.raises(ValueError, match="does not grow"):
        tiny.plan(Phase("adversarial", resolution=8, kimg=1), architecture="stylegan2")


def test_a_stored_rotation_is_kept(weights: Checkpoint) -> None:
    assert torch.equal(started(weights, rotation_seed=7).rotation, started(weights, seed=7).rotation)
    assert not torch.equal(started(weights).rotation, started(weights, seed=7).rotation)
