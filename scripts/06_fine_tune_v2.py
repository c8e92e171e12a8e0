"""v2: train the property CNN on the filtered pictures, then the dials of v1's generator through the frozen
CNN.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageSpec, option, run_stage
from scripts.stages import workspace
from scripts.stages.fine_tuning.options import JUDGED, FineTuningOptions
from stylegan import seeds
from stylegan_modified.recipes import V2Recipe


@dataclass(frozen=True)
class Options(V2Recipe, FineTuningOptions):
    """Fine-tune v2: property CNN first, then seven dials trained through it."""

    preview_every: int = option(300, help="steps between preview pictures, 0: none", affects_results=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need_at_least(1, "pool", "cnn_epochs", "cnn_reduction")
        self.need_at_least(0, "cnn_margin", "adversary_weight")
        self.need_above(0, "cnn_width", "cnn_lr", "learning_rate")
        if not 0 <= self.cnn_dropout < 1:
            raise ValueError("--cnn-dropout must be at least 0 and below 1.")
        if self.pool > len(seeds.PRACTICE):
            raise ValueError(f"--pool must be at most {len(seeds.PRACTICE)}.")
        if self.recipe == "dials":
            self.need_pairs()


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError`, before earlier results go, if the property CNN cannot learn from what there is."""
    from scripts.stages.fine_tuning import v2

    v2.check(stage, options)


SPEC = StageSpec(
    name="06_fine_tune_v2",
    inputs=(*JUDGED, Input(workspace.FINE_TUNED["v1"], made_by="05_fine_tune_v1")),
    outputs=(
        workspace.FINE_TUNED["v2"],
        workspace.PROPERTY_CNN,
        workspace.TRAIN_LOG.format("v2_cnn"),
        workspace.TRAIN_LOG.format("v2"),
        workspace.CONTROL.format("v2"),
    ),
    clears=(
        f"{workspace.CHECKPOINTS}/v2_cnn.pt",
        f"{workspace.CHECKPOINTS}/v2.pt",
        workspace.PRACTICE,
        workspace.PRACTICE_PICTURES,
        workspace.PRACTICE_LABEL_MAPS,
    ),
    next_script="07_fine_tune_v3",
    check=check,
    several_processes=True,
    version=3,
)


def run(stage: Stage, options: Options) -> None:
    """Train the property CNN and the dials, save, measure."""
    from scripts.stages.fine_tuning import v2

    v2.run(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
