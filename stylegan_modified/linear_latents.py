"""Linear models in w: what a latent shows, and the smallest moves that change what it shows.

They are the simple baseline of the evaluation, the first lesson of v1's mapping and the start of v2's dials.
Linear directions between classes are those of InterFaceGAN (Shen et al. 2020); solving for all of them at
once keeps one from moving another.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

MAX_LENGTH = 4.0
BOUNDARY_MARGIN = 0.75  # standard deviations of the boundary's logit
BOUNDARY_REGULARISATION = 0.01  # C of the logistic regression, on standardised latents
RIDGE = 1e-3


def fit_linear(w: Tensor, values: Tensor, ridge: float = RIDGE) -> tuple[Tensor, Tensor]:
    """Ridge regression values ~ w effect + offset.

    Args:
        w: [N, w_dim] float latents.
        values: [N, K] float, what was read from their pictures.
        ridge: regularisation relative to the mean variance of w.

    Returns:
        (effect [w_dim, K], offset [K]), in the type of w.

    Raises:
        ValueError: no more samples than dimensions of w (the fit would be arbitrary).
    """
    count, dim = w.shape
    if count <= dim:
        raise ValueError(f"{count} latents are too few to fit directions in {dim} dimensions")
    centred, target = (w - w.mean(0)).double(), (values - values.mean(0)).double()
    covariance = centred.T @ centred / count
    penalty = ridge * covariance.diagonal().mean() * torch.eye(dim, dtype=torch.float64, device=w.device)
    effect = torch.linalg.solve(covariance + penalty, centred.T @ target / count).to(w.dtype)
    return effect, (values.mean(0) - w.mean(0) @ effect).to(w.dtype)


def smallest_directions(effect: Tensor, w: Tensor) -> Tensor:
    """Directions in w that change one value and, to first order, no other.

    With values ~ A w + b and C the covariance of w, the change C A^T (A C A^T)^-1 d is the smallest one (in
    units of C) whose predicted effect is exactly d.

    Args:
        effect: [w_dim, K] float, the transposed A.
        w: [N, w_dim] float latents, for C.

    Returns:
        [K, w_dim] float: row k is the change of w for +1 of value k, `MAX_LENGTH` standard deviations of w
        long at the most: values that hardly vary would ask for absurd steps.
    """
    covariance = torch.cov(w.double().T, correction=0)
    transposed = effect.double().T
    inverse_spread = torch.linalg.inv(transposed @ covariance @ transposed.T)
    length = inverse_spread.diagonal().sqrt()
    directions = inverse_spread @ transposed @ covariance * (MAX_LENGTH / length).clamp(max=1.0)[:, None]
    return directions.to(w.dtype)


def fit_boundary(w: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Logistic regression of a class on latents w [N, w_dim]; `wanted` [N] bool has both classes.

    Returns:
        (effect [w_dim], offset []) of the logit, positive where the class is likely.
    """
    from sklearn.linear_model import LogisticRegression

    mean, deviation = w.mean(0), w.std(0).clamp_min(1e-6)
    model = LogisticRegression(C=BOUNDARY_REGULARISATION, class_weight="balanced", max_iter=2000)
    model.fit(((w - mean) / deviation).double().cpu().numpy(), wanted.cpu().numpy().astype(np.int64))
    effect = torch.from_numpy(model.coef_[0]).to(w) / deviation
    return effect, float(model.intercept_[0]) - mean @ effect


@dataclass(frozen=True)
class LinearEditor:
    """Moves latents to requested properties, and to the wanted side of class boundaries.

    Attributes:
        effect: [w_dim, 7], offset: [7]: the properties that a latent shows.
        directions: [7, w_dim], the change of w for +1 of each property.
        boundary_effect: [w_dim, M], boundary_offset: [M]: logits of M classes, positive on the wanted side.
        boundary_directions: [M, w_dim], the change of w for +1 of each logit.
        margin: [M] logits that every latent shall have.
    """

    effect: Tensor
    offset: Tensor
    directions: Tensor
    boundary_effect: Tensor
    boundary_offset: Tensor
    boundary_directions: Tensor
    margin: Tensor

    @classmethod
    def fit(
        cls,
        w: Tensor,
        scored: Tensor,
        properties: Tensor,
        wanted: tuple[Tensor, ...] = (),
        ridge: float = RIDGE,
    ) -> LinearEditor:
        """Fit from candidates.

        Args:
            w: [N, w_dim] float latents of all candidates.
            scored: [K] int64, rows of w that have properties.
            properties: [K, 7] float, their properties, normalised.
            wanted: bool [N] for each class boundary, True on the wanted side; each has both classes.
            ridge: regularisation of the properties' fit.

        Raises:
            ValueError: no more scored latents than dimensions of w.
        """
        effect, offset = fit_linear(w[scored], properties, ridge)
        boundaries = [fit_boundary(w, side) for side in wanted]
        boundary_effect = torch.stack([part[0] for part in boundaries], 1) if boundaries else effect[:, :0]
        boundary_offset = torch.stack([part[1] for part in boundaries]) if boundaries else offset[:0]
        spread = w if wanted else w[scored]
        directions = smallest_directions(torch.cat([effect, boundary_effect], 1), spread)
        count = effect.shape[1]
        logits = w @ boundary_effect + boundary_offset
        spread_of_logits = logits.std(0) if boundaries else boundary_offset
        return cls(
            effect,
            offset,
            directions[:count],
            boundary_effect,
            boundary_offset,
            directions[count:],
            BOUNDARY_MARGIN * spread_of_logits,
        )

    def to(self, device: torch.device) -> LinearEditor:
        """The same on another device."""
        return LinearEditor(*(getattr(self, field.name).to(device) for field in fields(self)))

    def properties(self, w: Tensor) -> Tensor:
        """Predicted properties [N, 7] of latents w [N, w_dim]."""
        return w @ self.effect + self.offset

    def admit(self, w: Tensor) -> Tensor:
        """Latents [N, w_dim] on the wanted side of every boundary; those well inside stay as they are."""
        missing = self.margin - (w @ self.boundary_effect + self.boundary_offset)
        return w + missing.clamp_min(0) @ self.boundary_directions

    def move(self, w: Tensor, properties: Tensor) -> Tensor:
        """Latents [N, w_dim] moved to properties [N, 7]."""
        return w + (properties - self.properties(w)) @ self.directions
