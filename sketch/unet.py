"""The generator of the sketch document: a U-Net that turns lines into a portrait.

Architecture: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (CVPR 2017);
sizes and entry names are those of the document's program. Its variant with residual connections, conditioning
on colours and a latent code, and smaller sizes are options.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count, pairwise
from typing import Literal

import torch
from torch import Tensor, nn

SLOPE = 0.2  # of LeakyReLU
UNET_PREFIX = "down1.model.0.weight"  # an entry that each file of a U-Net has
DROPOUT_FROM = 4  # level from the top at which dropout begins
CODE_WIDTH = 64  # hidden size of the network that reads the conditions


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of a U-Net; the defaults are the document's network.

    Attributes:
        in_channels: of the sketch: 3 in the document, 1 for plain lines.
        width: channels of the first level; they double from level to level.
        most_channels: at which the doubling ends.
        depth: levels; pictures have sides that are multiples of 2^depth.
        residual_convolutions: of the residual block of each level, 0: none; 3 in the document's variant.
        residual_norm: normalise inside these blocks, which the document's do not.
        dropout: probability, from the fourth level on.
        end: how the last level doubles its size: "resize" (nearest neighbour, then a 4x4 convolution) as in
            the document, or "shuffle" (a 3x3 convolution to four times the channels, Shi et al., CVPR 2016),
            which takes a quarter of the memory and ends without tanh.
        out_channels: 3, and more for what the caller makes of them.
        condition_size: numbers that describe what lines do not tell (colours, a latent code); 0: none.
    """

    in_channels: int = 3
    width: int = 64
    most_channels: int = 512
    depth: int = 8
    residual_convolutions: int = 0
    residual_norm: bool = True
    dropout: float = 0.5
    end: Literal["resize", "shuffle"] = "resize"
    condition_size: int = 0
    out_channels: int = 3

    def __post_init__(self) -> None:
        if min(self.in_channels, self.width, self.most_channels) < 1 or self.depth < 2:
            raise ValueError("a U-Net has at least two levels, and each at least one channel")

    def channels(self) -> list[int]:
        """Of each level, from the top."""
        return [min(self.width << level, self.most_channels) for level in range(self.depth)]


class InstanceNorm(nn.InstanceNorm2d):
    """Mean 0 and variance 1 of each channel of each picture; without parameters.

    torch's own forgets the order channels last, and the layers around it then take twice the time.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape and order of memory."""
        y = super().forward(x)
        return y.contiguous(memory_format=torch.channels_last) if not x.is_contiguous() else y


class ResidualBlock(nn.Module):
    """3x3 convolutions added to their input (He et al., CVPR 2016). All but the last have a bias."""

    def __init__(self, channels: int, convolutions: int, has_norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(convolutions):
            is_last = index == convolutions - 1
            layers.append(nn.Conv2d(channels, channels, 3, padding=1, bias=not is_last))
            layers += [InstanceNorm(channels)] if has_norm else []
            layers += [] if is_last else [nn.ReLU()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to the same shape."""
        return x + self.model(x)


def _residual(channels: int, config: UNetConfig, has_norm: bool) -> nn.Module:
    if config.residual_convolutions == 0:
        return nn.Identity()
    return ResidualBlock(channels, config.residual_convolutions, has_norm and config.residual_norm)


class Down(nn.Module):
    """Halves the size: 4x4 convolution, norm (not at the top and the bottom), LeakyReLU, dropout."""

    def __init__(self, inner: int, outer: int, has_norm: bool, dropout: float, config: UNetConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(inner, outer, 4, stride=2, padding=1, bias=False)]
        layers += [InstanceNorm(outer)] if has_norm else []
        layers += [nn.LeakyReLU(SLOPE), *([nn.Dropout(dropout)] if dropout else [])]
        self.model = nn.Sequential(*layers)
        self.residual = _residual(outer, config, has_norm)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C', H / 2, W / 2]."""
        return self.residual(self.model(x))


class Up(nn.Module):
    """Doubles the size, scales and shifts by the conditions, and joins the level's own features."""

    def __init__(self, inner: int, outer: int, dropout: float, config: UNetConfig) -> None:
        super().__init__()
        widen = nn.ConvTranspose2d(inner, outer, 4, stride=2, padding=1, bias=False)
        further = [nn.Dropout(dropout)] if dropout else []
        self.model = nn.Sequential(widen, InstanceNorm(outer), nn.ReLU(), *further)
        self.modulation = nn.Linear(CODE_WIDTH, 2 * outer) if config.condition_size else None
        self.residual = _residual(outer, config, has_norm=True)

    def forward(self, x: Tensor, skip: Tensor, code: Tensor | None) -> Tensor:
        """[N, C, H, W], the features [N, C', 2 H, 2 W] of the way down, and a code [N, `CODE_WIDTH`]."""
        x = self.model[:2](x)
        if self.modulation is not None:
            scale, shift = self.modulation(code)[:, :, None, None].chunk(2, dim=1)
            x = x * (1 + scale) + shift
        return torch.cat([self.residual(self.model[2:](x)), skip], dim=1)


class UNet(nn.Module):
    """Portraits from sketches. `UNet()` has the document's 54,404,099 parameters and entry names.

    Args:
        config: sizes; None: the document's.
    """

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or UNetConfig()
        channels = config.channels()
        levels = range(1, config.depth + 1)
        dropouts = [config.dropout if level >= DROPOUT_FROM else 0.0 for level in levels]
        inputs = [config.in_channels, *channels]
        for level, inner, outer in zip(levels, inputs, channels, strict=False):
            has_norm = 1 < level < config.depth
            self.add_module(f"down{level}", Down(inner, outer, has_norm, dropouts[level - 1], config))
        for level, (below, above) in enumerate(pairwise(reversed(channels)), start=1):
            # The input of every level but the lowest is what came from below beside what came down.
            inner = below if level == 1 else 2 * below
            dropout = config.dropout if level <= config.depth - DROPOUT_FROM else 0.0
            self.add_module(f"up{level}", Up(inner, above, dropout, config))
        if config.end == "shuffle":
            last = nn.Conv2d(2 * channels[0], 4 * config.out_channels, 3, padding=1)
            self.final = nn.Sequential(last, nn.PixelShuffle(2))
        else:
            last = nn.Conv2d(2 * channels[0], config.out_channels, 4, padding=1)
            self.final = nn.Sequential(
                nn.Upsample(scale_factor=2), nn.ZeroPad2d((1, 0, 1, 0)), last, nn.Tanh()
            )
        self.reader = (
            nn.Sequential(nn.Linear(config.condition_size, CODE_WIDTH), nn.SiLU())
            if config.condition_size
            else None
        )

    def forward(self, sketch: Tensor, conditions: Tensor | None = None) -> Tensor:
        """Portraits.

        Args:
            sketch: float [N, in_channels, H, W] in [-1, 1], H and W multiples of 2^depth.
            conditions: float [N, condition_size], only of a network that has them.

        Returns:
            float [N, out_channels, H, W]; of the document's network RGB in [-1, 1].

        Raises:
            ValueError: sides that do not fit, or conditions that are missing or not wanted.
        """
        unit = 1 << self.config.depth
        if sketch.shape[-2] % unit or sketch.shape[-1] % unit:
            raise ValueError(f"sides {tuple(sketch.shape[-2:])} are no multiples of {unit}")
        if (conditions is None) != (self.reader is None):
            raise ValueError("conditions are given to a network that has them, and to no other")
        code = None if self.reader is None else self.reader(conditions)
        seen: list[Tensor] = []
        x = sketch
        for level in range(1, self.config.depth + 1):
            x = self.get_submodule(f"down{level}")(x)
            seen.append(x)
        for level, skip in enumerate(reversed(seen[:-1]), start=1):
            x = self.get_submodule(f"up{level}")(x, skip, code)
        return self.final(x)


def parameter_count(network: nn.Module) -> int:
    """Numbers that a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def initialise(network: nn.Module) -> None:
    """The document's random weights: normal, standard deviation .02, biases 0 (Isola et al., section 6.2).

    What reads the conditions keeps torch's own, and the four pixels of a shuffle begin alike, so that no
    chequered pattern has to be unlearned (Aitken et al., "Checkerboard artifact free sub-pixel convolution",
    2017).
    """
    for name, parameter in network.named_parameters():
        if "reader" in name or "modulation" in name:
            continue
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.02)
        else:
            nn.init.zeros_(parameter)
    for module in network.modules():
        if isinstance(module, UNet) and module.config.end == "shuffle":
            last = module.final[0]
            assert isinstance(last, nn.Conv2d)
            with torch.no_grad():
                last.weight.copy_(last.weight[::4].repeat_interleave(4, dim=0))


def matched_width(config: UNetConfig, plain: UNetConfig) -> UNetConfig:
    """`config` with the width at which its network is nearest in size to that of `plain`.

    The most channels keep their ratio to the width.
    """
    with torch.device("meta"):
        wanted = parameter_count(UNet(plain))
        best, smallest_gap = config, float("inf")
        for width in count(2):
            most = round(config.most_channels * width / config.width)
            candidate = replace(config, width=width, most_channels=most)
            gap = parameter_count(UNet(candidate)) - wanted
            if abs(gap) < smallest_gap:
                best, smallest_gap = candidate, abs(gap)
            if gap > 0:
                break
    return best
