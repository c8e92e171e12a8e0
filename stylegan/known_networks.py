"""The networks of this package, and names for the networks that it does not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

import torch
from torch import Tensor

from stylegan.interface import Discriminator, Generator
from stylegan.phases import Architecture
from stylegan.stylegan2_discriminator import StyleGAN2Discriminator
from stylegan.stylegan2_generator import StyleGAN2Generator
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator

Shapes = dict[str, tuple[int, ...]]

GENERATORS: dict[Architecture, type[Generator]] = {
    "stylegan": StyleGANGenerator,
    "stylegan2": StyleGAN2Generator,
}
DISCRIMINATORS: dict[Architecture, type[Discriminator]] = {
    "stylegan": StyleGANDiscriminator,
    "stylegan2": StyleGAN2Discriminator,
}
TITLES: dict[Architecture, str] = {"stylegan": "StyleGAN v1", "stylegan2": "StyleGAN2"}

SHOWN_DIFFERENCES = 3
TAKE = "Take StyleGAN2-ADA's ffhq.pkl of NVIDIA, or OpenMMLab's styleganv1_ffhq_256_*.pth, instead."
# Entries that give away networks which this package does not read.
OTHER_NETWORKS = {
    "mapping.embed.weight": "a generator that draws by class labels, which this package does not do",
    "synthesis.input.weight": "a StyleGAN3 generator (NVIDIA)",
    "synthesis.early_layer.const": "a StyleGAN2 generator (GenForce)",
    "output0.weight": "a ProGAN generator (GenForce), which has no W space",
    "output0.conv.weight": "a ProGAN generator (InterFaceGAN), which has no W space",
    "noise2feat.linear.weight_orig": "a ProGAN generator (OpenMMLab), which has no W space",
    "shared_embedding.weight": "a BigGAN generator (OpenMMLab), which has no W space",
    "shared.weight": "a BigGAN generator, which has no W space",
    "backbone.0.0.0.weight": "a FaceXFormer face parser",
}


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    return {name: tuple(value.shape) for name, value in state.items()}


def explain_unknown(tables: Iterable[Mapping[str, Tensor]]) -> str:
    """What the most telling, or the largest, of several tables is; none is a network of this package."""
    telling = max(tables, key=lambda table: (any(name in table for name in OTHER_NETWORKS), len(table)))
    return nearest_network(shapes_of(telling))


@cache
def _known_networks() -> dict[str, frozenset[str]]:
    known = {}
    for resolution in (32, 64, 128, 256, 512, 1024):
        for networks, kind in ((GENERATORS, "generator"), (DISCRIMINATORS, "discriminator")):
            for architecture, network in networks.items():
                with torch.device("meta"):
                    keys = network(resolution, fmaps_base=resolution, fmaps_max=1).state_dict()
                name = f"a {TITLES[architecture]} {kind} at {resolution}x{resolution}"
                known[name] = frozenset(keys)
    return known


def nearest_network(shapes: Shapes) -> str:
    """Name the known network whose entry names overlap most with these."""
    for entry, name in OTHER_NETWORKS.items():
        if entry in shapes:
            return f"it holds {name} (its entry `{entry}` says so). {TAKE}"
    found = frozenset(shapes)
    overlap, name = max(
        (len(found & keys) / len(found | keys), name) for name, keys in _known_networks().items()
    )
    if overlap < 0.05:
        first = ", ".join(f"`{key}`" for key in list(shapes)[:SHOWN_DIFFERENCES]) or "no entries"
        return f"it holds no StyleGAN network: its entries are called {first} and so on."
    keys = _known_networks()[name]
    missing = [f"`{key}` is missing" for key in sorted(keys - found)]
    surplus = [f"`{key}` does not belong there" for key in sorted(found - keys)]
    shown = "; ".join((missing + surplus)[:SHOWN_DIFFERENCES])
    return f"the nearest known network is {name} ({overlap:.0%} of the entry names), but {shown}."
