"""The recipe of the conditional VAEs and the layouts of their networks.

Imports nothing heavy, since ``--help`` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from stylegan_modified.recipes import Recipe, option

DetailLoss = Literal["none", "edge", "perceptual", "adversarial"]


class Layout(NamedTuple):
    """Fields of `VAEConfig`, each from the finest scale to the coarsest."""

    fold: int
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    latents: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()


# small: 2.0 million parameters at 64 x 64 px; full: 10 at 128 x 104 px, 13 at 256 x 256.
LAYOUTS: dict[tuple[str, str], Layout] = {
    ("plain", "full"): Layout(4, (96, 160, 192, 224), (1, 2, 2, 2)),
    ("hierarchical", "full"): Layout(4, (96, 144, 176, 208), (1, 2, 2, 2), (4, 4, 8, 8), (1, 1, 1, 1)),
    ("plain", "small"): Layout(4, (80, 112, 112), (1, 1, 1)),
    ("hierarchical", "small"): Layout(4, (80, 96, 96), (1, 1, 1), (4, 4, 8), (1, 1, 1)),
    ("plain", "tiny"): Layout(2, (8, 12, 16), (1, 1, 1)),
    ("hierarchical", "tiny"): Layout(2, (8, 12, 16), (1, 1, 1), (1, 2, 4), (1, 1, 1)),
}
SIZES = ("small", "full", "tiny")
Role = Literal["guide", "second", "judge"]
ROLES: tuple[Role, ...] = ("guide", "second", "judge")  # of the classifiers of realness


@dataclass(frozen=True)
class VAERecipe(Recipe):
    """The training of a conditional VAE.

    The loss is minus the evidence lower bound in nats for one channel of one pixel, and how far conditions
    that a network reads from people are from those asked for. The spatial latents join the vector one by one.
    """

    steps: int = option(4000, help="training steps")
    batch_size: int = option(64, help="pictures per step")
    learning_rate: float = option(4e-3, help="Muon step size; at 1e-2 the divergences explode")
    warm_up: float = option(
        0.15, help="hierarchical: share of the steps in which the weight of a latent's divergence grows to 1"
    )
    mirror: bool = option(True, help="show half of the pictures mirrored, and tell the network which")
    detail_loss: DetailLoss = option(
        "none", help="a third term for sharper pictures, from the second epoch on"
    )
    detail_weight: float = option(0.1, help="its weight")
    conditions_weight: float = option(
        2.0,
        help="of the squared difference between the conditions asked of people and those that v2's property "
        "CNN reads from them, or the networks of 22 where conditions are hand labels; 0: none",
    )

    joining = (0.08, 0.16)  # shares of the steps between which the latents behind the vector join
    vector_share = 0.3  # of the steps in which the vector alone draws, so that it goes on drawing all it can
    average_share = 0.03  # half-life of the averaged weights; a longer one remembers the start
    discriminator_lr = 2e-4  # Adam


@dataclass(frozen=True)
class RealnessRecipe(Recipe):
    """The training of a classifier of given against generated pictures."""

    steps: int = option(250, help="training steps of each of the three networks")
    batch_size: int = option(32, help="pictures per step, half of them given")
    learning_rate: float = option(1e-3, help="AdamW step size")
    width: float = option(0.5, help="multiplier of the networks' channels")


@dataclass(frozen=True)
class RetouchingRecipe:
    """How pictures are retouched; the guide's logit is what the steps raise."""

    candidates: int = option(8, help="select: latents of which the best is taken")
    steps: int = option(8, help="latent: steps on the noise; plain: on the pixels")
    step_size: float = option(0.15, help="latent: length of a step, shares of the noise's own length")
    radius: float = option(0.4, help="latent: trust region, shares of the noise's own length")
    refiner_steps: int = option(150, help="refine: training steps of the residual U-Net")
    bound: float = option(
        0.12, help="refine: largest change of a channel, 2 is the whole range; plain: that of one step"
    )
    seed: int = option(0, help="seed of all randomness")

    refiner_lr = 2e-3
    refiner_batch = 16
    refiner_pictures = 256  # of people that are not retouched, to learn from
    keep_weight = 4.0  # of the size of the change
