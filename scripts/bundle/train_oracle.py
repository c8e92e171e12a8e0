"""Train the oracle, the judge of the embedded preset, on the truth of drawn portraits; resumable."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.pipeline import Tool, option, run_tool
from scripts.stages.training_options import TrainingToolOptions

OUTPUT = "data/embedded/oracle.safetensors"
TRAINING_SEED = 1_000_000


@dataclass(frozen=True)
class Options(TrainingToolOptions):
    """Train the oracle, the judge of the embedded preset, on the truth of drawn portraits."""

    out: Path = option(Path(OUTPUT), help="weights to write, relative to the repository")
    people: int = option(10_000, help="people to learn from, two portraits each")
    held_out: int = option(2_000, help="people to judge the oracle on, two portraits each")
    first_seed: int = option(TRAINING_SEED, help="seed of the first training portrait")
    portrait_size_px: int = option(64, help="size at which portraits are drawn and read, pixels")
    steps: int = option(1_800, help="optimiser steps")
    people_per_batch: int = option(64, help="people per step")
    learning_rate: float = option(2e-3, help="peak of the learning rate")
    trunk: Literal["residual", "strided"] = option(
        "residual", help="layers below the heads: the judge's, or those of the network for labels and losses"
    )
    stem_channels: int = option(12, help="channels at full resolution, residual only")
    stage_channels: tuple[int, ...] = option((24, 48, 96, 192), help="channels of each halved resolution")
    processes: int = option(1, help="processes that draw portraits", affects_results=False)


def run(tool: Tool, options: Options) -> None:
    """Draw, train, write, judge what was written."""
    from scripts.bundle.bodies import train_oracle

    train_oracle.run(tool, options)


if __name__ == "__main__":
    run_tool(Options, run, several_processes=True)
