"""Pivotal tuning (Roich et al. 2021): the generator is bent around one person, whose latents stay.

What changes is a product of two thin matrices per convolution (as LoRA, Hu et al. 2021), so that a person's
file stays small; at rank 4 it is a twentieth of the generator.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call

from stylegan_modified.fine_tuning import cosine, set_learning_rate
from stylegan_modified.perceptual import PictureDistance
from stylegan_modified.stylegan_generator import ConditionedGenerator

Change = dict[str, tuple[Tensor, Tensor]]
"""By entry of the synthesis network: [out, rank] and [rank, the rest]; their product is added to it."""


def fresh_change(synthesis: nn.Module, rank: int) -> Change:
    """A change of nothing, with random second matrices, for every convolution of a synthesis network."""
    rng = torch.Generator().manual_seed(0)
    change: Change = {}
    for name, value in synthesis.named_parameters():
        if value.ndim == 4 and min(value.shape[:2]) > 1 and name.endswith("weight"):
            rest = value[0].numel()
            second = torch.randn(rank, rest, generator=rng) / rest**0.5
            change[name] = (value.new_zeros(len(value), rank), second.to(value))
    return change


def changed_entries(synthesis: nn.Module, change: Change) -> dict[str, Tensor]:
    """The entries of a synthesis network that a change touches, with it."""
    own = dict(synthesis.named_parameters())
    return {name: own[name] + (first @ second).view_as(own[name]) for name, (first, second) in change.items()}


def tune(
    synthesis: nn.Module,
    wp: Tensor,
    target: Tensor,
    distance: PictureDistance,
    steps: int,
    rank: int = 4,
    learning_rate: float = 0.03,
    shrink: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[tuple[Change, float]]:
    """Bend a synthesis network so that latents draw a picture exactly; yields the change after each step.

    Args:
        synthesis: frozen; stays as it is.
        wp: [1, layers, w_dim], the person.
        target: [1, 3, S, S] float RGB in [-1, 1].
        distance: see `PictureDistance`.
        shrink: from drawn pictures to the size of the target, where this is smaller.
    """
    asked = distance.prepare(target)
    change = fresh_change(synthesis, rank)
    parts = [part.requires_grad_() for pair in change.values() for part in pair]
    optimizer = torch.optim.Adam(parts, lr=learning_rate)
    for step in range(steps):
        set_learning_rate(optimizer, cosine(step, steps))
        image = functional_call(synthesis, changed_entries(synthesis, change), (wp,)).float()
        loss = distance(shrink(image) if shrink else image, asked).sum()
        # Layers that only earlier stages of a growing generator used get zeros.
        gradients = torch.autograd.grad(loss, parts, materialize_grads=True)
        for part, gradient in zip(parts, gradients, strict=True):
            part.grad = gradient
        optimizer.step()
        yield change, float(loss.detach())


def bent(generator: ConditionedGenerator, change: Change) -> ConditionedGenerator:
    """A copy of a generator with a change in it."""
    copied = copy.deepcopy(generator).eval()
    with torch.no_grad():
        for name, value in changed_entries(generator.synthesis, change).items():
            copied.synthesis.get_parameter(name).copy_(value)
    return copied
