"""StyleGAN v1 generator: mapping network, truncation and synthesis network.

Compatible with GenForce checkpoints: same entry names, same arithmetic, strict loading.
"""

import math
from itertools import pairwise
from typing import Any, get_args

import torch
from torch import Tensor, nn

from stylegan.interface import Generator
from stylegan.layers import (
    ConstantLayer,
    DenseMapping,
    EqualizedConv,
    EqualizedDense,
    GrowingNetwork,
    SynthesisLayer,
    Variant,
    upsample,
)

START_RESOLUTION = 4
W_AVG_DECAY = 0.995


def channel_count(resolution: int, fmaps_base: int, fmaps_max: int) -> int:
    """Feature maps of the layers that work at a resolution (pixels per side)."""
    return min(fmaps_base // resolution, fmaps_max)


def check_resolution(resolution: int) -> None:
    """Raise ValueError unless the resolution is a power of two from 8 to 1024."""
    if not 8 <= resolution <= 1024 or resolution & (resolution - 1):
        raise ValueError(f"resolution must be a power of two from 8 to 1024, but it is {resolution}")


def variant_entry(variant: Variant) -> dict[str, Any]:
    """What a configuration says of a variant: nothing of the usual one, so that older files compare equal.

    Raises:
        ValueError: there is no such variant.
    """
    if variant not in get_args(Variant):
        raise ValueError(f"variant must be one of {', '.join(get_args(Variant))}, but it is {variant!r}")
    return {} if variant == "genforce" else {"variant": variant}


def active_layer_count(resolution: int, lod: float) -> int:
    """Synthesis layers that contribute to the picture at a level of detail (`lod`)."""
    return 2 * (int(math.log2(resolution)) - 1 - math.floor(lod))


def mix_styles(wp: Tensor, other: Tensor, probability: Tensor | float, layer_count: int) -> Tensor:
    """Style mixing: from a random layer on, some rows of wp take the styles of another latent.

    Args:
        wp, other: [N,layers,w_dim].
        probability: chance of being mixed, one number or one per row [N].
        layer_count: layers in use; the crossover lies in 1 .. layer_count - 1.
    Returns:
        [N,layers,w_dim]. Draws from torch's global generator.
    """
    rows = wp.shape[0]
    chosen = torch.rand(rows, device=wp.device) < probability
    crossover = torch.randint(1, layer_count, (rows,), device=wp.device)
    layer = torch.arange(wp.shape[1], device=wp.device)
    mixed = chosen[:, None] & (layer[None, :] >= crossover[:, None])
    return torch.where(mixed[:, :, None], other, wp)


def styles_of(
    generator: Generator,
    z: Tensor,
    trunc_psi: float | None,
    trunc_layers: int | None,
    style_mixing_prob: float,
    update_w_avg: bool,
    layer_count: int,
) -> tuple[Tensor, Tensor]:
    """The first half of a generator, common to all of them: w [N,w_dim] and wp [N,layers,w_dim] of z.

    Args:
        layer_count: layers in use, for style mixing; the others as in `StyleGANGenerator.forward`.
    Raises:
        ValueError: z has another width, or style mixing or `update_w_avg` is asked for in eval mode.
    """
    if z.ndim != 2 or z.shape[1] != generator.z_space_dim:
        raise ValueError(f"z must be [N,{generator.z_space_dim}], but it is {list(z.shape)}")
    if not generator.training and (style_mixing_prob > 0 or update_w_avg):
        raise ValueError("style mixing and the average of w belong to training mode; call .train() first")
    w = generator.mapping(z)
    wp = generator.truncation(w, trunc_psi, trunc_layers)
    if update_w_avg:
        generator.truncation.update_average(w)
    if style_mixing_prob > 0:
        other = generator.truncation(generator.mapping(torch.randn_like(z)), trunc_psi, trunc_layers)
        wp = mix_styles(wp, other, style_mixing_prob, layer_count)
    return w, wp


class MappingNetwork(DenseMapping):
    """z [N,input_dim] -> w [N,output_dim]."""

    LAYER = "dense{}"

    def __init__(
        self, input_dim: int, output_dim: int, fmaps: int = 512, layer_count: int = 8, lr_mul: float = 0.01
    ) -> None:
        widths = [input_dim] + [fmaps] * (layer_count - 1) + [output_dim]
        super().__init__(EqualizedDense(*sizes, lr_mul=lr_mul) for sizes in pairwise(widths))


def truncate(w: Tensor, w_avg: Tensor, layer_count: int, psi: float | None, layers: int | None) -> Tensor:
    """The truncation trick: hand w to every layer, in the first layers pulled towards the average w.

    Args:
        w: [N,w_dim], or a wp, which is truncated likewise.
        psi: 1 or None changes nothing, 0 gives the average everywhere.
        layers: how many layers, from the first, are truncated; None means all of them.
    Returns:
        wp [N,layer_count,w_dim].
    """
    wp = w.unsqueeze(1).repeat(1, layer_count, 1) if w.ndim == 2 else w
    if psi is None or psi == 1.0:
        return wp
    truncated = w_avg + psi * (wp - w_avg)
    keep_from = layer_count if layers is None else layers
    return torch.cat([truncated[:, :keep_from], wp[:, keep_from:]], dim=1)


@torch.no_grad()
def move_average(w_avg: Tensor, w: Tensor) -> None:
    """Move the average w [w_dim] towards the mean of a training batch w [N,w_dim]."""
    w_avg.lerp_(w.detach().float().mean(dim=0), 1.0 - W_AVG_DECAY)


class Truncation(nn.Module):
    """The truncation trick as a module that keeps the average w."""

    w_avg: Tensor

    def __init__(self, w_space_dim: int, layer_count: int) -> None:
        super().__init__()
        self.layer_count = layer_count
        self.register_buffer("w_avg", torch.zeros(w_space_dim))

    def forward(self, w: Tensor, psi: float | None = None, layers: int | None = None) -> Tensor:
        """See `truncate`."""
        return truncate(w, self.w_avg, self.layer_count, psi, layers)

    def update_average(self, w: Tensor) -> None:
        move_average(self.w_avg, w)


class SynthesisNetwork(GrowingNetwork):
    """wp [N,layers,w_dim] -> image [N,channels,resolution,resolution], about [-1,1]."""

    def __init__(
        self,
        resolution: int,
        w_space_dim: int,
        fmaps_base: int,
        fmaps_max: int,
        image_channels: int,
        variant: Variant = "genforce",
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.block_count = int(math.log2(resolution)) - 1
        width = channel_count(START_RESOLUTION, fmaps_base, fmaps_max)
        for block in range(self.block_count):
            size = START_RESOLUTION << block
            previous, width = width, channel_count(size, fmaps_base, fmaps_max)
            first = (
                SynthesisLayer(previous, width, size, w_space_dim, up=True, variant=variant)
                if block
                else ConstantLayer(width, w_space_dim, START_RESOLUTION, variant)
            )
            self.add_module(f"layer{2 * block}", first)
            second = SynthesisLayer(width, width, size, w_space_dim, up=False, variant=variant)
            self.add_module(f"layer{2 * block + 1}", second)
            to_rgb = EqualizedConv(width, image_channels, kernel_size=1, gain=1.0, activate=False)
            self.add_module(f"output{block}", to_rgb)

    def _block(self, block: int, x: Tensor | None, wp: Tensor, randomize_noise: bool) -> Tensor:
        first, second = self.get_submodule(f"layer{2 * block}"), self.get_submodule(f"layer{2 * block + 1}")
        w0, w1 = wp[:, 2 * block], wp[:, 2 * block + 1]
        x = first(w0, randomize_noise) if x is None else first(x, w0, randomize_noise)
        return second(x, w1, randomize_noise)

    def forward(self, wp: Tensor, lod: float | None = None, randomize_noise: bool = False) -> Tensor:
        """Draw the picture.

        Args:
            lod: level of detail of progressive growing; 0 = full detail, 1 = half the resolution, and so on;
                fractions blend two neighbours. None takes the stored `lod`. The size stays the full one.
            randomize_noise: fresh noise from torch's global generator instead of the stored pictures.
        Raises:
            ValueError: the lod is negative or asks for less than 4x4 pixels.
        """
        lod = self.stored_lod if lod is None else float(lod)
        if not 0 <= lod <= self.block_count - 1:
            raise ValueError(f"lod must be from 0 to {self.block_count - 1}, but it is {lod}")
        whole = math.floor(lod)
        last = self.block_count - 1 - whole
        x: Tensor | None = None
        for block in range(last):
            x = self._block(block, x, wp, randomize_noise)
        coarse = None if lod == whole else self.get_submodule(f"output{last - 1}")(x)
        image = self.get_submodule(f"output{last}")(self._block(last, x, wp, randomize_noise))
        if coarse is not None:
            image = torch.lerp(upsample(coarse), image, whole + 1 - lod)
        for _ in range(whole):
            image = upsample(image)
        return image


class StyleGANGenerator(Generator):
    """StyleGAN v1 generator with submodules `mapping`, `truncation` and `synthesis`.

    Args:
        resolution: pixels per side, a power of two.
        z_space_dim, w_space_dim: sizes of the latent vectors z and w.
        mapping_layers, mapping_fmaps, mapping_lr_mul: depth, width and multiplier of the mapping network.
        fmaps_base, fmaps_max: a layer at resolution r has min(fmaps_base / r, fmaps_max) feature maps.
        image_channels: channels of the picture (3 = RGB).
        variant: whose arithmetic, see `SynthesisLayer`; in `config` where it is not "genforce".
        mapping: a mapping network to use instead of the usual one.
    """

    synthesis: SynthesisNetwork

    def __init__(
        self,
        resolution: int,
        z_space_dim: int = 512,
        w_space_dim: int = 512,
        mapping_layers: int = 8,
        mapping_fmaps: int = 512,
        mapping_lr_mul: float = 0.01,
        fmaps_base: int = 16384,
        fmaps_max: int = 512,
        image_channels: int = 3,
        variant: Variant = "genforce",
        mapping: MappingNetwork | None = None,
    ) -> None:
        super().__init__()
        check_resolution(resolution)
        self.config: dict[str, Any] = {
            "resolution": resolution,
            "z_space_dim": z_space_dim,
            "w_space_dim": w_space_dim,
            "mapping_layers": mapping_layers,
            "mapping_fmaps": mapping_fmaps,
            "mapping_lr_mul": mapping_lr_mul,
            "fmaps_base": fmaps_base,
            "fmaps_max": fmaps_max,
            "image_channels": image_channels,
            **variant_entry(variant),
        }
        self.resolution = resolution
        self.z_space_dim = z_space_dim
        self.w_space_dim = w_space_dim
        self.layer_count = active_layer_count(resolution, 0)
        self.mapping = mapping or MappingNetwork(
            z_space_dim, w_space_dim, mapping_fmaps, mapping_layers, mapping_lr_mul
        )
        self.truncation = Truncation(w_space_dim, self.layer_count)
        self.synthesis = SynthesisNetwork(
            resolution, w_space_dim, fmaps_base, fmaps_max, image_channels, variant
        )

    def forward(
        self,
        z: Tensor,
        *,
        trunc_psi: float | None = None,
        trunc_layers: int | None = None,
        randomize_noise: bool = False,
        lod: float | None = None,
        style_mixing_prob: float = 0.0,
        update_w_avg: bool = False,
    ) -> dict[str, Tensor]:
        """Generate images from z [N,z_dim].

        Args:
            trunc_psi, trunc_layers: see `truncate`.
            randomize_noise, lod: see `SynthesisNetwork`.
            style_mixing_prob: chance that an image gets a second, random z from a random layer on.
            update_w_avg: move the average w towards this batch.
        Returns:
            {"z" [N,z_dim], "w" [N,w_dim], "wp" [N,layers,w_dim], "image" [N,channels,H,W] about [-1,1]}.
        Raises:
            ValueError: z has another width, or style mixing or `update_w_avg` is asked for in eval mode.
        """
        layer_count = active_layer_count(self.resolution, self.synthesis.stored_lod if lod is None else lod)
        w, wp = styles_of(self, z, trunc_psi, trunc_layers, style_mixing_prob, update_w_avg, layer_count)
        image = self.synthesis(wp, lod=lod, randomize_noise=randomize_noise)
        return {"z": z, "w": w, "wp": wp, "image": image}
