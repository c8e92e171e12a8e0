"""Recognising networks by the names and shapes of their entries.

`recognise` is the one place where a table of weights becomes a network of this package. Names of other
programs are turned into ours first, see `stylegan.layouts`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from stylegan.known_networks import (
    DISCRIMINATORS,
    GENERATORS,
    SHOWN_DIFFERENCES,
    TITLES,
    Shapes,
    nearest_network,
    shapes_of,
)
from stylegan.layouts import Converted, LayoutError, layout_of
from stylegan.phases import Architecture
from stylegan.sampling import sample_z

State = dict[str, Tensor]
Kind = Literal["generator", "discriminator"]

LABEL_WEIGHT = "mapping.label_weight"
STYLEGAN2_ENTRIES: dict[Kind, re.Pattern[str]] = {
    "generator": re.compile(r"synthesis\.b"),
    "discriminator": re.compile(r"b\d+\.(fromrgb|conv[01]?|skip|fc|out)\."),
}
AVERAGED_W = 10_000  # z of seeds 0, 1, ... whose w are averaged where a file has no average
AVERAGE_BATCH = 1000
NO_AVERAGE = f"the file has no average w (for truncation); it was computed from seeds 0 to {AVERAGED_W - 1}"
AVERAGES: dict[Architecture, str] = {"stylegan": "truncation.w_avg", "stylegan2": "mapping.w_avg"}


class CheckpointError(ValueError):
    """A weights file cannot be used; the message says what was found in it and what is wrong with it."""


@dataclass(frozen=True)
class Recognised:
    """A network found in a file: its weights under the names of this package, in float32, constructor
    arguments, and how it differs from the original StyleGAN.
    """

    state: State
    config: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)
    architecture: Architecture = "stylegan"
    program: str = ""
    """Whose names the weights had; empty for ours."""
    notes: tuple[str, ...] = ()
    """What was missing and made up, what was turned."""


def kind_of(state: Mapping[str, Tensor]) -> Kind | None:
    """Which network a table of weights seems to be; None for optimizer states and networks of other kinds."""
    layout = layout_of(state)
    if layout is not None:
        return layout.kind
    if any(name.startswith("input0.") or STYLEGAN2_ENTRIES["discriminator"].match(name) for name in state):
        return "discriminator"
    if any(name.startswith(("mapping.", "synthesis.", "truncation.")) for name in state):
        return "generator"
    return None


def recognise(kind: Kind, state: Mapping[str, Tensor], stored: Mapping[str, Any] | None = None) -> Recognised:
    """The network that a table of weights holds.

    Args:
        stored: configuration that the file itself names; it adds what shapes do not tell.

    Raises:
        CheckpointError: it is none of those that this package has; the nearest one is named.
    """
    layout = layout_of(state)
    weights = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    try:
        converted = layout.convert(weights) if layout is not None else Converted("", weights)
    except LayoutError as error:
        raise CheckpointError(str(error)) from error
    try:
        found = recognise_ours(kind, converted.state, {**(stored or {}), **converted.config})
    except CheckpointError as error:
        program = f"read as {converted.program} writes it, " if converted.program else ""
        raise CheckpointError(f"{program}{error}") from error
    notes = converted.notes
    if converted.missing_average:
        found = _with_average(found)
        notes = (NO_AVERAGE, *notes)
    return replace(found, program=converted.program, notes=notes)


def recognise_ours(kind: Kind, state: State, stored: Mapping[str, Any] | None = None) -> Recognised:
    """The network, original or with properties, that a table under the names of this package holds.

    Arguments and errors as of `recognise`.
    """
    shapes = shapes_of(state)
    architecture: Architecture = "stylegan"
    if any(STYLEGAN2_ENTRIES[kind].match(name) for name in shapes):
        architecture = "stylegan2"
    sizes = FINDERS[kind, architecture](shapes)
    if sizes is None:
        raise CheckpointError(nearest_network(shapes))
    network = GENERATORS[architecture] if kind == "generator" else DISCRIMINATORS[architecture]
    known = set(inspect.signature(network).parameters) - {"mapping"}
    config = {name: value for name, value in {**(stored or {}), **sizes.config}.items() if name in known}
    try:
        with torch.device("meta"):  # which takes no memory
            expected = shapes_of(network(**config).state_dict())
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{nearest_network(shapes)} Its sizes make no sense ({error}).") from error
    find_properties = _label_matrix if kind == "generator" else _property_heads
    extra, further = find_properties(shapes, expected, sizes.widened)
    title = f"a {TITLES[architecture]} {kind}"
    if extra:
        title += " with a label matrix" if kind == "generator" else " with properties"
    _compare(shapes, expected | further, f"{title} at {config['resolution']}x{config['resolution']}")
    return Recognised(state, config, extra, architecture)


class _Sizes(NamedTuple):
    """Constructor arguments that shapes tell."""

    config: dict[str, Any]
    widened: str
    """The dense layer that has more columns in a network with properties."""


def _stylegan_generator(shapes: Shapes) -> _Sizes | None:
    blocks = _count(shapes, "synthesis.output{}.weight")
    dense = _count(shapes, "mapping.dense{}.weight")
    if blocks < 2 or dense < 1 or "truncation.w_avg" not in shapes:
        return None
    widths = [_first(shapes, f"synthesis.layer{2 * block + 1}.weight") for block in range(blocks)]
    widened = "mapping.dense0.weight"
    config = {
        "resolution": 4 << (blocks - 1),
        "z_space_dim": shapes[widened][-1] - _label_size(shapes),
        "w_space_dim": _first(shapes, "truncation.w_avg"),
        "mapping_layers": dense,
        "mapping_fmaps": _first(shapes, widened) if dense > 1 else 512,
        **_widths_config(widths, [4 << block for block in range(blocks)]),
        "image_channels": _first(shapes, "synthesis.output0.weight"),
    }
    return _Sizes(config, widened)


def _stylegan_discriminator(shapes: Shapes) -> _Sizes | None:
    blocks = _count(shapes, "input{}.weight")
    widened = f"layer{2 * blocks}.weight"
    if blocks < 2 or widened not in shapes:
        return None
    widths = [_first(shapes, f"input{block}.weight") for block in range(blocks)]
    config = {
        "resolution": 4 << (blocks - 1),
        **_widths_config(widths[::-1], [4 << block for block in range(blocks)]),
        "image_channels": _second(shapes, "input0.weight"),
    }
    return _Sizes(config, widened)


def _stylegan2_generator(shapes: Shapes) -> _Sizes | None:
    sizes = _sizes(shapes, "synthesis.b{}.")
    dense = _count(shapes, "mapping.fc{}.weight")
    if len(sizes) < 2 or dense < 1 or "mapping.w_avg" not in shapes or "mapping.embed.weight" in shapes:
        return None
    widened = "mapping.fc0.weight"
    config = {
        "resolution": sizes[-1],
        "z_space_dim": shapes[widened][-1] - _label_size(shapes),
        "w_space_dim": _first(shapes, "mapping.w_avg"),
        "mapping_layers": dense,
        **_widths_config([_width(shapes, f"synthesis.b{size}.conv1") for size in sizes], sizes),
        "image_channels": _first(shapes, "synthesis.b4.torgb.weight"),
    }
    return _Sizes(config, widened)


def _stylegan2_discriminator(shapes: Shapes) -> _Sizes | None:
    sizes = [size for size in _sizes(shapes, "b{}.") if size > 4]
    if not sizes or not {"b4.conv.weight", "b4.out.weight"} <= set(shapes):
        return None
    widths = [_width(shapes, layer) for layer in ("b4.conv", *(f"b{size}.conv0" for size in sizes))]
    config = {
        "resolution": sizes[-1],
        **_widths_config(widths, [4, *sizes]),
        "image_channels": _second(shapes, f"b{sizes[-1]}.fromrgb.weight"),
    }
    return _Sizes(config, "b4.out.weight")


FINDERS: dict[tuple[Kind, Architecture], Callable[[Shapes], _Sizes | None]] = {
    ("generator", "stylegan"): _stylegan_generator,
    ("generator", "stylegan2"): _stylegan2_generator,
    ("discriminator", "stylegan"): _stylegan_discriminator,
    ("discriminator", "stylegan2"): _stylegan2_discriminator,
}


def _label_matrix(shapes: Shapes, expected: Shapes, widened: str) -> tuple[dict[str, Any], Shapes]:
    """How a generator hears properties, and the entries that it has for them."""
    label_size = _label_size(shapes)
    if not label_size:
        return {}, {}
    rows, columns = expected[widened]
    further = {LABEL_WEIGHT: shapes[LABEL_WEIGHT], widened: (rows, columns + label_size)}
    return {"property_count": _first(shapes, LABEL_WEIGHT), "label_size": label_size}, further


def _property_heads(shapes: Shapes, expected: Shapes, widened: str) -> tuple[dict[str, Any], Shapes]:
    """The same of a discriminator.

    It has them beside the features of the last dense layer ("additive"), or has the entries `embedding` and
    `regression` ("projection").
    """
    heads = ("embedding.weight", "regression.weight", "regression.bias")
    if all(head in shapes for head in heads):
        extra = {"conditioning": "projection", "property_count": _first(shapes, "regression.bias")}
        return extra, {head: shapes[head] for head in heads}
    surplus = shapes[widened][-1] - expected[widened][-1]
    if 0 < surplus < 64:
        return {"conditioning": "additive", "property_count": surplus}, {widened: shapes[widened]}
    return {}, {}


def _label_size(shapes: Shapes) -> int:
    """Columns of the label matrix; 0 where there is none."""
    return _second(shapes, LABEL_WEIGHT)


@torch.no_grad()
def _with_average(found: Recognised) -> Recognised:
    """The same generator with its average w, which its file lacks.

    Computed in float64, so that the float32 result, and with it the weights id, is that of any machine.
    """
    network, name = GENERATORS[found.architecture], AVERAGES[found.architecture]
    generator = network(**found.config)
    generator.load_state_dict(found.state, strict=True)
    mapping = generator.mapping.double()
    total = torch.zeros(generator.w_space_dim, dtype=torch.float64)
    for start in range(0, AVERAGED_W, AVERAGE_BATCH):
        z = sample_z(range(start, start + AVERAGE_BATCH), 0, generator.z_space_dim)
        total += mapping(z.double()).sum(dim=0)
    return replace(found, state=found.state | {name: (total / AVERAGED_W).float()})


def _sizes(shapes: Shapes, prefix: str) -> list[int]:
    """Resolutions, from 4 on and doubling, for which there are entries, whichever are missing."""
    size, sizes = 4, []
    while any(name.startswith(prefix.format(size)) for name in shapes):
        sizes.append(size)
        size *= 2
    return sizes


def _count(shapes: Shapes, pattern: str) -> int:
    count = 0
    while pattern.format(count) in shapes:
        count += 1
    return count


def _first(shapes: Shapes, name: str) -> int:
    """First dimension of an entry, 0 where there is none."""
    shape = shapes.get(name, ())
    return shape[0] if shape else 0


def _width(shapes: Shapes, layer: str) -> int:
    """Feature maps that a layer makes: as its bias says or, where that is missing, its weight."""
    return _first(shapes, f"{layer}.bias") or _first(shapes, f"{layer}.weight")


def _second(shapes: Shapes, name: str) -> int:
    """Second dimension of an entry, 0 where there is none."""
    shape = shapes.get(name, ())
    return shape[1] if len(shape) > 1 else 0


def _widths_config(widths: list[int], resolutions: list[int]) -> dict[str, int]:
    """fmaps_base and fmaps_max that give these widths: min(base // resolution, max) each."""
    largest = max(widths)
    narrowed = [w * r for w, r in zip(widths, resolutions, strict=True) if w < largest]
    return {"fmaps_base": max(narrowed, default=largest * resolutions[-1]), "fmaps_max": largest}


def _compare(found: Shapes, expected: Shapes, name: str) -> None:
    """Raise CheckpointError with up to three differences."""
    differences = [
        f"`{key}` is {list(found[key])} instead of {list(expected[key])}"
        if key in found
        else f"`{key}` is missing"
        for key in expected
        if found.get(key) != expected[key]
    ]
    differences += [f"`{key}` does not belong there" for key in found if key not in expected]
    if differences:
        shown = "; ".join(differences[:SHOWN_DIFFERENCES])
        more = len(differences) - SHOWN_DIFFERENCES
        rest = f"; and {more} more differences" if more > 0 else ""
        raise CheckpointError(f"it looks like {name}, but {shown}{rest}.")
