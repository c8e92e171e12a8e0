"""Muon: steps that are orthogonal matrices, for fitting a generator to paired pictures in fewer images."""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
MATRIX_SCALE = 0.2
VECTOR_RATE = 0.4
VECTOR_BETAS = (0.9, 0.99)
MATRIX_MOMENTUM = 0.95
SMALLEST_SIDE = 4


def orthogonalize(matrix: Tensor) -> Tensor:
    """Replace the singular values of [M,N] by values near one, with matrix products alone.

    Five quintic Newton-Schulz iterations (Jordan et al., "Muon: an optimizer for hidden layers", 2024),
    in bfloat16: a step needs no more precision.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrix.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if tall else x).to(matrix.dtype)


def is_matrix(parameter: Tensor) -> bool:
    """Whether Muon steps suit a parameter: dense and convolution kernels, not biases or colours."""
    rows = parameter.shape[0] if parameter.ndim else 0
    return parameter.ndim in (2, 4) and min(rows, parameter[0].numel()) >= SMALLEST_SIDE


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised, for kernels [out,in] and [out,in,k,k]; Adam for every other parameter.

    The step of a kernel has a root mean square of about 0.2 times the learning rate, whatever its shape, and
    that of the others of 0.4 times the learning rate, so one rate serves them all.
    """

    def __init__(self, params: Iterable[Any], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move every parameter that has a gradient."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                move = self._move_matrix if is_matrix(parameter) else self._move_vector
                move(parameter, parameter.grad, group["lr"])
        return loss

    def _move_matrix(self, parameter: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1 - MATRIX_MOMENTUM)
        kernel = gradient.lerp(momentum, MATRIX_MOMENTUM).flatten(1)
        step = orthogonalize(kernel).view(parameter.shape)
        parameter.add_(step, alpha=-rate * MATRIX_SCALE * max(kernel.shape) ** 0.5)

    def _move_vector(self, parameter: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        count = float(state["step"])
        mean = state["mean"].lerp_(gradient, 1 - VECTOR_BETAS[0])
        square = state["square"].lerp_(gradient.square(), 1 - VECTOR_BETAS[1])
        root = (square / (1 - VECTOR_BETAS[1] ** count)).sqrt_().add_(1e-8)
        parameter.addcdiv_(mean, root, value=-rate * VECTOR_RATE / (1 - VECTOR_BETAS[0] ** count))
