"""v3: train the conditional VAE whose decoder is the generator with dials, so that given pictures can be
edited.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageSpec, run_stage
from scripts.stages import workspace
from scripts.stages.fine_tuning.options import SCORED, FineTuningOptions
from stylegan_modified.recipes import V3Recipe


@dataclass(frozen=True)
class Options(V3Recipe, FineTuningOptions):
    """Fine-tune v3: an encoder and the dials as a conditional VAE."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.need_at_least(1, "drawn_size")
        self.need_at_least(0, "people")
        self.need_above(0, "learning_rate", "encoder_width")


def inputs(options: Options) -> tuple[Input, ...]:
    """What the stage reads: the document's recipe starts at v1, ours at v2."""
    reader = Input(workspace.PROPERTY_CNN, made_by="06_fine_tune_v2")
    if options.recipe == "document":
        decoder = Input(workspace.FINE_TUNED["v1"], made_by="05_fine_tune_v1")
        return (*SCORED, *workspace.FILTER_INPUTS, *workspace.PEOPLE_JUDGE_INPUTS, decoder, reader)
    decoder = Input(workspace.FINE_TUNED["v2"], made_by="06_fine_tune_v2")
    return (*SCORED, workspace.IDENTITY_INPUT, *workspace.PEOPLE_JUDGE_INPUTS, decoder, reader)


def check(stage: Stage, options: Options) -> None:
    """Raise `UserError`, before earlier results go, if v2 or the pictures do not fit."""
    from scripts.stages.fine_tuning import v3

    v3.check(stage, options)


SPEC = StageSpec(
    name="07_fine_tune_v3",
    inputs=inputs,
    outputs=(
        workspace.FINE_TUNED["v3"],
        workspace.ENCODER,
        workspace.TRAIN_LOG.format("v3"),
        workspace.CONTROL.format("v3"),
        workspace.RECONSTRUCTIONS,
    ),
    clears=(f"{workspace.CHECKPOINTS}/v3.pt",),
    next_script="08_regenerate_images",
    check=check,
    several_processes=True,
    version=2,
)


def run(stage: Stage, options: Options) -> None:
    """Train the encoder, save, measure."""
    from scripts.stages.fine_tuning import v3

    v3.run(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
