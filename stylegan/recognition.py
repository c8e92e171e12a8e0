"""Recognising networks by the names and shapes of their entries.

`recognise` is the one place where a table of weights becomes a network of this package. Names of other
programs are turned into ours first, see `stylegan.layouts`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from stylegan.interface import Discriminator, Generator
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
Network = Generator | Discriminator
Kind = Literal["generator", "discriminator"]

LABEL_WEIGHT = "mapping.label_weight"
STYLEGAN2_DISCRIMINATOR = re.compile(r"b\d+\.(fromrgb|conv[01]?|skip|fc|out)\.")
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
    if any(name.startswith("input0.") or STYLEGAN2_DISCRIMINATOR.match(name) for name in state):
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
    try:
        weights = _in_float32(state)
        converted = layout.convert(weights) if layout is not None else Converted("", weights)
    except LayoutError as error:
        raise CheckpointError(str(error)) from error
    names = converted.state
    if kind == "generator":
        is_second = any(name.startswith("synthesis.b") for name in names)
        find = recognise_stylegan2_generator if is_second else recognise_generator
    else:
        is_second = any(STYLEGAN2_DISCRIMINATOR.match(name) for name in names)
        find = recognise_stylegan2_discriminator if is_second else recognise_discriminator
    try:
        found = find(names, {**(stored or {}), **converted.config})
    except CheckpointError as error:
        program = f"read as {converted.program} writes it, " if converted.program else ""
        raise CheckpointError(f"{program}{error}") from error
    notes = converted.notes
    if converted.missing_average:
        found = _with_average(found)
        notes = (NO_AVERAGE, *notes)
    return replace(found, program=converted.program, notes=notes)


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


def _in_float32(state: Mapping[str, Tensor]) -> State:
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def recognise_generator(state: Mapping[str, Tensor], stored: Mapping[str, Any] | None = None) -> Recognised:
    """Find the configuration of a StyleGAN v1 generator, original or with a label matrix.

    Args:
        stored: configuration that the file itself names; it adds what shapes do not tell.
    Raises:
        CheckpointError: it is no StyleGAN v1 generator; the nearest known network is named.
    """
    shapes = shapes_of(state)
    blocks = _count(shapes, "synthesis.output{}.weight")
    dense = _count(shapes, "mapping.dense{}.weight")
    if blocks < 2 or dense < 1 or "truncation.w_avg" not in shapes:
        raise CheckpointError(nearest_network(shapes))
    widths = [_first(shapes, f"synthesis.layer{2 * block + 1}.weight") for block in range(blocks)]
    first_dense = "mapping.dense0.weight"
    config = {
        "resolution": 4 << (blocks - 1),
        "z_space_dim": shapes[first_dense][-1],
        "w_space_dim": _first(shapes, "truncation.w_avg"),
        "mapping_layers": dense,
        "mapping_fmaps": _first(shapes, first_dense) if dense > 1 else 512,
        **_widths_config(widths, [4 << block for block in range(blocks)]),
        "image_channels": _first(shapes, "synthesis.output0.weight"),
    }
    return _fitting_generator("stylegan", state, config, stored, first_dense)


def recognise_discriminator(
    state: Mapping[str, Tensor], stored: Mapping[str, Any] | None = None
) -> Recognised:
    """Find the configuration of a StyleGAN v1 discriminator, original or with properties."""
    shapes = shapes_of(state)
    blocks = _count(shapes, "input{}.weight")
    last = f"layer{2 * blocks}.weight"
    if blocks < 2 or last not in shapes:
        raise CheckpointError(nearest_network(shapes))
    widths = [_first(shapes, f"input{block}.weight") for block in range(blocks)]
    config = {
        "resolution": 4 << (blocks - 1),
        **_widths_config(widths[::-1], [4 << block for block in range(blocks)]),
        "image_channels": shapes["input0.weight"][1] if len(shapes["input0.weight"]) > 1 else 0,
    }
    return _fitting_discriminator("stylegan", state, config, stored, last)


def recognise_stylegan2_generator(
    state: Mapping[str, Tensor], stored: Mapping[str, Any] | None = None
) -> Recognised:
    """Find the configuration of a StyleGAN2 generator. Arguments and errors as in `recognise_generator`."""
    shapes = shapes_of(state)
    sizes = _sizes(shapes, "synthesis.b{}.conv1.weight")
    dense = _count(shapes, "mapping.fc{}.weight")
    if len(sizes) < 2 or dense < 1 or "mapping.w_avg" not in shapes or "mapping.embed.weight" in shapes:
        raise CheckpointError(nearest_network(shapes))
    first_dense = "mapping.fc0.weight"
    config = {
        "resolution": sizes[-1],
        "z_space_dim": shapes[first_dense][-1],
        "w_space_dim": _first(shapes, "mapping.w_avg"),
        "mapping_layers": dense,
        **_widths_config([_first(shapes, f"synthesis.b{size}.conv1.weight") for size in sizes], sizes),
        "image_channels": _first(shapes, "synthesis.b4.torgb.weight"),
    }
    return _fitting_generator("stylegan2", state, config, stored, first_dense)


def recognise_stylegan2_discriminator(
    state: Mapping[str, Tensor], stored: Mapping[str, Any] | None = None
) -> Recognised:
    """Find the configuration of a StyleGAN2 discriminator, original or with properties."""
    shapes = shapes_of(state)
    sizes = [size for size in _sizes({**shapes, "b4.conv0.weight": ()}, "b{}.conv0.weight") if size > 4]
    if not sizes or not {"b4.conv.weight", "b4.out.weight"} <= set(shapes):
        raise CheckpointError(nearest_network(shapes))
    widths = [_first(shapes, "b4.conv.weight"), *(_first(shapes, f"b{size}.conv0.weight") for size in sizes)]
    colours = shapes.get(f"b{sizes[-1]}.fromrgb.weight", (0, 0))
    config = {
        "resolution": sizes[-1],
        **_widths_config(widths, [4, *sizes]),
        "image_channels": colours[1] if len(colours) > 1 else 0,
    }
    return _fitting_discriminator("stylegan2", state, config, stored, "b4.out.weight")


def _fitting_generator(
    architecture: Architecture,
    state: Mapping[str, Tensor],
    config: dict[str, Any],
    stored: Mapping[str, Any] | None,
    first_dense: str,
) -> Recognised:
    """A generator whose entries are those of its configuration, or those and a label matrix."""
    network, shapes = GENERATORS[architecture], shapes_of(state)
    extra: dict[str, Any] = {}
    if len(shapes.get(LABEL_WEIGHT, ())) == 2:
        extra = {"property_count": shapes[LABEL_WEIGHT][0], "label_size": shapes[LABEL_WEIGHT][1]}
        config["z_space_dim"] -= extra["label_size"]
    config = _with_stored(config, stored, network)
    expected = _expected_shapes(network, config, shapes)
    if extra:
        rows, columns = expected[first_dense]
        expected |= {LABEL_WEIGHT: shapes[LABEL_WEIGHT], first_dense: (rows, columns + extra["label_size"])}
    name = f"a {TITLES[architecture]} generator" + (" with a label matrix" if extra else "")
    _compare(shapes, expected, f"{name} at {config['resolution']}x{config['resolution']}")
    return Recognised(_in_float32(state), config, extra, architecture)


def _fitting_discriminator(
    architecture: Architecture,
    state: Mapping[str, Tensor],
    config: dict[str, Any],
    stored: Mapping[str, Any] | None,
    last: str,
) -> Recognised:
    """A discriminator whose entries are those of its configuration, or those and the properties'.

    Discriminators with properties have them beside the features of the last dense layer ("additive"), or have
    the entries `embedding` and `regression` ("projection").
    """
    network, shapes = DISCRIMINATORS[architecture], shapes_of(state)
    config = _with_stored(config, stored, network)
    expected = _expected_shapes(network, config, shapes)
    extra: dict[str, Any] = {}
    surplus = shapes[last][-1] - expected[last][-1]
    heads = ("embedding.weight", "regression.weight", "regression.bias")
    if all(head in shapes for head in heads):
        extra = {"conditioning": "projection", "property_count": _first(shapes, "regression.bias")}
        expected |= {head: shapes[head] for head in heads}
    elif 0 < surplus < 64:
        extra = {"conditioning": "additive", "property_count": surplus}
        expected[last] = shapes[last]
    name = f"a {TITLES[architecture]} discriminator" + (" with properties" if extra else "")
    _compare(shapes, expected, f"{name} at {config['resolution']}x{config['resolution']}")
    return Recognised(_in_float32(state), config, extra, architecture)


def _sizes(shapes: Shapes, pattern: str) -> list[int]:
    """Resolutions, from 4 on and doubling, for which there is an entry."""
    size, sizes = 4, []
    while pattern.format(size) in shapes:
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


def _widths_config(widths: list[int], resolutions: list[int]) -> dict[str, int]:
    """fmaps_base and fmaps_max that give these widths: min(base // resolution, max) each."""
    largest = max(widths)
    narrowed = [w * r for w, r in zip(widths, resolutions, strict=True) if w < largest]
    return {"fmaps_base": max(narrowed, default=largest * resolutions[-1]), "fmaps_max": largest}


def _with_stored(
    config: dict[str, Any], stored: Mapping[str, Any] | None, network: type[Network]
) -> dict[str, Any]:
    """Configuration, and what the file names beside it of the constructor's arguments."""
    known = set(inspect.signature(network).parameters) - {"mapping"}
    return {name: value for name, value in {**(stored or {}), **config}.items() if name in known}


def _expected_shapes(network: type[Network], config: dict[str, Any], found: Shapes) -> Shapes:
    """Shapes of a network of this configuration, built without memory."""
    try:
        with torch.device("meta"):
            return shapes_of(network(**config).state_dict())
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{nearest_network(found)} Its sizes make no sense ({error}).") from error


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
