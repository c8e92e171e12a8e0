"""Measure the conditional VAE: bits and decibels on people that it never saw, its conditions by the judges of
stage 09, realism, and samples over temperatures.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages import workspace as at
from scripts.stages.evaluating.versions import JUDGE_INPUTS
from stylegan.seeds import EVALUATION


@dataclass(frozen=True)
class Options(StageOptions):
    """Evaluate the conditional VAE."""

    judged: bool = option(
        True, help="read its pictures by the judges of stage 09; needs conditions from scores of stage 04"
    )
    architecture: Literal["any", "plain", "hierarchical"] = option(
        "any", help="refuse a network of the other architecture"
    )
    temperatures: tuple[float, ...] = option((0.6, 0.8, 1.0), help="of the samples")
    latents: int = option(16, help="latents whose conditions are swept (even)")
    population: int = option(500, help="latents for KID and diversity")
    protocol_latents: int = option(4, help="latents of the reference protocol, 50 pictures each")
    seed: int = option(EVALUATION.start, help="latent n is made from the seed plus n")
    resamples: int = option(1000, help="bootstrap resamples of the 95 % intervals")
    chunk: int = option(4, help="latents between two saved parts (even)", affects_results=False)
    batch_size: int = option(64, help="pictures per forward pass", affects_results=False)

    corrections = 1  # as in 09, which shares these readings; a VAE has none
    editing_pictures = 0

    @property
    def protocol_count(self) -> int:
        """Latents of the reference protocol that there are."""
        return min(self.protocol_latents, self.latents)

    def __post_init__(self) -> None:
        if self.latents < 4 or self.latents % 2 or self.chunk < 2 or self.chunk % 2:
            raise ValueError("--latents must be an even number of at least 4, --chunk one of at least 2.")
        self.need_at_least(2, "population", "protocol_latents", "resamples")
        self.need_at_least(1, "batch_size")
        if not self.temperatures or min(self.temperatures) < 0:
            raise ValueError("--temperatures must be at least one number, none below 0.")
        if self.seed < EVALUATION.start:
            raise ValueError(f"--seed must be at least {EVALUATION.start}: smaller seeds belong to training.")


def inputs(options: Options) -> tuple[Input, ...]:
    """The VAE, its pictures, and the judges."""
    own = (at.VAE_PICTURES_INPUT, at.DECIDED_TABLE_INPUT, at.CONDITIONS_INPUT, at.VAE_INPUT)
    judging = (at.GENERATORS["cvae"], at.CANDIDATES_INPUT, *JUDGE_INPUTS)
    return (*own, *judging) if options.judged else own


SPEC = StageSpec(
    name="25_evaluate_cvae",
    inputs=inputs,
    outputs=(at.VAE_RESULTS, at.VAE_RESULTS_TEXT, at.VAE_TEMPERATURES),
    next_script="26_train_realness",
)


def run(stage: Stage, options: Options) -> None:
    """Measure and write the results."""
    from scripts.stages.cvae import evaluating

    evaluating.evaluate(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
