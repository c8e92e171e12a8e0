"""The conditional VAE, one class for both architectures.

Both begin with one latent vector whose prior is N(0, 1); conditions enter every block by FiLM.

plain         nothing follows the vector; residual convolutions.
hierarchical  the NVAE idea: spatial latents at several scales, each with a prior that depends on the coarser
              ones and on the conditions, and a posterior relative to it; depthwise cells.

The outermost layers work on squares of pixels at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvae.blocks import Level, ResidualBlock
from cvae.conditions import AUGMENTATIONS, NEUTRAL
from cvae.latents import FittedPrior, Gaussian
from cvae.likelihood import DiscretisedLogistic

Architecture = Literal["plain", "hierarchical"]
FORMAT = "cvae_model"


@dataclass(frozen=True)
class VAEConfig:
    """Layout of a conditional VAE.

    Attributes:
        architecture: see the module.
        height, width: of the pictures in pixels, even.
        condition_names: of the conditions, in order; those of `AUGMENTATIONS` follow them inside.
        fold: pixels a side of the squares that become channels of the finest scale.
        channels: of each scale, the finest first; each further one is half as large.
        blocks: residual blocks, or cells, of each scale, in the encoder and in the decoder.
        latents: hierarchical: latent channels of each scale, 0 for none.
        groups: hierarchical: latents of one scale that follow each other.
        latent_size: length of the latent vector.
        embedding_size: of the conditions.
    """

    architecture: Architecture
    height: int
    width: int
    condition_names: tuple[str, ...]
    fold: int
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    latents: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    latent_size: int = 64
    embedding_size: int = 64

    def __post_init__(self) -> None:
        if self.architecture not in ("plain", "hierarchical"):
            raise ValueError(f"there is no architecture {self.architecture!r}: plain or hierarchical")
        if self.height % self.fold or self.width % self.fold or min(self.sizes()[-1]) < 2:
            raise ValueError(
                f"pictures of {self.width} x {self.height} px are no multiple of {self.fold} px, or too "
                f"small for {len(self.channels)} scales"
            )
        if len(self.blocks) != len(self.channels):
            raise ValueError("blocks must have one number for each scale")
        is_whole = len(self.latents) == len(self.groups) == len(self.channels) and any(self.latents)
        if self.architecture == "hierarchical" and not is_whole:
            raise ValueError("latents and groups need one number for each scale, and one above 0")
        if self.architecture == "plain" and any(self.latents):
            raise ValueError("a plain VAE has no latents behind the vector")

    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of each scale, the finest first."""
        found = [(self.height // self.fold, self.width // self.fold)]
        while len(found) < len(self.channels):
            found.append(((found[-1][0] + 1) // 2, (found[-1][1] + 1) // 2))
        return found

    def latent_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the latents in the order in which they are drawn, the coarsest first."""
        scales = list(zip(self.latents, self.groups, self.sizes(), strict=False))[::-1]
        spatial = [(c, *size) for c, groups, size in scales if c for _ in range(groups)]
        return [(self.latent_size,), *spatial]

    @property
    def dimensions(self) -> int:
        """Numbers of a picture."""
        return 3 * self.height * self.width


class Inference(NamedTuple):
    """What the posterior of pictures says.

    Attributes:
        likelihood: of the pictures.
        divergences: [N, L] nats of each latent, in the order of `VAEConfig.latent_shapes`.
        noise: [N, D] the latents as noise, see `cvae.latents`.
    """

    likelihood: DiscretisedLogistic
    divergences: Tensor
    noise: Tensor


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
        self.inputs = len(config.condition_names) + len(AUGMENTATIONS)
        self.embed = nn.Sequential(
            nn.Linear(self.inputs, embedding_size),
            nn.SiLU(),
            nn.Linear(embedding_size, embedding_size),
            nn.SiLU(),
        )
        for layer in self.embed:
            if isinstance(layer, nn.Linear):
                # torch's own weights would let conditions in at a tenth of the latents.
                nn.init.normal_(layer.weight, std=2 / layer.in_features**0.5)
                nn.init.zeros_(layer.bias)
        squares = 3 * config.fold**2
        self.picture_in = nn.Conv2d(squares, channels[0], 3, padding=1)

        def cells() -> nn.ModuleList:
            scales = zip(channels, blocks, strict=True)
            return nn.ModuleList(
                nn.ModuleList(ResidualBlock(c, embedding_size) for _ in range(count)) for c, count in scales
            )

        self.up_cells, self.down_cells = cells(), cells()
        pairs = list(itertools.pairwise(channels))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        top, area = channels[-1], sizes[-1][0] * sizes[-1][1]
        self.to_posterior = nn.Linear(top * area, 2 * config.latent_size)
        self.to_posterior.weight.data.mul_(0.1)
        self.prior = FittedPrior(config.latent_size, self.inputs)
        self.from_latent = nn.Linear(config.latent_size + embedding_size, top * area)
        self.levels = nn.ModuleList(
            nn.ModuleList(
                Level(channels[scale], latents, embedding_size) for _ in range(groups if latents else 0)
            )
            for scale, (latents, groups) in enumerate(zip(config.latents, config.groups, strict=True))
        )
        self.picture_out = nn.Conv2d(channels[0], 2 * squares, 3, padding=1)

    @property
    def z_space_dim(self) -> int:
        """Length of the noise of a picture."""
        return sum(torch.Size(shape).numel() for shape in self.config.latent_shapes())

    def infer(
        self, images: Tensor, conditions: Tensor, draws: Tensor | None = None, levels: int | None = None
    ) -> Inference:
        """Encode pictures and decode them again.

        Args:
            images: [N, 3, H, W] in [-1, 1].
            conditions: [N, C], or [N, C + 5] with how each picture was changed.
            draws: standard normal [N, D], the randomness of the posterior; None: its mean.
            levels: how many latents behind the vector take part, the coarsest first; None: all. The noise of
                the others is `draws`.
        """
        known = self._known(conditions)
        embedding = self.embed(known)
        given = self._noise(draws, images)
        seen = self._seen(images, embedding)
        posterior = self._posterior(seen)
        vector = posterior.at(next(given))
        likelihood, costs, drawn = self._draw(vector, embedding, given, seen, levels)
        divergences = torch.stack([self.prior.divergence(posterior, known), *costs], dim=1)
        return Inference(
            likelihood, divergences, torch.cat([self.prior.noise_of(vector, known), *drawn], dim=1)
        )

    def decode(
        self, noise: Tensor, conditions: Tensor, temperature: float = 1.0, levels: int | None = None
    ) -> DiscretisedLogistic:
        """Pictures of noise.

        Args:
            noise: [N, D]; standard normal for new people.
            conditions: [N, C], or [N, C + 5].
            temperature: what the noise is multiplied by.
            levels: as in `infer`.
        """
        known = self._known(conditions)
        embedding = self.embed(known)
        given = self._noise(noise * temperature, noise)
        return self._draw(self.prior.at(next(given), known), embedding, given, None, levels)[0]

    def _draw(
        self,
        vector: Tensor,
        embedding: Tensor,
        given: Iterator[Tensor],
        seen: list[Tensor] | None,
        levels: int | None,
    ) -> tuple[DiscretisedLogistic, list[Tensor], list[Tensor]]:
        """The picture of a vector; divergences [N] and noise [N, ...] of the latents behind it.

        Args:
            given: their noise; with `seen`, features of pictures, its place in their posteriors.
        """
        divergences: list[Tensor] = []
        noise: list[Tensor] = []
        h = self._begin(vector, embedding)
        for scale in reversed(range(len(self.config.channels))):
            for level in self._levels(scale):
                e, cost = next(given), vector.new_zeros(len(vector))
                if levels is None or len(noise) < levels:
                    if seen is not None:
                        posterior = level.posterior_of(h, seen[scale])
                        e, cost = posterior.at(e), posterior.divergence()
                    h = level(h, level.prior_of(h).at(e), embedding)
                divergences.append(cost)
                noise.append(e.flatten(1))
            h = self._leave(scale, h, embedding)
        return self._likelihood(h), divergences, noise

    def _levels(self, scale: int) -> list[Level]:
        return [cast(Level, level) for level in members(self.levels, scale)] if len(self.levels) else []

    @torch.no_grad()
    def fit_prior(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Fit the prior of the vector to pictures that were learned from, [n, 3, H, W] in [-1, 1] and their
        conditions [n, C + 5], batch after batch.
        """
        means, deviations, conditions = [], [], []
        for images, given in batches:
            known = self._known(given)
            posterior = self._posterior(self._seen(images, self.embed(known)))
            means.append(posterior.mean)
            deviations.append(posterior.log_deviation)
            conditions.append(known)
        self.prior.fit(Gaussian(torch.cat(means), torch.cat(deviations)), torch.cat(conditions))

    def _posterior(self, seen: list[Tensor]) -> Gaussian:
        """Of the vector."""
        return Gaussian.of(self.to_posterior(seen[-1].flatten(1)))

    def _known(self, conditions: Tensor) -> Tensor:
        """Conditions and changes [N, C + 5], centred."""
        missing = self.inputs - conditions.shape[1]
        if missing not in (0, len(AUGMENTATIONS)):
            raise ValueError(
                f"the network takes the conditions {', '.join(self.config.condition_names)}, and "
                f"{conditions.shape[1]} numbers were given"
            )
        whole = F.pad(conditions, (0, missing))
        known = len(self.config.condition_names)
        return torch.cat([2 * (whole[:, :known] - NEUTRAL), whole[:, known:]], dim=1)

    def _noise(self, noise: Tensor | None, like: Tensor) -> Iterator[Tensor]:
        """The parts of noise [N, D], one for each latent."""
        shapes = [torch.Size(shape) for shape in self.config.latent_shapes()]
        if noise is None:
            noise = torch.zeros(len(like), self.z_space_dim, device=like.device)
        parts = noise.split([shape.numel() for shape in shapes], dim=1)
        return iter([part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)])

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

    def _begin(self, vector: Tensor, embedding: Tensor) -> Tensor:
        """[N, C, h, w] of the coarsest scale; what enters here reaches the whole picture."""
        flat = self.from_latent(torch.cat([vector, embedding], dim=1))
        return flat.unflatten(1, (self.config.channels[-1], *self.config.sizes()[-1]))

    def _leave(self, scale: int, h: Tensor, embedding: Tensor) -> Tensor:
        """The decoder's cells of a scale, then on to the next finer one."""
        for cell in members(self.down_cells, scale):
            h = cell(h, embedding)
        if scale:
            h = F.interpolate(self.grow[scale - 1](h), self.config.sizes()[scale - 1], mode="nearest")
        return h

    def _likelihood(self, h: Tensor) -> DiscretisedLogistic:
        return DiscretisedLogistic.of(F.pixel_shuffle(self.picture_out(F.silu(h)), self.config.fold))

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
