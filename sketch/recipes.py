"""The recipe of the training: every number that decides what a network becomes, once.

Its fields are options of the script 31; what has no annotation belongs to the recipe too, but is no option.
Imports nothing heavy, since ``--help`` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stylegan_modified.recipes import Recipe, option


@dataclass(frozen=True)
class SketchRecipe(Recipe):
    """U-Net and patch discriminator. `document`: least squares + 100 x L1, Adam 2e-4 (.5, .999), batches of
    10, no colours, each half of a pair scaled by itself; the fields marked (ours) do not count for it.
    """

    recipe: Literal["ours", "document"] = option(
        "ours",
        help="ours: joint transforms, colours and the terms below; document: the document's own recipe",
    )
    network: Literal["unet", "residual"] = option(
        "unet", help="unet: the document's U-Net; residual: with residual blocks at every level"
    )
    match_parameters: bool = option(
        False, help="make the residual network as large as the plain one, by narrowing it"
    )
    width: int = option(64, help="channels of the first level, which double from level to level")
    most_channels: int = option(512, help="channels at which the doubling ends")
    depth: int = option(8, help="levels; pictures have sides that are multiples of 2^depth")
    discriminator_width: int = option(64, help="channels of the discriminator's first level")
    end: Literal["shuffle", "resize"] = option(
        "shuffle", help="how the last level doubles its size (ours); the document's is resize"
    )
    dropout: float = option(0.5, help="probability of dropout, from the fourth level on")
    steps: int = option(4000, help="training steps, each: one of D, one of G")
    pixel_steps: int = option(
        0, help="first steps in which G learns from the distances alone, without D, in half the time (ours)"
    )
    batch_size: int = option(10, help="pairs per step")
    generator_lr: float = option(2e-4, help="Adam step size of G")
    discriminator_lr: float = option(2e-4, help="Adam step size of D")
    adversarial_loss: Literal["hinge", "least-squares"] = option(
        "hinge", help="of D and G (ours); the document's is least-squares"
    )
    pixel_weight: float = option(100.0, help="weight of L1 between portraits")
    feature_weight: float = option(10.0, help="weight of feature matching in D (ours)")
    perceptual_weight: float = option(10.0, help="weight of the distance in the identity network (ours)")
    latent_size: int = option(8, help="numbers of z, which makes one portrait of several plausible (ours)")
    latent_weight: float = option(2.0, help="weight of the KL divergence of z to N(0, 1) (ours)")
    colors: bool = option(
        True, help="tell the network the colours of hair, skin, clothes, background left and right (ours)"
    )
    hand: float = option(
        1.0, help="how unsteady the hand is whose lines it learns from; 0: exact lines (ours)"
    )

    betas = (0.5, 0.999)
    floor = 0.02  # of the falling learning rate (ours)
    average_half_life = 100.0  # steps (ours)
    scale, shift, turn_degrees = 0.06, 0.03, 4.0  # standard deviations of the joint transform (ours)
    document_scale = 0.1  # largest factor by which each half of a pair is scaled by itself (document)
    prior_share = 0.25  # of a batch, drawn with z of N(0, 1) instead of the encoder's (ours)
