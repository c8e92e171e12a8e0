"""v3: a conditional VAE around the generator, so that given pictures can be edited.

The encoder turns a picture and its properties into z; the decoder is the generator with dials. Properties
reach the picture through the dials, z carries the person.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST_PX = 32


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder; `width` multiplies the channel counts of the convolutions."""

    resolution: int = 256
    z_dim: int = 512
    property_count: int = 7
    width: float = 1.0
    hidden: int = 512


class Encoder(nn.Module):
    """Picture and properties to mean and log variance of z.

    Five 4x4 stride-2 convolutions (32-64-128-128-256, reflect padding, LeakyReLU), flattened, properties
    joined, dense 512 (ELU), properties joined again, then mean and log variance.

    Raises:
        ValueError: the pictures are too small for five halvings.
    """

    CHANNELS = (32, 64, 128, 128, 256)

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        if config.resolution < SMALLEST_PX:
            raise ValueError(
                f"the encoder needs pictures of {SMALLEST_PX} px or more, not of {config.resolution} px"
            )
        self.config = config
        layers: list[nn.Module] = []
        channels = 3
        for base in self.CHANNELS:
            width = max(8, round(base * config.width))
            layers += [
                nn.Conv2d(channels, width, 4, stride=2, padding=1, padding_mode="reflect"),
                nn.LeakyReLU(0.2),
            ]
            channels = width
        self.features = nn.Sequential(*layers)
        flat = channels * (config.resolution // 32) ** 2
        self.hidden = nn.Linear(flat + config.property_count, config.hidden)
        self.mean = nn.Linear(config.hidden + config.property_count, config.z_dim)
        self.log_variance = nn.Linear(config.hidden + config.property_count, config.z_dim)
        self.to(memory_format=torch.channels_last)  # half the time of a training step on a CPU

    def forward(self, images: Tensor, properties: Tensor) -> tuple[Tensor, Tensor]:
        """Encode pictures [N, 3, R, R] in [-1, 1] with properties [N, 7]; returns mean and log variance [N,
        z_dim].
        """
        images = images.contiguous(memory_format=torch.channels_last)
        flat = self.features(images).flatten(1)
        hidden = F.elu(self.hidden(torch.cat([flat, properties], dim=1)))
        joined = torch.cat([hidden, properties], dim=1)
        return self.mean(joined), self.log_variance(joined).clamp(-8.0, 4.0)

    def checkpoint(self) -> dict[str, object]:
        """State and configuration, enough for `from_checkpoint` to rebuild the encoder."""
        return {"encoder": self.state_dict(), "config": asdict(self.config)}

    @classmethod
    def from_checkpoint(cls, checkpoint: dict[str, Any]) -> Encoder:
        """Rebuild the encoder of `checkpoint()` in eval mode; raises ValueError when the entries do not
        fit.
        """
        if not {"encoder", "config"} <= set(checkpoint):
            raise ValueError(
                "this is not a v3 encoder of this program: it has no entries 'encoder' and 'config' (the "
                "published project's encoder is laid out otherwise and cannot be used)"
            )
        encoder = cls(EncoderConfig(**checkpoint["config"]))
        try:
            encoder.load_state_dict(checkpoint["encoder"], strict=True)
        except RuntimeError as error:
            raise ValueError(f"the encoder's weights do not fit its configuration: {error}") from error
        return encoder.eval()


def sample_posterior(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    """Draw z ~ N(mean, exp(log_variance)) by the reparameterisation trick; noise from a CPU generator."""
    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
    return mean + noise * (0.5 * log_variance).exp()
