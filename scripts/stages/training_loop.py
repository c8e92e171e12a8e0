"""The loop of the tools that train one network: resume, rows of the log, checkpoints by the clock."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Protocol

import torch

from scripts.pipeline import Interrupted, Journal, Tool, UserError, files
from scripts.pipeline.console import Progress
from scripts.stages.training_events import TrainingEvents
from scripts.stages.training_options import TrainingToolOptions
from stylegan.parallel import Processes
from stylegan.weights_file import read_torch, write_torch

DAMAGED = (RuntimeError, ValueError, TypeError, LookupError, AttributeError)


class Trainer(Protocol):
    """A training that can be continued; everything random at a step derives from the seed and the step.

    Attributes:
        processes: those that share each batch.
    """

    step: int
    device: torch.device
    processes: Processes

    def train_step(self) -> Mapping[str, float]:
        """One optimiser step; returns what to log."""

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to equal an uninterrupted one, on a CPU exactly."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state of `state_dict`."""


class TrainingLoop:
    """Takes a trainer from its checkpoint, if there is one, to its last step.

    Args:
        tool: the running script.
        options: length and intervals.
        trainer: what to train.
        checkpoint: file of the workspace to resume from and to save to.
        trained: what a checkpoint must agree with to be continued, plain values.
        columns: names of what `Trainer.train_step` returns, the columns of the log.
        pictures_per_step: for the speed in the log.
        preview: draws the present state for TensorBoard, uint8 [H, W, 3] or a PIL picture.
    """

    def __init__(
        self,
        tool: Tool,
        options: TrainingToolOptions,
        trainer: Trainer,
        checkpoint: str,
        trained: Mapping[str, Any],
        columns: tuple[str, ...],
        pictures_per_step: int,
        preview: Callable[[], Any] | None = None,
    ) -> None:
        self.tool, self.options, self.trainer = tool, options, trainer
        self.checkpoint, self.trained = checkpoint, dict(trained)
        self.columns = ("step", *columns, "pictures_per_s")
        self.pictures_per_step, self.preview = pictures_per_step, preview
        self.events = TrainingEvents.of(tool, "training")
        self.pending: list[dict[str, float]] = []  # of the steps since the last row of the log

    def run(self) -> None:
        """Take the remaining steps; checkpoints by the clock, at the end and after Ctrl-C.

        Without a checkpoint the log begins anew, since its rows are those of an earlier training. Of several
        processes the first one writes, and all stop after the same step.

        Raises:
            UserError: the checkpoint is damaged, of other options, or not the same for all processes.
            Interrupted: the user asked to stop; the steps so far are in the checkpoint.
        """
        log_file = self.tool.log_dir / "train_log.csv"
        if (self.tool.workspace / self.checkpoint).is_file():
            self._resume()
        elif self.tool.writes:
            files.remove(log_file)
        if not self.trainer.processes.agree(self.trainer.step, self.trainer.device):
            raise UserError(
                f"{self.checkpoint} is not the same for all processes, so each would train another network. "
                "Their machines must share the workspace."
            )
        with (
            Journal(log_file, self.columns, "step", int) if self.tool.writes else nullcontext() as journal,
            # All processes stop together, so the display itself must not raise on Ctrl-C.
            self.tool.progress(
                self.options.steps, "steps", self.trainer.step, check_stop=lambda: None
            ) as progress,
            self.events,
        ):
            self.events.begin(self.trainer.step)
            is_stopped = self._take_steps(journal, progress)
        self._save()
        self.trainer.processes.wait()  # torchrun stops the first one, which may write, once another is gone
        if is_stopped:
            raise Interrupted("Stopped on request.")

    def _take_steps(self, journal: Journal | None, progress: Progress) -> bool:
        """Take the remaining steps; True if a stop was asked for before the last one."""
        saved_at = logged_at = time.perf_counter()
        while self.trainer.step < self.options.steps:
            if time.perf_counter() - saved_at > self.options.checkpoint_s:
                self._save()
                saved_at = time.perf_counter()
            if self.trainer.processes.any(self.tool.stop_requested, self.trainer.device):
                return True
            self.pending.append(dict(self.trainer.train_step()))
            self._show()
            if self.trainer.step % self.options.log_every == 0:
                seconds, logged_at = time.perf_counter() - logged_at, time.perf_counter()
                if journal is not None:
                    self._log(journal, self.pending, seconds)
                self.pending = []
            progress.update()
        return False

    def _log(self, journal: Journal, rows: list[Mapping[str, float]], seconds: float) -> None:
        """One row: the means since the last one. A resumed run may meet a step that is logged already."""
        means = {name: round(sum(row[name] for row in rows) / len(rows), 8) for name in rows[0]}
        means["pictures_per_s"] = round(len(rows) * self.pictures_per_step / seconds, 1)
        self.events.scalars(self.trainer.step, means)
        if self.trainer.step not in journal:
            journal.append({"step": self.trainer.step, **means})

    def _show(self) -> None:
        step, every = self.trainer.step, self.options.preview_every
        is_shown = self.tool.writes and self.preview is not None
        if is_shown and every > 0 and (step % every == 0 or step == self.options.steps):
            self.events.picture(step, "preview", self.preview())

    def _resume(self) -> None:
        path = self.tool.workspace / self.checkpoint
        start_over = f"to start over:\n    rm {shlex.quote(str(path))}"
        try:
            found = read_torch(path)
            if found["options"] != self.trained:
                raise UserError(
                    f"{path} was trained with {found['options']}, so it cannot be continued with other "
                    f"options. Give those again, or remove the file {start_over}"
                )
            self.trainer.load_state_dict(found["trainer"])
            self.pending = found["pending"]
        except DAMAGED as error:
            raise UserError(
                f"{path} is damaged or of another version ({type(error).__name__}), so the training cannot "
                f"be continued. Remove the file {start_over}"
            ) from error
        self.tool.log(f"Continuing at step {self.trainer.step} of {self.options.steps}.")

    def _save(self) -> None:
        if not self.tool.writes:
            return
        state = {"options": self.trained, "trainer": self.trainer.state_dict(), "pending": self.pending}
        with self.tool.atomic(self.checkpoint) as temporary:
            write_torch(temporary, state)
