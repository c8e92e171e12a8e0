"""Train the small face parser on drawn portraits, or on pictures with masks; resumable, minutes on one core.

    python scripts/train_parser.py
    python scripts/train_parser.py --pairs PHOTOGRAPHS --init data/embedded/segmentation_model.safetensors \\
        --picture-size-px 256 --held-out 100 --steps 6000 --learning-rate 1e-3 --out parser.safetensors
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.pipeline import Tool, option, run_tool
from scripts.stages.training_options import TrainingToolOptions
from scripts.stages.workspace import BUNDLED_PARSER


@dataclass(frozen=True)
class Options(TrainingToolOptions):
    """Train the small face parser on drawn portraits, or on pictures with masks."""

    out: Path = option(Path(BUNDLED_PARSER), help="weights to write, relative to the repository")
    portraits: int = option(5000, help="training portraits")
    portrait_size_px: int = option(192, help="size at which they are drawn, pixels")
    pairs: Path | None = option(
        None, help="train on this folder's images/ and masks/ instead (classes of CelebAMask-HQ or ours)"
    )
    picture_size_px: int = option(256, help="size at which pairs are used, pixels")
    steps: int = option(3000, help="optimiser steps; 0 with --init: judge those weights and write them again")
    batch_size: int = option(8, help="crops per step")
    learning_rate: float = option(1.5e-3, help="peak of the learning rate")
    refinement_width: int = option(
        0, help="channels of three convolutions that redraw the masks' edges by the picture's pixels; 0: none"
    )
    init: Path | None = option(None, help="weights to start from, such as those of an earlier run")
    held_out: int = option(500, help="portraits, or last pairs by name, to judge the parser on")

    def __post_init__(self) -> None:
        if self.steps or self.init is None:  # without a step the weights are judged and written again
            super().__post_init__()
        sizes = (self.portraits, self.portrait_size_px, self.picture_size_px, self.batch_size, self.held_out)
        if min(sizes) < 1:
            raise ValueError(
                "--portraits, --portrait-size-px, --picture-size-px, --batch-size and --held-out must be at "
                "least 1."
            )
        self.need_at_least(0, "refinement_width")


def run(tool: Tool, options: Options) -> None:
    """Read or draw, train, judge, write."""
    from scripts.stages.parsing import training

    training.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run, several_processes=True)
