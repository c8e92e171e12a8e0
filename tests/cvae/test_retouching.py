"""Retouching stays inside its bounds, climbs, and takes only what a second classifier and the dials allow."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cvae import retouching
from cvae.realness import Realness, RealnessTrainer, auc, logits, split
from cvae.recipes import ROLES, RealnessRecipe, RetouchingRecipe, Role
from stylegan_modified.fine_tuning import TrainingPictures

RECIPE = RetouchingRecipe(steps=5, refiner_steps=20)


class Brightness(nn.Module):
    """A classifier that likes bright pictures."""

    def forward(self, images: Tensor) -> Tensor:
        return 50 * images.mean(dim=(1, 2, 3))


def make(z: Tensor) -> Tensor:
    """Noise [N, 48] as pictures of 4 x 4 px."""
    return torch.tanh(z).view(-1, 3, 4, 4)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_best_of_several_latents() -> None:
    candidates = noise(4, 3, 48)
    best = retouching.select(make, Brightness(), candidates)
    values = torch.stack([Brightness()(make(z)) for z in candidates])
    torch.testing.assert_close(Brightness()(make(best)), values.max(dim=0).values)


def test_steps_on_the_noise_climb_inside_the_trust_region() -> None:
    z = noise(3, 48)
    moved = retouching.climb(make, Brightness(), z, RECIPE)
    assert (Brightness()(make(moved)) > Brightness()(make(z))).all()
    torch.testing.assert_close(moved.norm(dim=1), z.norm(dim=1))
    angle = torch.nn.functional.cosine_similarity(moved, z).acos()
    assert (angle <= np.arcsin(RECIPE.radius) + 0.02).all() and (angle > 0.1).all()


def test_the_refiner_changes_at_most_its_bound_and_less_below() -> None:
    images = noise(2, 3, 16, 16).clamp(-0.5, 0.5)
    refiner = retouching.train_refiner(
        noise(8, 3, 16, 16).clamp(-0.5, 0.5),
        Brightness(),
        RetouchingRecipe(refiner_steps=30),
        torch.Generator().manual_seed(0),
    )
    change = (refiner(images) - images).abs()
    assert change.max() <= RECIPE.bound + 1e-6 and Brightness()(refiner(images) - images).min() > 0
    assert change[:, :, -1].max() <= 0.26 * RECIPE.bound


def test_only_what_the_second_classifier_and_the_dials_allow_is_taken() -> None:
    before, after = np.zeros(4), np.array([1.0, -1.0, 1.0, 1.0])
    drift = np.array([[0.1], [0.1], [0.5], [np.nan]])
    assert retouching.accepted(before, after, drift, 0.2).tolist() == [True, False, False, False]
    assert retouching.accepted(before, after, np.empty((4, 0)), 0.2).tolist() == [True, False, True, True]


@pytest.mark.parametrize("role", ROLES)
def test_a_classifier_learns_and_comes_back_from_its_file(role: Role) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    bright = rng.integers(140, 255, (8, 32, 32, 3), np.uint8)
    dark = rng.integers(0, 110, (8, 32, 32, 3), np.uint8)
    labels = torch.tensor([[1.0]] * 8 + [[0.0]] * 8)
    data = TrainingPictures(torch.from_numpy(np.concatenate([bright, dark])), labels)
    trainer = RealnessTrainer(Realness(role, 0.125), data, RealnessRecipe(steps=12, batch_size=8))
    while not trainer.finished:
        trainer.step()
    loaded = Realness.from_checkpoint(trainer.model.checkpoint({}), role)
    assert auc(logits(loaded, bright), logits(loaded, dark)) > 0.9
    with pytest.raises(ValueError, match="no classifier of realness"):
        Realness.from_checkpoint(trainer.model.checkpoint({}), "judge" if role != "judge" else "guide")


def test_roles_hold_out_other_people_and_all_pictures_of_one() -> None:
    sources = np.repeat(np.arange(200), 2)
    sides = {role: split(sources, role, 0) for role in ROLES}
    for side in sides.values():
        assert (side[::2] == side[1::2]).all() and 0.2 < side.mean() < 0.4
    assert (sides["guide"] != sides["judge"]).any()
