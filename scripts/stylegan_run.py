"""Files of a generator training: plan, images, checkpoints, previews and log."""

from __future__ import annotations

import csv
import math
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scripts.pipeline import Tool, UserError
from scripts.pipeline.files import atomic_path, save_image, write_text
from scripts.pipeline.layers import read_toml
from scripts.pipeline.pictures import contact_sheet
from scripts.training_images import folder_images, portrait_images
from stylegan.checkpoint import save_checkpoint
from stylegan.phases import Phase, TrainingConfig, phases_from_tables
from stylegan.sampling import to_uint8
from stylegan.training import Trainer, TrainingError, TrainingImages

if TYPE_CHECKING:
    from scripts.train_stylegan import Options

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "stylegan_model.safetensors"
LOG = "train_log.csv"
LOG_STEPS = 25
STATUS_S = 15.0
METRICS = (
    "pyramid", "loss_g", "loss_d", "score_real", "score_fake", "r1", "anchor_scale",
)  # fmt: skip
COLUMNS = ("step", "kimg", "phase", "kind", "resolution", "lod", "seconds", "images_per_s", *METRICS)


def read_plan(options: Options) -> tuple[TrainingConfig, int]:
    """Read the plan; returns it with the resolution in pixels. UserError names what is wrong in it."""
    tables = read_toml(options.plan)
    source = f"{options.portraits} portraits from seed {options.first_portrait}"
    if options.repeat_low_quality > 1:
        source += f", those of low quality {options.repeat_low_quality} times"
    extra = {"images": source if options.portraits else "a folder of pictures"}
    try:
        phases = phases_from_tables(tables.pop("phases", ()))
        config = TrainingConfig(phases=phases, extra=extra, **tables)
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{options.plan} is not a usable training plan: {error}") from error
    return config, config.generator["resolution"]


def load_images(tool: Tool, options: Options, resolution: int, out: Path) -> TrainingImages:
    """The images to train on, rendered or read once and cached in the folder of the run."""
    if options.folder is not None:
        return TrainingImages(folder_images(options.folder.resolve(), resolution, out, tool.log))
    first, count, processes = options.first_portrait, options.portraits, options.processes
    found = portrait_images(count, resolution, first, processes, out, tool.log, tool.check_stop)
    return TrainingImages(*found, order=repeated_order(first, found[1], options.repeat_low_quality))


def repeated_order(first: int, latents: np.ndarray, repeats: int) -> np.ndarray:
    """Rows of one pass: every portrait once, those of low quality `repeats` times.

    Picture and latent stay a pair, so a generator trained on the pairs shows low quality no more often; it
    learns what it looks like, which one example in twenty hardly teaches.
    """
    from data import portraits

    quality = [
        portraits.truth(portraits.parameters_from_latent(latent, first + row))[1]
        for row, latent in enumerate(latents)
    ]
    low = np.flatnonzero(np.array(quality) == 0)
    return np.concatenate([np.arange(len(latents)), np.repeat(low, repeats - 1)])


class TrainingRun:
    """The loop around a trainer: save, preview, stop?, step, log."""

    def __init__(self, tool: Tool, options: Options, trainer: Trainer, out: Path) -> None:
        self.tool = tool
        self.options = options
        self.trainer = trainer
        self.out = out
        self.saved_at = self.status_at = time.monotonic()
        self.saved_step = -1
        self.rate = 0.0
        self.sums: dict[str, list[float]] = {}

    def resume(self) -> None:
        """Go on from the checkpoint of an earlier run, if there is one."""
        path = self.out / CHECKPOINT
        if not path.exists() or self.options.restart:
            write_text(self.out / LOG, ",".join(COLUMNS) + "\n")
            return
        try:
            self.trainer.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
        except TrainingError as error:
            raise UserError(f"{path}: {error}. Use the earlier plan, another --out, or --restart.") from error
        except (RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
            raise UserError(
                f"{path} cannot be read, so the training cannot go on from it ({error}). "
                "Start over with --restart, or with another --out."
            ) from error
        counters = self.trainer.counters
        self.saved_step = counters.step
        self._cut_log(counters.step)
        self.tool.log(f"resumed at step {counters.step}, {counters.images / 1000:.1f} thousand images")

    def _cut_log(self, step: int) -> None:
        """Drop log rows of steps that will be done again."""
        path = self.out / LOG
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else [",".join(COLUMNS)]
        kept = [
            line for line in lines[1:] if line.split(",")[0].isdigit() and int(line.split(",")[0]) <= step
        ]
        write_text(path, "\n".join([lines[0], *kept]) + "\n")

    def loop(self) -> None:
        """Train until the plan is over or a stop is requested. UserError on a non-finite loss."""
        trainer = self.trainer
        previewed = trainer.counters.images if trainer.counters.step else -math.inf
        while True:
            stopping = trainer.finished or self.tool.stop_requested
            if stopping or time.monotonic() - self.saved_at >= self.options.save_seconds:
                self.save()
            if trainer.finished or trainer.counters.images - previewed >= self.options.preview_kimg * 1000:
                previewed = trainer.counters.images
                self.preview()
            if stopping:
                return
            number, phase, progress = trainer.counters.phase, trainer.phase, trainer.progress
            before = trainer.counters.phase_seconds
            started = time.perf_counter()
            metrics = trainer.step()
            elapsed = time.perf_counter() - started
            self.rate = (
                phase.batch / elapsed if not self.rate else 0.95 * self.rate + 0.05 * phase.batch / elapsed
            )
            self.log(number, phase, progress, before + elapsed, metrics)
            if number != trainer.counters.phase:
                self.rate = 0.0

    def save(self) -> None:
        """Write the resumable checkpoint and the weights, unless they are there already."""
        self.saved_at = time.monotonic()
        if self.trainer.counters.step == self.saved_step:
            return
        self.saved_step = self.trainer.counters.step
        with atomic_path(self.out / CHECKPOINT) as temporary:
            torch.save(self.trainer.state_dict(), temporary)
        networks = {name: network.state_dict() for name, network in self.trainer.networks()}
        save_checkpoint(self.out / WEIGHTS, **networks, metadata=self.trainer.metadata())

    def bundle(self, path: Path) -> None:
        """Write the weights in half precision, which halves the file and moves a picture by rounding only."""
        networks = {
            name: {key: value.half() for key, value in network.state_dict().items()}
            for name, network in self.trainer.networks()
        }
        save_checkpoint(path, **networks, metadata=self.trainer.metadata())
        self.tool.log(f"bundled as {path}")

    def preview(self) -> None:
        """Write fixed pictures of the averaged generator, each beside its portrait if there is one."""
        pictures, paired = self.trainer.preview(self.options.previews)
        if paired is not None:
            pictures = torch.stack([paired, pictures], dim=1).flatten(0, 1)
        sheet = contact_sheet(to_uint8(pictures), columns=16 if paired is not None else 8)
        name = f"preview_{self.trainer.counters.images // 1000:06d}_kimg.png"
        save_image(self.out / "previews" / name, sheet)
        save_image(self.out / "preview.png", sheet)

    def log(
        self, number: int, phase: Phase, progress: float, seconds: float, metrics: Mapping[str, float]
    ) -> None:
        """Collect the numbers of a step; write a row and a status line from time to time."""
        counters = self.trainer.counters
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        if bad:
            raise UserError(
                f"{', '.join(bad)} became infinite or undefined at step {counters.step}, so training cannot "
                f"go on. The checkpoint of step {max(self.saved_step, 0)} in {self.out} is kept. Lower the "
                "learning rate or raise r1_gamma in the plan, and start with --restart."
            )
        for name, value in metrics.items():
            self.sums.setdefault(name, []).append(value)
        if counters.step % LOG_STEPS and number == counters.phase:
            return
        means = {name: sum(values) / len(values) for name, values in self.sums.items()}
        self.sums = {}
        self._write_row(number, phase, seconds, means)
        if time.monotonic() - self.status_at >= STATUS_S or number != counters.phase:
            self.status_at = time.monotonic()
            self.tool.log(self._status(phase, progress, means))

    def _write_row(self, number: int, phase: Phase, seconds: float, means: Mapping[str, float]) -> None:
        counters = self.trainer.counters
        row: dict[str, Any] = {
            "step": counters.step,
            "kimg": f"{counters.images / 1000:.3f}",
            "phase": number,
            "kind": phase.kind,
            "resolution": phase.resolution,
            "lod": f"{float(self.trainer.generator.synthesis.lod):.3f}",
            "seconds": f"{seconds:.1f}",
            "images_per_s": f"{self.rate:.1f}",
            **{name: f"{value:.5g}" for name, value in means.items()},
        }
        with (self.out / LOG).open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n").writerow(row)

    def _status(self, phase: Phase, progress: float, means: Mapping[str, float]) -> str:
        losses = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
        kimg = self.trainer.counters.images / 1000
        left = self._seconds_left() / 60
        return (
            f"{phase.kind} {phase.resolution} px {progress:4.0%}  {kimg:.1f} kimg  {self.rate:.0f} images/s  "
            f"{left:.0f} min left  {losses}"
        )

    def _seconds_left(self) -> float:
        """Estimate for the rest of the plan, at the present rate where a phase is measured in images."""
        counters, phases = self.trainer.counters, self.trainer.config.phases
        total = 0.0
        for number in range(counters.phase, len(phases)):
            phase = phases[number]
            share = 1.0 - self.trainer.progress if number == counters.phase else 1.0
            by_time = phase.seconds if phase.seconds > 0 else math.inf
            by_images = phase.kimg * 1000 / self.rate if phase.kimg > 0 and self.rate else math.inf
            shortest = min(by_time, by_images)
            total += share * shortest if math.isfinite(shortest) else 0.0
        return total
