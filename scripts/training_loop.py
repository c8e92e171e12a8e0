"""The loop of the tools that train one network: resume, rows of the log, checkpoints by the clock."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from scripts.pipeline import REPOSITORY, Interrupted, Journal, Tool, ToolOptions, UserError, files, option

if TYPE_CHECKING:
    from scripts.pipeline.console import Progress

DAMAGED = (RuntimeError, ValueError, TypeError, LookupError, AttributeError)


def stored_command(options: TrainingToolOptions, name: str) -> str:
    """The command that trains the same network again, for the notes in its file.

    It has every option that decides the result and is not the script's default, so it needs no preset.
    """
    words = ["python", f"scripts/{name}.py"]
    for field in fields(options):
        value = getattr(options, field.name)
        if field.metadata.get("affects_results", True) and value != field.default:
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{field.name.replace('_', '-')}", *map(_word, values)]
    return shlex.join(words)


def _word(value: Any) -> str:
    if isinstance(value, Path) and value.is_relative_to(REPOSITORY):
        return value.relative_to(REPOSITORY).as_posix()
    return str(value)


class Trainer(Protocol):
    """A training that can be continued; everything random at a step derives from the seed and the step."""

    step: int

    def train_step(self) -> Mapping[str, float]:
        """One optimiser step; returns what to log."""

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to equal an uninterrupted one."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state of `state_dict`."""


@dataclass(frozen=True)
class TrainingToolOptions(ToolOptions):
    """Options of every tool that trains one network."""

    steps: int = option(1_000, help="optimiser steps")
    seed: int = option(0, help="of the weights, the batches and the augmentation")
    checkpoint_s: float = option(60.0, help="seconds between checkpoints", affects_results=False)
    log_every: int = option(20, help="steps between rows of the log", affects_results=False)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.log_every < 1:
            raise ValueError("--steps and --log-every must be at least 1.")


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
    ) -> None:
        self.tool, self.options, self.trainer = tool, options, trainer
        self.checkpoint, self.trained = checkpoint, dict(trained)
        self.columns = ("step", *columns, "pictures_per_s")
        self.pictures_per_step = pictures_per_step

    def run(self) -> None:
        """Take the remaining steps; checkpoints by the clock, at the end and after Ctrl-C.

        Without a checkpoint the log begins anew, since its rows are those of an earlier training.

        Raises:
            UserError: the checkpoint is damaged, or of other options.
            Interrupted: the user asked to stop; the steps so far are in the checkpoint.
        """
        log_file = self.tool.log_dir / "train_log.csv"
        if (self.tool.workspace / self.checkpoint).is_file():
            self._resume()
        else:
            files.remove(log_file)
        with (
            Journal(log_file, self.columns, "step", int) as journal,
            self.tool.progress(self.options.steps, "steps", done=self.trainer.step) as progress,
        ):
            try:
                self._take_steps(journal, progress)
            except Interrupted:
                self._save()
                raise
        self._save()

    def _take_steps(self, journal: Journal, progress: Progress) -> None:
        saved_at = logged_at = time.perf_counter()
        rows: list[Mapping[str, float]] = []
        while self.trainer.step < self.options.steps:
            if time.perf_counter() - saved_at > self.options.checkpoint_s:
                self._save()
                saved_at = time.perf_counter()
            rows.append(self.trainer.train_step())
            if self.trainer.step % self.options.log_every == 0:
                seconds, logged_at = time.perf_counter() - logged_at, time.perf_counter()
                self._log(journal, rows, seconds)
                rows = []
            progress.update()

    def _log(self, journal: Journal, rows: list[Mapping[str, float]], seconds: float) -> None:
        """One row: the means since the last one. A resumed run may meet a step that is logged already."""
        if self.trainer.step in journal:
            return
        means = {name: round(sum(row[name] for row in rows) / len(rows), 8) for name in rows[0]}
        speed = round(len(rows) * self.pictures_per_step / seconds, 1)
        journal.append({"step": self.trainer.step, **means, "pictures_per_s": speed})

    def _resume(self) -> None:
        from stylegan.weights_file import read_torch

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
        except DAMAGED as error:
            raise UserError(
                f"{path} is damaged or of another version ({type(error).__name__}), so the training cannot "
                f"be continued. Remove the file {start_over}"
            ) from error
        self.tool.log(f"Continuing at step {self.trainer.step} of {self.options.steps}.")

    def _save(self) -> None:
        from stylegan.weights_file import write_torch

        with self.tool.atomic(self.checkpoint) as temporary:
            write_torch(temporary, {"options": self.trained, "trainer": self.trainer.state_dict()})
