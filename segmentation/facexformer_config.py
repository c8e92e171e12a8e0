"""Sizes of a FaceXFormer, and what it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

TASKS: dict[str, int] = {
    "landmarks": 136,
    "headpose": 3,
    "attributes": 40,
    "visibility": 29,
    "age": 8,
    "gender": 2,
    "race": 5,
    "segmentation": 11,
}
"""Output name to size, in the order of the tokens (the segmentation has one token per class)."""

SINGLE_TASKS = tuple(task for task in TASKS if task != "segmentation")
MASK_PX = 4  # side of the block of mask pixels that each token of the picture becomes


class FaceXFormerWeightsError(ValueError):
    """The file holds no weights that fit a FaceXFormer."""


@dataclass(frozen=True)
class FaceXFormerConfig:
    """Sizes of the network; the defaults are the published ones (Swin-B, 91,985,943 parameters)."""

    patch_size: int = 4
    """Side of the picture patch that becomes one token, in pixels. With 8 everything is four times cheaper,
    and the segmentation is computed at half the resolution and enlarged."""
    embed_dim: int = 128
    """Channels of the first backbone stage; each later stage has twice as many."""
    depths: tuple[int, ...] = (2, 2, 18, 2)
    """Swin blocks of each of the four stages."""
    head_counts: tuple[int, ...] = (4, 8, 16, 32)
    """Attention heads of each stage."""
    window_size: int = 7
    """Side of an attention window, in tokens."""
    mlp_ratio: float = 4.0
    """Width of a Swin block's MLP over its channels."""
    decoder_width: int = 256
    decoder_depth: int = 2
    decoder_head_count: int = 8
    decoder_mlp_width: int = 2048
    refinement_width: int = 0
    """Channels of a `MaskRefinement`, which the published network does not have; 0: none."""

    def __post_init__(self) -> None:
        numbers = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        if numbers.pop("refinement_width") < 0 or self.refinement_width and self.patch_size % MASK_PX:
            raise ValueError(f"refinement_width is 0, or more where patch_size is a multiple of {MASK_PX}")
        sizes = [*self.depths, *self.head_counts, *numbers.values()]
        if len(self.depths) != 4 or len(self.head_counts) != 4 or min(sizes) < 1:
            raise ValueError("a FaceXFormer has four stages, and all its sizes are positive")
        widths = [self.embed_dim * 2**stage for stage in range(4)] + [self.decoder_width // 2]
        for width, head_count in zip(widths, (*self.head_counts, self.decoder_head_count), strict=True):
            if width % head_count:
                raise ValueError(f"{width} channels cannot be divided among {head_count} heads")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FaceXFormerConfig:
        """Rebuilds a configuration from `dataclasses.asdict` after a trip through JSON.

        Raises:
            FaceXFormerWeightsError: a name that is no field, or sizes that do not fit.
        """
        names = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(names))
        if unknown:
            raise FaceXFormerWeightsError(
                f"unknown FaceXFormer option {unknown[0]!r}; known are {', '.join(names)}"
            )
        try:
            sizes: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
            return cls(**sizes)
        except (TypeError, ValueError) as error:
            raise FaceXFormerWeightsError(f"the sizes of the network make no sense: {error}") from error
