"""The trainer learns, goes on as if it had not stopped, and mirrors pictures with their heads."""

from dataclasses import replace

import pytest
import torch

from cvae.augmentation import Change, inner_share, variant
from cvae.conditions import AUGMENTATIONS
from cvae.evaluation import held_out_measures, psnr
from cvae.model import ConditionalVAE, VAEConfig
from cvae.recipes import LAYOUTS, VAERecipe
from cvae.training import VAETrainer, balanced_weights, mirrored
from stylegan_modified.fine_tuning import TrainingPictures

NAMES = ("eyes", "head")
RECIPE = VAERecipe(steps=25, batch_size=8, learning_rate=1e-2)


def pictures(count: int = 16) -> TrainingPictures:
    """Grey pictures whose brightness is the first condition."""
    conditions = torch.zeros(count, len(NAMES) + len(AUGMENTATIONS))
    conditions[:, 0] = torch.linspace(0, 1, count)
    conditions[:, 1] = 0.5
    grey = (40 + 170 * conditions[:, 0]).view(count, 1, 1, 1).expand(count, 16, 16, 3)
    return TrainingPictures(grey.to(torch.uint8), conditions)


def trainer(architecture: str = "hierarchical", **changes: object) -> VAETrainer:
    torch.manual_seed(0)
    layout = LAYOUTS[architecture, "tiny"]
    model = ConditionalVAE(VAEConfig(architecture, 16, 16, NAMES, *layout, latent_size=8))
    made = VAETrainer(model, pictures(), replace(RECIPE, **changes))
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
def test_a_resumed_training_equals_one_that_ran_through(detail: str) -> None:
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


def test_the_perceptual_loss_needs_a_network() -> None:
    with pytest.raises(ValueError, match="perceptual"):
        trainer(detail_loss="perceptual")


def test_mirrored_pictures_have_mirrored_heads() -> None:
    images = torch.rand(2, 3, 4, 4)
    conditions = torch.zeros(2, len(NAMES) + len(AUGMENTATIONS))
    conditions[:, 1] = 0.2
    turned, known = mirrored(images, conditions, NAMES, torch.tensor([True, False]))
    assert torch.equal(turned[0], images[0].flip(2)) and torch.equal(turned[1], images[1])
    assert known[:, 1].tolist() == pytest.approx([0.8, 0.2]) and known[:, -1].tolist() == [1, 0]


def test_weights_of_divergences_end_at_one() -> None:
    divergences, shapes = torch.tensor([[1.0, 3.0]]), [(4,), (2, 2, 2)]
    weights = balanced_weights(divergences, shapes, 0.5)
    assert float(weights.mean()) == pytest.approx(0.5) and weights[1] > weights[0]
    assert balanced_weights(divergences, shapes, 1.0).tolist() == [1, 1]


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
