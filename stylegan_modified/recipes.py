"""The recipes of the fine-tunings: every number that decides what v1, v2 and v3 become, once.

The fields of a recipe are options of the scripts 05 to 07; what has no annotation belongs to the recipe too,
but is no option. Imports nothing heavy, since ``--help`` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


def option(default: Any, *, help: str) -> Any:
    """A field of a recipe; the metadata is that which `scripts.pipeline.option` gives its fields."""
    return field(default=default, metadata={"help": help, "affects_results": True})


@dataclass(frozen=True)
class Recipe:
    """What every fine-tuning has."""

    steps: int = option(600, help="training steps")
    batch_size: int = option(16, help="pictures per step")
    seed: int = option(0, help="seed of all randomness")

    def need_pairs(self) -> None:
        """Raise `ValueError` unless a batch holds whole pairs."""
        if self.batch_size < 2 or self.batch_size % 2:
            raise ValueError("--batch-size must be even: each person is drawn twice, with one dial turned.")


@dataclass(frozen=True)
class V1Recipe(Recipe):
    """The conditioned GAN. Learning rates are those of the stored weights, whose standard deviation is 100.

    In the first `warmup_steps` of `matching`, D learns alone: G can learn no more than D knows.
    """

    recipe: Literal["matching", "document"] = option(
        "matching", help="matching: D compares picture and properties; document: the document's own recipe"
    )
    warm_start_steps: int = option(
        4000, help="steps in w alone, before any picture, that teach the dials linear directions (0: none)"
    )
    steps: int = option(600, help="training steps (each: one D step and one or more G steps)")
    warmup_steps: int = option(100, help="first steps in which D learns alone (matching)")
    generator_lr: float = option(0.1, help="Adam step size of the mapping network (stored weights, std 100)")
    label_lr: float = option(0.001, help="Adam step size of the label matrix")
    discriminator_lr: float = option(5e-3, help="Adam step size of D's dense layers")
    conditioning: Literal["both", "projection", "regression"] = option(
        "both", help="how D compares picture and properties (matching)"
    )
    regression_weight: float = option(
        4.0, help="weight of the properties that D reads from generated pictures"
    )
    person_weight: float = option(0.1, help="weight of staying near the w of the first step")
    identity_weight: float = option(0.3, help="weight of the same person with one dial turned")
    filter_weight: float = option(0.5, help="weight of the gender and quality networks")

    average_half_life = 100.0  # steps
    warm_start_people = 256  # in a step, which draws no picture
    warm_start_mapping_lr = 1.0
    warm_start_label_lr = 0.01
    document_lr = 1e-4  # AdamW, generator and discriminator


@dataclass(frozen=True)
class V2Recipe(Recipe):
    """The property CNN, and the dials that learn through it; in their loss the properties have weight 1.

    The document's property CNN: batches of 16, 90/10 split, stop after 20 stale epochs. Ours learns by Muon,
    with less dropout: as good after 4 epochs as by AdamW after 8. Of the people held out, one half chooses
    the epoch and the other is reported.
    """

    recipe: Literal["dials", "document"] = option(
        "dials", help="dials: a network that moves w; document: v1's dense layers, by the document's recipe"
    )
    cnn_epochs: int = option(20, help="epochs of the property CNN at the most")
    cnn_width: float = option(1.0, help="channel multiplier of the property CNN")
    cnn_margin: float = option(0.0, help="widening of the CNN's windows, fraction of the picture")
    cnn_reduction: int = option(1, help="the CNN's large windows are shrunk by this power of two")
    cnn_lr: float = option(5e-3, help="Muon step size of the property CNN (dials)")
    cnn_dropout: float = option(0.2, help="dropout of the property CNN (dials)")
    steps: int = option(1300, help="training steps of the dials")
    learning_rate: float = option(2e-3, help="Adam step size of the dials")
    identity_weight: float = option(0.15, help="weight of the same-person term")
    keep_weight: float = option(3.0, help="weight of the region to keep")
    hue_weight: float = option(3.0, help="weight of the hue of skin and background")
    residual_weight: float = option(0.05, help="weight of staying near the linear dials")
    filter_weight: float = option(0.02, help="weight of the gender and quality networks")
    adversary_weight: float = option(
        0.0, help="weight of a discriminator that learns along to tell the dials' pictures (0: none)"
    )
    pool: int = option(1024, help="people to practise on")

    average_half_life = 60.0  # steps
    adversary_lr = 1e-3  # Adam
    adversary_r1 = 0.4
    adversary_r1_interval = 8  # steps
    cnn_patience_epochs = 20
    cnn_held_out_share = 0.1
    cnn_noise = 0.02

    @property
    def pairs(self) -> int:
        """Pairs of pictures in a batch."""
        return self.batch_size // 2


@dataclass(frozen=True)
class V3Recipe(Recipe):
    """The conditional VAE; the learning rate is Muon's, which finds z after fewer pictures than Adam."""

    recipe: Literal["dials", "document"] = option(
        "dials", help="dials: v2's dials in the decoder; document: v1's generator, by the document's recipe"
    )
    steps: int = option(700, help="training steps")
    people: int = option(6000, help="pictures of known z to learn from; 0: new ones in every step, for a GPU")
    batch_size: int = option(4, help="filtered pictures per step, which are decoded again")
    drawn_size: int = option(60, help="pictures of known z per step")
    learning_rate: float = option(3e-3, help="Muon step size of the encoder")
    encoder_width: float = option(1.0, help="channel multiplier of the encoder")
    reconstruction_weight: float = option(0.5, help="weight of the reconstructed picture")
    kl_weight: float = option(0.02, help="weight of the KL divergence to N(0, 1)")

    average_half_life = 40.0  # steps
    noise = 0.05
    latent_weight = 1.0
    identity_weight = 0.1


class DocumentRecipe:
    """What v2 and v3 by the document's recipe do not share with ours; weights are of the published run."""

    learning_rate = 1e-4  # AdamW
    cnn_lr = 5e-5  # AdamW
    cnn_dropout = 0.45
    property_weight = 1.0
    gender_weight = 1.0
    mean_weight = 0.2
    log_variance_weight = 0.05
