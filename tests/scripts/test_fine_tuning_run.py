"""The frame around every fine-tuning: log, events and previews of a run that was stopped and resumed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing import event_accumulator
from torch import nn

from scripts.pipeline import Interrupted, Stage, StageOptions, StageSpec
from scripts.pipeline.interrupts import StopRequest
from scripts.stages.fine_tuning.fine_tuning import run_training
from stylegan.seeds import Purpose
from stylegan_modified.fine_tuning import LoopOptions, Trainer

STEPS, EVERY = 40, 20


class ToyTrainer(Trainer):
    """Counts its steps in a weight; asks to stop after one of them, as Ctrl-C does."""

    purpose = Purpose.V1_STEP

    def __init__(self, stop: StopRequest, stop_after: int = 0) -> None:
        self.device = torch.device("cpu")
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.network.weight)
        self.stop, self.stop_after = stop, stop_after

    def step(self, t: int, rng: torch.Generator) -> dict[str, float]:
        with torch.no_grad():
            self.network.weight += 1
        self.stop.requested = t + 1 == self.stop_after
        return {"loss": float(t + 1)}

    def modules(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {}


def run(workspace: Path, stop_after: int = 0) -> Stage:
    stop = StopRequest()
    stage = Stage(StageSpec("90_toy"), StageOptions(workspace=workspace, quiet=True), stop)
    stage.write_json("_stages/90_toy/_stage.json", {"fingerprint": "toy", "state": "running"})
    trainer = ToyTrainer(stop, stop_after)
    loop = LoopOptions(STEPS, log_every=10, preview_every=EVERY)
    run_training(stage, trainer, loop, "toy", preview=lambda: np.zeros((4, 6, 3), np.uint8))
    assert trainer.network.weight.item() == STEPS
    return stage


@pytest.mark.parametrize("stop_after", [20, 25])
def test_a_resumed_run_logs_each_step_once(tmp_path: Path, stop_after: int) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, stop_after)
    stage = run(tmp_path)
    log = pd.read_csv(tmp_path / "stylegan_modified/train_log_toy.csv")
    assert log["step"].tolist() == [10, 20, 30, 40]
    found = event_accumulator.EventAccumulator(str(stage.log_dir / "events/toy"))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [
        (step, float(step)) for step in (10, 20, 30, 40)
    ]
    assert [event.step for event in found.Images("preview")] == [0, 20, 40]
    previews = sorted(path.name for path in (tmp_path / "stylegan_modified/previews").iterdir())
    assert previews == ["toy_000000.png", "toy_000020.png", "toy_000040.png"]
