"""What the scripts 05 to 07 do alike: options, training data, training with logs and previews, and the
control that was reached.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.pipeline import Interrupted, Stage, StageOptions, UserError, manifest, option
from scripts.pipeline.console import Progress
from scripts.stages import faces, networks
from scripts.stages.fast_memory import keep_freed_memory
from scripts.stages.training_events import TrainingEvents
from stylegan.seeds import CONTROL

if TYPE_CHECKING:
    from torch import nn

    from segmentation.normalization import ScoreStatistics
    from stylegan_modified.evaluation import ControlReport, Generate, Sweep
    from stylegan_modified.fine_tuning import LoopOptions, LoopState, Trainer


@dataclass(frozen=True)
class FineTuningOptions(StageOptions):
    """Options of every fine-tuning."""

    steps: int = option(600, help="training steps")
    batch_size: int = option(16, help="pictures per step")
    seed: int = option(0, help="seed of all randomness")
    control_latents: int = option(16, help="latents of the control measurement at the end")
    checkpoint_s: float = option(30.0, help="seconds between checkpoints", affects_results=False)
    preview_every: int = option(200, help="steps between preview pictures, 0: none", affects_results=False)

    def __post_init__(self) -> None:
        self.need_at_least(1, "steps", "batch_size")
        self.need_at_least(0, "checkpoint_s", "preview_every")
        if not 2 <= self.control_latents <= len(CONTROL):
            raise ValueError(
                "--control-latents must be at least 2, since people are compared with each other, and at "
                f"most {len(CONTROL)}."
            )

    def need_pairs(self) -> None:
        """Raise `ValueError` unless a batch holds whole pairs."""
        if self.batch_size < 2 or self.batch_size % 2:
            raise ValueError("--batch-size must be even: each person is drawn twice, with one dial turned.")


def check(stage: Stage, options: FineTuningOptions) -> None:
    """Raise `UserError`, before earlier results go, if there is too little to learn from or no judge."""
    networks.recorded_segmentation(stage)
    faces.training_table(stage)


class FineTuning:
    """One fine-tuning: its data, and what every version does before, during and after its training.

    Attributes:
        data: filtered pictures with their scores.
        statistics: means and spreads of the scores.
    """

    def __init__(self, stage: Stage, options: FineTuningOptions, version: str) -> None:
        self.stage, self.options, self.version = stage, options, version
        self.data = faces.load_training_pictures(stage)
        self.statistics = faces.load_statistics(stage)

    def train(self, trainer: Trainer, preview: Callable[[], Any]) -> None:
        """Train for ``steps`` steps. See `run_training`."""
        from stylegan_modified.fine_tuning import LoopOptions

        options = self.options
        loop = LoopOptions(
            options.steps, options.seed, options.checkpoint_s, preview_every=options.preview_every
        )
        run_training(self.stage, trainer, loop, self.version, preview)

    def preview(self, model: nn.Module) -> Any:
        """Picture of a few people with each dial turned. See `faces.preview_grid`."""
        from stylegan.sampling import sample_z

        z = sample_z(faces.PREVIEW_SEEDS, 0, model.z_space_dim).to(self.stage.device)
        return faces.preview_grid(pictures_of(model), self.statistics, z)

    def finish(
        self, model: nn.Module, numbers: Mapping[str, str] | None = None, look_at: tuple[str, ...] = ()
    ) -> None:
        """Save the preview, measure the control and end the stage.

        Args:
            model: the generator after its training.
            numbers: what to report beside the control.
            look_at: pictures to look at beside the preview, relative to the workspace.
        """
        picture = f"stylegan_modified/previews/{self.version}.png"
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
    from stylegan_modified.fine_tuning import ResumeError, TrainingDivergedError, train

    keep_freed_memory()
    checkpoint = stage.path(f"stylegan_modified/checkpoints/{name}.pt")
    record = manifest.read(stage.workspace, stage.name)
    # The loop saves before it stops, so the display itself must not raise on Ctrl-C.
    is_quiet = stage.options.quiet or not stage.writes
    progress = Progress(options.steps, "steps", name, is_quiet, stage.heartbeat.beat)
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
            stage.save_image(f"stylegan_modified/previews/{name}_{step:06d}.png", picture)
            events.picture(step, "preview", picture)

    def on_save(state: LoopState) -> None:
        stage.write_csv(f"stylegan_modified/train_log_{name}.csv", faces.history_frame(state))

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


def report_control(
    stage: Stage, generate: Generate, z_dim: int, statistics: ScoreStatistics, version: str, latent_count: int
) -> dict[str, str]:
    """Sweep each property over latents that no training saw, read by stages 3 and 4, and write the result.

    Where the preset has an oracle, it also says who and what the sweep pictures show.
    Writes `stylegan_modified/control_<version>.json`.

    Returns:
        The numbers to end the stage with.

    Raises:
        UserError: the judge could not read a single picture.
    """
    from stylegan.sampling import sample_z
    from stylegan_modified.evaluation import measure_control, run_sweep

    z = sample_z(CONTROL[:latent_count], 0, z_dim).to(stage.device)
    sweep = run_sweep(generate, z, faces.sweep_levels(statistics))
    report = measure_control(sweep, networks.load_judge(stage, statistics))
    if report.readable == 0:
        raise UserError(
            f"the face parser cannot read a single picture of {version}, so its control is unknown. "
            f"Look at {stage.workspace / 'stylegan_modified/previews'} and train again with other settings."
        )
    shown = read_sweep(stage, sweep)
    stage.write_json(f"stylegan_modified/control_{version}.json", report.to_dict() | shown)
    stage.log(
        f"control of {version} on {latent_count} latents (Pearson r, slope, mean absolute error in sd):"
    )
    for name, r in report.r.items():
        stage.log(f"  {name:16} r {r:6.3f}   slope {report.slope[name]:6.3f}   error {report.mae[name]:5.3f}")
    return control_numbers(report, shown)


def read_sweep(stage: Stage, sweep: Sweep) -> dict[str, float]:
    """Identity AUC and shares of women and good quality of a sweep, read by the oracle (if any)."""
    path = stage.workspace / faces.ORACLE
    if not path.exists():
        return {}
    import torch

    from cnn.oracle import load_oracle, read_pictures
    from stylegan_modified.evaluation import identity_auc

    with stage.foreseen(ValueError, OSError, mend=stage.command("00_fetch_weights", "--force")):
        oracle = load_oracle(path, stage.device)
    shape = sweep.images.shape
    read = read_pictures(oracle, torch.from_numpy(sweep.images.reshape(-1, *shape[3:])))
    return {
        "identity_auc": identity_auc(read["identity"].numpy().reshape(*shape[:3], -1)),
        "women": float((read["gender"] > 0).float().mean()),
        "good_quality": float((read["quality"] > 0).float().mean()),
    }


def control_numbers(report: ControlReport, shown: dict[str, float]) -> dict[str, str]:
    """The numbers of a control report for the end of a stage."""
    values = list(report.r.values())
    count = f"(n = {report.latent_count} latents)"
    numbers = {
        "control": f"r {min(values):.2f} to {max(values):.2f}, mean {sum(values) / len(values):.2f} {count}",
        "leakage": f"{report.leakage:.3f} sd per sd {count}",
        "readable": f"{100 * report.readable:.1f} % of the pictures",
    }
    if shown:
        numbers["oracle"] = (
            f"identity AUC {shown['identity_auc']:.3f}, women {100 * shown['women']:.1f} %, "
            f"good quality {100 * shown['good_quality']:.1f} % of the sweep's pictures"
        )
    return numbers
