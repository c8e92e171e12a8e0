"""Speed of StyleGAN2's synthesis, against the same written plainly (`plain_stylegan2`), both in float32."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from scripts.stages.benchmarks.measurement import Measurement, check_difference, seconds_by_turns
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
    """The synthesis network at 256 px, without gradients.

    Raises:
        RuntimeError: ours and plain make different pictures from the same weights.
    """
    widths = (PUBLISHED_WIDTHS,) if quick else (PUBLISHED_WIDTHS, LARGEST_WIDTHS)
    return [_measure(base, device, 1 if quick else REPEATS) for base in widths]


@torch.inference_mode()
def _measure(fmaps_base: int, device: torch.device, repeats: int) -> Measurement:
    torch.manual_seed(SEED)
    name = f"StyleGAN2 {RESOLUTION} px, fmaps_base {fmaps_base}, synthesis"
    generator = StyleGAN2Generator(RESOLUTION, fmaps_base=fmaps_base).to(device).eval()
    ours = generator.synthesis
    plain = write_plainly(copy.deepcopy(ours))
    wp = torch.randn(BATCH, 1, 512, device=device).expand(-1, generator.layer_count, -1)
    ways: dict[str, Callable[[], Tensor]] = {"ours": lambda: ours(wp).cpu(), "plain": lambda: plain(wp).cpu()}
    pictures = {way: draw() for way, draw in ways.items()}
    difference = float((pictures["ours"] - pictures["plain"]).abs().max() / pictures["plain"].std())
    check_difference(difference, LARGEST_DIFFERENCE, name)
    seconds = seconds_by_turns(ways, repeats)
    note = f"batch {BATCH}, float32; same weights differ by {difference:.0e}"
    return Measurement(name, BATCH / seconds["ours"], BATCH / seconds["plain"], note)
