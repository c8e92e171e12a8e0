"""The StyleGAN networks of OpenMMLab's MMGeneration (`generator_ema.`, `discriminator.`), v1 and v2.

v1's generator has a bias and a leaky ReLU in front of the blur after every up-convolution, its discriminator
3x3 convolutions where images come in: the variant "openmmlab" of ours. v2's networks are rosinality's under
other names. All of them draw and see BGR.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from stylegan.layers import TRANSPOSED_FROM_RESOLUTION, Blur
from stylegan.layouts import rosinality
from stylegan.layouts.renaming import (
    Converted,
    Rule,
    State,
    count,
    rename,
    resolution_of,
    with_average,
    with_turned_colours,
)

PROGRAM = "OpenMMLab's MMGeneration"
VARIANT = {"variant": "openmmlab"}
TURNED_COLOURS = (
    "the colours were turned from BGR to RGB (files called `official` may hold RGB: should faces look blue, "
    "convert them with `scripts/convert_weights.py --turn-colours`)"
)
ROOT = math.sqrt(2.0)


def _level_of_detail(state: Mapping[str, Tensor], block_count: int) -> Tensor:
    """`lod` of networks that had grown so far: 0 where they are finished, which published ones are."""
    size = state.get("_curr_scale_int", torch.tensor(resolution_of(block_count - 1)))
    shown = state.get("_curr_transition_weight", torch.ones(()))
    level = math.log2(resolution_of(block_count - 1) / max(int(size), 4)) + 1.0 - float(shown)
    return torch.tensor(min(max(level, 0.0), block_count - 1.0))


def _unfinished(lod: Tensor) -> tuple[str, ...]:
    return (
        () if lod == 0 else (f"its training had not reached the last resolution (level of detail {lod:g})",)
    )


def _times_root(value: Tensor) -> Tensor:
    return value * ROOT


def _over_root(value: Tensor) -> Tensor:
    return value / ROOT


def _style_bias(value: Tensor) -> Tensor:
    """Its scales start at one there; ours are added to one."""
    scales, shifts = value.chunk(2)
    return torch.cat([scales - 1.0, shifts])


def _synthesis(block: int, number: int) -> str:
    """Our name of layer 1 or 2 of a block."""
    return f"synthesis.layer{2 * block + number - 1}"


GROWTH_RULE = Rule(r"_curr_(?:scale_int|transition_weight)", None)
V1_GENERATOR_RULES = (
    GROWTH_RULE,
    Rule(r"style_mapping\.(\d+)\.linear\.weight_orig", lambda i: f"mapping.dense{i - 1}.weight", _over_root),
    Rule(r"style_mapping\.(\d+)\.bias", lambda i: f"mapping.dense{i - 1}.bias"),
    Rule(r"convs\.0\.conv1\.input", lambda: "synthesis.layer0.const"),
    Rule(r"convs\.(\d+)\.conv1\.0\.conv\.weight_orig", lambda b: f"{_synthesis(b, 1)}.weight"),
    Rule(r"convs\.(\d+)\.conv1\.0\.conv\.bias", lambda b: f"{_synthesis(b, 1)}.bias"),
    Rule(r"convs\.(\d+)\.conv1\.1\.kernel", None),
    Rule(r"convs\.(\d+)\.conv2\.conv\.weight_orig", lambda b: f"{_synthesis(b, 2)}.weight"),
    Rule(r"convs\.(\d+)\.conv2\.conv\.bias", lambda b: f"{_synthesis(b, 2)}.bias"),
    Rule(r"convs\.(\d+)\.noise_injector(\d)\.weight", lambda b, j: f"{_synthesis(b, j)}.apply_noise.weight"),
    Rule(r"injected_noise_(\d+)", lambda k: f"synthesis.layer{k}.apply_noise.noise"),
    Rule(
        r"convs\.(\d+)\.adain(\d)\.affine\.weight_orig",
        lambda b, j: f"{_synthesis(b, j)}.style.weight",
        _times_root,
    ),
    Rule(
        r"convs\.(\d+)\.adain(\d)\.affine\.bias", lambda b, j: f"{_synthesis(b, j)}.style.bias", _style_bias
    ),
    Rule(r"to_rgbs\.(\d+)\.conv\.weight_orig", lambda b: f"synthesis.output{b}.weight", _times_root),
    Rule(r"to_rgbs\.(\d+)\.conv\.bias", lambda b: f"synthesis.output{b}.bias"),
)


def convert_v1_generator(state: Mapping[str, Tensor]) -> Converted:
    renamed = rename(state, V1_GENERATOR_RULES, PROGRAM)
    block_count = count(state, r"to_rgbs\.(\d+)\.conv\.bias")
    lod = renamed["synthesis.lod"] = _level_of_detail(state, block_count)
    for block in range(block_count):
        up = _synthesis(block, 1)
        if block and f"{up}.weight" in renamed:
            channels = len(renamed[f"{up}.weight"])
            renamed[f"{up}.blur.kernel"] = Blur(channels).kernel
            if resolution_of(block) >= TRANSPOSED_FROM_RESOLUTION:
                # Ours is a transposed convolution there, which turns the kernel.
                renamed[f"{up}.weight"] = renamed[f"{up}.weight"].flip(2, 3)
        elif f"{up}.const" in renamed:
            renamed[f"{up}.bias"] = torch.zeros(renamed[f"{up}.const"].shape[1])
        for layer in (up, _synthesis(block, 2)):
            strength = f"{layer}.apply_noise.weight"
            if strength in renamed and f"{layer}.bias" in renamed:
                renamed[strength] = renamed[strength].expand(len(renamed[f"{layer}.bias"])).clone()
    converted = Converted(
        PROGRAM, with_turned_colours(renamed), dict(VARIANT), (TURNED_COLOURS, *_unfinished(lod))
    )
    return with_average(converted, "truncation.w_avg", _last_dense(renamed))


def _last_dense(state: State) -> str:
    depth = count(state, r"mapping\.dense\d+\.weight")
    return f"mapping.dense{depth - 1}.weight"


def _v1_discriminator_rules(last: int) -> tuple[Rule, ...]:
    """Rules for a discriminator whose 4x4 block has this number."""
    return (
        GROWTH_RULE,
        Rule(r"from_rgb\.(\d+)\.conv\.weight_orig", lambda i: f"input{i}.weight"),
        Rule(r"from_rgb\.(\d+)\.conv\.bias", lambda i: f"input{i}.bias"),
        Rule(r"convs\.(\d+)\.0\.conv\.weight_orig", lambda i: f"layer{2 * i}.weight"),
        Rule(r"convs\.(\d+)\.0\.conv\.bias", lambda i: f"layer{2 * i}.bias"),
        Rule(r"convs\.(\d+)\.1\.kernel", None),
        Rule(rf"convs\.{last}\.1\.conv\.weight_orig", lambda: f"layer{2 * last + 1}.weight", _flat),
        Rule(rf"convs\.{last}\.1\.conv\.bias", lambda: f"layer{2 * last + 1}.bias"),
        Rule(r"convs\.(\d+)\.2\.conv\.weight_orig", lambda i: f"layer{2 * i + 1}.weight"),
        Rule(r"convs\.(\d+)\.2\.conv\.bias", lambda i: f"layer{2 * i + 1}.bias"),
        Rule(r"final_linear\.0\.linear\.weight_orig", lambda: f"layer{2 * last + 2}.weight"),
        Rule(r"final_linear\.0\.bias", lambda: f"layer{2 * last + 2}.bias"),
    )


def _flat(value: Tensor) -> Tensor:
    return value.flatten(1)


def convert_v1_discriminator(state: Mapping[str, Tensor]) -> Converted:
    last = count(state, r"from_rgb\.\d+\.conv\.bias") - 1
    renamed = rename(state, _v1_discriminator_rules(last), PROGRAM)
    renamed["lod"] = _level_of_detail(state, last + 1)
    for block in range(last):
        weight = f"layer{2 * block + 1}.weight"
        if weight in renamed:
            renamed[f"layer{2 * block + 1}.blur.kernel"] = Blur(renamed[weight].shape[1]).kernel
    return Converted(PROGRAM, with_turned_colours(renamed), dict(VARIANT))


# Their names of v2's entries, and rosinality's.
V2_GENERATOR_NAMES = (
    (r"^style_mapping\.(\d+)\.linear\.weight_orig", r"style.\1.weight"),
    (r"^style_mapping\.", "style."),
    (r"^constant_input\.", "input."),
    (r"^injected_noise_", "noises.noise_"),
    (r"style_modulation\.linear\.weight_orig", "modulation.weight"),
    (r"style_modulation\.", "modulation."),
    (r"noise_injector\.", "noise."),
    (r"\.conv\.weight_orig", ".conv.weight"),
)
V2_DISCRIMINATOR_NAMES = ((r"\.(?:conv|linear)\.weight_orig", ".weight"),)


def _renamed(state: Mapping[str, Tensor], names: Iterable[tuple[str, str]]) -> State:
    renamed = dict(state)
    for theirs, other in names:
        renamed = {re.sub(theirs, other, name): value for name, value in renamed.items()}
    return renamed


def convert_v2_generator(state: Mapping[str, Tensor]) -> Converted:
    converted = rosinality.convert_generator(_renamed(state, V2_GENERATOR_NAMES), PROGRAM)
    notes = (*converted.notes, TURNED_COLOURS)
    return replace(converted, state=with_turned_colours(converted.state), notes=notes)


def convert_v2_discriminator(state: Mapping[str, Tensor]) -> Converted:
    converted = rosinality.convert_discriminator(_renamed(state, V2_DISCRIMINATOR_NAMES), PROGRAM)
    return replace(converted, state=with_turned_colours(converted.state))
