"""Ways to make a generated picture pass for a given one, each with a bound.

select    of several latents of one request, the one that the guide likes best.
latent    a few steps on the noise, inside a ball around where it started and on its sphere.
refine    a small residual U-Net changes the picture by at most a bound, at the top and the hair first.
plain     steps on the pixels that one classifier likes, without any bound: what not to do. The classifier is
          fooled, the picture is not better, and another classifier says so.

Nothing here decides: `accepted` asks a second classifier, which no step saw, and the dials.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvae.blocks import quiet
from cvae.recipes import RetouchingRecipe

Make = Callable[[Tensor], Tensor]
"""Noise [N, D] to pictures [N, 3, H, W] in [-1, 1]."""


@torch.no_grad()
def select(make: Make, guide: nn.Module, candidates: Tensor) -> Tensor:
    """The best of several latents.

    Args:
        candidates: [K, N, D].

    Returns:
        [N, D]: for each request the noise whose picture has the highest logit of the guide.
    """
    values = torch.stack([guide(make(z)) for z in candidates])
    best = values.argmax(dim=0)
    return candidates[best, torch.arange(candidates.shape[1], device=candidates.device)]


def climb(make: Make, guide: nn.Module, z: Tensor, recipe: RetouchingRecipe) -> Tensor:
    """Noise [N, D] after steps towards a higher logit.

    Every step has one length; the result stays within the trust region and keeps the length of the noise, so
    that it is as likely as before.
    """
    start, length = z, z.norm(dim=1, keepdim=True)
    for _ in range(recipe.steps):
        z = z.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(guide(make(z)).sum(), z)
        step = gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-12)
        moved = z.detach() + recipe.step_size * length * step
        away = moved - start
        share = (recipe.radius * length / away.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp(max=1)
        moved = start + share * away
        z = moved * length / moved.norm(dim=1, keepdim=True)
    return z.detach()


def plain_gradient(guide: nn.Module, images: Tensor, recipe: RetouchingRecipe) -> Tensor:
    """Pictures [N, 3, H, W] after steps on their pixels, without a bound, as many as `climb` takes."""
    for _ in range(recipe.steps):
        images = images.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(guide(images).sum(), images)
        largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
        images = (images.detach() + recipe.bound * gradient / largest).clamp(-1, 1)
    return images.detach()


class Refiner(nn.Module):
    """A small residual U-Net; the change is at most `bound`, and less towards the chin.

    Args:
        bound: largest change of a channel, where 2 is the whole range.
        width: channels at full size.
    """

    def __init__(self, bound: float, width: int = 16) -> None:
        super().__init__()
        self.bound = bound
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.deep = nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1)
        self.middle = nn.Conv2d(4 * width, 2 * width, 3, padding=1)
        self.up = nn.Conv2d(4 * width, width, 3, padding=1)
        self.leave = quiet(nn.Conv2d(2 * width, 3, 3, padding=1), 0.0)

    def forward(self, images: Tensor) -> Tensor:
        """Changed pictures [N, 3, H, W]; H and W multiples of 4."""
        first = F.silu(self.enter(images))
        second = F.silu(self.down(first))
        third = F.silu(self.middle(F.silu(self.deep(second))))
        y = F.interpolate(third, second.shape[-2:], mode="nearest")
        y = F.silu(self.up(torch.cat([y, second], dim=1)))
        y = F.interpolate(y, first.shape[-2:], mode="nearest")
        change = torch.tanh(self.leave(torch.cat([y, first], dim=1)))
        return (images + self.bound * top_first(images) * change).clamp(-1, 1)


def top_first(images: Tensor) -> Tensor:
    """Share of the bound that each row may use, [1, 1, H, 1]: all at the top, a quarter at the bottom."""
    rows = torch.linspace(0, 1, images.shape[2], device=images.device)
    return (1.5 - 1.25 * rows.clamp(0.4, 1)).view(1, 1, -1, 1).clamp(max=1)


def train_refiner(
    images: Tensor, guide: nn.Module, recipe: RetouchingRecipe, rng: torch.Generator
) -> Refiner:
    """A refiner that raises the guide's logit of generated pictures and changes little.

    Args:
        images: to learn from, [N, 3, H, W] in [-1, 1].
        rng: decides the batches.
    """
    refiner = Refiner(recipe.bound).to(images.device)
    optimizer = torch.optim.Adam(refiner.parameters(), lr=recipe.refiner_lr)
    for _ in range(recipe.refiner_steps):
        batch = images[torch.randint(len(images), (recipe.refiner_batch,), generator=rng)]
        refined = refiner(batch)
        loss = F.softplus(-guide(refined)).mean() + recipe.keep_weight * (refined - batch).abs().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return refiner.eval().requires_grad_(False)


def accepted(before: np.ndarray, after: np.ndarray, drift: np.ndarray, most: float) -> np.ndarray:
    """Which pictures are taken, bool [N]: the second classifier's logit [N] rose, and no dial moved by more
    than `most`; an unreadable dial (NaN) refuses.

    Args:
        before, after: logits of the second classifier.
        drift: absolute moves [N, P] in sd; P may be 0.
    """
    stays = np.nan_to_num(drift, nan=np.inf) <= most
    return (after > before) & stays.all(axis=1)
