"""The gender and the quality network: one class, two layer tables.

Both follow the CNN model structure of the document (section 3-2): 3x3 convolutions without padding,
LeakyReLU, a little dropout, 2x2 max pooling, one hidden layer of 512 units.  The gender network looks
at the whole picture, the quality network at the middle of its top, where low quality shows.  The same
class with one unbounded output fits any number that people wrote beside pictures.
"""

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stylegan.weights_file import build_to_fit, read_torch, write_torch

SMALLEST_FEATURE_MAP_PX = 2
FOREIGN = (LookupError, TypeError, RuntimeError, ValueError, AttributeError, ArithmeticError)


@dataclass(frozen=True)
class FilterCNNConfig:
    """Layer table of a filter network.

    Attributes:
        channels: output channels of each 3x3 convolution at width 1.
        pools: numbers of the convolutions that a 2x2 max pooling follows, at the document's 256 px.
        region: height and width of the crop the network sees, as fractions of the picture; it lies in the
            middle between left and right.
        top: upper edge of the crop, as a fraction of the picture's height.
        image_size: height and width in pixels to which larger pictures are shrunk.
        width: multiplier of all channels and of the hidden layer.
        hidden: units of the hidden layer at width 1.
    """

    channels: tuple[int, ...]
    pools: tuple[int, ...]
    region: tuple[float, float] = (1.0, 1.0)
    top: float = 0.0
    image_size: int = 256
    width: float = 1.0
    hidden: int = 512
    conv_dropout: float = 0.05
    hidden_dropout: float = 0.45

    @property
    def crop_size(self) -> tuple[int, int]:
        """Height and width of the crop in pixels of a picture of `image_size`."""
        height, width = self.region
        return round(self.image_size * height), round(self.image_size * width)

    def crop_slices(self, picture_size: int) -> tuple[slice, slice]:
        """Rows and columns of the crop in a picture of another size."""
        height, width = (round(picture_size * share) for share in self.region)
        first_row, first_column = round(picture_size * self.top), (picture_size - width) // 2
        return slice(first_row, first_row + height), slice(first_column, first_column + width)


def gender_config(image_size: int = 256, width: float = 1.0) -> FilterCNNConfig:
    """Whole picture; 5,845,697 parameters at 256 px and width 1."""
    return FilterCNNConfig(
        channels=(32, 64, 128, 128, 256, 256), pools=(1, 2, 3, 4, 5), image_size=image_size, width=width
    )


def quality_config(image_size: int = 256, width: float = 1.0) -> FilterCNNConfig:
    """Top-centre crop, half as wide and a quarter as high as the picture; 6,828,481 parameters at 256 px."""
    return FilterCNNConfig(
        channels=(32, 64, 128, 128, 256),
        pools=(1, 2, 3),
        region=(0.25, 0.5),
        image_size=image_size,
        width=width,
    )


def fitting_pools(config: FilterCNNConfig) -> tuple[int, ...]:
    """The poolings that a picture of this size has room for.

    A small picture cannot pass five poolings and six unpadded convolutions.  As many of the table's
    poolings are kept as leave at least 2x2 pixels, the earlier ones where there is a choice: at 256 px
    that is all of them, at 64 px three for gender (1, 2, 3) and one for quality (3).

    Raises:
        ValueError: the picture is too small even without pooling.
    """
    for count in range(len(config.pools), -1, -1):
        for pools in itertools.combinations(config.pools, count):
            if min(_feature_map_size(config, pools)) >= SMALLEST_FEATURE_MAP_PX:
                return pools
    raise ValueError(
        f"pictures of {config.image_size} px are too small for {len(config.channels)} unpadded convolutions "
        f"on a crop of {config.crop_size[0]}x{config.crop_size[1]} px; use 64 px or more"
    )


def _feature_map_size(config: FilterCNNConfig, pools: tuple[int, ...]) -> tuple[int, int]:
    height, width = config.crop_size
    for number in range(len(config.channels)):
        height, width = height - 2, width - 2
        if number in pools:
            height, width = height // 2, width // 2
    return height, width


class FilterCNN(nn.Module):
    """Network of the document; `forward` gives the logit, `torch.sigmoid` of it the probability.

    Pooling comes before LeakyReLU and dropout of whole channels instead of after them: neither changes which
    of four pixels is the largest, so the result is the same, for a quarter of the work.
    """

    def __init__(self, config: FilterCNNConfig) -> None:
        super().__init__()
        self.config = config
        pools = fitting_pools(config)
        layers: list[nn.Module] = []
        in_channels = 3
        for number, full_channels in enumerate(config.channels):
            out_channels = max(1, round(full_channels * config.width))
            layers += [nn.Conv2d(in_channels, out_channels, kernel_size=3)]
            if number in pools:
                layers += [nn.MaxPool2d(2)]
            layers += [nn.LeakyReLU(0.01), nn.Dropout2d(config.conv_dropout)]
            in_channels = out_channels
        self.features = nn.Sequential(*layers)
        height, width = _feature_map_size(config, pools)
        hidden = max(1, round(config.hidden * config.width))
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_channels * height * width, hidden),
            nn.Tanh(),
            nn.Dropout(config.hidden_dropout),
            nn.Linear(hidden, 1),
        )
        self._initialize()
        self.to(memory_format=torch.channels_last)  # a third quicker on a CPU, for the pooling above all

    def _initialize(self) -> None:
        """He et al. (2015) for the convolutions; the narrow networks hardly start from PyTorch's default."""
        for module in self.features:
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, a=0.01, nonlinearity="leaky_relu")
                nn.init.zeros_(module.bias)

    def crop(self, images: Tensor) -> Tensor:
        """The region the network looks at, shrunk to its size by averaging (area) where it is larger.

        [N, 3, H, H] -> [N, 3, crop height, crop width].

        Raises:
            ValueError: the pictures are not square, or smaller than those the network was built for.
        """
        size, (height, width) = self.config.image_size, images.shape[2:]
        if images.shape[1] != 3 or height != width or height < size:
            raise ValueError(
                f"expected pictures [N, 3, {size}, {size}] or larger squares, got {list(images.shape)}"
            )
        rows, columns = self.config.crop_slices(images.shape[-1])
        window = images[..., rows, columns]
        if window.shape[2:] != self.config.crop_size:
            window = functional.interpolate(window, self.config.crop_size, mode="area")
        return window.contiguous(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Outputs [N] (logits of a filter network) of whole square pictures [N, 3, H, H], RGB in [-1, 1].

        Raises:
            ValueError: as `crop`.
        """
        return self.classifier(self.features(self.crop(images))).squeeze(1)


def save_filter_cnn(path: Path, model: FilterCNN, extra: dict[str, Any]) -> None:
    """Write weights, layer table and `extra` (plain numbers and strings); the caller makes it atomic."""
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_torch(path, {"config": asdict(model.config), "state_dict": weights, "extra": extra})


def load_filter_cnn(path: Path, device: torch.device | str = "cpu") -> tuple[FilterCNN, dict[str, Any]]:
    """Read a file of `save_filter_cnn`: the network in eval mode, and `extra`.

    Raises:
        ValueError: the file is truncated or holds something else.
    """
    try:
        content = read_torch(path)
        config = FilterCNNConfig(**content["config"])
        model = build_to_fit(lambda: FilterCNN(config), content["state_dict"])
        extra = content["extra"]
    except FOREIGN as error:
        raise ValueError(
            f"{path.name} is no gender, quality or property network of this program: {error}"
        ) from error
    return model.to(device).eval(), extra
