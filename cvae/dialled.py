"""A conditional VAE as a generator with the seven dials, so that it stands beside v1 and v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from cvae.conditions import NEUTRAL, ConditionScale
from cvae.model import ConditionalVAE
from segmentation.property_table import PROPERTY_NAMES


class DialledVAE(nn.Module):
    """Noise and normalised properties to pictures. Properties that are no condition of the VAE do nothing.

    Args:
        model: the VAE.
        scale: from properties to its conditions.
        size: height and width of the pictures in pixels; those of the VAE are enlarged to it.
    """

    def __init__(self, model: ConditionalVAE, scale: ConditionScale, size: int) -> None:
        super().__init__()
        self.model, self.scale, self.size = model, scale, size

    @classmethod
    def from_checkpoint(cls, content: Mapping[str, Any], size: int) -> DialledVAE:
        """The generator of a checkpoint of `ConditionalVAE`.

        Raises:
            ValueError: it is none, or its conditions are hand labels, which are on another scale than dials.
        """
        model = ConditionalVAE.from_checkpoint(content)
        scale = content.get("about", {}).get("conditions", {}).get("scale")
        if scale is None:
            raise ValueError("its conditions are hand labels, and dials are scores of stage 04")
        return cls(model, ConditionScale.from_dict(scale), size)

    @property
    def dials(self) -> tuple[str, ...]:
        """The properties that are conditions of the VAE."""
        return tuple(PROPERTY_NAMES[column] for column in self.scale.columns)

    @property
    def z_space_dim(self) -> int:
        """Length of the noise."""
        return self.model.z_space_dim

    def forward(self, z: Tensor, properties: Tensor | None, trunc_psi: float = 1.0) -> dict[str, Tensor]:
        """``image`` [N, 3, size, size] in [-1, 1].

        Args:
            z: standard normal [N, D].
            properties: normalised [N, 7]; beyond the range of the training pictures they are clipped. None:
                every condition is .5.
            trunc_psi: temperature of the noise.
        """
        if properties is None:
            conditions = z.new_full((len(z), len(self.scale.names)), NEUTRAL)
        else:
            conditions = self.scale.unclipped(properties).clamp(0, 1).to(z.dtype)
        picture = self.model.decode(z, conditions, trunc_psi).picture
        if picture.shape[-2:] != (self.size, self.size):
            picture = F.interpolate(picture, (self.size, self.size), mode="bicubic", antialias=True)
        return {"image": picture.clamp(-1, 1)}
