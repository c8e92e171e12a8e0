"""Data-parallel training: processes share the rows of one batch and average their gradients.

A training of several processes does what one process does, up to rounding:

- Each takes whole groups of the minibatch standard deviation, so that no statistic crosses processes.
- Each draws the random numbers of the whole batch and keeps those of its own rows.
- Gradients, losses and the average of w, all of them means over rows, are averaged over the processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Processes:
    """The processes of a training, as one of them sees them."""

    rank: int = 0
    count: int = 1

    @classmethod
    def of_this_run(cls) -> Processes:
        """Those of torch's default process group; a single one where no group was set up."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    def share(self, batch: int, group_size: int) -> np.ndarray:
        """Places in a batch of the rows that this process works on, ascending.

        `MinibatchStd` compares row i with the rows i + k (batch / size), size being the largest divisor of
        the batch up to `group_size`. A share holds whole groups, and they are grouped alike inside it.

        Raises:
            ValueError: the groups cannot be divided evenly.
        """
        size = next(s for s in range(min(group_size, batch), 0, -1) if batch % s == 0)
        groups = batch // size
        if groups % self.count:
            raise ValueError(
                f"a batch of {batch} has {groups} groups of {size} for the minibatch standard deviation, "
                f"which {self.count} processes cannot share evenly: use a multiple of "
                f"{group_size * self.count} images"
            )
        own = groups // self.count
        return np.arange(batch).reshape(size, groups)[:, self.rank * own : (self.rank + 1) * own].ravel()

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, all in one message."""
        if self.count == 1 or not tensors:
            return
        joined = self.sum(torch.cat([tensor.detach().float().reshape(-1) for tensor in tensors]))
        parts = (joined / self.count).split([tensor.numel() for tensor in tensors])
        with torch.no_grad():
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in place where there are several."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process; all of them get the same answer."""
        return flag if self.count == 1 else bool(self.sum(torch.tensor(float(flag), device=device)) > 0)

    def wait(self) -> None:
        """Return when every process has come this far."""
        if self.count > 1:
            distributed.barrier()

    def joint_random_numbers(self, share: np.ndarray, batch: int) -> AbstractContextManager[Any]:
        """Inside, random tensors with one row per row of the share are the share's part of the batch's."""
        return nullcontext() if self.count == 1 else _JointRandomNumbers(share, batch)


class _JointRandomNumbers(TorchFunctionMode):
    """Draws for all rows of a batch and hands out those of one share."""

    def __init__(self, share: np.ndarray, batch: int) -> None:
        super().__init__()
        self.share = torch.from_numpy(share)
        self.batch = batch

    def __torch_function__(
        self,
        func: Callable[..., Tensor],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Tensor:
        kwargs = kwargs or {}
        if func in (torch.rand, torch.randn):
            size = args if isinstance(args[0], int) else args[0]
            return self._own(func(self._whole(size), **kwargs))
        if func in (torch.rand_like, torch.randn_like):
            return self._own(func(args[0].new_empty(self._whole(args[0].shape)), **kwargs))
        if func is torch.randint:
            low, high, size = args
            return self._own(func(low, high, self._whole(size), **kwargs))
        return func(*args, **kwargs)

    def _whole(self, size: Sequence[int]) -> tuple[int, ...]:
        if size[0] != len(self.share):
            raise RuntimeError(f"random numbers for {size[0]} rows in a share of {len(self.share)}")
        return (self.batch, *size[1:])

    def _own(self, drawn: Tensor) -> Tensor:
        return drawn[self.share.to(drawn.device)]
