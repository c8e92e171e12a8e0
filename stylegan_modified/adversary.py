"""The adversary of v2's dials: a discriminator that learns along with them what their pictures lack.

A frozen discriminator is fooled within a few hundred steps (RESULTS.md, "What each idea buys"); one that
learns along is not.
"""

from __future__ import annotations

from torch import Tensor, nn

from stylegan.interface import Discriminator
from stylegan.layers import minibatch_std_group
from stylegan.losses import discriminator_loss, generator_loss, r1_penalty
from stylegan_modified.fine_tuning import TrainingPictures
from stylegan_modified.recipes import V2Recipe


class Adversary(nn.Module):
    """Tells pictures of the dials from the training pictures.

    Args:
        discriminator: the base generator's, on its device; it is trained here.
        pictures: the training pictures.
        options: see `V2Recipe`.
    """

    def __init__(self, discriminator: Discriminator, pictures: TrainingPictures, options: V2Recipe) -> None:
        super().__init__()
        self.discriminator, self.pictures, self.options = discriminator.eval(), pictures, options
        std = discriminator.minibatch_std
        std.group_size = minibatch_std_group(options.pairs, std.group_size)

    @property
    def groups(self) -> int:
        """How many groups of pictures a batch has that the discriminator compares; they stay together."""
        return self.options.pairs // self.discriminator.minibatch_std.group_size

    def is_convinced(self, images: Tensor) -> Tensor:
        """Loss of the dials, a scalar near zero where pictures [N, 3, H, W] in [-1, 1] pass as real."""
        self.discriminator.requires_grad_(False)
        loss = generator_loss(self.discriminator(images))
        self.discriminator.requires_grad_(True)
        return loss

    def loss(self, images: Tensor, rows: Tensor, step: int) -> Tensor:
        """Loss of the adversary itself, a scalar.

        Args:
            images: [N, 3, H, W] in [-1, 1], pictures of the dials.
            rows: [N] int64, the training pictures to compare with.
            step: of the training; every `adversary_r1_interval`-th has the R1 penalty.
        """
        real, _ = self.pictures.batch(rows, images.device)
        is_penalised = step % self.options.adversary_r1_interval == 0
        real.requires_grad_(is_penalised)
        scores = self.discriminator(real)
        loss = discriminator_loss(scores, self.discriminator(images.detach()))
        if is_penalised:
            weight = self.options.adversary_r1 * self.options.adversary_r1_interval
            loss = loss + weight * r1_penalty(scores, real)
        return loss
