"""The network that draws a portrait from a sketch, with its colours, its z and its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sketch.colors import COLOR_NAMES, PALETTE_SIZE, chosen_colors
from sketch.unet import UNET_PREFIX, UNet, UNetConfig
from stylegan.sampling import sample_z, to_uint8
from stylegan.weights_file import (
    WeightsFileError,
    build_to_fit,
    is_safetensors,
    read_json_entry,
    read_safetensors,
    read_torch,
)

KIND = "sketch_to_portrait"
BATCH_SIZE = 32  # portraits drawn at once


@dataclass(frozen=True)
class PortraitConfig:
    """What a network file describes.

    Attributes:
        unet: sizes of the U-Net, whose conditions are the colours and z.
        size: of the pictures it was trained on, in pixels.
        has_colors: the conditions begin with the four colours.
        latent_size: numbers of z, which follow.
    """

    unet: UNetConfig = field(default_factory=UNetConfig)
    size: int = 256
    has_colors: bool = False
    latent_size: int = 0

    def __post_init__(self) -> None:
        if self.unet.condition_size != 3 * len(COLOR_NAMES) * self.has_colors + self.latent_size:
            raise ValueError(
                f"its conditions are not z and the colours of {', '.join(COLOR_NAMES)}. If an earlier "
                "31_train_sketch_to_portrait.py made it, train it anew"
            )
        if self.unet.out_channels != 3 + len(COLOR_NAMES) * self.has_colors:
            raise ValueError("the outputs of the U-Net are not a picture and where each colour lies")


class PortraitNetwork(nn.Module):
    """Draws portraits from sketches. `palette` uint8 [P, 5, 3]: colours of people it learned from.

    With colours, the U-Net says where each of them lies (a softmax over the four), and what light and detail
    add to these flat areas; so a colour that was never seen is painted too.
    """

    palette: Tensor

    def __init__(self, config: PortraitConfig, people: int = PALETTE_SIZE) -> None:
        super().__init__()
        self.config = config
        self.unet = UNet(config.unet)
        self.register_buffer("palette", torch.full((people, len(COLOR_NAMES), 3), 128, dtype=torch.uint8))

    def forward(self, sketch: Tensor, colors: Tensor, z: Tensor) -> Tensor:
        """Portraits float [N, 3, S, S], about in [-1, 1].

        Args:
            sketch: float [N, 1, S, S], lines 1 on -1.
            colors: float [N, 5, 3] in [0, 255], in the order of `COLOR_NAMES`; ignored by a network without.
            z: float [N, latent_size].
        """
        sketch = sketch.expand(-1, self.config.unet.in_channels, -1, -1)
        parts = [(colors / 127.5 - 1).flatten(1)] if self.config.has_colors else []
        parts += [z] if self.config.latent_size else []
        made = self.unet(sketch, torch.cat(parts, dim=1) if parts else None)
        if not self.config.has_colors:
            return made
        detail, places = made[:, :3].float(), made[:, 3:].float().softmax(dim=1)
        return detail + torch.einsum("nkhw,nkc->nchw", places, colors / 127.5 - 1)

    @torch.inference_mode()
    def portraits(self, sketches: np.ndarray, colors: np.ndarray, z: Tensor | None = None) -> np.ndarray:
        """Portraits uint8 [N, S, S, 3] RGB of sketches uint8 [N, S, S], white on black.

        Args:
            colors: float32 [N, 5, 3] in [0, 255].
            z: float [N, latent_size]; None: zeros, the most plausible portrait.
        """
        if z is None:
            z = torch.zeros(len(sketches), self.config.latent_size)
        whole = (torch.from_numpy(np.array(sketches))[:, None], torch.from_numpy(np.array(colors)), z)
        batches = zip(*(part.to(self.palette.device).split(BATCH_SIZE) for part in whole), strict=True)
        return np.concatenate(
            [to_uint8(self(lines.float() / 127.5 - 1, tone, code)) for lines, tone, code in batches]
        )

    def variants(
        self, sketch: np.ndarray, seeds: list[int], given: Mapping[str, tuple[int, int, int]] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Several plausible portraits of one sketch.

        Args:
            sketch: uint8 [S, S], white on black.
            seeds: each chooses z and the colours that are not given.
            given: RGB of some of `COLOR_NAMES`.

        Returns:
            uint8 [len(seeds), S, S, 3] RGB, and the colours float32 [len(seeds), 5, 3].
        """
        palette = self.palette.cpu().numpy()
        colors = np.stack([chosen_colors(palette, seed, given) for seed in seeds])
        z = sample_z(seeds, 0, self.config.latent_size)
        return self.portraits(np.repeat(sketch[None], len(seeds), axis=0), colors, z), colors


class PortraitEncoder(nn.Module):
    """Reads z from a portrait, as mean and log variance (Zhu et al., "Toward Multimodal Image-to-Image
    Translation", NeurIPS 2017). Only the training needs it.
    """

    def __init__(self, latent_size: int, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inner = 3
        for outer in (width, 2 * width, 4 * width, 4 * width):
            layers += [nn.Conv2d(inner, outer, 4, stride=2, padding=1), nn.SiLU()]
            inner = outer
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.head = nn.Linear(16 * inner, 2 * latent_size)

    def forward(self, portrait: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, each [N, latent_size], of portraits [N, 3, S, S] in [-1, 1]."""
        mean, log_variance = self.head(self.layers(portrait)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 4)


def save_network(path: Path, network: PortraitNetwork, notes: Mapping[str, Any]) -> None:
    """Write a safetensors file, weights in half precision; the caller makes it atomic.

    Args:
        notes: plain values stored beside the sizes: command, seed, figures.
    """
    tensors = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    metadata = {"kind": KIND, "config": asdict(network.config), **notes}
    save_file(tensors, path, metadata={"metadata": json.dumps(metadata)})


def load_network(path: Path, device: torch.device | str = "cpu") -> PortraitNetwork:
    """A file of `save_network`, or the ``.pt`` of the document's generator: float32, eval mode.

    Raises:
        WeightsFileError: missing, damaged, or another network.
    """
    if path.is_file() and is_safetensors(path):
        tensors, metadata = read_safetensors(path)
        stored = read_json_entry(path, metadata, "metadata")
        if stored.get("kind") != KIND:
            raise WeightsFileError(_other_network(path, stored.get("kind")))
        try:
            values = stored["config"]
            config = PortraitConfig(**{**values, "unet": UNetConfig(**values["unet"])})
            people = len(tensors["palette"])
            network = build_to_fit(lambda: PortraitNetwork(config, people), tensors)
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise WeightsFileError(f"{path} cannot be read as a network for sketches: {error}") from error
    else:
        state = read_torch(path)
        if not isinstance(state, Mapping) or UNET_PREFIX not in state:
            raise WeightsFileError(_other_network(path, None))
        unet = build_to_fit(lambda: UNet(document_sizes(state)), state)
        network = PortraitNetwork(PortraitConfig(unet.config, size=1 << unet.config.depth))
        network.unet = unet
    return network.to(device).eval()


def document_sizes(state: Mapping[str, Tensor]) -> UNetConfig:
    """Sizes of a plain U-Net of the document from the entries of its file.

    Raises:
        WeightsFileError: an entry is missing.
    """
    try:
        top, depth = state[UNET_PREFIX], 0
        while f"down{depth + 1}.model.0.weight" in state:
            depth += 1
        most = max(len(state[f"down{level}.model.0.weight"]) for level in range(1, depth + 1))
        return UNetConfig(top.shape[1], top.shape[0], most, depth)
    except (LookupError, AttributeError, ValueError) as error:
        raise WeightsFileError(f"its entries are not those of the document's U-Net ({error})") from error


def _other_network(path: Path, kind: object) -> str:
    what = f"a network of the kind {kind!r}" if kind else "another network than the U-Net of sketches"
    return (
        f"{path} holds {what}, so it cannot draw portraits from sketches. Give the file of "
        "31_train_sketch_to_portrait.py, or the document's Pix2Pix_Generator.pt."
    )
