"""Simple ways to turn seven dials of a generator that nobody fine-tuned, to compare the trained ones with.

Each finds one direction per property: in w (linear regression, InterFaceGAN, GANSpace, SeFa) or among the
channels of the styles (StyleSpace). What a person has is predicted from w by ridge regression, so a request
moves the person by (requested - predicted) steps. A step is sized so that, to first order, it changes its
property by 1; `equal_reach` then corrects the size by what pictures show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from stylegan.interface import Generator
from stylegan.layers import StyleModulation
from stylegan.stylegan2_layers import SynthesisLayer as StyleGAN2Layer
from stylegan_modified.linear_latents import RIDGE, fit_linear, smallest_directions

Baseline = Literal["base", "interfacegan", "ganspace", "sefa", "stylespace"]
Reader = Callable[[Tensor], Tensor]
"""Pictures [N, 3, H, W] in [-1, 1] to properties [N, 7], with gradients."""

COMPONENTS = 100  # of GANSpace and SeFa, from which one is chosen for each property
LEAST_REACH = 0.25  # of the reach of the component or channel with the largest
SVM_REGULARISATION = 0.1
SVM_SEED = 0
LARGEST_CORRECTION = 4.0


class DirectionGenerator(nn.Module):
    """An original generator with one direction per property.

    Args:
        generator: the original generator.
        effect, offset: [w_dim, 7], [7]: what properties w shows, w effect + offset.
        directions: [7, w_dim], the change of w for +1 of each property; None leaves w alone.
        channels: by layer of the synthesis network, [7, channels of its style]: their change for +1.
    """

    effect: Tensor
    offset: Tensor
    directions: Tensor
    size: Tensor

    def __init__(
        self,
        generator: Generator,
        effect: Tensor,
        offset: Tensor,
        directions: Tensor | None = None,
        channels: dict[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.register_buffer("effect", effect)
        self.register_buffer("offset", offset)
        self.register_buffer("directions", torch.zeros_like(effect.T) if directions is None else directions)
        self.register_buffer("size", torch.ones_like(offset))
        self.channels = nn.ParameterDict(
            {name.replace(".", "/"): nn.Parameter(change, False) for name, change in (channels or {}).items()}
        )

    @property
    def z_space_dim(self) -> int:
        """Size of z."""
        return self.generator.z_space_dim

    def forward(self, z: Tensor, properties: Tensor | None = None) -> dict[str, Tensor]:
        """Pictures of z [N, z_dim] with properties [N, 7], where NaN leaves one alone; None shows the person
        untouched.

        Returns:
            {"z", "w" [N, w_dim], "wp" [N, layers, w_dim], "image" [N, 3, H, W] about [-1, 1]}.
        """
        w = self.generator.mapping(z)
        steps = torch.zeros_like(w[:, :1] @ self.offset[None])
        if properties is not None:
            steps = ((properties - (w @ self.effect + self.offset)) * self.size).nan_to_num(0.0)
        w = w + steps @ self.directions
        wp = self.generator.truncation(w)
        with self._moved_styles(steps):
            return {"z": z, "w": w, "wp": wp, "image": self.generator.synthesis(wp)}

    @contextmanager
    def _moved_styles(self, steps: Tensor) -> Iterator[None]:
        """While open, the styles are moved by these steps [N, 7]."""

        def mover(change: Tensor) -> Callable[..., Tensor | tuple[Tensor, ...]]:
            return lambda layer, inputs, style: _moved(style, steps @ change)

        hooks = [
            self.generator.synthesis.get_submodule(name.replace("/", ".")).register_forward_hook(
                mover(change)
            )
            for name, change in self.channels.items()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _moved(style: Tensor | tuple[Tensor, ...], offset: Tensor) -> Tensor | tuple[Tensor, ...]:
    """A style, or scale and shift, plus an offset [N, channels of all of it]."""
    if isinstance(style, Tensor):
        return style + offset
    return tuple(part + move for part, move in zip(style, offset.chunk(len(style), dim=1), strict=True))


def fit_baseline(
    name: Baseline,
    generator: Generator,
    w: Tensor,
    properties: Tensor,
    reader: Reader | None = None,
    ridge: float = RIDGE,
) -> DirectionGenerator:
    """Fit one of the baselines.

    Args:
        generator: the original generator.
        w: [N, w_dim] latents of pictures that were read.
        properties: [N, 7] what was read from them, normalised.
        reader: reads properties with gradients; only "stylespace" needs it. Never the judge.
        ridge: regularisation relative to the mean variance of w.

    Raises:
        ValueError: no more latents than dimensions of w; no reader for "stylespace".
    """
    effect, offset = fit_linear(w, properties, ridge)
    if name == "stylespace":
        if reader is None:
            raise ValueError("single channels are found by gradients on scores, and nothing reads these here")
        return DirectionGenerator(generator, effect, offset, channels=single_channels(generator, w, reader))
    if name == "base":
        directions = smallest_directions(effect, w)
    elif name == "interfacegan":
        directions = interfacegan_directions(w, properties, effect)
    else:
        found = principal_components(w) if name == "ganspace" else style_eigenvectors(generator)
        directions = most_selective(found.to(w), effect, w)
    return DirectionGenerator(generator, effect, offset, directions)


def interfacegan_directions(w: Tensor, properties: Tensor, effect: Tensor) -> Tensor:
    """Normals of the boundary between the higher and the lower half of each property, made conditional: from
    each, its projection on all others is taken away (Shen et al. 2020, sections 2.2 and 2.3).

    Args:
        w: [N, w_dim]; properties: [N, 7]; effect: [w_dim, 7], for the size of a step.

    Returns:
        [7, w_dim], the change of w for +1 of each property.
    """
    samples = w.double().cpu().numpy()
    spread = samples.std(axis=0).clip(1e-6)
    normals = []
    for values in properties.double().cpu().numpy().T:
        model = LinearSVC(C=SVM_REGULARISATION, random_state=SVM_SEED, dual=False)
        model.fit(samples / spread, values > np.median(values))
        normals.append(model.coef_[0] / spread)
    units = torch.from_numpy(np.stack(normals))
    units = units / units.norm(dim=1, keepdim=True)
    conditional = []
    for row in range(len(units)):
        others, _ = torch.linalg.qr(torch.cat([units[:row], units[row + 1 :]]).T)
        conditional.append(units[row] - others @ (others.T @ units[row]))
    return _unit_steps(torch.stack(conditional).to(w), effect)


def principal_components(w: Tensor) -> Tensor:
    """The first principal components [C, w_dim] of latents w [N, w_dim] (GANSpace, Harkonen et al. 2020)."""
    _, _, components = torch.linalg.svd((w - w.mean(0)).double(), full_matrices=False)
    return components[:COMPONENTS].to(w.dtype)


def style_eigenvectors(generator: Generator) -> Tensor:
    """Directions [C, w_dim] that change the styles of all layers most (SeFa, Shen and Zhou 2021)."""
    weights = torch.cat(
        [layer.get_parameter("weight").detach() for _, layer in style_layers(generator)]
    ).double()
    weights = weights / weights.norm(dim=1, keepdim=True)
    _, vectors = torch.linalg.eigh(weights.T @ weights)
    return vectors.T.flip(0)[:COMPONENTS].float()


def style_layers(generator: Generator) -> list[tuple[str, nn.Module]]:
    """Layers that turn w into the styles of the convolutions, by their names in the synthesis network."""
    owners = (StyleModulation, StyleGAN2Layer)
    found = [
        (name, module) for name, module in generator.synthesis.named_modules() if isinstance(module, owners)
    ]
    return [(f"{n}.affine", m.affine) if isinstance(m, StyleGAN2Layer) else (n, m) for n, m in found]


def most_selective(candidates: Tensor, effect: Tensor, w: Tensor) -> Tensor:
    """For each property the candidate that moves it and little else, among those that move it far enough.

    Args:
        candidates: [C, w_dim] directions; effect: [w_dim, 7]; w: [N, w_dim], for how far each is usual.

    Returns:
        [7, w_dim], the change of w for +1 of each property.
    """
    change = candidates @ effect * (w @ candidates.T).std(0)[:, None]
    return _unit_steps(candidates[_choose(change)], effect)


def _choose(change: Tensor) -> Tensor:
    """Rows [7] of change [C, 7], properties per usual step of each candidate; the most selective ones."""
    square = change.square()
    selectivity = square / square.sum(dim=1, keepdim=True).clamp_min(1e-12)
    near = square < LEAST_REACH**2 * square.amax(dim=0)
    return selectivity.masked_fill(near, -1.0).argmax(dim=0)


def _unit_steps(directions: Tensor, effect: Tensor) -> Tensor:
    """Directions [7, w_dim], scaled so that each changes its own property by 1 to first order."""
    own = (directions @ effect).diagonal()
    return directions / torch.where(own.abs() < 1e-6, own.new_full((), 1e-6), own)[:, None]


def single_channels(
    generator: Generator, w: Tensor, reader: Reader, people: int = 64, batch: int = 8
) -> dict[str, Tensor]:
    """One channel of one layer's style per property (StyleSpace, Wu et al. 2021), found by the mean gradient
    of what `reader` reads.

    Args:
        w: [N, w_dim]; the first `people` of them are drawn, all tell how much a channel usually varies.

    Returns:
        By layer of the synthesis network, [7, channels]: their change for +1 of each property; layers without
        a chosen channel are left out.
    """
    layers = style_layers(generator)
    slopes = [torch.zeros(())] * len(layers)
    for part in w[:people].split(batch):
        for number, slope in enumerate(_style_slopes(generator, layers, part, reader)):
            slopes[number] = slopes[number] + slope / len(w[:people])
    with torch.no_grad():
        usual = torch.cat([_joined(module(w)).std(0) for _, module in layers])
    slope = torch.cat(slopes)  # [channels of all layers, 7]
    chosen = _choose(slope * usual[:, None])
    change = torch.zeros_like(slope.T)
    for row, channel in enumerate(chosen.tolist()):
        change[row, channel] = 1.0 / slope[channel, row]
    parts = change.split([len(part) for part in slopes], dim=1)
    named = zip((name for name, _ in layers), parts, strict=True)
    return {name: part.contiguous() for name, part in named if part.any()}


def _style_slopes(
    generator: Generator, layers: list[tuple[str, nn.Module]], w: Tensor, reader: Reader
) -> list[Tensor]:
    """For each layer [channels, 7]: how what is read of pictures of w depends on its style, summed over w."""
    styles: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], style: Tensor | tuple[Tensor, ...]) -> object:
        leaf = _joined(style).detach().requires_grad_()
        styles.append(leaf)
        return leaf if isinstance(style, Tensor) else leaf.chunk(len(style), dim=1)

    hooks = [module.register_forward_hook(keep) for _, module in layers]
    try:
        read = reader(generator.synthesis(generator.truncation(w)).float())
    finally:
        for hook in hooks:
            hook.remove()
    gradients = [
        torch.autograd.grad(read[:, k].sum(), styles, retain_graph=k + 1 < read.shape[1])
        for k in range(read.shape[1])
    ]
    return [torch.stack([part.sum(0) for part in parts], dim=1) for parts in zip(*gradients, strict=True)]


def _joined(style: Tensor | tuple[Tensor, ...]) -> Tensor:
    return style if isinstance(style, Tensor) else torch.cat(style, dim=1)


@torch.no_grad()
def equal_reach(
    model: DirectionGenerator, z: Tensor, levels: Tensor, reader: Reader, batch: int = 16
) -> DirectionGenerator:
    """Size the steps of a model so that turning a dial by 1 changes what is read by 1, as far as it goes.

    Args:
        model: changed in place, and returned.
        z: [N, z_dim] people for the correction, none of the evaluation.
        levels: [L] values of the dial, beside which all others stay as predicted.
        reader: reads properties; never the judge.
    """
    own = model.generator.mapping(z) @ model.effect + model.offset
    for k in range(own.shape[1]):
        asked = own.repeat(len(levels), 1)
        asked[:, k] = levels.repeat_interleave(len(z))
        pairs = zip(z.repeat(len(levels), 1).split(batch), asked.split(batch), strict=True)
        read = torch.cat([reader(model(*pair)["image"].float())[:, k] for pair in pairs])
        x, y = asked[:, k] - asked[:, k].mean(), read - read.mean()
        slope = float((x * y).sum() / x.square().sum())
        size = min(max(1.0 / max(abs(slope), 1e-6), 1.0 / LARGEST_CORRECTION), LARGEST_CORRECTION)
        model.size[k] *= math.copysign(size, slope)  # what was fitted on other people may point the other way
    return model
