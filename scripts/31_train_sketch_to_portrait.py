"""Train a network that draws a portrait from a sketch: U-Net against patch discriminator."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages import workspace
from sketch.recipes import SketchRecipe


@dataclass(frozen=True)
class Options(SketchRecipe, StageOptions):
    """Train a network that draws a portrait from a sketch: U-Net against patch discriminator."""

    save_seconds: float = option(60.0, help="seconds between checkpoints", affects_results=False)
    preview_every: int = option(500, help="steps between preview pictures, 0: none", affects_results=False)

    def __post_init__(self) -> None:
        self.need_at_least(1, "steps", "batch_size", "width", "discriminator_width", "most_channels")
        self.need_at_least(0, "save_seconds", "preview_every", "latent_size", "hand", "pixel_steps")
        self.need_at_least(2, "depth")
        self.need_above(0, "generator_lr", "discriminator_lr")
        if not 0 <= self.dropout < 1:
            raise ValueError("--dropout must lie between 0 and 1.")
        if self.match_parameters and self.network != "residual":
            raise ValueError(
                "--match-parameters narrows the residual network, so it needs --network residual."
            )


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError`, before earlier results go, if the pairs do not fit the network."""
    from scripts.stages.sketching import training

    training.check(stage, options)


SPEC = StageSpec(
    name="31_train_sketch_to_portrait",
    inputs=(workspace.SKETCH_TABLE_INPUT, workspace.IDENTITY_INPUT),
    outputs=(workspace.SKETCH_NETWORK, workspace.SKETCH_LOG, workspace.SKETCH_PREVIEW),
    clears=(workspace.SKETCH_CHECKPOINT,),
    next_script="32_draw_from_sketch",
    check=check,
    version=2,
)


def run(stage: Stage, options: Options) -> None:
    """Train, save, show."""
    from scripts.stages.sketching import training

    training.run(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
