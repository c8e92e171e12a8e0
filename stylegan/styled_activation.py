"""What follows a convolution of StyleGAN v1's synthesis: noise, bias, leaky ReLU, instance norm and style.

In one function with a gradient of its own, in few passes over memory.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LEAKY_SLOPE = 0.2
NORM_EPSILON = 1e-8
ROW_LENGTH = 256  # numbers that a row of `_Rows` has at most


class _Rows:
    """Features [N,H,W,C] seen as [N,rows,length]: several pixels side by side in each row.

    Vector instructions want long rows: with one pixel of 16 channels per row, an operation of a value per
    channel with the features takes ten times as long on a CPU.
    """

    def __init__(self, count: int, pixels: int, channels: int) -> None:
        self.count, self.channels, self.repeats = count, channels, 1
        while channels * self.repeats * 2 <= ROW_LENGTH and pixels % (self.repeats * 2) == 0:
            self.repeats *= 2

    def view(self, x: Tensor) -> Tensor:
        return x.reshape(self.count, -1, self.channels * self.repeats)

    def spread(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        """Lay out values [N,C] so that they meet their channels in `view`."""
        wide = values.to(dtype).unsqueeze(1).expand(-1, self.repeats, -1)
        return wide.reshape(self.count, 1, -1)

    def sum(self, rows: Tensor) -> Tensor:
        """Sum over the pixels, [N,rows,length] -> [N,C] float32.

        Sums of a part of the pixels are left in the type of the features (they accumulate in float32 anyhow):
        asking for float32 at once would first write a float32 copy of everything.
        """
        parts = rows.view(self.count, self.repeats, -1, self.channels).sum(dim=2)
        return parts.float().sum(dim=1)


class _StyledActivation(torch.autograd.Function):
    """Noise, bias, leaky ReLU, instance norm and style in few passes, with a gradient in closed form.

    These layers cost memory traffic, not arithmetic; automatic differentiation would make twice the passes.
    Cannot be differentiated twice.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        noise: Tensor,
        strength: Tensor,
        bias: Tensor,
        gain: Tensor,
        shift: Tensor,
        epsilon: float,
    ) -> Tensor:
        count, channels, height, width = x.shape
        rows = _Rows(count, height * width, channels)
        with torch.autocast(x.device.type, enabled=False):
            noise = noise.to(x.dtype).flatten()
            # Noise and bias at once, as the product of a thin and a flat matrix.
            factors = torch.stack([noise, torch.ones_like(noise)], dim=1)
            pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
            activated = torch.addmm(pixels, factors, torch.stack([strength, bias]).to(x.dtype))
            activated = rows.view(F.leaky_relu_(activated, LEAKY_SLOPE))
            mean = rows.sum(activated) / (height * width)
            centred = activated - rows.spread(mean, x.dtype)
            variance = rows.sum(centred.square()) / (height * width)
            inverse_std = torch.rsqrt(variance + epsilon)
            styled = torch.addcmul(
                rows.spread(shift, x.dtype), centred, rows.spread(gain * inverse_std, x.dtype)
            )
        ctx.rows = rows
        ctx.save_for_backward(activated, centred, noise, gain, inverse_std)
        return styled.view(count, height, width, channels).permute(0, 3, 1, 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        activated, centred, noise, gain, inverse_std = ctx.saved_tensors
        rows: _Rows = ctx.rows
        count, channels, height, width = grad.shape
        grad = rows.view(grad.permute(0, 2, 3, 1))
        grad_shift = rows.sum(grad)
        product = rows.sum(grad * centred)
        factor = gain * inverse_std
        offset = -factor * grad_shift / (height * width)
        pull = -factor * inverse_std.square() * product / (height * width)
        grad_x = torch.addcmul(
            rows.spread(offset, grad.dtype), grad, rows.spread(factor, grad.dtype)
        ).addcmul_(centred, rows.spread(pull, grad.dtype))
        grad_x = torch.ops.aten.leaky_relu_backward(grad_x, activated, LEAKY_SLOPE, True)
        wants_strength, wants_bias = ctx.needs_input_grad[2:4]  # frozen synthesis networks need neither
        grad_strength = (noise @ grad_x.view(-1, channels)).float() if wants_strength else None
        grad_bias = rows.sum(grad_x).sum(dim=0) if wants_bias else None
        grad_x = grad_x.view(count, height, width, channels).permute(0, 3, 1, 2)
        return grad_x, None, grad_strength, grad_bias, product * inverse_std, grad_shift, None


def styled_activation(
    x: Tensor,
    noise: Tensor,
    strength: Tensor,
    bias: Tensor,
    gain: Tensor,
    shift: Tensor,
    epsilon: float = NORM_EPSILON,
) -> Tensor:
    """Add noise and bias, apply leaky ReLU, normalise every channel over its pixels, scale and shift it.

    Args:
        x: features [N,C,H,W], float32 or bfloat16; the result has the same type, channels last.
        noise: [N,1,H,W].
        strength, bias: [C], factor on the noise and constant.
        gain, shift: [N,C] float32, what the style asks for.
        epsilon: added to the variance that is divided by.
    """
    return _StyledActivation.apply(x, noise, strength, bias, gain, shift, epsilon)
