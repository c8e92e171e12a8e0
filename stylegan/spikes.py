"""Features that stand out at one place of every picture.

Instance normalisation lets a generator set the scale of a whole picture by one strong spot, which shows as a
droplet (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, section 2).
"""

from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from stylegan.layers import SynthesisLayer

LEAST_RESOLUTION = 32
ALLOWED_ENERGY = 20.0  # times the mean over the picture


def spike_penalty(features: Tensor) -> Tensor:
    """How far the energy of features [N,C,H,W] exceeds `ALLOWED_ENERGY` anywhere; a mean over the places."""
    energy = features.float().square().mean(dim=1)
    relative = energy / energy.mean(dim=(1, 2), keepdim=True).clamp_min(1e-12)
    return (relative - ALLOWED_ENERGY).clamp_min(0).mean()


class SpikeMeter:
    """While open, adds up the penalty over the layers of a synthesis network from 32 px on."""

    def __init__(self, synthesis: nn.Module) -> None:
        self.layers = [module for module in synthesis.modules() if isinstance(module, SynthesisLayer)]
        self.total: Tensor = torch.zeros(())

    def __enter__(self) -> "SpikeMeter":
        self._hooks = [layer.register_forward_hook(self._add) for layer in self.layers]
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for hook in self._hooks:
            hook.remove()

    def _add(self, layer: nn.Module, inputs: Any, features: Tensor) -> None:
        if features.shape[2] >= LEAST_RESOLUTION:
            self.total = self.total.to(features.device) + spike_penalty(features)
