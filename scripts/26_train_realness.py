"""Train three classifiers of given against generated pictures: one guides the retouching, one agrees, one
judges.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cvae.recipes import ROLES, RealnessRecipe
from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages import workspace as at


@dataclass(frozen=True)
class Options(RealnessRecipe, StageOptions):
    """Train classifiers of given against generated pictures."""

    version: Literal["cvae", "v1", "v2"] = option("cvae", help="generator whose pictures are retouched")
    count: int = option(1000, help="generated pictures to learn from and to judge by")
    save_seconds: float = option(30.0, help="seconds between checkpoints", affects_results=False)

    def __post_init__(self) -> None:
        self.need_at_least(1, "steps")
        self.need_at_least(2, "batch_size")
        self.need_at_least(16, "count")
        self.need_above(0, "learning_rate", "width")


def inputs(options: Options) -> tuple[Input, ...]:
    """The chosen pictures, their conditions, and the generator."""
    chosen = (at.VAE_PICTURES_INPUT, at.DECIDED_TABLE_INPUT, at.CONDITIONS_INPUT)
    return (*chosen, at.GENERATORS[options.version])


SPEC = StageSpec(
    name="26_train_realness",
    inputs=inputs,
    outputs=(*(at.REALNESS.format(role) for role in ROLES), at.REALNESS_RECORD, at.REALNESS_SHEET),
    clears=(at.REALNESS_CHECKPOINTS,),
    next_script="27_retouch_images",
)


def run(stage: Stage, options: Options) -> None:
    """Generate, train, judge each by what it did not learn from."""
    from scripts.stages.cvae import realness

    realness.train_realness(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
