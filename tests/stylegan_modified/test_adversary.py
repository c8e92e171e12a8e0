"""The adversary tells the dials' pictures from the training pictures; gradients go where they should."""

import pytest
import torch

from stylegan_modified.adversary import Adversary
from stylegan_modified.recipes import V2Recipe
from tests.stylegan_modified import tiny


@pytest.mark.parametrize("architecture", ["stylegan", "stylegan2"])
def test_it_learns_to_tell_the_pictures_apart(architecture: str) -> None:
    recipe = V2Recipe(batch_size=8)
    adversary = Adversary(tiny.base_discriminator(architecture=architecture), tiny.pictures(), recipe)
    optimizer = torch.optim.Adam(adversary.parameters(), lr=recipe.adversary_lr, betas=(0.0, 0.99))
    flat = torch.linspace(-1, 1, 4)[:, None, None, None].expand(-1, 3, tiny.RESOLUTION, tiny.RESOLUTION)
    before = float(adversary.is_convinced(flat))
    for step in range(30):
        optimizer.zero_grad()
        adversary.loss(flat, torch.arange(4) + step % 20, step).backward()
        optimizer.step()
    assert float(adversary.is_convinced(flat)) > before + 0.05


def test_the_dials_loss_moves_pictures_and_not_the_adversary() -> None:
    adversary = Adversary(tiny.base_discriminator(), tiny.pictures(), V2Recipe(batch_size=8))
    images = torch.randn(4, 3, tiny.RESOLUTION, tiny.RESOLUTION, requires_grad=True)
    adversary.is_convinced(images).backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in adversary.parameters())
    adversary.loss(images, torch.arange(4), 1).backward()
    assert any(parameter.grad is not None for parameter in adversary.parameters())
