"""Starting from trained weights: what is taken over, what is frozen, and growth to a higher resolution."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylegan.batches import TrainingImages
from stylegan.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stylegan.phases import Phase, TrainingConfig
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.training import StyleGANTrainer, TrainingError
from stylegan.transfer import trained_parameters
from tests.stylegan import tiny

CPU = torch.device("cpu")


@pytest.fixture
def weights(tmp_path: Path) -> Checkpoint:
    """A file with three networks that differ."""
    path = tmp_path / "weights.pth"
    networks = {
        "generator": tiny.fill_with_known_weights(tiny.generator(), "a"),
        "discriminator": tiny.fill_with_known_weights(tiny.discriminator(), "b"),
        "generator_smooth": tiny.fill_with_known_weights(tiny.generator(), "c"),
    }
    save_checkpoint(path, **{name: network.state_dict() for name, network in networks.items()})
    return load_checkpoint(path)


def _trainer(start: Checkpoint, size: int = 16, generator: Any = None, **changes: Any) -> StyleGANTrainer:
    phase = Phase("adversarial", resolution=size, kimg=1, batch=4, fade_kimg=0.016)
    config = TrainingConfig(
        phases=(phase,),
        generator={**tiny.GENERATOR, "resolution": size, **(generator or {})},
        discriminator={**tiny.DISCRIMINATOR, "resolution": size},
        **{"precision": "float32", "init": "weights", "init_resolution": 16, **changes},
    )
    return StyleGANTrainer(config, TrainingImages(tiny.images(size=size)), CPU, start)


@pytest.mark.parametrize(("freeze_d", "count"), [(1, 6_559_745), (3, 15_998_977)])
def test_trained_parameters_of_the_256_px_discriminator(freeze_d: int, count: int) -> None:
    with torch.device("meta"):
        discriminator = StyleGANDiscriminator(256)
    assert sum(p.numel() for p in trained_parameters(discriminator, freeze_d)) == count
    names = {id(p): name for name, p in discriminator.named_parameters()}
    layers = {names[id(p)].split(".")[0] for p in trained_parameters(discriminator, freeze_d)}
    assert layers == {f"layer{i}" for i in range(14 - 2 * freeze_d, 15)}


def test_frozen_layers_stay_and_the_others_move(weights: Checkpoint) -> None:
    trainer = _trainer(weights, freeze_d=2)
    for _ in range(2):
        trainer.step()
    moved = {
        name.split(".")[0]
        for name, value in trainer.discriminator.named_parameters()
        if not torch.equal(value, weights.discriminator[name])
    }
    assert moved == {"layer2", "layer3", "layer4", "layer5", "layer6"}


def test_all_three_networks_are_taken_over(weights: Checkpoint) -> None:
    trainer = _trainer(weights)
    for name, network in trainer.networks():
        for entry, value in network.state_dict().items():
            assert torch.equal(value, getattr(weights, name)[entry]), (name, entry)
    alone = _trainer(replace(weights, generator=None))
    assert torch.equal(
        alone.generator.state_dict()["mapping.dense0.weight"],
        weights.generator_smooth["mapping.dense0.weight"],
    )


def test_a_grown_network_starts_where_the_file_stands(weights: Checkpoint) -> None:
    before, grown = _trainer(weights), _trainer(weights, size=32)
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


def test_what_does_not_fit_is_refused(weights: Checkpoint) -> None:
    with pytest.raises(TrainingError, match="no discriminator"):
        _trainer(replace(weights, discriminator=None))
    with pytest.raises(TrainingError, match="nothing to transfer"):
        _trainer(replace(weights, generator=None, generator_smooth=None))
    with pytest.raises(TrainingError, match="`mapping.dense0.weight` is .* there and .* here"):
        _trainer(weights, generator={"z_space_dim": 4})
    with pytest.raises(TrainingError, match="properties"):
        _trainer(replace(weights, extra={"property_count": 7}))
    with pytest.raises(TrainingError, match="starts from weights of StyleGAN v1"):
        _trainer(replace(weights, architecture="stylegan2"))
    with pytest.raises(TrainingError, match="arithmetic of openmmlab"):
        _trainer(replace(weights, config={**weights.config, "variant": "openmmlab"}))


def test_freezing_needs_trained_layers(weights: Checkpoint) -> None:
    with pytest.raises(ValueError, match="would freeze the new"):
        _trainer(weights, size=32, freeze_d=1)
    with pytest.raises(ValueError, match="starts from random weights"):
        _trainer(weights, init="", freeze_d=1)
    with pytest.raises(ValueError, match="from 0 to 3"):
        _trainer(weights, freeze_d=4)


def test_a_stored_rotation_is_kept(weights: Checkpoint) -> None:
    assert torch.equal(_trainer(weights, rotation_seed=7).rotation, _trainer(weights, seed=7).rotation)
    assert not np.array_equal(_trainer(weights).rotation, _trainer(weights, seed=7).rotation)
