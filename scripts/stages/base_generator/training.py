"""The loop of a generator training, and its files: checkpoints and weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch

from scripts.pipeline import Tool, UserError
from scripts.pipeline.files import atomic_path
from scripts.stages.base_generator.kid import KidMeter
from scripts.stages.base_generator.log import TrainingLog
from scripts.stages.base_generator.options import Options
from scripts.stages.base_generator.plan import interval_images
from scripts.stages.base_generator.previews import Previews
from scripts.stages.training_events import FOLDER, TrainingEvents
from scripts.stages.training_loop import DAMAGED
from stylegan.checkpoint import save_checkpoint
from stylegan.parallel import Processes
from stylegan.training import Trainer, TrainingError
from stylegan.weights_file import read_torch, write_torch

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "stylegan_model.safetensors"
LOG = "train_log.csv"

Result = TypeVar("Result")


def in_the_first_process(
    processes: Processes, device: torch.device, work: Callable[[], Result]
) -> Result | None:
    """What `work` returns in the first process; None in the others, which wait for it.

    Raises:
        UserError: `work` raised one; then each process does, lest the others wait for one that has gone.
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


class TrainingRun:
    """The loop around a trainer: save, look, stop?, step, log. Of several processes the first one writes."""

    def __init__(self, tool: Tool, options: Options, trainer: Trainer, out: Path) -> None:
        self.tool = tool
        self.options = options
        self.trainer = trainer
        self.out = out
        self.writes = trainer.processes.rank == 0
        folder = tool.log_dir / FOLDER / out.name if self.writes else None
        self.events = TrainingEvents(folder, tool.log)
        self.log = TrainingLog(out / LOG, trainer, self.events, tool.log)
        self.previews = Previews(out, trainer, self.events, options.previews)
        self.preview_interval = interval_images(options.preview_kimg, trainer.config)
        self.kid_interval = interval_images(options.kid_kimg, trainer.config)
        self.kid = None
        if self.kid_interval > 0:
            self.kid = in_the_first_process(
                trainer.processes, trainer.device, lambda: KidMeter(tool, options, trainer, out)
            )
        self.started_at = self.saved_at = time.monotonic()
        self.saved_step = -1
        self.looked = -1  # images at the last look; a look that a kill may have cut short is done again

    def resume(self) -> None:
        """Go on from the checkpoint of an earlier run, if there is one."""
        path = self.out / CHECKPOINT
        if not path.exists() or self.options.restart:
            self._start()
            return
        try:
            state = read_torch(path)
            self.trainer.load_state_dict(state)
            self.looked, log_state = state["loop"]["looked"], state["loop"]["log"]
        except TrainingError as error:
            raise UserError(f"{path}: {error}. Give that again, another --out, or --restart.") from error
        except DAMAGED as error:
            raise UserError(
                f"{path} cannot be read, so the training cannot go on from it ({error}). "
                "Start over with --restart, or with another --out."
            ) from error
        counters = self.trainer.counters
        self.saved_step = counters.step
        if self.writes:
            self.log.resume(log_state)
            self.tool.log(f"resumed at step {counters.step}, {counters.images / 1000:.1f} thousand images")

    def _start(self) -> None:
        if self.writes:
            self.log.start()
        if self.kid is not None:
            self.kid.forget()
            self.tool.log(f"KID between two halves of the data: {self.kid.of_the_data():.4f}")

    def loop(self) -> None:
        """Train until the plan or the time is over or a stop is asked for. UserError on a non-finite loss."""
        trainer = self.trainer
        while True:
            out_of_time = self._agreed(self._is_out_of_time())
            stopping = trainer.finished or out_of_time or self._agreed(self.tool.stop_requested)
            if stopping or time.monotonic() - self.saved_at >= self.options.save_seconds:
                self.save()
            self.look(at_the_end=trainer.finished or out_of_time)
            if stopping:
                return
            number, phase = trainer.counters.phase, trainer.phase
            started = time.perf_counter()
            metrics = trainer.step()
            self._check_finite(metrics)
            if self.writes:
                self.log.add(number, phase, time.perf_counter() - started, metrics)

    def _is_out_of_time(self) -> bool:
        minutes = self.options.minutes
        return minutes > 0 and time.monotonic() - self.started_at >= 60 * minutes

    def _agreed(self, flag: bool) -> bool:
        return self.trainer.processes.any(flag, self.trainer.device)

    def look(self, at_the_end: bool) -> None:
        """Preview and KID where one is due: at the start, every interval, and at the end."""
        images, before = self.trainer.counters.images, self.looked

        def due(interval: float) -> bool:
            if interval <= 0 or not self.writes:
                return False
            return images // interval > before // interval or (at_the_end and images > before)

        if due(self.preview_interval):
            self.previews.write()
        if self.kid is not None and due(self.kid_interval):
            self.log.add_kid(self.kid.measure())
        self.looked = images

    def save(self) -> None:
        """Write the resumable checkpoint and the weights, unless they are there already."""
        self.saved_at = time.monotonic()
        if self.trainer.counters.step == self.saved_step or not self.writes:
            return
        self.saved_step = self.trainer.counters.step
        with atomic_path(self.out / CHECKPOINT) as temporary:
            loop = {"looked": self.looked, "log": self.log.state_dict()}
            write_torch(temporary, {**self.trainer.state_dict(), "loop": loop})
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

    def _check_finite(self, metrics: Mapping[str, float]) -> None:
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        if bad:
            kept = f"The checkpoint of step {self.saved_step} in {self.out} is kept."
            raise UserError(
                f"{', '.join(bad)} became infinite or undefined at step {self.trainer.counters.step}, so "
                f"training cannot go on. {kept if self.saved_step >= 0 else 'Nothing has been saved yet.'} "
                "Lower the learning rate or raise r1_gamma in the plan, and start with --restart."
            )
