"""The training loop: resume, log, previews, early and asked-for ends, refused checkpoints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing import event_accumulator

from scripts.pipeline import Interrupted, Tool, UserError
from scripts.pipeline.console import StopRequest
from scripts.stages.step_log import StepLog
from scripts.stages.training import Look, TrainingLoop
from scripts.stages.training_options import TrainingToolOptions
from stylegan.parallel import ALONE

STEPS = 12


class ToyTrainer:
    """Adds up step numbers; may be stopped after a step, as by Ctrl-C, killed, or end early.

    From step 6 on it has a second number, as v1 behind its warm-up.
    """

    def __init__(self, stop_after: int = 0, die_at: int = 0, last: int = STEPS) -> None:
        self.steps_done, self.total, self.last = 0, torch.zeros(1), last
        self.stop_after, self.die_at = stop_after, die_at
        self.device, self.processes, self.stop = torch.device("cpu"), ALONE, StopRequest()

    @property
    def finished(self) -> bool:
        return self.steps_done >= self.last

    def step(self) -> Mapping[str, float]:
        self.steps_done += 1
        if self.steps_done == self.die_at:
            raise KeyboardInterrupt
        self.stop.requested = self.steps_done == self.stop_after
        self.total += self.steps_done**2
        more = {"late": 1.0} if self.steps_done >= 6 else {}
        return {"loss": float(self.steps_done), **more}

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.steps_done, "total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps_done, self.total = state["step"], state["total"]


class Run:
    """One run in a workspace."""

    def __init__(self, workspace: Path, trainer: ToyTrainer, force: bool = False, **made_for: object) -> None:
        self.shown: list[int] = []
        options = TrainingToolOptions(workspace=workspace, quiet=True, save_seconds=0, force=force)
        tool = Tool("toy", options, trainer.stop)
        self.log, self.checkpoint = workspace / "train_log.csv", workspace / "checkpoint.pt"
        self.events = tool.log_dir / "events/toy"
        loop = TrainingLoop(
            tool, trainer, "toy", self.checkpoint, StepLog(self.log), made_for=made_for, steps=STEPS,
            log_every=4, looks=[Look(5, lambda: self.show(loop))],
        )  # fmt: skip
        loop.run()

    def show(self, loop: TrainingLoop) -> None:
        self.shown.append(loop.trainer.steps_done)
        loop.events.picture(loop.trainer.steps_done, "preview", np.zeros((4, 6, 3), np.uint8))

    def seen(self) -> tuple[list[tuple[int, float]], list[int]]:
        """Steps and losses, and steps of the previews, in TensorBoard."""
        found = event_accumulator.EventAccumulator(str(self.events))
        found.Reload()
        losses = [(event.step, event.value) for event in found.Scalars("loss")]
        return losses, [event.step for event in found.Images("preview")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("whole"), ToyTrainer())


def test_rows_are_means_and_previews_come_at_start_interval_and_end(whole: Run) -> None:
    assert whole.log.read_text() == "step,loss,late\n4,2.5,\n8,6.5,1.0\n12,10.5,1.0\n"
    assert whole.shown == [0, 5, 10, 12]
    assert whole.seen() == ([(4, 2.5), (8, 6.5), (12, 10.5)], [0, 5, 10, 12])


@pytest.mark.parametrize("after", [5, 6, 8, 11])
def test_a_stopped_run_goes_on_and_equals_an_uninterrupted_one(
    whole: Run, tmp_path: Path, after: int
) -> None:
    with pytest.raises(Interrupted):
        Run(tmp_path, ToyTrainer(stop_after=after))
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == after
    resumed = Run(tmp_path, ToyTrainer())
    assert resumed.log.read_bytes() == whole.log.read_bytes()
    assert resumed.checkpoint.read_bytes() == whole.checkpoint.read_bytes()
    assert resumed.seen() == whole.seen()


def test_steps_behind_the_last_checkpoint_leave_nothing_twice(whole: Run, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, ToyTrainer(die_at=6))
    checkpoint = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        Run(tmp_path, ToyTrainer(die_at=10))
    (tmp_path / "checkpoint.pt").write_bytes(checkpoint)  # the second run was killed before it saved
    with (tmp_path / "train_log.csv").open("a") as file:
        file.write("12,3")  # and while it wrote a row
    resumed = Run(tmp_path, ToyTrainer())
    assert resumed.shown == [5, 10, 12]
    assert resumed.log.read_bytes() == whole.log.read_bytes() and resumed.seen() == whole.seen()


def test_an_early_end_saves_logs_and_shows(tmp_path: Path) -> None:
    run = Run(tmp_path, ToyTrainer(last=6))
    assert pd.read_csv(run.log)["step"].tolist() == [4, 6]
    assert run.shown == [0, 5, 6]
    assert Run(tmp_path, ToyTrainer(last=6)).seen() == run.seen()


def test_checkpoints_that_cannot_be_continued_are_kept(tmp_path: Path) -> None:
    checkpoint = Run(tmp_path, ToyTrainer(), steps=3).checkpoint
    whole = checkpoint.read_bytes()
    with pytest.raises(UserError, match="cannot be continued: .* steps was 3, is 4(.|\n)*--force"):
        Run(tmp_path, ToyTrainer(), steps=4)
    torch.save({"step": 1}, tmp_path / "other.pt")
    for content in (b"", b"none", whole[: len(whole) // 2], (tmp_path / "other.pt").read_bytes()):
        checkpoint.write_bytes(content)
        with pytest.raises(UserError, match="damaged or of another version(.|\n)*--force"):
            Run(tmp_path, ToyTrainer(), steps=3)
        assert checkpoint.read_bytes() == content
    again = Run(tmp_path, ToyTrainer(), force=True, steps=4)
    assert again.shown == [0, 5, 10, 12] and pd.read_csv(again.log)["step"].tolist() == [4, 8, 12]


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    trainer = ToyTrainer()
    trainer.total = torch.tensor([float("nan")])
    trainer.step = lambda: {"loss": 1.0, "worse": float("nan")}
    with pytest.raises(UserError, match=r"worse became infinite .*checkpoint.pt has step 0.*--force"):
        Run(tmp_path, trainer)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 0
