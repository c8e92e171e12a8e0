"""v2: train the property CNN on the filtered pictures, then the dials of v1's generator through the frozen
CNN.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageSpec, option, run_stage
from scripts.stages.fine_tuning.options import JUDGED, FineTuningOptions
from scripts.stages.workspace import (
    CHECKPOINTS,
    CONTROL,
    FINE_TUNED,
    PRACTICE,
    PRACTICE_LABEL_MAPS,
    PRACTICE_PICTURES,
    PROPERTY_CNN,
    TRAIN_LOG,
)
from stylegan import seeds


@dataclass(frozen=True)
class Options(FineTuningOptions):
    """Fine-tune v2: property CNN first, then seven dials trained through it."""

    recipe: Literal["dials", "document"] = option(
        "dials", help="dials: a network that moves w; document: v1's dense layers, by the document's recipe"
    )
    cnn_epochs: int = option(20, help="epochs of the property CNN at the most")
    cnn_width: float = option(1.0, help="channel multiplier of the property CNN")
    cnn_margin: float = option(0.0, help="widening of the CNN's windows, fraction of the picture")
    cnn_reduction: int = option(1, help="the CNN's large windows are shrunk by this power of two")
    cnn_lr: float = option(5e-5, help="AdamW step size of the property CNN")
    steps: int = option(1300, help="training steps of the dials")
    learning_rate: float = option(2e-3, help="Adam step size of the dials")
    identity_weight: float = option(0.15, help="weight of the same-person term")
    keep_weight: float = option(3.0, help="weight of the region to keep")
    hue_weight: float = option(3.0, help="weight of the hue of skin and background")
    residual_weight: float = option(0.05, help="weight of staying near the linear dials")
    realism_weight: float = option(0.0, help="weight of the base discriminator's opinion")
    filter_weight: float = option(0.02, help="weight of the gender and quality networks")
    pool: int = option(1024, help="people to practise on")
    preview_every: int = option(300, help="steps between preview pictures, 0: none", affects_results=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need_at_least(1, "pool", "cnn_epochs", "cnn_reduction")
        self.need_at_least(0, "cnn_margin")
        self.need_above(0, "cnn_width", "cnn_lr", "learning_rate")
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
    inputs=(*JUDGED, Input(FINE_TUNED["v1"], made_by="05_fine_tune_v1")),
    outputs=(
        FINE_TUNED["v2"],
        PROPERTY_CNN,
        TRAIN_LOG.format("v2_cnn"),
        TRAIN_LOG.format("v2"),
        CONTROL.format("v2"),
    ),
    clears=(
        f"{CHECKPOINTS}/v2_cnn.pt",
        f"{CHECKPOINTS}/v2.pt",
        PRACTICE,
        PRACTICE_PICTURES,
        PRACTICE_LABEL_MAPS,
    ),
    next_script="07_fine_tune_v3",
    check=check,
    several_processes=True,
    version=2,
)


def run(stage: Stage, options: Options) -> None:
    """Train the property CNN and the dials, save, measure."""
    from scripts.stages.fine_tuning import v2

    v2.run(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
