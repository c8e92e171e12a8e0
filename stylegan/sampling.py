"""Images from seeds: one picture for each (weights, seed), up to rounding, whatever the batch size."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from stylegan.interface import Generator
from stylegan.seeds import PICTURES


def sample_z(img_nos: Sequence[int], seed: int, z_dim: int) -> Tensor:
    """Latents [N,z_dim] float32 from N(0, I); that of image n comes from a CPU generator seeded seed + n.

    Raises:
        ValueError: a seed + n is not in `stylegan.seeds.PICTURES`, the part of all seeds that pictures have.
    """
    outside = [seed + int(n) for n in img_nos if seed + int(n) not in PICTURES]
    if outside:
        raise ValueError(f"{outside[0]} is no seed of a picture; they go from 0 to {PICTURES.stop - 1}")
    rng = torch.Generator()
    rows = [torch.randn(z_dim, generator=rng.manual_seed(seed + int(n))) for n in img_nos]
    return torch.stack(rows) if rows else torch.empty(0, z_dim)


@torch.inference_mode()
def synthesize(
    generator: Generator,
    z: Tensor,
    *,
    batch_size: int = 64,
    trunc_psi: float | None = None,
    trunc_layers: int | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Yield, batch by batch, {"z", "w", "wp", "image"} on the CPU for z [N,z_dim].

    Uses the stored noise, so an image depends on nothing but its own z. The generator must be in eval mode.
    """
    if generator.training:
        raise ValueError("sampling needs a generator in eval mode; call .eval() first")
    device = next(generator.mapping.parameters()).device
    for part in z.split(batch_size):
        found = generator(part.to(device), trunc_psi=trunc_psi, trunc_layers=trunc_layers)
        yield {name: value.cpu() for name, value in found.items()}


def grey_levels(images: Tensor) -> Tensor:
    """[N,3,H,W] in [-1,1] (clipped) -> the nearest whole numbers from 0 to 255, float32, on the device."""
    return ((images.float() + 1.0) * 127.5).round().clamp(0, 255)


def to_uint8(images: Tensor) -> np.ndarray:
    """[N,3,H,W] in [-1,1] (clipped) -> uint8 [N,H,W,3], rounded to the nearest level."""
    levels = grey_levels(images).to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def from_uint8(images: np.ndarray) -> Tensor:
    """uint8 [N,H,W,3] -> float32 [N,3,H,W] in [-1,1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
