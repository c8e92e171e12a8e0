"""v1: fine-tune the conditioned GAN on the filtered pictures and their property scores."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Stage, StageSpec, run_stage
from scripts.stages import workspace
from scripts.stages.fine_tuning.options import JUDGED, FineTuningOptions
from stylegan_modified.recipes import V1Recipe


@dataclass(frozen=True)
class Options(V1Recipe, FineTuningOptions):
    """Fine-tune StyleGAN v1: seven properties join generator and discriminator."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need_at_least(0, "warm_start_steps", "warmup_steps")
        self.need_above(0, "generator_lr", "label_lr", "discriminator_lr")
        if self.recipe == "matching":
            self.need_pairs()


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError`, before earlier results go, if there is too little to learn from or no judge."""
    from scripts.stages.fine_tuning import fine_tuning

    fine_tuning.check(stage)


SPEC = StageSpec(
    name="05_fine_tune_v1",
    inputs=JUDGED,
    outputs=(
        workspace.FINE_TUNED["v1"],
        workspace.DISCRIMINATOR,
        workspace.TRAIN_LOG.format("v1"),
        workspace.CONTROL.format("v1"),
    ),
    clears=(
        f"{workspace.CHECKPOINTS}/v1.pt",
        f"{workspace.CHECKPOINTS}/v1_warm_start.pt",
        workspace.TRAIN_LOG.format("v1_warm_start"),
    ),
    next_script="06_fine_tune_v2",
    check=check,
    several_processes=True,
    version=2,
)


def run(stage: Stage, options: Options) -> None:
    """Train, save, measure."""
    from scripts.stages.fine_tuning import v1

    v1.run(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
