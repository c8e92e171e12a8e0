"""Groups of processes for tests of what several do together, and an optimiser that keeps its gradients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch import multiprocessing as mp


def in_processes(count: int, folder: Path, job: Callable[[], Any]) -> list[Any]:
    """What a job returns in each process of a group; forked, since importing torch takes seconds."""
    mp.start_processes(_work, args=(count, folder, job), nprocs=count, start_method="fork")
    return [torch.load(folder / f"{count}_{rank}.pt", weights_only=True) for rank in range(count)]


def _work(rank: int, count: int, folder: Path, job: Callable[[], Any]) -> None:
    store = f"file://{folder}/store{count}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=count)
    torch.save(job(), folder / f"{count}_{rank}.pt")
    distributed.destroy_process_group()


class RecordingSGD(torch.optim.SGD):
    """Plain descent, which keeps rounding small where Adam and Muon blow it up, and remembers gradients."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__([{"params": group["params"]} for group in groups], lr=1e-3)
        self.seen: list[torch.Tensor] = []

    def step(self) -> None:
        parameters = (parameter for group in self.param_groups for parameter in group["params"])
        self.seen += [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
        super().step()


def assert_same_gradients(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    """Fail unless two lists of gradients are the same but for rounding."""
    assert len(expected) > 5 and max(float(gradient.abs().max()) for gradient in expected) > 1e-4
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        size = float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * size + 1e-7, msg=str(index))
