"""The oracle: one small network that reads gender, quality, properties and identity from a portrait.

It is trained on the truth that procedural portraits come with, and serves as a judge: it measures
generators, and must never be part of a generator's loss.  What reads portraits in the losses, and makes the
embedded preset's labels, is a network with the other trunk, trained on other portraits.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from stylegan.parallel import JointBatchNorm2d
from stylegan.weights_file import build_to_fit, read_json_entry, read_safetensors

Trunk = Literal["residual", "strided"]

IDENTITY_SIZE = 64
FEATURE_SIZE = 256
CHANNELS_PER_GROUP = 8


@dataclass(frozen=True)
class OracleConfig:
    """Layout of the network.

    Attributes:
        property_names: order of the properties, which is the order of the truth it was trained on.
        image_size: pictures of other sizes are resized to this, in pixels.
        stem_channels: channels at full resolution; the strided trunk has no such layer.
        stage_channels: channels of each stage; every stage halves the resolution.
        blocks_per_stage: residual blocks per stage; the strided trunk has none.
        pooled_channels: channels of the last map before it is pooled (positions stay known).
        trunk: layers below the heads, see `residual_trunk` and `strided_trunk`. Two networks with different
            trunks share no kind of layer but the convolution.
    """

    property_names: tuple[str, ...]
    image_size: int = 64
    stem_channels: int = 16
    stage_channels: tuple[int, ...] = (32, 64, 128, 256)
    blocks_per_stage: int = 1
    pooled_channels: int = 64
    trunk: Trunk = "residual"

    def __post_init__(self) -> None:
        if self.trunk not in get_args(Trunk):
            raise ValueError(f"there is no trunk {self.trunk!r}; choose one of {', '.join(get_args(Trunk))}")


class BlurPool(nn.Module):
    """Halve the resolution after a [1, 2, 1] x [1, 2, 1] / 16 low-pass (Zhang, "Making convolutional networks
    shift-invariant again", 2019)."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        row = torch.tensor([1.0, 2.0, 1.0])
        kernel = torch.outer(row, row)[None, None] / 16
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.kernel.to(x.dtype).expand(self.channels, 1, 3, 3)
        return functional.conv2d(x, kernel, stride=2, padding=1, groups=self.channels)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the input (He et al., 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm0 = JointBatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = JointBatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm0(self.conv0(x)))
        return functional.relu(x + self.norm1(self.conv1(y)))


class StripPool(nn.Module):
    """Means of every row and every column (Hou et al., "Strip pooling", 2020): [N, C, S, S] to [N, 2 C S]."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean(dim=3), x.mean(dim=2)], dim=2).flatten(1)


def residual_trunk(config: OracleConfig) -> nn.Sequential:
    """Blurred halvings, residual blocks with batch norm and ReLU, and all positions of the last map."""
    layers: list[nn.Module] = [nn.Conv2d(3, config.stem_channels, 3, padding=1), nn.ReLU()]
    channels = config.stem_channels
    for stage_channels in config.stage_channels:
        layers += [BlurPool(channels), nn.Conv2d(channels, stage_channels, 1, bias=False)]
        layers += [JointBatchNorm2d(stage_channels), nn.ReLU()]
        layers += [ResidualBlock(stage_channels) for _ in range(config.blocks_per_stage)]
        channels = stage_channels
    return nn.Sequential(*layers, nn.Conv2d(channels, config.pooled_channels, 1), nn.ReLU(), nn.Flatten())


def strided_trunk(config: OracleConfig) -> nn.Sequential:
    """Plain 4x4 convolutions of stride 2 with group norm and SiLU, and the last map's rows and columns.

    Nothing is computed at full resolution, and the gradient has no kinks: it is made to sit in a loss.
    """
    layers: list[nn.Module] = []
    channels = 3
    for stage_channels in config.stage_channels:
        groups = max(1, stage_channels // CHANNELS_PER_GROUP)
        layers += [nn.Conv2d(channels, stage_channels, 4, stride=2, padding=1, bias=False)]
        layers += [nn.GroupNorm(groups, stage_channels), nn.SiLU()]
        channels = stage_channels
    return nn.Sequential(*layers, nn.Conv2d(channels, config.pooled_channels, 1), nn.SiLU(), StripPool())


class Oracle(nn.Module):
    """Reads portraits; see `forward`.

    Buffers `property_mean` and `property_sd` [P] hold the portraits' statistics in units of the truth.
    """

    property_mean: Tensor
    property_sd: Tensor

    def __init__(self, config: OracleConfig) -> None:
        super().__init__()
        self.config = config
        property_count = len(config.property_names)
        self.register_buffer("property_mean", torch.zeros(property_count))
        self.register_buffer("property_sd", torch.ones(property_count))
        residual = config.trunk == "residual"
        self.trunk = residual_trunk(config) if residual else strided_trunk(config)
        activation = nn.ReLU if residual else nn.SiLU
        map_size = config.image_size // 2 ** len(config.stage_channels)
        flat = config.pooled_channels * (map_size**2 if residual else 2 * map_size)
        self.feature_layer = nn.Sequential(nn.Linear(flat, FEATURE_SIZE), activation())
        self.gender_head = nn.Linear(FEATURE_SIZE, 1)
        self.quality_head = nn.Linear(FEATURE_SIZE, 1)
        self.property_head = nn.Linear(FEATURE_SIZE, property_count)
        self.identity_head = nn.Sequential(
            nn.Linear(flat, FEATURE_SIZE), activation(), nn.Linear(FEATURE_SIZE, IDENTITY_SIZE)
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Read pictures [N, 3, H, W] of any size, RGB in [-1, 1].

        Returns:
            `gender` [N]: logit, positive for a woman; `quality` [N]: logit, positive for good;
            `properties` [N, P]: standardised over the training portraits;
            `identity` [N, 64]: unit vectors whose dot product says how much two people resemble each other;
            `features` [N, 256]: for distances between sets of pictures, such as KID.
        """
        size = self.config.image_size
        if images.shape[-2:] != (size, size):
            images = functional.interpolate(
                images, (size, size), mode="bilinear", align_corners=False, antialias=True
            )
        flat = self.trunk(images)
        features = self.feature_layer(flat)
        return {
            "gender": self.gender_head(features).squeeze(1),
            "quality": self.quality_head(features).squeeze(1),
            "properties": self.property_head(features),
            "identity": functional.normalize(self.identity_head(flat).float(), dim=1),
            "features": features,
        }


@torch.inference_mode()
def read_pictures(oracle: Oracle, images: Any, batch_size: int = 100) -> dict[str, Tensor]:
    """Outputs of `Oracle.forward`, on the CPU, for uint8 pictures [N, H, W, 3], in eval mode."""
    oracle.eval()
    device = oracle.property_mean.device
    parts = []
    for start in range(0, len(images), batch_size):
        batch = torch.as_tensor(images[start : start + batch_size]).to(device)
        parts.append(oracle(batch.permute(0, 3, 1, 2).float() / 127.5 - 1))
    return {name: torch.cat([part[name].float().cpu() for part in parts]) for name in parts[0]}


def save_oracle(path: Path, oracle: Oracle, notes: dict[str, Any]) -> None:
    """Write a safetensors file, weights in half precision; the caller makes it atomic.

    Args:
        notes: stored as metadata (JSON) beside the configuration: command, seed, portraits, figures.
    """
    tensors = {}
    for name, value in oracle.state_dict().items():
        half = value.is_floating_point() and value.dim() > 1
        tensors[name] = value.detach().cpu().to(torch.float16 if half else value.dtype).contiguous()
    # One entry: the order of several would differ from file to file.
    metadata = {"kind": "oracle", "config": asdict(oracle.config), **notes}
    save_file(tensors, path, metadata={"metadata": json.dumps(metadata)})


def load_oracle(path: Path, device: torch.device | str = "cpu") -> Oracle:
    """Read a file of `save_oracle`: float32, eval mode.

    Raises:
        ValueError: the file is missing, truncated or holds another network.
    """
    try:
        tensors, metadata = read_safetensors(path)
        stored = read_json_entry(path, metadata, "metadata")["config"]
        config = OracleConfig(**{name: _as_tuple(value) for name, value in stored.items()})
        oracle = build_to_fit(lambda: Oracle(config), tensors)
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"{path.name} cannot be read as an oracle: {error}") from error
    return oracle.to(device).eval()


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
