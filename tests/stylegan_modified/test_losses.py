"""Losses, and the pairs of requests that fine-tunings learn from."""

import pytest
import torch

from segmentation.property_table import PROPERTY_NAMES
from stylegan_modified.losses import (
    change_mask,
    change_masks,
    hue_loss,
    keep_loss,
    kl_divergence,
    multiscale_l1,
    property_loss,
)
from stylegan_modified.requests import PairSampler


def test_keep_loss_counts_only_changes_where_the_dial_has_no_business() -> None:
    label_map = torch.zeros(1, 64, 64, dtype=torch.uint8)
    label_map[:, 20:24, 20:28] = 4
    original = torch.zeros(1, 3, 64, 64)
    at_eye, elsewhere = original.clone(), original.clone()
    at_eye[:, :, 20:24, 20:28] = 1.0
    elsewhere[:, :, 50:60, 50:60] = 1.0
    eyes = change_mask(label_map, PROPERTY_NAMES.index("eyes"))
    assert keep_loss(at_eye, original, eyes) == 0
    assert keep_loss(elsewhere, original, eyes) > 0
    assert keep_loss(at_eye, original, torch.zeros_like(eyes)) > 0
    assert keep_loss(at_eye, original, torch.ones_like(eyes)) == 0


def test_a_turned_head_takes_the_neck_with_it() -> None:
    label_map = torch.zeros(2, 64, 64, dtype=torch.uint8)
    label_map[0, 10:40, 24:40] = 1  # the second picture shows nobody
    pose, mouth = (change_mask(label_map, PROPERTY_NAMES.index(name)) for name in ("pose", "mouth"))
    assert pose[0, 40:].all() and not pose[0, 30, :16].any() and not pose[0, 30, 48:].any()
    assert not pose[1].any() and not mouth[0, 50:].any()


def test_every_row_has_the_mask_of_its_own_dial() -> None:
    label_maps = torch.randint(0, 11, (5, 2, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    dials = torch.tensor([3, 0, 6, 3, 4])
    expected = torch.stack([change_mask(row, int(dial)) for row, dial in zip(label_maps, dials, strict=True)])
    assert torch.equal(change_masks(label_maps, dials), expected)
    assert not torch.equal(expected[0], change_mask(label_maps[0], 0))


def test_hue_loss_sees_colours_and_not_brightness() -> None:
    region = torch.zeros(1, 8, 8, dtype=torch.bool)
    region[:, 2:6, 2:6] = True
    grey = torch.tensor([-0.2, -0.2, -0.2])[None, :, None, None].expand(1, 3, 8, 8)
    red = torch.tensor([0.5, -0.2, -0.2])[None, :, None, None].expand(1, 3, 8, 8)
    assert hue_loss(grey, (grey + 1) * 1.3 - 1, region, region) == pytest.approx(0, abs=1e-6)
    assert hue_loss(grey, red, region, region) > 0.05
    assert hue_loss(grey, torch.where(region[:, None], grey, red), region, region) == pytest.approx(
        0, abs=1e-6
    )
    assert hue_loss(grey, red, region, torch.zeros_like(region)) == 0
    black = torch.full((1, 3, 8, 8), -1.0, requires_grad=True)
    noisy = black + torch.tensor([0.001, -0.0008, -0.00015])[None, :, None, None]
    loss = hue_loss(grey, noisy, region, region)
    loss.backward()
    assert loss == 0 and black.grad.abs().max() == 0, "black has no hue"


def test_known_values_of_the_losses() -> None:
    zero = torch.zeros(2, 7)
    assert property_loss(zero, zero) == 0
    assert property_loss(zero, zero + 1.0) == pytest.approx(0.75)  # |1| - beta / 2
    assert kl_divergence(zero, zero) == 0
    assert kl_divergence(zero + 1, zero) == pytest.approx(0.5)
    first, second = torch.zeros(2, 3, 8, 8), torch.stack([torch.full((3, 8, 8), 0.5), torch.zeros(3, 8, 8)])
    torch.testing.assert_close(multiscale_l1(first, second), torch.tensor([0.5, 0.0]))


def test_pairs_differ_in_one_dial_and_mix_the_median_with_whole_vectors() -> None:
    samples = torch.randn(500, 7)
    pairs = PairSampler(samples).draw(4000, torch.Generator().manual_seed(1))
    again = PairSampler(samples).draw(4000, torch.Generator().manual_seed(1))
    assert torch.equal(pairs.first, again.first) and torch.equal(pairs.second, again.second)
    differs = pairs.first != pairs.second
    assert torch.equal(differs.sum(1), torch.ones(4000, dtype=torch.int64))
    assert torch.equal(differs.int().argmax(1), pairs.dial)
    assert (pairs.dial.bincount(minlength=7) > 4000 / 7 * 0.8).all()
    at_median = ((pairs.first == samples.median(0).values).sum(1) >= 6).float().mean()
    whole = ((pairs.first[:, None] == samples[None]).sum(2) >= 6).any(1).float().mean()
    assert 0.5 < at_median < 0.62 and 0.2 < whole < 0.32
    assert pairs.first.abs().max() < 1.2 * samples.abs().max()
