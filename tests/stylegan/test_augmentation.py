"""Augmentation: what it leaves alone, gradients through it, and the probability that adapts."""

import pytest
import torch

from stylegan.augmentation import Augmentation, augment, cutout, shift_and_flip
from stylegan.losses import r1_penalty
from tests.stylegan import tiny


def _images(count: int = 64) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(count, 3, 16, 16) * 2 - 1


def test_probability_zero_changes_nothing_and_draws_nothing() -> None:
    images = _images()
    state = torch.get_rng_state()
    assert augment(images, 0.0) is images
    assert torch.equal(torch.get_rng_state(), state)


def test_the_share_of_changed_pictures_follows_the_probability() -> None:
    images = _images(400)
    differences = [(augment(images, p) - images).abs().amax(dim=(1, 2, 3)) for p in (0.02, 0.3, 1.0)]
    changed = [(difference > 1e-3).float().mean() for difference in differences]
    assert 0 < changed[0] < 0.25 < changed[1] < changed[2] == 1.0


def test_shifts_are_small_whole_pixels_and_half_of_the_pictures_are_mirrored() -> None:
    columns = torch.arange(16.0).expand(200, 1, 16, 16)
    moved = shift_and_flip(columns, 1.0)[:, 0, 0]
    steps = moved.diff(dim=1)[:, 4:-4].mean(dim=1)
    assert set(steps.tolist()) == {1.0, -1.0}
    assert 60 < (steps < 0).sum() < 140
    upright = moved[steps > 0]
    shifts = (columns[: len(upright), 0, 0] - upright)[:, 8]
    assert set(shifts.tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert moved.min() >= 0 and moved.max() <= 15


def test_cutout_blanks_a_square() -> None:
    blank = cutout(torch.ones(50, 3, 16, 16), 1.0) == 0
    assert torch.equal(blank[:, 0], blank[:, 2])
    assert blank[:, 0].sum(dim=(1, 2)).max() == 8 * 8
    assert blank.any(3).any(2).any(1).all()


def test_gradients_flow_twice() -> None:
    images = _images(8).requires_grad_(True)
    weight = torch.randn(3, 16, 16, requires_grad=True)
    penalty = r1_penalty((augment(images, 1.0).square() * weight).sum((1, 2, 3)), images)
    penalty.backward()
    assert penalty > 0
    assert torch.isfinite(images.grad).all() and (images.grad != 0).any(3).any(2).any(1).all()
    assert (weight.grad != 0).any()


@pytest.mark.parametrize(("sign", "expected"), [(0.9, 0.5 + 0.04), (0.3, 0.5 - 0.04), (0.6, 0.5)])
def test_the_adaptive_probability_moves_towards_the_target(sign: float, expected: float) -> None:
    found = Augmentation(tiny.plan(augmentation="adaptive", augmentation_p=0.5, augmentation_kimg=1.6))
    for _ in range(4):
        found.update(sign, 16)
    assert found.p == pytest.approx(expected)
    for _ in range(400):
        found.update(sign, 16)
    assert found.p == pytest.approx({0.9: 1.0, 0.3: 0.0, 0.6: 0.5}[sign])


def test_only_an_adaptive_probability_adapts() -> None:
    for mode, p in (("fixed", 0.5), ("none", 0.0)):
        found = Augmentation(tiny.plan(augmentation=mode, augmentation_p=0.5))
        for _ in range(8):
            found.update(0.9, 16)
        assert found.p == p


def test_bad_settings_are_explained() -> None:
    with pytest.raises(ValueError, match="augmentation must be none, fixed or adaptive"):
        tiny.plan(augmentation="some")
    with pytest.raises(ValueError, match="augmentation_p must be from 0 to 1"):
        tiny.plan(augmentation="fixed", augmentation_p=2.0)
