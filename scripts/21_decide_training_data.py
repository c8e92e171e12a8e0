"""Which pictures the conditional VAE learns from: those whom networks take for women, and no others."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages import workspace as at


@dataclass(frozen=True)
class Options(StageOptions):
    """Choose the training pictures by the gender network."""

    gender_threshold: float = option(
        0.9999, help="least calibrated probability of a woman, 0 takes everybody"
    )
    quality_threshold: float = option(
        0.5, help="least probability of good quality, where stage 02 has networks for it; 0 takes all"
    )
    exclude: tuple[str, ...] = option(
        ("male",), help="folders of pictures that are left out whatever they show"
    )
    fold_count: int = option(3, help="folds, and networks, where none of stage 02 are there")
    width: float = option(0.125, help="multiplier of the channels of networks that are trained here")
    max_epochs: int = option(12, help="epochs of networks that are trained here")
    batch_size: int = option(16, help="pictures per step of networks that are trained here")
    learning_rate: float = option(1e-3, help="highest learning rate of networks that are trained here")
    seed: int = option(0, help="decides folds, weights and order")

    def __post_init__(self) -> None:
        self.need_at_least(2, "fold_count")
        self.need_at_least(1, "max_epochs", "batch_size")
        if not (0 <= self.gender_threshold <= 1 and 0 <= self.quality_threshold <= 1):
            raise ValueError("--gender-threshold and --quality-threshold are probabilities, from 0 to 1.")


SPEC = StageSpec(
    name="21_decide_training_data",
    inputs=(
        at.VAE_PICTURES_INPUT,
        *(
            Input(at.FILTER_NETWORK.format(name, 0), made_by="02_filter_candidates", optional=True)
            for name in at.FILTERS
        ),
    ),
    outputs=(at.DECIDED, at.VAE_FINAL, at.DECIDING_RECORD, at.FINAL_SHEET),
    clears=(at.VAE_FINAL, at.DECIDING_NETWORKS, at.FINAL_SHEET),
    next_script="22_decide_inputs",
)


def run(stage: Stage, options: Options) -> None:
    """Judge all pictures, link the chosen ones."""
    from scripts.stages.cvae import deciding

    deciding.decide_training_data(stage, options)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
