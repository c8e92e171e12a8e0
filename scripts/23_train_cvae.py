"""Train the conditional VAE: plain (one latent vector) or hierarchical (the NVAE idea)."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cvae.recipes import SIZES, VAERecipe
from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages import workspace as at


@dataclass(frozen=True)
class Options(VAERecipe, StageOptions):
    """Train the conditional VAE."""

    architecture: Literal["plain", "hierarchical"] = option(
        "hierarchical", help="plain: one latent vector; hierarchical: spatial latents at several scales"
    )
    size: str = option("small", help=f"of the network: {', '.join(SIZES)}")
    save_seconds: float = option(30.0, help="seconds between checkpoints", affects_results=False)
    preview_every: int = option(500, help="steps between previews, 0: none", affects_results=False)

    def __post_init__(self) -> None:
        self.need_at_least(1, "steps", "batch_size")
        self.need_at_least(
            0, "save_seconds", "preview_every", "detail_weight", "warm_up", "conditions_weight"
        )
        self.need_above(0, "learning_rate")
        if self.size not in SIZES:
            raise ValueError(f"--size must be one of {', '.join(SIZES)}.")


def inputs(options: Options) -> tuple[Input, ...]:
    """The chosen pictures and their conditions, and the networks that the losses need."""
    chosen = [at.VAE_PICTURES_INPUT, at.DECIDED_TABLE_INPUT, at.CONDITIONS_INPUT]
    if options.detail_loss == "perceptual":
        chosen.append(at.FILTER_INPUTS[0])
    if options.conditions_weight > 0:  # conditions that are hand labels do without
        chosen.append(Input(at.PROPERTY_CNN, made_by="06_fine_tune_v2", optional=True))
    return tuple(chosen)


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError`, before earlier results go, if the loss lacks a network."""
    from scripts.stages.cvae import training

    training.check(stage, options)


SPEC = StageSpec(
    name="23_train_cvae",
    inputs=inputs,
    outputs=(at.VAE, at.VAE_ENCODER, at.VAE_DECODER, at.VAE_LOG, *at.VAE_SHEETS),
    clears=(at.VAE_CHECKPOINT, at.VAE_PREVIEWS),
    next_script="24_generate_cvae",
    check=check,
    version=4,
    several_processes=True,
)


def run(stage: Stage, options: Options) -> None:
    """Train, save the network and its halves, show reconstructions and samples."""
    from scripts.stages.cvae import training

    training.train(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
