"""Given pictures as latents of a generator: projection into W, then W+, by optimisation.

The latents are sought in coordinates in which those of the generator's own people are spherical (w whitened
by its covariance), so that one step size suits all directions and the distance from where people lie is a
plain norm. Pictures of a batch do not influence each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan.interface import Generator
from stylegan_modified.fine_tuning import cosine, set_learning_rate
from stylegan_modified.perceptual import PictureDistance

SPREAD_PEOPLE = 4096
EIGENVALUE_FLOOR = 1e-4  # of the largest: directions in which w hardly varies are not made easy


@dataclass(frozen=True)
class ProjectionRecipe:
    """How a picture is sought.

    Attributes:
        w_steps: steps with one w for all layers; wp_steps: with one w for each, from there.
        learning_rate: of Adam, standard deviations of w; falls along a half cosine in each of the two parts.
        w_prior, wp_prior: weights of the squared distance from the average person (mean over directions), and
            of the squared distance of each layer's w from the mean of all.
    """

    w_steps: int = 50
    wp_steps: int = 90
    learning_rate: float = 0.1
    w_prior: float = 0.01
    wp_prior: float = 0.01


class LatentSpread(nn.Module):
    """Where w of a generator's people lies: w = mean + v colour, with v about N(0, I).

    Args:
        w: [N, w_dim] float, w of random people.
    """

    mean: Tensor
    colour: Tensor
    whitening: Tensor

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        covariance = torch.cov(w.double().T)
        values, vectors = torch.linalg.eigh(covariance)
        deviations = values.clamp_min(EIGENVALUE_FLOOR * float(values[-1])).sqrt()
        self.register_buffer("mean", w.mean(0))
        self.register_buffer("colour", (vectors * deviations).T.float())
        self.register_buffer("whitening", (vectors / deviations).float())

    def w(self, v: Tensor) -> Tensor:
        """Latents [..., w_dim] of whitened coordinates [..., w_dim]."""
        return self.mean + v @ self.colour

    def v(self, w: Tensor) -> Tensor:
        """Whitened coordinates [..., w_dim] of latents [..., w_dim]."""
        return (w - self.mean) @ self.whitening


@dataclass(frozen=True)
class Projected:
    """Latents of N pictures on the way, or at the end.

    Attributes:
        wp: [N, layers, w_dim].
        images: [N, 3, H, W] what they draw, about [-1, 1].
        distance: [N] of the picture asked for, see `PictureDistance`.
        step: steps done; of: steps in all.
    """

    wp: Tensor
    images: Tensor
    distance: Tensor
    step: int
    of: int

    def detached(self) -> Projected:
        """The same without gradients."""
        return replace(
            self, wp=self.wp.detach(), images=self.images.detach(), distance=self.distance.detach()
        )


def project(
    generator: Generator,
    spread: LatentSpread,
    distance: PictureDistance,
    targets: Tensor,
    recipe: ProjectionRecipe,
    start: Tensor | None = None,
    shrink: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[Projected]:
    """Seek the latents that draw given pictures; yields after each step, so that it can be shown and stopped.

    Args:
        generator: in eval mode, on the device of the pictures.
        spread: of this generator's w.
        distance: how different pictures are; differentiable.
        targets: [N, 3, S, S] float RGB in [-1, 1].
        recipe: how it is sought.
        start: [N, w_dim] where to start, such as what an encoder says; None: the average person.
        shrink: from drawn pictures to the size of the targets, where these are smaller.
    """
    start = spread.mean.expand(len(targets), -1) if start is None else start
    v = spread.v(start)[:, None]  # [N, 1 or layers, w_dim]: one for all layers at first
    asked = distance.prepare(targets)
    total = recipe.w_steps + recipe.wp_steps

    def drawn(latents: Tensor, step: int) -> Projected:
        wp = spread.w(latents).expand(-1, generator.layer_count, -1)
        images = generator.synthesis(wp).float()
        return Projected(wp, images, distance(shrink(images) if shrink else images, asked), step, total)

    for first, steps in ((0, recipe.w_steps), (recipe.w_steps, recipe.wp_steps)):
        if first:
            v = v.detach().repeat(1, generator.layer_count, 1)
        v = v.detach().requires_grad_()
        optimizer = torch.optim.Adam([v], lr=recipe.learning_rate)
        for step in range(steps):
            set_learning_rate(optimizer, cosine(step, steps))
            found = drawn(v, first + step)
            # A sum over the pictures: each has the gradient that it would have alone.
            (v.grad,) = torch.autograd.grad((found.distance + _prior(v, recipe)).sum(), v)
            optimizer.step()
            yield found.detached()
    with torch.no_grad():
        yield drawn(v, total)


def _prior(v: Tensor, recipe: ProjectionRecipe) -> Tensor:
    """[N], how far latents [N, 1 or layers, w_dim] lie from where people do, and from each other."""
    centre = v.mean(dim=1, keepdim=True)
    apart = (v - centre).square().mean(dim=(1, 2))
    return recipe.w_prior * centre.square().mean(dim=(1, 2)) + recipe.wp_prior * apart


def shrinking(size_px: int) -> Callable[[Tensor], Tensor]:
    """Shrinks pictures [N, 3, H, W] to [N, 3, size_px, size_px], as a small photograph would show them."""
    return lambda images: F.interpolate(
        images, size=(size_px, size_px), mode="bilinear", antialias=True, align_corners=False
    )
