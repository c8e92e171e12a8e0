"""Dials: offsets in W+ that move named properties of one person, learned as a residual on linear directions.

The linear part is the most probable change of w for a wanted change of properties under a Gaussian model of
(w, properties); the network part corrects it for the person at hand and gives every synthesis layer an offset
of its own. At zero difference the offset is exactly zero, so an untouched dial returns the untouched picture.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DialNetwork(nn.Module):
    """Offsets for every synthesis layer from a person's w and the wanted change of the seven properties."""

    w_mean: Tensor
    w_std: Tensor

    def __init__(self, w_dim: int, layer_count: int, property_count: int = 7, hidden: int = 256) -> None:
        super().__init__()
        self.w_dim, self.layer_count, self.hidden = w_dim, layer_count, hidden
        self.register_buffer("w_mean", torch.zeros(w_dim))
        self.register_buffer("w_std", torch.ones(w_dim))
        self.directions = nn.Parameter(torch.zeros(property_count, w_dim))
        self.body = nn.Sequential(
            nn.Linear(w_dim + property_count, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.head = nn.Linear(hidden, layer_count * w_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @torch.no_grad()
    def start_from(self, w: Tensor, directions: Tensor) -> None:
        """Set the scale of w from samples [N, w_dim], and the linear part [7, w_dim]."""
        self.w_mean.copy_(w.mean(0))
        self.w_std.copy_(w.std(0).clamp_min(1e-6))
        self.directions.copy_(directions)

    def forward(self, w: Tensor, difference: Tensor) -> Tensor:
        """Offsets in W+.

        Args:
            w: [N, w_dim] float, the person.
            difference: [N, 7] float, requested minus own properties, normalised units.

        Returns:
            [N, layer_count, w_dim] float offsets to add to wp.
        """
        # Small and sensitive: all of it stays in float32 under mixed precision.
        with torch.autocast(w.device.type, enabled=False):
            linear = difference.float() @ self.directions
            return self._residual(w.float(), difference.float()) + linear[:, None]

    def residual(self, w: Tensor, difference: Tensor) -> Tensor:
        """What the network adds to the linear part; arguments and shape as in `forward`."""
        with torch.autocast(w.device.type, enabled=False):
            return self._residual(w.float(), difference.float())

    def _residual(self, w: Tensor, difference: Tensor) -> Tensor:
        person = (w - self.w_mean) / self.w_std
        hidden = self.body(torch.cat([person, difference], dim=1))
        at_rest = self.body(torch.cat([person, torch.zeros_like(difference)], dim=1))
        residual = (hidden - at_rest) @ self.head.weight.T
        return residual.view(-1, self.layer_count, self.w_dim) * self.w_std
