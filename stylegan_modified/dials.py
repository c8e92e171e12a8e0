"""Dials: offsets in W+ that move named properties of one person, learned as a residual on linear directions.

The linear part is the most probable change of w for a wanted change of properties under a Gaussian model of
(w, properties); the network part corrects it for the person at hand and gives every synthesis layer an offset
of its own. At zero difference the offset is exactly zero, so an untouched dial returns the untouched picture.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MAX_LENGTH = 4.0


def linear_directions(w: Tensor, properties: Tensor, ridge: float = 1e-3) -> Tensor:
    """Directions in w that change one property and, to first order, no other.

    With properties ~ A w + b fitted by ridge regression and C the covariance of w, the change
    C A^T (A C A^T)^-1 d is the smallest one (in units of C) whose predicted effect is exactly d.

    Args:
        w: [N, w_dim] float latents.
        properties: [N, 7] float, what was read from their pictures.
        ridge: regularisation relative to the mean variance of w.

    Returns:
        [7, w_dim] float: row j is the change of w for +1 of property j, `MAX_LENGTH` standard deviations long
        at the most.

    Raises:
        ValueError: no more samples than dimensions of w (the fit would be arbitrary).
    """
    count, dim = w.shape
    if count <= dim:
        raise ValueError(f"{count} latents are too few to fit directions in {dim} dimensions")
    centred = (w - w.mean(0)).double()
    covariance = centred.T @ centred / count
    regulariser = ridge * covariance.diagonal().mean() * torch.eye(dim, dtype=torch.float64, device=w.device)
    target = (properties - properties.mean(0)).double()
    effect = torch.linalg.solve(covariance + regulariser, centred.T @ target / count).T
    inverse_spread = torch.linalg.inv(effect @ covariance @ effect.T)
    # How many standard deviations of w a direction is long; properties that hardly vary ask for absurd steps.
    length = inverse_spread.diagonal().sqrt()
    directions = inverse_spread @ effect @ covariance * (MAX_LENGTH / length).clamp(max=1.0)[:, None]
    return directions.to(w.dtype)


class DialNetwork(nn.Module):
    """Offsets for every synthesis layer from a person's w and the wanted change of the seven properties."""

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
    def fit_linear(self, w: Tensor, properties: Tensor) -> None:
        """Set the scale of w and the linear directions from samples w [N, w_dim], properties [N, 7]."""
        self.w_mean.copy_(w.mean(0))
        self.w_std.copy_(w.std(0).clamp_min(1e-6))
        self.directions.copy_(linear_directions(w, properties))

    def forward(self, w: Tensor, difference: Tensor) -> Tensor:
        """Offsets in W+.

        Args:
            w: [N, w_dim] float, the person.
            difference: [N, 7] float, requested minus own properties, normalised units.

        Returns:
            [N, layer_count, w_dim] float offsets to add to wp.
        """
        # Small and sensitive: stays in float32 under mixed precision.
        with torch.autocast(w.device.type, enabled=False):
            return self._offsets(w.float(), difference.float())

    def _offsets(self, w: Tensor, difference: Tensor) -> Tensor:
        person = (w - self.w_mean) / self.w_std
        hidden = self.body(torch.cat([person, difference], dim=1))
        at_rest = self.body(torch.cat([person, torch.zeros_like(difference)], dim=1))
        residual = (hidden - at_rest) @ self.head.weight.T
        residual = residual.view(-1, self.layer_count, self.w_dim) * self.w_std
        return residual + (difference @ self.directions)[:, None]
