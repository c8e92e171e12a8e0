"""The loop of every resumable training: steps, log, previews, checkpoints by the clock, an orderly stop.

A run that was stopped or killed goes on from its checkpoint and equals one that was not, on a CPU exactly.
Of several processes (torchrun) the first one writes, and all stop after the same step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from scripts.pipeline import Interrupted, Stage, Tool, UserError, files
from scripts.pipeline.console import Progress, running_command
from scripts.stages.step_log import StepLog
from scripts.stages.training_events import TrainingEvents
from scripts.stages.training_options import TrainingToolOptions
from stylegan.parallel import Processes, Scalar
from stylegan.training import TrainingError
from stylegan.weights_file import read_torch, write_torch

DAMAGED = (RuntimeError, ValueError, TypeError, LookupError, AttributeError)


class Trainer(Protocol):
    """A training that can be continued; everything random at a step derives from the seed and the step.

    Attributes:
        processes: those that share each batch.
        steps_done: steps since the start of the training, earlier runs included.
        finished: True after the last step.
    """

    @property
    def device(self) -> torch.device: ...

    @property
    def processes(self) -> Processes: ...

    @property
    def steps_done(self) -> int: ...

    @property
    def finished(self) -> bool: ...

    def step(self) -> Mapping[str, Scalar]:
        """Take one step; returns what to log, the same in every process."""

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs: tensors and plain values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state of `state_dict`.

        Raises:
            TrainingError: it belongs to a training with other settings.
        """


class Look(NamedTuple):
    """What is done at the start, every so often and at the end, such as a preview."""

    every: float
    """In units of `TrainingLoop.position`; 0: never."""
    take: Callable[[], None]


TrainerT = TypeVar("TrainerT", bound=Trainer)


class TrainingLoop(Generic[TrainerT]):
    """Takes a trainer from its checkpoint, if there is one, to its last step.

    Args:
        tool: the running script; its options have `save_seconds`, and `force` to start over.
        trainer: what to train.
        name: of the training, for TensorBoard.
        checkpoint: file to resume from and to save to.
        log: where a row of means is written every `log_every` steps and at the end.
        made_for: what a checkpoint must agree with to be continued, plain values.
        steps: in all, for the display of progress; None: there is none.
        unit: of the steps in the account of the run.
        looks: see `Look`.
        pictures_per_step: for the column ``pictures_per_s``; 0: none.
    """

    advice = "Give a smaller learning rate"  # after a loss that is not finite
    measured_again: tuple[str, ...] = ()  # columns of the log that looks write

    def __init__(
        self,
        tool: Tool,
        trainer: TrainerT,
        name: str,
        checkpoint: Path,
        log: StepLog,
        *,
        made_for: Mapping[str, Any] | None = None,
        steps: int | None = None,
        unit: str = "steps",
        log_every: int = 10,
        looks: Sequence[Look] = (),
        pictures_per_step: int = 0,
    ) -> None:
        self.tool, self.trainer, self.checkpoint, self.log = tool, trainer, checkpoint, log
        self.options: Any = tool.options
        self.made_for, self.steps, self.unit = dict(made_for or {}), steps, unit
        self.log_every, self.looks, self.pictures_per_step = log_every, tuple(looks), pictures_per_step
        self.events = TrainingEvents.of(tool, name)
        self.unread: list[tuple[int, Mapping[str, Scalar]]] = []  # steps, and what they logged
        self.sums: dict[str, list[float]] = {}  # values since the last row of the log
        self.looked_at = -1  # position of the last look; one that a kill may have cut short is done again
        self.saved_step = -1
        self.started_at = self.saved_at = time.monotonic()
        self.logged_at = time.perf_counter()

    @property
    def position(self) -> int:
        """How far the training is, in the unit of the looks."""
        return self.trainer.steps_done

    def run(self) -> None:
        """Take the remaining steps. Looks follow the checkpoint of the same step.

        Raises:
            UserError: the checkpoint cannot be continued, or a loss is not finite; the file is kept.
            Interrupted: the user asked to stop; the steps so far are in the checkpoint.
        """
        trainer, processes = self.trainer, self.trainer.processes
        self._begin()
        first = trainer.steps_done
        is_stopped = False
        with self.events, self._progress() as progress:
            while True:
                is_over = trainer.finished or processes.any(self.is_out_of_time(), trainer.device)
                is_stopped = not is_over and processes.any(self.tool.stop_requested, trainer.device)
                stopping = is_over or is_stopped
                if stopping or time.monotonic() - self.saved_at >= self.options.save_seconds:
                    self.save()
                self._look(at_the_end=is_over)
                if stopping:
                    break
                self._take_step(progress)
        self.tool.count(self.unit, trainer.steps_done - first, first)
        processes.wait()  # torchrun stops the first one, which may still write, once another is gone
        if is_stopped:
            raise Interrupted("Stopped on request.")

    def step(self) -> Mapping[str, Scalar]:
        """Let the trainer take a step; returns what to log."""
        return self.trainer.step()

    def is_out_of_time(self) -> bool:
        """Whether to stop here as if the training were over."""
        return False

    def start(self) -> None:
        """What a training that starts from nothing does first."""

    def _begin(self) -> None:
        if self.checkpoint.is_file() and not self.options.force:
            self._resume()
            self.tool.log(f"resumed at step {self.trainer.steps_done}")
        else:
            self.start()
        step = self.trainer.steps_done
        if not self.trainer.processes.agree(step, self.trainer.device):
            raise UserError(
                f"{self.checkpoint} is not the same for all processes, so each would train another network. "
                "Their machines must share the folder."
            )
        if self.tool.writes:
            self.log.begin(step, self.measured_again)
        self.events.begin(step)

    def _resume(self) -> None:
        again = f"To start over:\n    {running_command(without=('--force',))} --force"
        try:
            state = read_torch(self.checkpoint)
            loop = state.pop("loop")
            made_for = loop.get("made_for", {})
            others = [
                f"{name} was {made_for.get(name)}, is {value}"
                for name, value in self.made_for.items()
                if made_for.get(name) != value
            ]
            if others:
                raise TrainingError(f"it was made with other options: {', '.join(others)}")
            self.trainer.load_state_dict(state)
            self.looked_at = loop["looked"]
            self.sums = {name: list(values) for name, values in loop["log"]["sums"].items()}
        except TrainingError as error:
            raise UserError(
                f"{self.checkpoint} cannot be continued: {error}. Give the earlier options. {again}"
            ) from error
        except DAMAGED as error:
            raise UserError(
                f"{self.checkpoint} cannot be continued: it is damaged or of another version ({error}). "
                f"{again}"
            ) from error
        self.saved_step = self.trainer.steps_done

    def save(self) -> None:
        """Write the checkpoint, unless it is there already."""
        self.saved_at = time.monotonic()
        self._read_values()
        if self.trainer.steps_done == self.saved_step or not self.tool.writes:
            return
        self.saved_step = self.trainer.steps_done
        loop = {"looked": self.looked_at, "log": {"sums": self.sums}, "made_for": self.made_for}
        with files.atomic_path(self.checkpoint) as temporary:
            write_torch(temporary, {**self.trainer.state_dict(), "loop": loop})

    def _look(self, at_the_end: bool) -> None:
        position, before = self.position, self.looked_at
        self.looked_at = position
        for look in self.looks if self.tool.writes else ():
            if look.every > 0:
                is_due = position // look.every > before // look.every
                if is_due or (at_the_end and position > before):
                    look.take()

    def _take_step(self, progress: Progress | None) -> None:
        values = self.step()
        step = self.trainer.steps_done
        self.unread.append((step, values))
        if self.is_row_due():
            self._read_values()
            means = {name: sum(values) / len(values) for name, values in self.sums.items()}
            if self.pictures_per_step:
                taken = max(map(len, self.sums.values()))
                seconds = time.perf_counter() - self.logged_at
                means["pictures_per_s"] = round(taken * self.pictures_per_step / seconds, 1)
            self.logged_at, self.sums = time.perf_counter(), {}
            if self.tool.writes:
                self.log.append({"step": step, **self.row(means)})
                self.events.scalars(step, means)
        if progress is not None:
            progress.update()

    def _read_values(self) -> None:
        """Read what the last steps logged, all at once: reading waits for the GPU.

        Raises:
            UserError: a value is not finite.
        """
        logged = [value for _, values in self.unread for value in values.values()]
        tensors = [value.double() for value in logged if isinstance(value, Tensor)]
        numbers = iter(torch.stack(tensors).tolist() if tensors else ())
        for step, values in self.unread:
            read = {
                name: next(numbers) if isinstance(value, Tensor) else value for name, value in values.items()
            }
            bad = [name for name, value in read.items() if not math.isfinite(value)]
            if bad:
                kept = f"{self.checkpoint} has step {self.saved_step}." if self.saved_step >= 0 else ""
                raise UserError(
                    f"{', '.join(bad)} became infinite or undefined at step {step}, so training cannot go "
                    f"on. {kept} {self.advice}, and start over with --force."
                )
            for name, value in read.items():
                self.sums.setdefault(name, []).append(value)
        self.unread.clear()

    def is_row_due(self) -> bool:
        """Whether the log gets a row after this step."""
        return self.trainer.steps_done % self.log_every == 0 or self.trainer.finished

    def row(self, means: Mapping[str, float]) -> dict[str, Any]:
        """The row of the log, but for ``step``."""
        return {name: round(value, 6) for name, value in means.items()}

    def _progress(self) -> AbstractContextManager[Progress | None]:
        if self.steps is None:
            return nullcontext()
        # The loop saves before it stops, so the display itself must not raise on Ctrl-C.
        beat = self.tool.beat if isinstance(self.tool, Stage) else lambda: None
        return self.tool.progress(self.steps, self.unit, self.trainer.steps_done, check_stop=beat)


def train_one_network(
    tool: Tool,
    trainer: Trainer,
    folder: str,
    losses: Sequence[str],
    made_for: Mapping[str, Any],
    pictures_per_step: int,
    preview: Callable[[], np.ndarray] | None = None,
) -> None:
    """The training of a tool with `TrainingToolOptions`; see `TrainingLoop`.

    Args:
        folder: of the workspace, for the checkpoint.
        losses: what the trainer's steps log.
        preview: draws the present state for TensorBoard, uint8 [H, W, 3].
    """
    options = cast(TrainingToolOptions, tool.options)
    loop = TrainingLoop(
        tool,
        trainer,
        "training",
        tool.path(f"{folder}/checkpoint.pt"),
        StepLog(tool.log_dir / "train_log.csv", ("step", *losses, "pictures_per_s")),
        made_for=made_for,
        steps=options.steps,
        log_every=options.log_every,
        pictures_per_step=pictures_per_step,
    )
    if preview is not None:
        loop.looks = (
            Look(
                options.preview_every,
                lambda: loop.events.picture(trainer.steps_done, "preview", preview()),
            ),
        )
    loop.run()
