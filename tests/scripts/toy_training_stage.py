"""A numbered script that trains one number, to test what several processes do together."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import nn

from scripts.pipeline import Input, Stage, StageOptions, StageSpec, option, run_stage
from scripts.stages.fine_tuning.fine_tuning import run_training
from stylegan.seeds import Purpose
from stylegan_modified.fine_tuning import FineTuner
from stylegan_modified.recipes import Recipe

WEIGHT = "toy/weight.txt"


@dataclass(frozen=True)
class Options(StageOptions):
    """Train a toy."""

    steps: int = option(6, help="training steps")
    pause_s: float = option(0.0, help="seconds per step", affects_results=False)
    save_seconds: float = option(100.0, help="seconds between checkpoints", affects_results=False)
    full_disk: bool = option(False, help="behave as if the disk were full at the end", affects_results=False)


class ToyTrainer(FineTuner):
    """Fits a weight to the means of random batches of five."""

    purpose = Purpose.V1_STEP

    def __init__(self, steps: int, pause_s: float) -> None:
        self.options, self.device, self.pause_s = Recipe(steps), torch.device("cpu"), pause_s
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.network.weight)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1)

    def modules(self) -> dict[str, nn.Module]:
        return {"network": self.network}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": self.optimizer}

    def train_step(self, t: int, rng: torch.Generator) -> dict[str, float]:
        time.sleep(self.pause_s)
        share = self.processes.part(5)
        wanted = torch.randn(5, 1, generator=rng)[share.rows]
        loss = (self.network(torch.ones_like(wanted)) - wanted).square().mean() * share.weight
        self.descend(self.optimizer, loss)
        return self.processes.sum_values({"loss": float(loss.detach())}, self.device)


def run(stage: Stage, options: Options) -> None:
    """Train; the first process writes."""
    trainer = ToyTrainer(options.steps, options.pause_s)
    run_training(stage, trainer, "toy", log_every=1)
    if not stage.writes:
        return
    if options.full_disk:
        raise OSError(28, "No space left on device")
    with stage.atomic(WEIGHT) as temporary:
        temporary.write_text(f"{trainer.network.weight.item():.6f}\n")
    stage.finish({"steps": str(options.steps)})


SPEC = StageSpec(
    name="92_toy_training",
    inputs=(Input("raw/wood.txt", made_by="89_wood"),),
    outputs=(WEIGHT, "stylegan_modified/train_log_toy.csv"),
    clears=("stylegan_modified/checkpoints/toy.pt",),
    several_processes=True,
)


if __name__ == "__main__":
    run_stage(SPEC, Options, run)
