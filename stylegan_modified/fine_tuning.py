"""What the fine-tunings of v1, v2 and v3 share: their pictures, seeded steps, and averages of weights."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stylegan.checkpoint import atomic_path
from stylegan.parallel import Processes, Scalar
from stylegan.rows import ChosenRows, Rows
from stylegan.seeds import Purpose, derived_seed
from stylegan.training import wants_bf16
from stylegan.weights_file import write_torch
from stylegan_modified.recipes import Recipe


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


class FineTuner(ABC):
    """A fine-tuning of which one step can be taken after another, and that can be continued.

    Everything random at a step derives from (kind of training, seed, step). Several processes share every
    batch and have the same weights; a state says nothing of how many there were.

    Attributes:
        purpose: what its steps draw random numbers for.
        device: where the networks are.
        options: its recipe.
        precision: of the forward passes, see `mixed_precision`.
    """

    purpose: ClassVar[Purpose]
    device: torch.device
    options: Recipe
    precision = "auto"
    steps_done = 0

    @cached_property
    def processes(self) -> Processes:
        """The processes that share each batch."""
        return Processes.of_this_run()

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.options.steps

    @property
    def finished(self) -> bool:
        return self.steps_done >= self.steps

    def step(self) -> dict[str, Scalar]:
        """Take the next step; returns what to log, the same in every process (see `Scalar`)."""
        # One stream for what a trainer draws itself, one for what networks draw, such as dropout.
        drawn, hidden = (
            derived_seed(self.purpose, self.options.seed, number=2 * self.steps_done + n) for n in range(2)
        )
        torch.manual_seed(hidden)
        values = self.train_step(self.steps_done, torch.Generator().manual_seed(drawn))
        self.steps_done += 1
        return values

    @abstractmethod
    def train_step(self, t: int, rng: torch.Generator) -> dict[str, Scalar]:
        """Do optimisation step t (0-based) with randomness from `rng` (CPU) and return what to log.

        Every process draws for the whole batch, works on its share, and returns the same numbers.
        """

    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """Networks (and averages) that learn."""

    @abstractmethod
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Their optimisers."""

    def descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """Step down the sum of the losses of all processes."""
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.processes.sum_gradients(optimizer)
        optimizer.step()

    def copy_from_first(self) -> None:
        """Start from the weights of the first process: other machines may round otherwise."""
        for module in self.modules().values():
            self.processes.copy_from_first([*module.parameters(), *module.buffers()])

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to equal an uninterrupted one, on a CPU exactly.

        Of a network that is frozen in parts, what learns: the rest comes from its own file.
        """
        return {
            "step": self.steps_done,
            "modules": {name: _what_learns(module) for name, module in self.modules().items()},
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state of `state_dict`."""
        for name, module in self.modules().items():
            saved = state["modules"][name]
            missing, unexpected = module.load_state_dict(saved, strict=False)
            if unexpected or set(missing) & set(_what_learns(module)):
                raise ValueError(f"the weights of {name} are those of another network")
        for name, optimizer in self.optimizers().items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.steps_done = int(state["step"])


def _what_learns(module: nn.Module) -> dict[str, Tensor]:
    """A network's state without the parameters that are frozen; all of an average, which has no gradients."""
    is_learning = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    frozen = (
        {name for name, learns in is_learning.items() if not learns} if any(is_learning.values()) else set()
    )
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


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


def save_atomically(obj: object, path: Path) -> None:
    """A torch file, written to a temporary name in the same folder, synced, then renamed."""
    with atomic_path(path) as temporary:
        write_torch(temporary, obj)


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
