"""Retouch generated pictures by what a classifier of given and generated pictures says, where a second one
agrees.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cvae.recipes import ROLES, RetouchingRecipe
from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages import workspace as at
from scripts.stages.evaluating.versions import JUDGE_INPUTS
from stylegan.seeds import EVALUATION


@dataclass(frozen=True)
class Options(RetouchingRecipe, StageOptions):
    """Retouch generated pictures."""

    version: Literal["cvae", "v1", "v2"] = option("cvae", help="generator; that of 26_train_realness")
    count: int = option(48, help="pictures to retouch")
    first_seed: int = option(EVALUATION.start, help="picture n is made from this seed plus n")
    judged: bool = option(
        True, help="refuse pictures whose dials move by the judges of 09; needs conditions from scores of 04"
    )
    drift: float = option(0.25, help="largest move of a dial of an accepted picture, sd")
    batch_size: int = option(16, help="pictures retouched at once")

    def __post_init__(self) -> None:
        self.need_at_least(2, "count", "candidates")
        self.need_at_least(1, "steps", "batch_size", "refiner_steps")
        self.need_above(0, "step_size", "radius", "bound", "drift")
        if self.first_seed < EVALUATION.start:
            raise ValueError(
                f"--first-seed must be at least {EVALUATION.start}: smaller seeds belong to training."
            )


def inputs(options: Options) -> tuple[Input, ...]:
    """The classifiers, the chosen pictures, the generator and the judges."""
    chosen = (at.VAE_PICTURES_INPUT, at.DECIDED_TABLE_INPUT, at.CONDITIONS_INPUT)
    classifiers = tuple(Input(at.REALNESS.format(role), made_by="26_train_realness") for role in ROLES)
    judging = (at.CANDIDATES_INPUT, *JUDGE_INPUTS) if options.judged else ()
    return (*chosen, at.GENERATORS[options.version], *classifiers, *judging)


SPEC = StageSpec(
    name="27_retouch_images",
    inputs=inputs,
    outputs=(at.RETOUCHING_RECORD, at.RETOUCHING_TEXT, at.RETOUCHING_TABLE),
    clears=(at.RETOUCHED,),
)


def run(stage: Stage, options: Options) -> None:
    """Retouch by every method, and tell what each is worth."""
    from scripts.stages.cvae import retouching

    retouching.retouch(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
