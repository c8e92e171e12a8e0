"""The fused layers equal the plain ones: values, gradients, second derivatives, mixed precision."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from scripts.stages.benchmarks import plain_stylegan
from stylegan.layers import ConstantLayer, EqualizedConv, SynthesisLayer
from stylegan.styled_activation import styled_activation


def _randomise(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.normal_(parameter)


def _results(run: Callable[[Tensor], Tensor], layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Output of a layer, gradient of its input and of all its parameters."""
    layer.zero_grad()
    leaf = x.detach().clone().requires_grad_()
    torch.manual_seed(0)
    out = run(leaf)
    (out.float() * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [out.detach(), leaf.grad] + [p.grad.clone() for p in layer.parameters() if p.grad is not None]


def _error(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().float(), expected.detach().float()
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize(("resolution", "channels"), [(8, 3), (16, 16), (128, 4)])
def test_synthesis_layer_equals_the_plain_one(up: bool, resolution: int, channels: int) -> None:
    torch.manual_seed(1)
    layer = SynthesisLayer(channels + 2, channels, resolution, 6, up)
    _randomise(layer)
    size = resolution // 2 if up else resolution
    x, w = torch.randn(3, channels + 2, size, size), torch.randn(3, 6)
    found = _results(lambda x: layer(x, w, True), layer, x)
    expected = _results(lambda x: plain_stylegan.synthesis_layer(layer, x, w, True), layer, x)
    assert len(found) == 2 + len(list(layer.parameters()))
    assert _error(found[0], expected[0]) < 1e-5
    # Gradients of biases are small sums of large numbers: the normalisation takes most of a constant away.
    assert max(map(_error, found, expected)) < 1e-3
    stored = layer(x, w, False), plain_stylegan.synthesis_layer(layer, x, w, False)
    assert _error(*stored) < 1e-5


def test_constant_layer_equals_the_plain_one() -> None:
    torch.manual_seed(2)
    layer = ConstantLayer(5, 6)
    _randomise(layer)
    w = torch.randn(3, 6)
    found = _results(lambda w: layer(w, True), layer, w)
    expected = _results(lambda w: plain_stylegan.constant_layer(layer, w, True), layer, w)
    # The tolerance is wider than for outputs: gradients of biases are small sums of large numbers.
    assert _error(found[0], expected[0]) < 1e-5
    assert max(map(_error, found, expected)) < 1e-3


@pytest.mark.parametrize("down", [False, True])
def test_convolution_equals_the_plain_one_twice_differentiated(down: bool) -> None:
    torch.manual_seed(3)
    layer = EqualizedConv(4, 6, down=down)
    _randomise(layer)
    x = torch.randn(2, 4, 8, 8)

    def penalty(run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(run(x).square().sum(), x, create_graph=True)
        return gradient.square().mean(dim=(1, 2, 3))

    found = _results(lambda x: penalty(layer, x), layer, x)
    expected = _results(lambda x: penalty(lambda x: plain_stylegan.convolution(layer, x), x), layer, x)
    assert max(map(_error, found, expected)) < 1e-5
    assert _error(layer(x), plain_stylegan.convolution(layer, x)) < 1e-5


@pytest.mark.parametrize(("channels", "size"), [(16, 32), (128, 8)])
def test_bfloat16_stays_within_its_rounding(channels: int, size: int) -> None:
    torch.manual_seed(5)
    x = torch.randn(2, channels, size, size).bfloat16()
    noise = torch.randn(2, 1, size, size).bfloat16().float()
    strength, bias = torch.randn(2, channels).bfloat16().float()
    gain, shift = torch.randn(2, 2, channels)
    pull = torch.randn(2, channels, size, size)
    results = []
    for dtype in (torch.bfloat16, torch.float32):
        leaf = x.to(dtype, copy=True).requires_grad_()
        out = styled_activation(leaf, noise, strength, bias, gain, shift)
        assert out.dtype == dtype
        out.backward(pull.to(dtype))
        results.append((out.detach(), leaf.grad))
    for found, expected in zip(*results, strict=True):
        assert _error(found, expected) < 2**-7
