"""What the fine-tunings do alike: training data, training with logs and previews, and an end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, cast

import pandas as pd
from torch import nn

from scripts.pipeline import Interrupted, Stage, records
from scripts.pipeline.console import Progress
from scripts.stages import networks, scores
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.fine_tuning.control import PREVIEW_SEEDS, preview_grid, report_control
from scripts.stages.fine_tuning.options import FineTuningOptions
from scripts.stages.training_events import TrainingEvents
from scripts.stages.workspace import CHECKPOINTS, PREVIEWS, TRAIN_LOG
from stylegan.sampling import sample_z
from stylegan_modified.evaluation import Generate
from stylegan_modified.fine_tuning import (
    LoopOptions,
    LoopState,
    ResumeError,
    Trainer,
    TrainingDivergedError,
    train,
)
from stylegan_modified.recipes import Recipe


def check(stage: Stage) -> None:
    """Raise `UserError`, before earlier results go, if there is too little to learn from or no judge."""
    networks.recorded_segmentation(stage)
    scores.load_statistics(stage)
    scores.training_table(stage)


class FineTuning:
    """One fine-tuning: its data, and what every version does before, during and after its training.

    Attributes:
        data: filtered pictures with their scores.
        statistics: means and spreads of the scores.
    """

    def __init__(self, stage: Stage, recipe: Recipe, version: str) -> None:
        self.stage, self.recipe, self.version = stage, recipe, version
        self.options = cast(FineTuningOptions, stage.options)
        self.data = scores.load_training_pictures(stage)
        self.statistics = scores.load_statistics(stage)

    def train(self, trainer: Trainer, preview: Callable[[], Any]) -> None:
        """Train what the version is named after, with previews. See `run_training`."""
        options, recipe = self.options, self.recipe
        every = options.preview_every
        loop = LoopOptions(recipe.steps, recipe.seed, options.checkpoint_s, preview_every=every)
        run_training(self.stage, trainer, loop, self.version, preview)

    def train_part(self, name: str, trainer: Trainer, steps: int, log_every: int) -> None:
        """Train what the version needs first. See `run_training`."""
        loop = LoopOptions(steps, self.recipe.seed, self.options.checkpoint_s, log_every)
        run_training(self.stage, trainer, loop, name)

    def preview(self, model: nn.Module) -> Any:
        """Picture of a few people with each dial turned. See `preview_grid`."""
        z = sample_z(PREVIEW_SEEDS, 0, model.z_space_dim).to(self.stage.device)
        return preview_grid(pictures_of(model), self.statistics, z)

    def finish(
        self, model: nn.Module, numbers: Mapping[str, str] | None = None, look_at: tuple[str, ...] = ()
    ) -> None:
        """Save the preview, measure the control and end the stage.

        Args:
            model: the generator after its training.
            numbers: what to report beside the control.
            look_at: pictures to look at beside the preview, relative to the workspace.
        """
        picture = f"{PREVIEWS}/{self.version}.png"
        self.stage.save_image(picture, self.preview(model))
        control = report_control(
            self.stage,
            pictures_of(model),
            model.z_space_dim,
            self.statistics,
            self.version,
            self.options.control_latents,
        )
        self.stage.finish({**control, **(numbers or {})}, look_at=(picture, *look_at))


def pictures_of(model: nn.Module) -> Generate:
    """The pictures of a generator as a function of z and properties."""
    return lambda z, properties: model(z, properties)["image"]


def run_training(
    stage: Stage,
    trainer: Trainer,
    options: LoopOptions,
    name: str,
    preview: Callable[[], Any] | None = None,
) -> LoopState:
    """Train to the end, or save and leave when asked to stop; several processes share each batch.

    Args:
        stage: the running script.
        trainer: what to train.
        options: length and intervals of the run.
        name: names the checkpoint, the log CSV and the folder of TensorBoard events.
        preview: makes a picture of the present state.

    Raises:
        Interrupted: Ctrl-C; the checkpoint is saved.
        UserError: the loss is not finite any more, or the checkpoint cannot be continued.
    """
    keep_freed_memory()
    checkpoint = stage.path(f"{CHECKPOINTS}/{name}.pt")
    record = records.read(stage.workspace, stage.name)
    # The loop saves before it stops, so the display itself must not raise on Ctrl-C.
    is_quiet = stage.options.quiet or not stage.writes
    progress = Progress(options.steps, "steps", name, is_quiet, stage.beat)
    made = itertools.count()
    events = TrainingEvents.of(stage, name)

    def on_start(done: int) -> None:
        progress.start_at(done)
        events.begin(done)

    def on_step(step: int, row: dict[str, float]) -> None:
        next(made)
        progress.update(step - progress.done)
        progress.set_postfix(**{key: f"{value:.3f}" for key, value in row.items()})
        if step % options.log_every == 0:
            events.scalars(step, row)

    def on_preview(step: int) -> None:
        if stage.writes and preview is not None:
            picture = preview()
            stage.save_image(f"{PREVIEWS}/{name}_{step:06d}.png", picture)
            events.picture(step, "preview", picture)

    def on_save(state: LoopState) -> None:
        stage.write_csv(TRAIN_LOG.format(name), pd.DataFrame(state.rows).round(6))

    mend = f"Start over: {stage.command(stage.name, '--force')}"
    with events, progress, stage.foreseen(ResumeError, TrainingDivergedError, mend=mend):
        state = train(
            trainer,
            options,
            checkpoint,
            fingerprint=record["fingerprint"],
            on_start=on_start,
            on_save=on_save,
            on_preview=on_preview,
            on_step=on_step,
            should_stop=lambda: stage.stop_requested,
        )
    steps = next(made)
    stage.count(f"steps of {name}", steps, state.step - steps)
    if state.step < options.steps and not trainer.finished():
        raise Interrupted
    return state
