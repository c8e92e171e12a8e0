"""Numbers of a generator training: rows of a CSV and a status line."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from scripts.pipeline import accounting
from scripts.pipeline.files import write_text
from scripts.stages.training_events import TrainingEvents
from stylegan.phases import Phase
from stylegan.training import Trainer

LOG_STEPS = 25
STATUS_S = 15.0
MIB = 2**20
METRICS = (
    "pyramid", "spikes", "loss_g", "loss_d", "score_real", "score_fake", "real_sign", "r1", "anchor_scale",
    "augment_p",
)  # fmt: skip
COLUMNS = (
    "step", "kimg", "phase", "kind", "resolution", "lod", "seconds", "images_per_s", "memory_mib", *METRICS,
    "kid",
)  # fmt: skip


def peak_memory_mib(device: torch.device) -> float:
    """Most memory that this process has used so far: on the GPU if it computes there, else in all."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    return accounting.peak_memory_mib()


class TrainingLog:
    """Collects the numbers of steps; writes a row and a status line from time to time.

    Args:
        path: the CSV file.
        trainer: whose steps they are.
        events: which show the numbers in TensorBoard.
        say: prints a status line.
    """

    def __init__(
        self, path: Path, trainer: Trainer, events: TrainingEvents, say: Callable[[str], None]
    ) -> None:
        self.path = path
        self.trainer = trainer
        self.events = events
        self.say = say
        self.rate = 0.0
        self._phase_seconds = 0.0
        self._sums: dict[str, list[float]] = {}
        self._said_at = time.monotonic()

    def start(self) -> None:
        """Begin a new file."""
        write_text(self.path, ",".join(COLUMNS) + "\n")
        self.events.begin(self.trainer.counters.step)

    def state_dict(self) -> dict[str, Any]:
        """The numbers since the last row, which a resumed run averages with its own."""
        return {"sums": self._sums}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take up a state, and drop the rows of what will be done again, which is the last look too.

        A file with other columns gets the present ones.
        """
        self._sums = {name: list(values) for name, values in state["sums"].items()}
        rows = []
        if self.path.exists():
            with self.path.open(encoding="utf-8", newline="") as file:
                rows = [row for row in csv.DictReader(file) if self._belongs(row)]
        self.start()
        for row in rows:
            self._append({name: row.get(name) or "" for name in COLUMNS})

    def _belongs(self, row: Mapping[str, str]) -> bool:
        step, last = row.get("step") or "", self.trainer.counters.step
        if not step.isdigit() or None in row.values():  # half-written, by a full disk
            return False
        return int(step) < last or (int(step) == last and not row.get("kid"))

    def add(self, number: int, phase: Phase, seconds: float, metrics: Mapping[str, float]) -> None:
        """Take the numbers of the step just done.

        Args:
            number, phase: the phase that it belonged to.
            seconds: how long it took.
            metrics: what `Trainer.step` returned.
        """
        rate = phase.batch / seconds
        self.rate = 0.95 * self.rate + 0.05 * rate if self.rate else rate
        for name, value in metrics.items():
            self._sums.setdefault(name, []).append(value)
        counters = self.trainer.counters
        phase_is_over = number != counters.phase
        self._phase_seconds = self._phase_seconds + seconds if phase_is_over else counters.phase_seconds
        if counters.step % LOG_STEPS == 0 or phase_is_over:
            means = {name: sum(values) / len(values) for name, values in self._sums.items()}
            self._sums = {}
            self._append({**self._row(number, phase), **_formatted(means)})
            self.events.scalars(counters.step, {**means, "images_per_s": self.rate})
            if time.monotonic() - self._said_at >= STATUS_S or phase_is_over:
                self._said_at = time.monotonic()
                self.say(self._status(phase, 1.0 if phase_is_over else self.trainer.progress, means))
        if phase_is_over:
            self.rate = 0.0

    def add_kid(self, kid: float) -> None:
        """Write a row with a distance between samples and data."""
        number = min(self.trainer.counters.phase, len(self.trainer.config.phases) - 1)
        self._append({**self._row(number, self.trainer.phase), **_formatted({"kid": kid})})
        self.events.scalars(self.trainer.counters.step, {"kid": kid})

    def _row(self, number: int, phase: Phase) -> dict[str, Any]:
        counters = self.trainer.counters
        return {
            "step": counters.step,
            "kimg": f"{counters.images / 1000:.3f}",
            "phase": number,
            "kind": phase.kind,
            "resolution": phase.resolution,
            "lod": f"{float(self.trainer.generator.synthesis.get_buffer('lod')):.3f}",
            "seconds": f"{self._phase_seconds:.1f}",
            "images_per_s": f"{self.rate:.1f}" if self.rate else "",
            "memory_mib": f"{peak_memory_mib(self.trainer.device):.0f}",
        }

    def _append(self, row: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n").writerow(row)

    def _status(self, phase: Phase, progress: float, means: Mapping[str, float]) -> str:
        losses = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
        kimg = self.trainer.counters.images / 1000
        memory = peak_memory_mib(self.trainer.device)
        return (
            f"{phase.kind} {phase.resolution} px {progress:4.0%}  {kimg:.1f} kimg  {self.rate:.0f} images/s  "
            f"{memory:.0f} MiB  {self._seconds_left() / 60:.0f} min left  {losses}"
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


def _formatted(values: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.5g}" for name, value in values.items()}
