"""The trainer learns, goes on as if it had not stopped, and mirrors pictures with their heads."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cvae.augmentation import Change, inner_share, variant
from cvae.conditions import AUGMENTATIONS, ConditionScale
from cvae.evaluation import held_out_measures, psnr
from cvae.model import ConditionalVAE, VAEConfig
from cvae.reader import LabelReader, ScoreReader
from cvae.recipes import LAYOUTS, VAERecipe
from cvae.training import VAETrainer, divergence_weights, mirrored
from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified.fine_tuning import TrainingPictures
from stylegan_modified.property_cnn import PropertyCNN, PropertyCNNConfig

NAMES = ("eyes", "head")
RECIPE = VAERecipe(steps=25, batch_size=8, learning_rate=1e-2, conditions_weight=0)


def pictures(count: int = 16) -> TrainingPictures:
    """Grey pictures whose brightness is the first condition."""
    conditions = torch.zeros(count, len(NAMES) + len(AUGMENTATIONS))
    conditions[:, 0] = torch.linspace(0, 1, count)
    conditions[:, 1] = 0.5
    grey = (40 + 170 * conditions[:, 0]).view(count, 1, 1, 1).expand(count, 16, 16, 3)
    return TrainingPictures(grey.to(torch.uint8), conditions)


class Called(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Brightness(nn.Module):
    """Reads what `pictures` shows: brightness, and nothing of the head."""

    def forward(self, images: Tensor) -> Tensor:
        bright = (images.mean(dim=(1, 2, 3)) * 127.5 + 127.5 - 40) / 170
        return torch.stack([bright, torch.full_like(bright, 0.5)], dim=1)


def trainer(
    architecture: str = "hierarchical", reader: nn.Module | None = None, **changes: object
) -> VAETrainer:
    torch.manual_seed(0)
    layout = LAYOUTS[architecture, "tiny"]
    model = ConditionalVAE(VAEConfig(architecture, 16, 16, NAMES, *layout, latent_size=8))
    made = VAETrainer(model, pictures(), replace(RECIPE, **changes), None, reader)
    made.precision = "float32"
    return made


@pytest.mark.parametrize("architecture", ["plain", "hierarchical"])
def test_the_bound_falls(architecture: str) -> None:
    training = trainer(architecture)
    first = held_out_measures(training.model, training.data)
    while not training.finished:
        row = training.step()
    last = held_out_measures(training.model, training.data)
    assert last["count"] == 16 and len(last["kl_bits_by_latent"]) == len(
        training.model.config.latent_shapes()
    )
    assert last["bits_per_dimension"] < first["bits_per_dimension"] - 0.2
    assert float(row["kl_bits"]) < float(row["bits_per_dimension"])


@pytest.mark.parametrize("detail", ["none", "edge", "adversarial"])
def test_a_resumed_training_equals_one_that_ran_through(detail: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cvae.training.FIT_EVERY", 2)
    through = trainer(steps=6, detail_loss=detail)
    rows = [through.step() for _ in range(6)]
    assert all((detail in row) == (detail != "none") for row in rows[2:])
    assert detail not in rows[1]  # from the second epoch on: 16 pictures, 8 in a step
    stopped = trainer(steps=6, detail_loss=detail)
    for _ in range(3):
        stopped.step()
    resumed = trainer(steps=6, detail_loss=detail)
    resumed.load_state_dict(stopped.state_dict())
    while not resumed.finished:
        resumed.step()
    for name, value in through.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("t", "vector_share", "takes_part"), [(0, 0.0, False), (9, 0.0, True), (9, 1.0, False)]
)
def test_a_latent_takes_part_once_it_joined_unless_the_vector_draws_alone(
    t: int, vector_share: float, takes_part: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VAERecipe, "vector_share", vector_share)
    training = trainer(steps=10)
    with torch.no_grad():
        training.model.levels[0][0].prior.weight.fill_(torch.nan)  # type: ignore[index]
    training.steps_done = t
    assert math.isfinite(float(training.step()["bits_per_dimension"])) != takes_part


def test_the_perceptual_loss_needs_a_network() -> None:
    with pytest.raises(ValueError, match="perceptual"):
        trainer(detail_loss="perceptual")


def test_new_people_have_the_conditions_that_are_asked_for() -> None:
    """The pictures say nothing of their conditions here, so only the third term can teach them."""
    apart = {}
    for weight in (0.0, 30.0):
        training = trainer("plain", Brightness(), conditions_weight=weight, steps=25, learning_rate=3e-2)
        training.data.properties[:, 0] = training.data.properties[:, 0].flip(0).roll(5)
        while not training.finished:
            row = training.step()
        assert ("conditions" in row) == (weight > 0)
        noise, asked = torch.randn(8, training.model.z_space_dim), torch.full((2, 8, 2), 0.5)
        asked[0, :, 0], asked[1, :, 0] = 0.1, 0.9
        with torch.no_grad():
            dark, bright = (Brightness()(training.model.decode(noise, c).picture)[:, 0].mean() for c in asked)
        apart[weight] = float(bright - dark)
    assert apart[30.0] > 0.3 > apart[0.0]


def test_the_conditions_need_a_network_that_reads_them() -> None:
    with pytest.raises(ValueError, match="reads them"):
        trainer(conditions_weight=1.0)


def test_readers_give_conditions_of_pictures_of_any_size() -> None:
    images = torch.rand(2, 3, 24, 20) * 2 - 1
    images.requires_grad_()
    network = PropertyCNN(PropertyCNNConfig(resolution=64, width=0.1)).eval()
    reader = ScoreReader(network, ConditionScale(("hair_color", "head"), (0.5, 0.1), (-0.3, 0.2)))
    read = reader(images)
    scores = network(nn.functional.interpolate(images, (64, 64), mode="bilinear"))
    columns = [PROPERTY_NAMES.index(name) for name in ("hair_color", "pose")]
    torch.testing.assert_close(
        read, torch.tensor([0.5, 0.1]) + torch.tensor([-0.3, 0.2]) * scores[:, columns]
    )
    read.sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    folds = [[lambda x: x.mean(dim=(1, 2, 3)), lambda x: x.mean(dim=(1, 2, 3)) + 1]]
    labelled = LabelReader([[Called(fold) for fold in folds[0]]], 16)(images)
    assert labelled.shape == (2, 1)
    torch.testing.assert_close(labelled[:, 0], images.mean(dim=(1, 2, 3)) + 0.5, atol=0.02, rtol=0)


def test_mirrored_pictures_have_mirrored_heads() -> None:
    images = torch.rand(2, 3, 4, 4)
    conditions = torch.zeros(2, len(NAMES) + len(AUGMENTATIONS))
    conditions[:, 1] = 0.2
    turned, known = mirrored(images, conditions, NAMES, torch.tensor([True, False]))
    assert torch.equal(turned[0], images[0].flip(2)) and torch.equal(turned[1], images[1])
    assert known[:, 1].tolist() == pytest.approx([0.8, 0.2]) and known[:, -1].tolist() == [1, 0]


def test_latents_behind_the_vector_join_from_the_coarsest_on() -> None:
    known = [
        divergence_weights(2, progress, (0.2, 0.4), 0.1).tolist() for progress in (0.1, 0.25, 0.35, 0.45, 0.9)
    ]
    expected = [[1, 0, 0], [1, 0.5, 0], [1, 1, 0.5], [1, 1, 1], [1, 1, 1]]
    assert known == pytest.approx(np.array(expected), abs=1e-5)
    assert divergence_weights(2, 0.3, (0.0, 0.0), 0.0).tolist() == [1, 1, 1]
    assert divergence_weights(0, 0.3, (0.2, 0.4), 0.1).tolist() == [1]


def test_decibels() -> None:
    black = torch.full((1, 3, 2, 2), -1.0)
    assert float(psnr(black + 0.2, black)) == pytest.approx(20, abs=1e-4)


def test_variants_show_no_corner_of_the_rotated_frame() -> None:
    white = torch.full((40, 30, 3), 255, dtype=torch.uint8).numpy()
    for degrees in (-10.0, 3.0, 20.0):
        made = variant(white, Change(rotation=degrees), 16, 12)
        assert made.shape == (16, 12, 3) and made.min() >= 250
    assert inner_share(10, 10, 0.0) == 1 and inner_share(10, 10, 45.0) == pytest.approx(0.5**0.5)


def test_changes_are_what_they_say() -> None:
    grey = torch.full((16, 16, 3), 100, dtype=torch.uint8).numpy()
    assert variant(grey, Change(brightness=0.2), 16, 16).mean() == pytest.approx(120, abs=1)
    most = Change(0.1, 0.2, 0.05, 4.0)
    change = most.draw(5)
    assert change == most.draw(5) != most.draw(6) and change.crop >= 0
    assert all(abs(share) <= 1 for share in most.told(change))
    assert Change().told(Change()) == (0, 0, 0, 0)
