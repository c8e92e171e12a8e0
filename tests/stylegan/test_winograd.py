"""The quicker convolution gives the numbers of the plain one, and steps aside where gradients are wanted."""

import pytest
import torch
import torch.nn.functional as F

from stylegan import winograd


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 2, 12, 8), (3, 24, 16, 16)])
def test_it_is_the_convolution(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(shape), torch.randn(5, shape[1], 3, 3)
    expected = F.conv2d(x.double(), weight.double(), padding=1)
    for given in (x, x.contiguous(memory_format=torch.channels_last)):
        got = winograd.winograd(given, weight)
        assert got.is_contiguous(memory_format=torch.channels_last)
        assert (got - expected).abs().max() < 1e-5 * expected.std()


def test_gradients_and_mixed_precision_take_the_plain_way() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 128, 32, 32), torch.randn(128, 128, 3, 3, requires_grad=True)
    plain = winograd.convolve(x, weight)
    assert plain.grad_fn is not None
    with torch.no_grad():
        assert torch.equal(plain, F.conv2d(x, weight, padding=1))
        quick = winograd.convolve(x, weight)
        assert not torch.equal(quick, plain)
        torch.testing.assert_close(quick, plain, rtol=0, atol=2e-5 * float(plain.std()))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert winograd.convolve(x, weight).dtype == torch.bfloat16
