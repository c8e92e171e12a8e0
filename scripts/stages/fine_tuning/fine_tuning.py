"""What the fine-tunings do alike: training data, training with logs and previews, and an end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar, cast

from scripts.pipeline import Stage, UserError, records
from scripts.stages import networks, scores
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.fine_tuning.control import PREVIEW_SEEDS, preview_grid, report_control
from scripts.stages.fine_tuning.options import FineTuningOptions
from scripts.stages.step_log import StepLog
from scripts.stages.training import Look, TrainingLoop
from scripts.stages.workspace import CHECKPOINTS, FINE_TUNED, PREVIEWS, TRAIN_LOG
from stylegan.sampling import sample_z
from stylegan_modified.evaluation import Generate
from stylegan_modified.fine_tuning import FineTuner, save_atomically
from stylegan_modified.generator_files import Dialled
from stylegan_modified.recipes import Recipe


def check(stage: Stage) -> None:
    """Raise `UserError`, before earlier results go, if there is too little to learn from or no judge."""
    networks.recorded_segmentation(stage)
    scores.load_statistics(stage)
    scores.training_table(stage)


RecipeT = TypeVar("RecipeT", bound=Recipe)


class FineTuning(Generic[RecipeT]):
    """One fine-tuning: its data, and what every version does before, during and after its training.

    Attributes:
        data: filtered pictures with their scores.
        statistics: means and spreads of the scores.
    """

    def __init__(self, stage: Stage, recipe: RecipeT, version: str) -> None:
        self.stage, self.recipe, self.version = stage, recipe, version
        self.options = cast(FineTuningOptions, stage.options)
        self.data = scores.load_training_pictures(stage)
        self.statistics = scores.load_statistics(stage)

    def train(self, trainer: FineTuner, preview: Callable[[], Any]) -> None:
        """Train what the version is named after, with previews. See `run_training`."""
        run_training(self.stage, trainer, self.version, 10, preview, self.options.preview_every)

    def preview(self, model: Dialled) -> Any:
        """Picture of a few people with each dial turned. See `preview_grid`."""
        z = sample_z(PREVIEW_SEEDS, 0, model.z_space_dim).to(self.stage.device)
        return preview_grid(pictures_of(model), self.statistics, z)

    def finish(
        self, model: Dialled, numbers: Mapping[str, str] | None = None, look_at: tuple[str, ...] = ()
    ) -> None:
        """Save the generator and the preview, measure the control and end the stage; the first process does.

        Args:
            model: the generator after its training.
            numbers: what to report beside the control.
            look_at: pictures to look at beside the preview, relative to the workspace.
        """
        if not self.stage.writes:
            return
        save_atomically(model.checkpoint(), self.stage.path(FINE_TUNED[self.version]))
        picture = f"{PREVIEWS}/{self.version}.png"
        self.stage.write(picture, self.preview(model))
        control = report_control(
            self.stage,
            pictures_of(model),
            model.z_space_dim,
            self.statistics,
            self.version,
            self.options.control_latents,
        )
        self.stage.finish({**control, **(numbers or {})}, look_at=(picture, *look_at))


def fingerprint(stage: Stage) -> str:
    """What this run, which has begun, is made from."""
    record = records.read(stage.workspace, stage.name)
    if record is None:
        raise UserError(f"the record of this run in {stage.folder} is gone; give the same command again")
    return str(record["fingerprint"])


def pictures_of(model: Dialled) -> Generate:
    """The pictures of a generator as a function of z and properties."""
    return lambda z, properties: model(z, properties)["image"]


def run_training(
    stage: Stage,
    trainer: FineTuner,
    name: str,
    log_every: int,
    preview: Callable[[], Any] | None = None,
    preview_every: int = 0,
) -> None:
    """Train to the end, or save and leave when asked to stop. See `TrainingLoop`.

    Args:
        stage: the running script.
        trainer: what to train.
        name: names the checkpoint, the log CSV and the folder of TensorBoard events.
        log_every: steps between rows of the log.
        preview: makes a picture of the present state.
        preview_every: steps between previews, 0: none.
    """

    def show(draw: Callable[[], Any]) -> None:
        picture = draw()
        stage.write(f"{PREVIEWS}/{name}_{trainer.steps_done:06d}.png", picture)
        loop.events.picture(trainer.steps_done, "preview", picture)

    keep_freed_memory()
    trainer.copy_from_first()
    loop = TrainingLoop(
        stage,
        trainer,
        name,
        stage.path(f"{CHECKPOINTS}/{name}.pt"),
        StepLog(stage.path(TRAIN_LOG.format(name))),
        made_for={"fingerprint": fingerprint(stage)},
        steps=trainer.steps,
        unit=f"steps of {name}",
        log_every=log_every,
        looks=[] if preview is None else [Look(preview_every, partial(show, preview))],
    )
    loop.run()
