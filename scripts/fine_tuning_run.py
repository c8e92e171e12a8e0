"""Runs one training of the scripts 05 to 07: resume, progress, log files, previews, and the control it
reached.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scripts import faces
from scripts.pipeline import Interrupted, Stage, UserError
from scripts.pipeline.console import Progress

if TYPE_CHECKING:
    from segmentation.normalization import ScoreStatistics
    from stylegan_modified.evaluation import ControlReport, Generate
    from stylegan_modified.fine_tuning import LoopOptions, LoopState, Trainer

CONTROL_SEED = 900_000  # latents of the control measurement; no stage trains on images with these seeds


def run_training(
    stage: Stage,
    trainer: Trainer,
    options: LoopOptions,
    name: str,
    preview: Callable[[], Any] | None = None,
) -> LoopState:
    """Train to the end, or save and leave when asked to stop.

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
    from torch.utils.tensorboard import SummaryWriter

    from stylegan_modified.fine_tuning import ResumeError, TrainingDivergedError, train

    checkpoint = stage.path(f"stylegan_modified/checkpoints/{name}.pt")
    manifest = json.loads((stage.folder / "_stage.json").read_text(encoding="utf-8"))
    # The loop saves before it stops, so the display itself must not raise on Ctrl-C.
    progress = Progress(options.steps, "steps", name, stage.options.quiet, check_stop=lambda: None)
    events = SummaryWriter(str(stage.log_dir / "events" / name))

    def on_step(step: int, row: dict[str, float]) -> None:
        progress.update(step - progress.done)
        progress.set_postfix(**{key: f"{value:.3f}" for key, value in row.items()})
        if step % options.log_every == 0:
            for key, value in row.items():
                events.add_scalar(f"{name}/{key}", value, step)

    def on_preview(step: int) -> None:
        if preview is not None:
            stage.save_image(f"stylegan_modified/previews/{name}_{step:06d}.png", preview())

    def on_save(state: LoopState) -> None:
        stage.write_csv(f"stylegan_modified/train_log_{name}.csv", faces.history_frame(state))

    mend = f"Start over: {stage.command(stage.name, '--force')}"
    with events, progress, stage.foreseen(ResumeError, TrainingDivergedError, mend=mend):
        state = train(
            trainer,
            options,
            checkpoint,
            fingerprint=manifest["fingerprint"],
            on_save=on_save,
            on_preview=on_preview,
            on_step=on_step,
            should_stop=lambda: stage.stop_requested,
        )
    if state.step < options.steps and not trainer.finished():
        raise Interrupted
    return state


def report_control(
    stage: Stage, generate: Generate, z_dim: int, statistics: ScoreStatistics, version: str, latent_count: int
) -> ControlReport:
    """Sweep each property over latents that no training saw, read by stages 3 and 4, and write the result.

    Writes `stylegan_modified/control_<version>.json`.

    Raises:
        UserError: the judge could not read a single picture.
    """
    from stylegan.sampling import sample_z
    from stylegan_modified.evaluation import measure_control, run_sweep

    z = sample_z(range(latent_count), CONTROL_SEED, z_dim).to(stage.device)
    sweep = run_sweep(generate, z, faces.sweep_levels(statistics))
    report = measure_control(sweep, faces.PropertyJudge(stage, statistics))
    if report.readable == 0:
        raise UserError(
            f"the face parser cannot read a single picture of {version}, so its control is unknown. "
            f"Look at {stage.workspace / 'stylegan_modified/previews'} and train again with other settings."
        )
    stage.write_json(f"stylegan_modified/control_{version}.json", report.to_dict())
    stage.log(
        f"control of {version} on {latent_count} latents (Pearson r, slope, mean absolute error in sd):"
    )
    for name, r in report.r.items():
        stage.log(f"  {name:16} r {r:6.3f}   slope {report.slope[name]:6.3f}   error {report.mae[name]:5.3f}")
    return report


def control_numbers(report: ControlReport) -> dict[str, str]:
    """Three numbers of a control report for the end of a stage."""
    values = list(report.r.values())
    count = f"(n = {report.latent_count} latents)"
    return {
        "control": f"r {min(values):.2f} to {max(values):.2f}, mean {sum(values) / len(values):.2f} {count}",
        "leakage": f"{report.leakage:.3f} sd per sd {count}",
        "readable": f"{100 * report.readable:.1f} % of the pictures",
    }
