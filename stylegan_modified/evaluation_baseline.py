"""The simple baseline: linear directions in w as dials of the original generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylegan.interface import Generator
from stylegan_modified.linear_latents import RIDGE, LinearEditor


class LinearDialGenerator(nn.Module):
    """The original generator whose w moves along fitted directions; nothing is trained.

    What a person has is predicted from w by the ridge regression that the directions come from, so a request
    moves w by (requested - predicted) times the directions.

    Args:
        generator: the original generator.
        w: [N, w_dim] latents of pictures that were read.
        properties: [N, 7] what was read from them, normalised.
        ridge: regularisation relative to the mean variance of w.

    Raises:
        ValueError: no more latents than dimensions of w.
    """

    def __init__(self, generator: Generator, w: Tensor, properties: Tensor, ridge: float = RIDGE) -> None:
        super().__init__()
        self.generator = generator
        editor = LinearEditor.fit(w, torch.arange(len(w)), properties, ridge=ridge)
        for name in ("directions", "effect", "offset"):
            self.register_buffer(name, getattr(editor, name))

    @property
    def z_space_dim(self) -> int:
        """Size of z."""
        return self.generator.z_space_dim

    def forward(self, z: Tensor, properties: Tensor | None = None) -> dict[str, Tensor]:
        """Pictures of z [N, z_dim] with properties [N, 7]; None shows the untouched person.

        Returns:
            {"z", "w" [N, w_dim], "wp" [N, layers, w_dim], "image" [N, 3, H, W] about [-1, 1]}.
        """
        w = self.generator.mapping(z)
        if properties is not None:
            w = w + (properties - (w @ self.effect + self.offset)) @ self.directions
        wp = self.generator.truncation(w)
        return {"z": z, "w": w, "wp": wp, "image": self.generator.synthesis(wp)}
