"""Property CNN: reads the seven normalised property scores from a picture (the network in the loss of v2 and
v3).

Six small sub-networks each look at the part of the picture where their property shows, as the document's v2
asks; the background sub-network has two outputs (mean and standard deviation).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmentation.property_table import PROPERTY_NAMES

POOL = "pool"


@dataclass(frozen=True)
class Crop:
    """Part of the picture in fractions of its height and width, the layers on it, and the properties it
    yields.
    """

    rows: tuple[float, float]
    columns: tuple[float, float]
    layers: tuple[int | str, ...]
    properties: tuple[str, ...]
    coarse: bool = False
    """Colours and large shapes: a reduced picture shows them as well."""


_SMALL = (32, 64, POOL, 64, POOL, 128, POOL)
_NOSE = (32, 64, POOL, 64, POOL, 128, 128)
_LARGE = (32, 64, POOL, 64, POOL, 128, POOL, 128, POOL, 128)

CROPS: dict[str, Crop] = {
    "eyes": Crop((3 / 8, 9 / 16), (1 / 4, 3 / 4), _SMALL, ("eyes",)),
    "hair_color": Crop((0.0, 1.0), (0.0, 1.0), (*_LARGE, POOL), ("hair_color",), coarse=True),
    "hair_length": Crop((1 / 2, 1.0), (0.0, 1.0), _LARGE, ("hair_length",), coarse=True),
    "mouth": Crop((5 / 8, 13 / 16), (3 / 8, 5 / 8), _SMALL, ("mouth",)),
    "pose": Crop((7 / 16, 5 / 8), (11 / 32, 21 / 32), _NOSE, ("pose",)),
    "background": Crop((0.0, 1 / 2), (0.0, 1.0), _LARGE, ("background_mean", "background_std"), coarse=True),
}


@dataclass(frozen=True)
class PropertyCNNConfig:
    """`width` multiplies every channel count; `window_margin` widens the crops by that fraction of the
    picture; `coarse_reduction` shrinks the large crops by that factor (a power of two) before they are read.

    The document's network has 3x3 convolutions without padding at 256 px. Below 256 px the small crops would
    vanish under them, so there they are padded ("same").
    """

    resolution: int = 256
    width: float = 1.0
    window_margin: float = 0.0
    dropout: float = 0.45
    coarse_reduction: int = 1

    def __post_init__(self) -> None:
        if self.coarse_reduction < 1 or self.coarse_reduction & (self.coarse_reduction - 1):
            raise ValueError(
                f"large crops are shrunk by a power of two such as 2 or 4, not by {self.coarse_reduction}"
            )


class _CropNetwork(nn.Module):
    """Convolutions on one crop, then dense 256 (tanh, dropout) and one output for each property."""

    def __init__(self, crop: Crop, config: PropertyCNNConfig) -> None:
        super().__init__()
        size, margin = config.resolution, config.window_margin
        self.rows = _pixel_range(crop.rows, size, margin)
        self.columns = _pixel_range(crop.columns, size, margin)
        self.reduction = config.coarse_reduction if crop.coarse else 1
        padding = 0 if size // self.reduction >= 256 else 1
        height = (self.rows[1] - self.rows[0]) // self.reduction
        width = (self.columns[1] - self.columns[0]) // self.reduction
        layers: list[nn.Module] = []
        channels = 3
        for layer in crop.layers:
            if layer == POOL:
                if min(height, width) >= 2:  # small pictures run out of pixels before the table ends
                    layers.append(nn.MaxPool2d(2))
                    height, width = height // 2, width // 2
                continue
            out_channels = max(8, round(int(layer) * config.width))
            layers += [nn.Conv2d(channels, out_channels, 3, padding=padding), nn.LeakyReLU(0.01)]
            height, width = height - 2 + 2 * padding, width - 2 + 2 * padding
            channels = out_channels
        if min(height, width) < 1:
            raise ValueError(
                f"pictures of {size} px are too small to read {' and '.join(crop.properties)} from a crop "
                f"that is shrunk by {self.reduction}"
            )
        self.features = nn.Sequential(*layers)
        flat = channels * height * width
        self.head = nn.Sequential(
            nn.Linear(flat, 256), nn.Tanh(), nn.Dropout(config.dropout), nn.Linear(256, len(crop.properties))
        )

    def forward(self, images: Tensor) -> Tensor:
        window = images[:, :, self.rows[0] : self.rows[1], self.columns[0] : self.columns[1]]
        if self.reduction > 1:
            window = F.avg_pool2d(window, self.reduction)
        window = window.contiguous(memory_format=torch.channels_last)
        return self.head(self.features(window).flatten(1))


def _pixel_range(fractions: tuple[float, float], size: int, margin: float) -> tuple[int, int]:
    start, stop = (max(0.0, fractions[0] - margin), min(1.0, fractions[1] + margin))
    return round(start * size), round(stop * size)


class PropertyCNN(nn.Module):
    """Seven properties of a picture; see `CROPS` for what each sub-network sees."""

    def __init__(self, config: PropertyCNNConfig | None = None) -> None:
        super().__init__()
        self.config = config or PropertyCNNConfig()
        self.networks = nn.ModuleDict({name: _CropNetwork(crop, self.config) for name, crop in CROPS.items()})
        outputs = [name for crop in CROPS.values() for name in crop.properties]
        self._order = [outputs.index(name) for name in PROPERTY_NAMES]
        self.to(memory_format=torch.channels_last)  # half the time of a training step on a CPU

    def forward(self, images: Tensor) -> Tensor:
        """Read the properties.

        Args:
            images: [N, 3, R, R] float, RGB in [-1, 1], R = `config.resolution`.

        Returns:
            [N, 7] float, normalised property scores in the order of `PROPERTY_NAMES`.

        Raises:
            ValueError: the pictures have another size than the network was built for.
        """
        size = self.config.resolution
        if images.shape[-2:] != (size, size):
            raise ValueError(
                f"this property CNN reads {size} x {size} px pictures and got "
                f"{images.shape[-2]} x {images.shape[-1]} px"
            )
        outputs = torch.cat([network(images) for network in self.networks.values()], dim=1)
        return outputs[:, self._order]

    def checkpoint(self) -> dict[str, object]:
        """State and configuration, enough for `from_checkpoint` to rebuild the network."""
        return {"property_cnn": self.state_dict(), "config": asdict(self.config)}

    @classmethod
    def from_checkpoint(cls, checkpoint: dict[str, Any]) -> PropertyCNN:
        """Rebuild the network of `checkpoint()` in eval mode; raises ValueError when the entries do not
        fit.
        """
        if not {"property_cnn", "config"} <= set(checkpoint):
            raise ValueError(
                "this is not a property CNN of this program: it has no entries 'property_cnn' and 'config' "
                "(the published project's is laid out otherwise and cannot be used)"
            )
        network = cls(PropertyCNNConfig(**checkpoint["config"]))
        try:
            network.load_state_dict(checkpoint["property_cnn"], strict=True)
        except RuntimeError as error:
            raise ValueError(f"the property CNN's weights do not fit its configuration: {error}") from error
        return network.eval()
