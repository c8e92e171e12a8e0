"""The loop of a generator training: its log, its looks, and the weights beside its checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from scripts.pipeline import Tool, UserError, accounting
from scripts.stages.base_generator.kid import KidMeter
from scripts.stages.base_generator.options import Options
from scripts.stages.base_generator.plan import interval_images
from scripts.stages.base_generator.previews import Previews
from scripts.stages.step_log import StepLog
from scripts.stages.training import Look, TrainingLoop
from stylegan.checkpoint import save_checkpoint
from stylegan.parallel import Processes, Scalar
from stylegan.training import StyleGANTrainer

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "stylegan_model.safetensors"
LOG_STEPS = 25
STATUS_S = 15.0
MIB = 2**20
COLUMNS = (
    "step", "kimg", "phase", "kind", "resolution", "lod", "seconds", "images_per_s", "memory_mib",
    "pyramid", "spikes", "loss_g", "loss_d", "score_real", "score_fake", "real_sign", "r1", "anchor_scale",
    "augment_p", "kid",
)  # fmt: skip

Result = TypeVar("Result")


def in_the_first_process(
    processes: Processes, device: torch.device, work: Callable[[], Result]
) -> Result | None:
    """What `work` returns in the first process; None in the others, which wait for it.

    Raises:
        UserError: `work` raised one; then each process does, so that none waits for one that has gone.
    """
    result, problem = None, None
    if processes.rank == 0:
        try:
            result = work()
        except UserError as error:
            problem = error
    if processes.any(problem is not None, device):
        raise problem or UserError("the first process of this training stopped, and its message says why.")
    return result


def memory_in_use_mib(device: torch.device) -> float:
    """Most memory that this process has used so far: on the GPU if it computes there, else in all."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    return accounting.peak_memory_mib()


class GeneratorLoop(TrainingLoop[StyleGANTrainer]):
    """The loop of a generator training in the folder of its results."""

    advice = "Lower the learning rate or raise r1_gamma in the plan"
    measured_again = ("kid",)

    def __init__(self, tool: Tool, options: Options, trainer: StyleGANTrainer, out: Path) -> None:
        log = StepLog(out / "train_log.csv", COLUMNS)
        super().__init__(tool, trainer, out.name, out / CHECKPOINT, log, log_every=LOG_STEPS)
        self.out = out
        self.number, self.phase = trainer.counters.phase, trainer.phase  # of the last step
        self.phase_seconds = self.rate = 0.0
        self.said_at = time.monotonic()
        previews = Previews(out, trainer, self.events, options.previews)
        self.looks = (Look(interval_images(options.preview_kimg, trainer.config), previews.write),)
        self.kid, kid_interval = None, interval_images(options.kid_kimg, trainer.config)
        if kid_interval > 0:
            self.kid = in_the_first_process(
                trainer.processes, trainer.device, lambda: KidMeter(tool, options, trainer, out)
            )
        if self.kid is not None:
            self.looks += (Look(kid_interval, partial(self.measure_kid, self.kid)),)

    @property
    def position(self) -> int:
        """Images; the looks are so many apart."""
        return self.trainer.counters.images

    @property
    def phase_is_over(self) -> bool:
        """Whether the last step was the last one of its phase."""
        return self.number != self.trainer.counters.phase

    def start(self) -> None:
        if self.kid is not None:
            self.kid.forget()
            self.tool.log(f"KID between two halves of the data: {self.kid.of_the_data():.4f}")

    def is_out_of_time(self) -> bool:
        minutes = self.options.minutes
        return minutes > 0 and time.monotonic() - self.started_at >= 60 * minutes

    def step(self) -> Mapping[str, Scalar]:
        counters = self.trainer.counters
        self.number, self.phase, seconds_before = counters.phase, self.trainer.phase, counters.phase_seconds
        started = time.perf_counter()
        values = self.trainer.step()
        seconds = time.perf_counter() - started
        rate = self.phase.batch / seconds
        self.rate = 0.95 * self.rate + 0.05 * rate if self.rate else rate
        self.phase_seconds = seconds_before + seconds if self.phase_is_over else counters.phase_seconds
        return values

    def is_row_due(self) -> bool:
        return self.trainer.steps_done % LOG_STEPS == 0 or self.phase_is_over

    def measure_kid(self, meter: KidMeter) -> None:
        """Measure KID and write a row with it."""
        kid, trainer = meter.measure(), self.trainer
        self.number = min(trainer.counters.phase, len(trainer.config.phases) - 1)
        self.phase = trainer.phase
        self.log.append({"step": trainer.counters.step, **self._place(), "kid": f"{kid:.5g}"})
        self.events.scalars(trainer.counters.step, {"kid": kid})

    def row(self, means: Mapping[str, float]) -> dict[str, Any]:
        if time.monotonic() - self.said_at >= STATUS_S or self.phase_is_over:
            self.said_at = time.monotonic()
            self.tool.log(self._status(means))
        row = {**self._place(), **{name: f"{value:.5g}" for name, value in means.items()}}
        if self.phase_is_over:
            self.rate = 0.0
        return row

    def _place(self) -> dict[str, Any]:
        return {
            "kimg": f"{self.position / 1000:.3f}",
            "phase": self.number,
            "kind": self.phase.kind,
            "resolution": self.phase.resolution,
            "lod": f"{self.trainer.lod:.3f}",
            "seconds": f"{self.phase_seconds:.1f}",
            "images_per_s": f"{self.rate:.1f}" if self.rate else "",
            "memory_mib": f"{memory_in_use_mib(self.trainer.device):.0f}",
        }

    def _status(self, means: Mapping[str, float]) -> str:
        progress = 1.0 if self.phase_is_over else self.trainer.progress
        losses = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
        return (
            f"{self.phase.kind} {self.phase.resolution} px {progress:4.0%}  {self.position / 1000:.1f} kimg  "
            f"{self.rate:.0f} images/s  {memory_in_use_mib(self.trainer.device):.0f} MiB  "
            f"{self._seconds_left() / 60:.0f} min left  {losses}"
        )

    def _seconds_left(self) -> float:
        """Estimate for the rest of the plan, at the present rate where a phase is measured in images."""
        total, done = 0.0, self.trainer.counters.phase
        for number, phase in enumerate(self.trainer.config.phases[done:], done):
            by_time = phase.seconds if phase.seconds > 0 else math.inf
            by_images = phase.kimg * 1000 / self.rate if phase.kimg > 0 and self.rate else math.inf
            shortest = min(by_time, by_images)
            left = 1.0 - self.trainer.progress if number == done else 1.0
            total += left * shortest if math.isfinite(shortest) else 0.0
        return total

    def save(self) -> None:
        """Write the checkpoint and the weights, unless they are there already."""
        is_new = self.trainer.steps_done != self.saved_step
        super().save()
        if is_new and self.tool.writes:
            self._save_weights(self.out / WEIGHTS, lambda value: value)

    def bundle(self, path: Path) -> None:
        """Write the weights in half precision, which halves the file and moves a picture by rounding only."""
        self._save_weights(path, torch.Tensor.half)
        self.tool.log(f"bundled as {path}")

    def _save_weights(self, path: Path, convert: Callable[[torch.Tensor], torch.Tensor]) -> None:
        networks = {
            name: {key: convert(value) for key, value in network.state_dict().items()}
            for name, network in self.trainer.networks()
        }
        save_checkpoint(path, **networks, metadata=self.trainer.metadata())
