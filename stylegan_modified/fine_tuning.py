"""One training loop for v1, v2 and v3: seeded steps, exact resume, logs, previews, and an end of its own.

Everything random at step t derives from (kind of training, seed, t), and the checkpoint holds weights,
optimisers and counters, so a run that was killed and resumed equals one that was not (on a CPU exactly).
Several processes share every batch and have the same weights; the first one writes, and a checkpoint says
nothing of how many there were.
"""

from __future__ import annotations

import itertools
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stylegan.checkpoint import atomic_path
from stylegan.parallel import Processes
from stylegan.rows import ChosenRows, Rows
from stylegan.seeds import Purpose, derived_seed
from stylegan.training import wants_bf16
from stylegan.weights_file import read_torch, write_torch


class TrainingDivergedError(RuntimeError):
    """The loss is no longer a number; the last good checkpoint is kept."""


class ResumeError(ValueError):
    """A checkpoint cannot be continued with these networks or options."""


@dataclass(frozen=True)
class TrainingPictures:
    """Pictures to learn from and their normalised scores.

    Attributes:
        images: uint8 [N, H, W, 3].
        properties: float [N, 7].
        people: int64 [N], who each picture shows; None: everybody is somebody else.
    """

    images: Rows
    properties: Tensor
    people: Tensor | None = None

    def batch(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
        """Pictures [B, 3, H, W] in [-1, 1] and properties [B, 7] of some rows, on the device."""
        pictures = self.images[rows].permute(0, 3, 1, 2).to(device).float() / 127.5 - 1
        return pictures, self.properties[rows].to(device)

    def chosen(self, rows: Tensor) -> TrainingPictures:
        """Some of the pictures, int64 [M]."""
        people = None if self.people is None else self.people[rows]
        return TrainingPictures(ChosenRows(self.images, rows), self.properties[rows], people)

    def split(self, shares: Sequence[float], seed: int) -> list[Tensor]:
        """Rows of parts that have no person in common, in random order.

        Args:
            shares: of the people that each part but the last gets, at least one; the last has the rest.
            seed: decides who is where.
        """
        people = torch.arange(len(self.images)) if self.people is None else self.people
        everybody, numbers = people.unique(return_inverse=True)
        count = len(everybody)
        sizes = [max(1, round(share * count)) for share in shares]
        rng = torch.Generator().manual_seed(seed)
        places = torch.randperm(count, generator=rng)[numbers]
        order = torch.randperm(len(people), generator=rng)
        ends = [0, *itertools.accumulate(sizes), count]
        return [
            order[(places[order] >= first) & (places[order] < last)]
            for first, last in itertools.pairwise(ends)
        ]


@dataclass(frozen=True)
class LoopOptions:
    """How long to train and how often to write."""

    steps: int
    seed: int = 0
    checkpoint_s: float = 30.0
    log_every: int = 10
    preview_every: int = 0


@dataclass
class LoopState:
    """Where a run is: the next step to do, the log rows so far, and the steps not yet averaged into a row."""

    step: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    pending: list[dict[str, float]] = field(default_factory=list)


class Trainer(ABC):
    """What one kind of fine-tuning provides; `train` does the rest.

    Attributes:
        purpose: what its steps draw random numbers for.
        device: where the networks are.
        precision: of the forward passes, see `mixed_precision`.
    """

    purpose: ClassVar[Purpose]
    device: torch.device
    precision = "auto"

    @cached_property
    def processes(self) -> Processes:
        """The processes that share each batch."""
        return Processes.of_this_run()

    def descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """Step down the sum of the losses of all processes."""
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.sum_gradients(optimizer)
        optimizer.step()

    @abstractmethod
    def step(self, t: int, rng: torch.Generator) -> dict[str, float]:
        """Do optimisation step t (0-based) with randomness from `rng` (CPU) and return what to log.

        Every process draws for the whole batch, works on its share, and returns the same numbers.
        """

    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """Networks (and averages) whose state a checkpoint holds."""

    @abstractmethod
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Optimisers whose state a checkpoint holds."""

    def finished(self) -> bool:
        """True when the run ends before its last step (early stopping)."""
        return False

    def counters(self) -> dict[str, Any]:
        """Plain numbers and tensors beside the networks that a resumed run needs."""
        return {}

    def restore_counters(self, counters: dict[str, Any]) -> None:
        """Take back what `counters` gave."""
        if counters:
            raise ResumeError(
                f"the checkpoint has counters {sorted(counters)} that this training does not know"
            )


def mixed_precision(device: torch.device, precision: str) -> torch.autocast:
    """Context of a step's forward passes: bf16 where asked for, or where the hardware is fast ("auto").

    Args:
        device: where the networks are.
        precision: "auto", "bf16" or "float32".
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wants_bf16(precision, device))


def cosine(t: int, steps: int, floor: float = 0.05) -> float:
    """Learning rate factor of step t: 1 at the start, `floor` at the end, half a cosine between."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(t / max(1, steps), 1.0)))


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scale every group's learning rate to `factor` times the rate it was built with."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
        group["lr"] = group["initial_lr"] * factor


def train(
    trainer: Trainer,
    options: LoopOptions,
    checkpoint: Path,
    *,
    fingerprint: str = "",
    on_start: Callable[[int], None] = lambda done: None,
    on_save: Callable[[LoopState], None] = lambda state: None,
    on_preview: Callable[[int], None] = lambda step: None,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, row: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> LoopState:
    """Train until the last step, until the trainer says it is finished, or until asked to stop.

    With several processes, each calls it alike; the first one saves, and one that shall stop stops all.

    Args:
        trainer: networks, optimisers and the step.
        options: steps, seed and intervals.
        checkpoint: file to resume from if it exists, and to save to.
        fingerprint: text that a checkpoint must carry to be continued (options and data of the run).
        on_start: called once with the number of steps that earlier runs did.
        on_save: called after each checkpoint with the state (for the log file).
        on_preview: called with the step number every `preview_every` steps.
        on_step: called after each step with its log row (for progress).
        should_stop: asked before every step; the run is saved before it returns.

    Returns:
        The state after the last step done; `state.step < options.steps` and not finished means it was
        stopped.

    Raises:
        TrainingDivergedError: a logged value is not finite; the checkpoint of the last good save remains.
        ResumeError: the checkpoint belongs to other networks or options.
    """
    processes = trainer.processes
    state = _resume(trainer, checkpoint, fingerprint) if checkpoint.exists() else LoopState()
    on_start(state.step)
    if not processes.agree(state.step, trainer.device):
        raise ResumeError(
            f"{checkpoint.name} is not the same for all processes: their machines must share its folder"
        )
    for module in trainer.modules().values():  # other machines may round otherwise in what they start from
        processes.copy_from_first([*module.parameters(), *module.buffers()])
    saved_at = time.monotonic()
    while True:
        done = state.step >= options.steps or trainer.finished()
        stopping = done or processes.any(should_stop(), trainer.device)
        is_due = stopping or time.monotonic() - saved_at >= options.checkpoint_s
        if is_due and processes.rank == 0:
            _save(trainer, state, checkpoint, fingerprint)
            on_save(state)
            saved_at = time.monotonic()
        if options.preview_every and (done or state.step % options.preview_every == 0):
            on_preview(state.step)
        if stopping:
            processes.wait()  # torchrun stops the first one, which may still write, once another is gone
            return state
        # One stream for what a trainer draws itself, one for what networks draw, such as dropout.
        drawn, hidden = (
            derived_seed(trainer.purpose, options.seed, number=2 * state.step + n) for n in range(2)
        )
        rng = torch.Generator().manual_seed(drawn)
        torch.manual_seed(hidden)
        row = trainer.step(state.step, rng)
        bad = [name for name, value in row.items() if not math.isfinite(value)]
        if bad:
            raise TrainingDivergedError(f"{', '.join(bad)} is not finite at step {state.step}")
        state.pending.append(row)
        state.step += 1
        on_step(state.step, row)
        if state.step % options.log_every == 0 or state.step == options.steps:
            state.rows.append({"step": state.step, **_mean_rows(state.pending)})
            state.pending.clear()


def save_atomically(obj: object, path: Path) -> None:
    """A torch file, written to a temporary name in the same folder, synced, then renamed."""
    with atomic_path(path) as temporary:
        write_torch(temporary, obj)


def _mean_rows(rows: list[dict[str, float]]) -> dict[str, float]:
    names = {name: None for row in rows for name in row}
    return {name: _mean([row[name] for row in rows if name in row]) for name in names}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _save(trainer: Trainer, state: LoopState, checkpoint: Path, fingerprint: str) -> None:
    save_atomically(
        {
            "fingerprint": fingerprint,
            "step": state.step,
            "rows": state.rows,
            "pending": state.pending,
            "modules": {name: module.state_dict() for name, module in trainer.modules().items()},
            "optimizers": {name: opt.state_dict() for name, opt in trainer.optimizers().items()},
            "counters": trainer.counters(),
        },
        checkpoint,
    )


def _resume(trainer: Trainer, checkpoint: Path, fingerprint: str) -> LoopState:
    try:
        saved = read_torch(checkpoint)
        if saved["fingerprint"] != fingerprint:
            raise ResumeError(f"{checkpoint.name} was made with other options or data")
        for name, module in trainer.modules().items():
            module.load_state_dict(saved["modules"][name], strict=True)
        for name, optimizer in trainer.optimizers().items():
            optimizer.load_state_dict(saved["optimizers"][name])
        trainer.restore_counters(saved["counters"])
        return LoopState(step=int(saved["step"]), rows=list(saved["rows"]), pending=list(saved["pending"]))
    except ResumeError:
        raise
    except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise ResumeError(f"{checkpoint.name} cannot be continued: {error}") from error


class ExponentialAverage(nn.Module):
    """Running average of a network's parameters and buffers; the half-life is given in steps."""

    def __init__(self, network: nn.Module, half_life: float) -> None:
        super().__init__()
        self.decay = 0.5 ** (1 / half_life)
        self.values = nn.ParameterDict(
            {
                _safe(name): nn.Parameter(value.detach().clone(), requires_grad=False)
                for name, value in network.state_dict().items()
                if value.is_floating_point()
            }
        )

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards the network's present values."""
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.values[_safe(name)].lerp_(value, 1 - self.decay)

    def state_for(self, network: nn.Module) -> dict[str, Tensor]:
        """A state dict of `network` with the averaged values in place."""
        return {
            name: self.values[_safe(name)].data.clone() if value.is_floating_point() else value
            for name, value in network.state_dict().items()
        }


def _safe(name: str) -> str:
    return name.replace(".", "/")
