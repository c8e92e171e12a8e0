"""Data-parallel training: processes share the rows of one batch and add up their gradients.

A training of several processes does what one process does, up to rounding:

- Each takes whole groups of the minibatch standard deviation, so that no statistic crosses processes.
- Each draws the random numbers of the whole batch and keeps those of its own rows.
- Gradients, losses and the average of w, all of them means over rows, are averaged over the processes,
  weighted by their rows where the batch does not divide evenly.
- A loss that is no mean over rows is calculated from sums over all processes, by each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.overrides import TorchFunctionMode

from stylegan.layers import minibatch_std_group

Scalar = float | Tensor
"""A number to log; a tensor [] is read when its row is written, since reading waits for the GPU."""


@dataclass(frozen=True)
class Share:
    """The rows of a batch that one process works on.

    Attributes:
        rows: int64 [n], places in the batch, ascending.
        batch: rows of the whole batch.
        weight: what a mean over these rows counts in the mean over the batch, n / batch. It is 0 in a process
            that is left without rows: that one works on rows of another, so that its steps have the same
            form, and adds nothing.
    """

    rows: Tensor
    batch: int
    weight: float


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
        size = minibatch_std_group(batch, group_size)
        groups = batch // size
        if groups % self.count:
            raise ValueError(
                f"a batch of {batch} has {groups} groups of {size} for the minibatch standard deviation, "
                f"which {self.count} processes cannot share evenly: use a multiple of "
                f"{group_size * self.count} images"
            )
        return self.part(batch, groups).rows.numpy()

    def part(self, batch: int, stride: int | None = None) -> Share:
        """The rows of a batch that this process works on, where shares may differ and even be empty.

        Args:
            batch: rows in all.
            stride: rows a multiple of it apart stay together, such as halves of a batch that are pairs; a
                divisor of the batch. None: each row stands alone.
        """
        units = batch if stride is None else stride
        first, last = (rank * units // self.count for rank in (self.rank, self.rank + 1))
        is_empty = first == last
        if is_empty:
            first, last = 0, 1
        rows = torch.arange(batch).view(-1, units)[:, first:last].flatten()
        return Share(rows, batch, 0.0 if is_empty else len(rows) / batch)

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
        """The sum over the processes, in place where there are several.

        Raises:
            ConnectionError: another process has ended.
        """
        if self.count > 1:
            with _connected():
                distributed.all_reduce(tensor)
        return tensor

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the values that the first one has."""
        if self.count > 1:
            with torch.no_grad(), _connected():
                for tensor in tensors:
                    distributed.broadcast(tensor, src=0)

    def sum_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Replace the gradients of the optimiser's parameters by their sums, all in one message."""
        if self.count == 1:
            return
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        joined = self.sum(torch.cat([gradient.float().reshape(-1) for gradient in gradients]))
        parts = joined.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def sum_values(self, values: Mapping[str, Scalar], device: torch.device) -> dict[str, Scalar]:
        """The sums of named numbers, the same in every process; reads no tensor, which would wait for it."""
        if self.count == 1:
            return dict(values)
        # NCCL sums on the GPU; float64 keeps what one process would log.
        own = [torch.as_tensor(value, dtype=torch.float64, device=device) for value in values.values()]
        return dict(zip(values, self.sum(torch.stack(own)).unbind(), strict=True))

    def joint_sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, for a loss that each of them calculates from it alike.

        The gradient of that loss reaches each process's own summand; gradients of parameters are then to be
        summed over the processes.
        """
        return tensor if self.count == 1 else _JointSum.apply(tensor, self)

    def whole_batch(self, own: Tensor, share: Share) -> Tensor:
        """Rows [batch, ...] of all processes from those of this share [n, ...]; see `joint_sum`."""
        if self.count == 1:
            return own
        rows = share.rows.to(own.device)
        own = own if share.weight else own * 0
        return self.joint_sum(own.new_zeros(share.batch, *own.shape[1:]).index_copy(0, rows, own))

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set in any process; all of them get the same answer."""
        return flag if self.count == 1 else bool(self.sum(torch.tensor(float(flag), device=device)) > 0)

    def agree(self, value: int, device: torch.device) -> bool:
        """Whether a whole number is the same in all processes; all of them get the same answer."""
        total = float(self.sum_values({"value": value}, device)["value"])
        return not self.any(total != value * self.count, device)

    def wait(self) -> None:
        """Return when every process has come this far."""
        if self.count > 1:
            with _connected():
                distributed.barrier()

    def joint_random_numbers(self, rows: Tensor, batch: int) -> AbstractContextManager[Any]:
        """Inside, random tensors with one row per row of a share are the share's part of the batch's.

        The same holds for what dropout keeps.
        """
        return nullcontext() if self.count == 1 else _JointRandomNumbers(rows, batch)


ALONE = Processes()


@contextmanager
def _connected() -> Iterator[None]:
    """torch reports a process that has ended as any RuntimeError; make it a ConnectionError."""
    try:
        yield
    except RuntimeError as error:
        raise ConnectionError(str(error)) from error


class _JointSum(torch.autograd.Function):
    """A sum over processes whose gradient goes to the own summand as it is."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, processes: Processes) -> Tensor:
        return processes.sum(tensor.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class _JointStatistic(torch.autograd.Function):
    """A sum over processes inside a network: its gradient comes from the losses of all of them."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        return processes.sum(tensor.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.processes.sum(gradient.clone()), None


class JointBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that in training uses the statistics of the rows of all processes.

    torch's `SyncBatchNorm` does the same on GPUs alone. With one process it is `BatchNorm2d`.
    """

    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x: Tensor) -> Tensor:
        processes = Processes.of_this_run()
        if processes.count == 1 or not self.training:
            return super().forward(x)
        values = x.float()
        count = torch.full((1,), values.numel() / values.shape[1], device=x.device)
        dims = (0, 2, 3)
        total = _JointStatistic.apply(torch.cat([values.sum(dims), count]), processes)
        mean, count = total[:-1] / total[-1], total[-1].detach()
        centred = values - mean[:, None, None]
        variance = _JointStatistic.apply(centred.square().sum(dims), processes) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        normalised = centred * (variance + self.eps).rsqrt()[:, None, None]
        return (normalised * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class _JointRandomNumbers(TorchFunctionMode):
    """Draws for all rows of a batch and hands out those of one share."""

    def __init__(self, rows: Tensor, batch: int) -> None:
        super().__init__()
        self.share = rows
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
        if func is F.dropout and kwargs.get("training", True):
            kept = func(args[0].new_ones(self._whole(args[0].shape)), *args[1:], **kwargs)
            return args[0] * self._own(kept)
        return func(*args, **kwargs)

    def _whole(self, size: Sequence[int]) -> tuple[int, ...]:
        if size[0] != len(self.share):
            raise RuntimeError(f"random numbers for {size[0]} rows in a share of {len(self.share)}")
        return (self.batch, *size[1:])

    def _own(self, drawn: Tensor) -> Tensor:
        return drawn[self.share.to(drawn.device)]
