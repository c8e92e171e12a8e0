"""The loop of the tools that train one network: an interrupted run, other options, a damaged checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from scripts.pipeline import Interrupted, Tool, UserError
from scripts.pipeline.interrupts import StopRequest
from scripts.stages.training_loop import TrainingLoop
from scripts.stages.training_options import TrainingToolOptions
from stylegan.parallel import ALONE

CHECKPOINT = "toy/checkpoint.pt"
STEPS = 5


class ToyTrainer:
    """Adds up step numbers; may be stopped at a step, as by Ctrl-C."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.step, self.total, self.stop_at = 0, torch.zeros(1), stop_at
        self.device, self.processes, self.stop = torch.device("cpu"), ALONE, StopRequest()

    def train_step(self) -> Mapping[str, float]:
        self.step += 1
        self.stop.requested = self.step + 1 == self.stop_at
        self.total += self.step**2
        return {"loss": float(self.step)}

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.total = state["step"], state["total"]


def run_loop(workspace: Path, trainer: ToyTrainer, **trained: object) -> Path:
    """Train in a workspace; returns the file of the log."""
    options = TrainingToolOptions(workspace=workspace, steps=STEPS, log_every=2, quiet=True)
    tool = Tool("toy", options, trainer.stop)
    TrainingLoop(tool, options, trainer, CHECKPOINT, {"steps": STEPS, **trained}, ("loss",), 8).run()
    return tool.log_dir / "train_log.csv"


def test_interrupted_run_goes_on_and_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = ToyTrainer()
    log = pd.read_csv(run_loop(tmp_path / "whole", whole))
    assert log["step"].tolist() == [2, 4]
    assert log["loss"].tolist() == [1.5, 3.5], "a row holds the mean since the last one"
    assert (log["pictures_per_s"] > 0).all()

    halves = tmp_path / "halves"
    with pytest.raises(Interrupted):
        run_loop(halves, ToyTrainer(stop_at=4))
    saved = torch.load(halves / CHECKPOINT, weights_only=True)
    assert saved["trainer"]["step"] == 3, "in the middle of what a row of the log averages"
    second = ToyTrainer()
    again = pd.read_csv(run_loop(halves, second))
    assert (second.step, second.total) == (whole.step, whole.total)
    pd.testing.assert_frame_equal(again[["step", "loss"]], log[["step", "loss"]])
    files = [
        torch.load(tmp_path / folder / CHECKPOINT, weights_only=True)["trainer"]
        for folder in ("whole", "halves")
    ]
    assert files[0] == files[1]


def test_steps_that_are_logged_already_are_not_logged_twice(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run_loop(tmp_path, ToyTrainer(stop_at=2))
    checkpoint = (tmp_path / CHECKPOINT).read_bytes()
    log_file = run_loop(tmp_path, ToyTrainer())
    first = log_file.read_text()
    (tmp_path / CHECKPOINT).write_bytes(checkpoint)  # as if the process had been killed at the end
    run_loop(tmp_path, ToyTrainer())
    assert log_file.read_text() == first


def test_other_options_and_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    log_file = run_loop(tmp_path, ToyTrainer())
    whole = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(UserError, match="cannot be continued with other options"):
        run_loop(tmp_path, ToyTrainer(), seed=1)
    assert (tmp_path / CHECKPOINT).read_bytes() == whole
    torch.save({"options": {"steps": STEPS}, "training": {}}, tmp_path / "other.pt")
    for content in (b"", b"no checkpoint", whole[: len(whole) // 2], (tmp_path / "other.pt").read_bytes()):
        (tmp_path / CHECKPOINT).write_bytes(content)
        with pytest.raises(UserError, match="rm .*checkpoint.pt"):
            run_loop(tmp_path, ToyTrainer())
        assert (tmp_path / CHECKPOINT).read_bytes() == content

    (tmp_path / CHECKPOINT).unlink()
    log_file.write_text("step,images_per_s\n2,1.0\n")
    assert pd.read_csv(run_loop(tmp_path, ToyTrainer(), seed=1))["step"].tolist() == [2, 4]
