"""Procedural portraits: people drawn from a vector of normals, with exact labels and known properties."""

from .colors import CLASS_COUNT, PALETTE
from .parameters import (
    COORDINATES,
    IDENTITY_COORDINATES,
    LATENT_SIZE,
    TRUTH_NAMES,
    PortraitParameters,
    parameters_from_latent,
    same_person,
    sample_latents,
    truth,
)
from .render import Portrait, PortraitSet, check_size, render, render_many

__all__ = [
    "CLASS_COUNT",
    "COORDINATES",
    "IDENTITY_COORDINATES",
    "LATENT_SIZE",
    "PALETTE",
    "TRUTH_NAMES",
    "Portrait",
    "PortraitParameters",
    "PortraitSet",
    "check_size",
    "parameters_from_latent",
    "render",
    "render_many",
    "same_person",
    "sample_latents",
    "truth",
]
