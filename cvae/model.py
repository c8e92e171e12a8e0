"""The conditional VAE, one class for both architectures.

plain         residual convolutions, one latent vector with the prior N(0, 1), conditions by FiLM.
hierarchical  the NVAE idea: after the vector, spatial latents at several scales, each with a prior that
              depends on the coarser ones and on the conditions, and a posterior relative to it; depthwise
              cells.

The outermost layers look at squares of pixels at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvae.blocks import DepthwiseCell, ResidualBlock, quiet
from cvae.conditions import AUGMENTATIONS, NEUTRAL
from cvae.latents import Gaussian
from cvae.likelihood import DiscretisedLogistic

Architecture = Literal["plain", "hierarchical"]
FORMAT = "cvae_model"


@dataclass(frozen=True)
class VAEConfig:
    """Layout of a conditional VAE.

    Attributes:
        architecture: see the module.
        height, width: of the pictures in pixels, multiples of `fold`.
        condition_names: of the conditions, in order; those of `AUGMENTATIONS` follow them inside.
        channels: of each scale, the finest first; each further one is half as large.
        blocks: residual blocks, or cells, of each scale, in the encoder and in the decoder.
        latents: hierarchical: latent channels of each scale, 0 for none; plain has none.
        fold: side in pixels of the squares that become channels: the finest scale is smaller by it.
        latent_size: length of the latent vector, which comes before all scales.
        embedding_size: of the conditions.
        kernel: hierarchical: side of the depthwise convolutions.
    """

    architecture: Architecture
    height: int
    width: int
    condition_names: tuple[str, ...]
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    latents: tuple[int, ...] = ()
    fold: int = 2
    latent_size: int = 64
    embedding_size: int = 64
    kernel: int = 3

    def __post_init__(self) -> None:
        if self.architecture not in ("plain", "hierarchical"):
            raise ValueError(f"there is no architecture {self.architecture!r}: plain or hierarchical")
        if self.height % self.fold or self.width % self.fold or min(self.sizes()[-1]) < 2:
            raise ValueError(
                f"pictures of {self.width} x {self.height} px are no multiples of {self.fold} px or too "
                f"small for {len(self.channels)} scales"
            )
        if len(self.blocks) != len(self.channels):
            raise ValueError("blocks must have one number for each scale")
        if len(self.latents) != (len(self.channels) if self.architecture == "hierarchical" else 0):
            raise ValueError("latents must have one number for each scale if hierarchical, none if plain")

    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each scale, the finest first."""
        found = [(self.height // self.fold, self.width // self.fold)]
        while len(found) < len(self.channels):
            found.append(((found[-1][0] + 1) // 2, (found[-1][1] + 1) // 2))
        return found

    def latent_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the latents in the order in which they are drawn, the coarsest first."""
        spatial = [(count, *size) for count, size in zip(self.latents, self.sizes(), strict=False) if count]
        return [(self.latent_size,), *reversed(spatial)]

    @property
    def dimensions(self) -> int:
        """Numbers of a picture."""
        return 3 * self.height * self.width


class Inference(NamedTuple):
    """What the posterior of pictures says.

    Attributes:
        likelihood: of the pictures.
        divergences: [N, L] nats of each latent in use, in the order of `VAEConfig.latent_shapes`.
        noise: [N, D] the latents as noise, see `cvae.latents`.
    """

    likelihood: DiscretisedLogistic
    divergences: Tensor
    noise: Tensor


class Level(nn.Module):
    """One latent of the hierarchical VAE: its prior, its posterior, and how it enters the decoder."""

    def __init__(self, channels: int, latents: int) -> None:
        super().__init__()
        self.prior = quiet(nn.Conv2d(channels, 2 * latents, 1))
        self.join = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.posterior = quiet(nn.Conv2d(channels, 2 * latents, 1))
        self.enter = quiet(nn.Conv2d(latents, channels, 1))

    def prior_of(self, h: Tensor) -> Gaussian:
        """The distribution of this latent, given the coarser ones and the conditions in h [N, C, H, W]."""
        return Gaussian.of(self.prior(F.silu(h)))

    def posterior_of(self, h: Tensor, seen: Tensor) -> Gaussian:
        """That of its noise, given what the encoder saw of the picture [N, C, H, W] as well."""
        both = self.join(torch.cat([h, seen], dim=1))
        return Gaussian.of(self.posterior(F.silu(both)))


class ConditionalVAE(nn.Module):
    """Encoder, latents and decoder; see the module.

    Args:
        config: its layout.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        channels, blocks, sizes = config.channels, config.blocks, config.sizes()
        embedding_size = config.embedding_size
        is_plain = config.architecture == "plain"
        self.inputs = len(config.condition_names) + len(AUGMENTATIONS)
        self.embed = nn.Sequential(
            nn.Linear(self.inputs, embedding_size),
            nn.SiLU(),
            nn.Linear(embedding_size, embedding_size),
            nn.SiLU(),
        )
        for layer in self.embed:
            if isinstance(
                layer, nn.Linear
            ):  # torch's own weights would let them in at a tenth of the latents
                nn.init.normal_(layer.weight, std=2 / layer.in_features**0.5)
                nn.init.zeros_(layer.bias)
        self.picture_in = nn.Conv2d(3 * config.fold**2, channels[0], 3, padding=1)

        def plain_cell(scale: int) -> nn.Module:
            return ResidualBlock(channels[scale], embedding_size)

        def depthwise_cell(scale: int) -> nn.Module:
            return DepthwiseCell(channels[scale], embedding_size, config.kernel)

        def cells(make: Callable[[int], nn.Module]) -> nn.ModuleList:
            return nn.ModuleList(nn.ModuleList(make(s) for _ in range(blocks[s])) for s in scales)

        scales = range(len(channels))
        self.up_cells = cells(plain_cell)
        self.down_cells = cells(plain_cell if is_plain else depthwise_cell)
        pairs = list(itertools.pairwise(channels))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        flat = channels[-1] * sizes[-1][0] * sizes[-1][1]
        self.to_posterior = nn.Linear(flat, 2 * config.latent_size)
        self.to_posterior.weight.data.mul_(0.1)
        self.from_latent = nn.Linear(config.latent_size + embedding_size, flat)
        self.levels = nn.ModuleDict(
            {str(s): Level(channels[s], count) for s, count in enumerate(config.latents) if count}
        )
        self.picture_out = nn.Conv2d(channels[0], 2 * 3 * config.fold**2, 3, padding=1)

    @property
    def z_space_dim(self) -> int:
        """Length of the noise of a picture."""
        return sum(torch.Size(shape).numel() for shape in self.config.latent_shapes())

    def infer(
        self, images: Tensor, conditions: Tensor, draws: Tensor | None = None, in_use: int | None = None
    ) -> Inference:
        """Encode pictures and decode them again.

        Args:
            images: [N, 3, H, W] in [-1, 1].
            conditions: [N, C], or [N, C + 5] with how each picture was changed.
            draws: standard normal [N, D], the randomness of the posterior; None: its mean.
            in_use: how many latents are used, the coarsest first; None: all.
        """
        embedding = self._embedding(conditions)
        if draws is None:
            draws = torch.zeros(len(images), self.z_space_dim, device=images.device)
        return self._drawn(draws, embedding, self._seen(images, embedding), in_use)

    def decode(
        self, noise: Tensor, conditions: Tensor, temperature: float = 1.0, in_use: int | None = None
    ) -> DiscretisedLogistic:
        """Pictures of noise.

        Args:
            noise: [N, D]; standard normal for new people.
            conditions: [N, C], or [N, C + 5].
            temperature: what the noise is multiplied by.
            in_use: as in `infer`.
        """
        return self._drawn(noise * temperature, self._embedding(conditions), None, in_use).likelihood

    def _drawn(
        self, noise: Tensor, embedding: Tensor, seen: list[Tensor] | None, in_use: int | None
    ) -> Inference:
        """From the coarsest latent to the picture.

        Args:
            noise: [N, D], each part the place of a latent in its posterior where a picture was seen, else in
                its prior.
            embedding: of the conditions.
            seen: features of pictures, see `_seen`.
            in_use: as in `infer`.
        """
        shapes = [torch.Size(shape) for shape in self.config.latent_shapes()]
        sizes = [shape.numel() for shape in shapes]
        parts = iter(
            part.unflatten(1, shape) for part, shape in zip(noise.split(sizes, dim=1), shapes, strict=True)
        )
        divergences: list[Tensor] = []
        found: list[Tensor] = []

        def taken(posterior: Gaussian | None) -> Tensor:
            e = next(parts)
            if posterior is not None:
                e = posterior.at(e)
                divergences.append(posterior.divergence())
            found.append(e.flatten(1))
            return e

        e = taken(None if seen is None else Gaussian.of(self.to_posterior(seen[-1].flatten(1))))
        # What enters here reaches the whole picture.
        h = self.from_latent(torch.cat([e, embedding], dim=1))
        h = h.unflatten(1, (self.config.channels[-1], *self.config.sizes()[-1]))
        for scale in reversed(range(len(self.config.channels))):
            if str(scale) in self.levels and (in_use is None or len(found) < in_use):
                level = cast(Level, self.levels[str(scale)])
                e = taken(None if seen is None else level.posterior_of(h, seen[scale]))
                h = h + level.enter(level.prior_of(h).at(e).to(h.dtype))
            for cell in members(self.down_cells, scale):
                h = cell(h, embedding)
            if scale:
                h = F.interpolate(self.grow[scale - 1](h), self.config.sizes()[scale - 1], mode="bilinear")
        likelihood = DiscretisedLogistic.of(F.pixel_shuffle(self.picture_out(F.silu(h)), self.config.fold))
        by_latent = torch.stack(divergences, dim=1) if divergences else noise.new_zeros(len(noise), 0)
        return Inference(likelihood, by_latent, torch.cat(found, dim=1))

    def _embedding(self, conditions: Tensor) -> Tensor:
        missing = self.inputs - conditions.shape[1]
        if missing not in (0, len(AUGMENTATIONS)):
            raise ValueError(
                f"the network takes the conditions {', '.join(self.config.condition_names)}, and "
                f"{conditions.shape[1]} numbers were given"
            )
        whole = F.pad(conditions, (0, missing))
        known = len(self.config.condition_names)
        centred = torch.cat([2 * (whole[:, :known] - NEUTRAL), whole[:, known:]], dim=1)
        return self.embed(centred)

    def _seen(self, images: Tensor, embedding: Tensor) -> list[Tensor]:
        """Features of pictures at each scale, the finest first."""
        x = self.picture_in(F.pixel_unshuffle(images, self.config.fold))
        found = []
        for scale in range(len(self.config.channels)):
            x = self.shrink[scale - 1](x) if scale else x
            for cell in members(self.up_cells, scale):
                x = cell(x, embedding)
            found.append(x)
        return found

    def checkpoint(self, about: Mapping[str, Any] | None = None, half: str = "") -> dict[str, Any]:
        """Weights and layout as tensors and plain values.

        Args:
            about: what else a user of the network has to know.
            half: "decoder": only what `decode` needs; "encoder": the rest; empty: all.
        """
        weights = {
            name: value
            for name, value in self.state_dict().items()
            if not half or (half == "encoder") == _is_of_the_encoder(name)
        }
        layout = {"format": FORMAT, "half": half, "config": asdict(self.config)}
        return {**layout, "about": dict(about or {}), "weights": weights}

    @classmethod
    def from_checkpoint(cls, content: Mapping[str, Any], architecture: str = "") -> ConditionalVAE:
        """The network of a checkpoint in eval mode; one of the decoder alone can only `decode`.

        Raises:
            ValueError: it is none, damaged, an encoder alone, or of another architecture than asked for.
        """
        if content.get("format") != FORMAT:
            raise ValueError("this file holds no conditional VAE; 23_train_cvae makes one")
        if content.get("half") == "encoder":
            raise ValueError("this file holds an encoder alone, which makes no picture; take cvae_model.pth")
        try:
            layout: dict[str, Any] = {
                name: tuple(v) if isinstance(v, list) else v for name, v in content["config"].items()
            }
            config = VAEConfig(**layout)
            if architecture and config.architecture != architecture:
                raise ValueError(
                    f"it is a {config.architecture} VAE, and a {architecture} one, with other layers, was "
                    "asked for"
                )
            model = cls(config)
            missing, unknown = model.load_state_dict(content["weights"], strict=False)
            if content.get("half") == "decoder":
                missing = [name for name in missing if not _is_of_the_encoder(name)]
            if missing or unknown:
                raise ValueError(f"its weights are not those of its layout: {[*missing, *unknown][0]}")
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise ValueError(f"the file of the conditional VAE is damaged: {error}") from error
        return model.eval()


def members(scales: nn.ModuleList, scale: int) -> list[nn.Module]:
    """The layers of one scale."""
    return list(cast(nn.ModuleList, scales[scale]))


def _is_of_the_encoder(name: str) -> bool:
    """Whether `decode` does without a weight."""
    return name.startswith(("picture_in", "up_cells", "shrink", "to_posterior")) or (
        ".posterior." in name or ".join." in name
    )
