"""Speed of StyleGAN2's synthesis, against the same written plainly (`plain_stylegan2`), both in float32."""

import copy
import statistics
import time

import torch
from torch import Tensor, nn

from scripts.stages.benchmarks import Measurement
from scripts.stages.benchmarks.plain_stylegan2 import write_plainly
from stylegan.stylegan2_generator import StyleGAN2Generator

RESOLUTION = 256
BATCH = 8
PUBLISHED_WIDTHS = 16384  # fmaps_base of the networks that NVIDIA publishes at 256 px
LARGEST_WIDTHS = 32768  # of those at 512 and 1024 px, and of rosinality's and OpenMMLab's
LARGEST_DIFFERENCE = 1e-3
REPEATS = 3
SEED = 0


def measure(device: torch.device, quick: bool) -> list[Measurement]:
    """Images per second of the synthesis network at 256 px, without gradients.

    Raises:
        RuntimeError: ours and plain make different pictures from the same weights.
    """
    widths = (PUBLISHED_WIDTHS,) if quick else (PUBLISHED_WIDTHS, LARGEST_WIDTHS)
    return [_measure(base, device, 1 if quick else REPEATS) for base in widths]


@torch.inference_mode()
def _measure(fmaps_base: int, device: torch.device, repeats: int) -> Measurement:
    torch.manual_seed(SEED)
    ours = StyleGAN2Generator(RESOLUTION, fmaps_base=fmaps_base).to(device).eval().synthesis
    plain = write_plainly(copy.deepcopy(ours))
    wp = torch.randn(BATCH, 1, 512, device=device).expand(-1, 2 * len(ours.sizes), -1)
    pictures = [network(wp) for network in (ours, plain)]
    difference = float((pictures[0] - pictures[1]).abs().max() / pictures[1].std())
    if difference > LARGEST_DIFFERENCE:
        raise RuntimeError(f"ours and plain differ by {difference:.1e}")
    times: list[tuple[float, float]] = [(_seconds(ours, wp), _seconds(plain, wp)) for _ in range(repeats)]
    rates = [BATCH / statistics.median(found) for found in zip(*times, strict=True)]
    note = f"batch {BATCH}, float32; same weights differ by {difference:.0e}"
    name = f"StyleGAN2 {RESOLUTION} px, fmaps_base {fmaps_base}, synthesis"
    return Measurement(name, rates[0], rates[1], "images/s", note)


def _seconds(network: nn.Module, wp: Tensor) -> float:
    started = time.perf_counter()
    float(network(wp)[0, 0, 0, 0])  # a number, so that a GPU has finished
    return time.perf_counter() - started
