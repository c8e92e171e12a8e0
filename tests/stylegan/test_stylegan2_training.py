"""StyleGAN2 is trained as StyleGAN v1 is: exact resume, penalties, transfer, and two ways to freeze."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stylegan.batches import TrainingImages
from stylegan.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stylegan.losses import path_lengths
from stylegan.phases import Phase, TrainingConfig
from stylegan.stylegan2_discriminator import StyleGAN2Discriminator
from stylegan.training import StyleGANTrainer, TrainingError
from stylegan.transfer import trained_parameters
from tests.stylegan import tiny

CPU = torch.device("cpu")
PHASE = Phase("adversarial", resolution=0, kimg=1.0, batch=4, style_mixing=0.5)


def plan(*phases: Phase, size: int = 16, **changes: Any) -> TrainingConfig:
    fixed = {"architecture": "stylegan2", "precision": "float32", "r1_interval": 2}
    return TrainingConfig(
        phases=phases or (PHASE,),
        generator={**tiny.STYLEGAN2_GENERATOR, "resolution": size},
        discriminator={**tiny.DISCRIMINATOR, "resolution": size},
        **{**fixed, **changes},
    )


def trainer_of(config: TrainingConfig, start: Checkpoint | None = None) -> StyleGANTrainer:
    return StyleGANTrainer(config, TrainingImages(tiny.images()), CPU, start)


def steps(trainer: StyleGANTrainer, count: int) -> list[dict[str, float]]:
    return [trainer.step() for _ in range(count)]


@pytest.fixture
def weights(tmp_path: Path) -> Checkpoint:
    networks = {
        "generator": tiny.fill_with_known_weights(tiny.stylegan2_generator(), "a"),
        "discriminator": tiny.fill_with_known_weights(tiny.stylegan2_discriminator(), "b"),
        "generator_smooth": tiny.fill_with_known_weights(tiny.stylegan2_generator(), "c"),
    }
    path = tmp_path / "weights.pth"
    save_checkpoint(path, **{name: network.state_dict() for name, network in networks.items()})
    return load_checkpoint(path)


def test_three_and_three_steps_equal_six() -> None:
    config = plan(
        path_length_weight=2.0, path_length_interval=2, augmentation="adaptive", augmentation_kimg=1
    )
    through, first, second = (trainer_of(config) for _ in range(3))
    through_rows = steps(through, 6)
    steps(first, 3)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    torch.manual_seed(99)
    assert steps(second, 3) == through_rows[3:]
    assert {"path_length", "r1", "augment_p"} <= set(through_rows[0])
    for name, network in second.networks():
        expected = dict(through.networks())[name].state_dict()
        assert all(torch.equal(value, expected[entry]) for entry, value in network.state_dict().items())


def test_the_path_length_penalty_evens_the_paths() -> None:
    generator = tiny.stylegan2_generator()
    z = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))

    def unevenness() -> float:
        torch.manual_seed(5)
        wp = generator.truncation(generator.mapping(z))
        lengths = path_lengths(generator.synthesis(wp), wp)
        return float((lengths.std() / lengths.mean()).detach())

    before = unevenness()
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.01)
    for seed in range(30):
        torch.manual_seed(seed)
        wp = generator.truncation(generator.mapping(z))
        lengths = path_lengths(generator.synthesis(wp), wp)
        optimizer.zero_grad()
        (lengths / lengths.detach().mean() - 1).square().mean().backward()
        optimizer.step()
    assert unevenness() < 0.8 * before


def test_trained_weights_are_taken_over_and_frozen_layers_stay(weights: Checkpoint) -> None:
    config = plan(init="weights", init_resolution=16, freezed=4)
    trainer = trainer_of(config, weights)
    for name, network in trainer.networks():
        stored = getattr(weights, name)
        assert all(torch.equal(value, stored[entry]) for entry, value in network.state_dict().items())
    steps(trainer, 2)
    moved = {
        name.rpartition(".")[0]
        for name, value in trainer.discriminator.named_parameters()
        if not torch.equal(value, weights.discriminator[name])
    }
    assert moved == {"b8.conv0", "b8.conv1", "b8.skip", "b4.conv", "b4.fc", "b4.out"}


@pytest.mark.parametrize(
    ("counts", "first"),
    [
        ({"freezed": 10}, "b32.conv0"),  # the document's: from RGB and three blocks
        ({"freezed": 1}, "b256.conv0"),
        ({"freeze_d": 1}, "b4.conv"),
        ({"freeze_d": 3}, "b16.conv0"),
        ({}, "b256.fromrgb"),
    ],
)
def test_both_ways_to_count_frozen_layers(counts: dict[str, int], first: str) -> None:
    with torch.device("meta"):
        discriminator = StyleGAN2Discriminator(256, fmaps_base=1024, fmaps_max=16)
    names = [name.rpartition(".")[0] for name, _ in discriminator.named_parameters()]
    trained = {id(parameter) for parameter in trained_parameters(discriminator, **counts)}
    found = {n for n, p in zip(names, discriminator.parameters(), strict=True) if id(p) in trained}
    assert found == set(names[names.index(first) :])


def test_what_does_not_fit_is_refused(weights: Checkpoint) -> None:
    with pytest.raises(ValueError, match="does not grow"):
        plan(replace(PHASE, resolution=8))
    with pytest.raises(ValueError, match="two ways"):
        plan(init="weights", init_resolution=16, freezed=1, freeze_d=1)
    with pytest.raises(ValueError, match="random weights: leave freezed out"):
        plan(freezed=1)
    with pytest.raises(ValueError, match="here 0 to 7"):
        plan(init="weights", init_resolution=16, freezed=8)
    with pytest.raises(TrainingError, match="starts from weights of StyleGAN2"):
        trainer_of(plan(), replace(weights, architecture="stylegan"))
    larger = plan(size=32, init="weights", init_resolution=16)
    with pytest.raises(TrainingError, match="StyleGAN2 does not grow"):
        StyleGANTrainer(larger, TrainingImages(tiny.images(size=32)), CPU, weights)
