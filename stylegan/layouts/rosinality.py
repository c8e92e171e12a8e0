"""The StyleGAN2 networks of rosinality/stylegan2-pytorch (`g_ema`, `d`, `latent_avg`), as NVIDIA's.

The arithmetic is the same. Files of training have no average w; those before 2020 no noise pictures.
"""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from stylegan.layouts.renaming import Converted, Rule, State, count, rename, resolution_of, with_average
from stylegan.stylegan2_layers import resample_filter

PROGRAM = "rosinality/stylegan2-pytorch"
NOISE_SEED = 0
NO_NOISE = f"the file has no noise pictures; they were drawn from seed {NOISE_SEED}"


def _without_first(value: Tensor) -> Tensor:
    return value.squeeze(0)


def _layer(index: int) -> str:
    """Our name of `convs.{index}` of the generator: two for every resolution from 8x8 on."""
    return f"synthesis.b{resolution_of(index // 2 + 1)}.conv{index % 2}"


def _noise(index: int) -> str:
    return (_layer(index - 1) if index else "synthesis.b4.conv1") + ".noise_const"


def _to_rgb(index: int) -> str:
    return f"synthesis.b{resolution_of(index + 1)}.torgb"


def _layer_rules(pattern: str, name: Callable[..., str]) -> list[Rule]:
    """Rules of a convolution or an output layer called `pattern` there; `name` gives its name here."""
    return [
        Rule(rf"{pattern}\.conv\.weight", lambda *i: f"{name(*i)}.weight", _without_first),
        Rule(rf"{pattern}\.conv\.modulation\.weight", lambda *i: f"{name(*i)}.affine.weight"),
        Rule(rf"{pattern}\.conv\.modulation\.bias", lambda *i: f"{name(*i)}.affine.bias"),
        Rule(rf"{pattern}\.noise\.weight", lambda *i: f"{name(*i)}.noise_strength", _without_first),
        Rule(rf"{pattern}\.activate\.bias", lambda *i: f"{name(*i)}.bias"),
        Rule(rf"{pattern}\.bias", lambda *i: f"{name(*i)}.bias", torch.flatten),
        Rule(rf"{pattern}\.(?:conv\.blur|upsample)\.kernel", None),
    ]


GENERATOR_RULES = (
    Rule(r"style\.(\d+)\.weight", lambda i: f"mapping.fc{i - 1}.weight"),
    Rule(r"style\.(\d+)\.bias", lambda i: f"mapping.fc{i - 1}.bias"),
    Rule(r"latent_avg", lambda: "mapping.w_avg", torch.flatten),
    Rule(r"input\.input", lambda: "synthesis.b4.const", _without_first),
    *_layer_rules("conv1", lambda: "synthesis.b4.conv1"),
    *_layer_rules(r"convs\.(\d+)", _layer),
    *_layer_rules("to_rgb1", lambda: "synthesis.b4.torgb"),
    *_layer_rules(r"to_rgbs\.(\d+)", _to_rgb),
    Rule(r"noises\.noise_(\d+)", _noise, lambda noise: noise[0, 0]),
)

# A block's layers there and here, each with `.weight` and, but for the skip, a bias of the layer after it.
BLOCK_LAYERS = {r"conv1\.0": "conv0", r"conv2\.1": "conv1", r"skip\.1": "skip"}
BLOCK_BIASES = {r"conv1\.1": "conv0", r"conv2\.2": "conv1"}


def discriminator_rules(block_count: int) -> tuple[Rule, ...]:
    """Rules for a discriminator of so many blocks before the last one."""

    def block(index: int) -> str:
        return f"b{resolution_of(block_count + 1 - index)}"

    def named(here: str) -> Callable[[int], str]:
        return lambda index: f"{block(index)}.{here}"

    return (
        Rule(r"convs\.0\.0\.weight", lambda: f"{block(1)}.fromrgb.weight"),
        Rule(r"convs\.0\.1\.bias", lambda: f"{block(1)}.fromrgb.bias"),
        *(
            Rule(rf"convs\.(\d+)\.{there}\.weight", named(f"{here}.weight"))
            for there, here in BLOCK_LAYERS.items()
        ),
        *(
            Rule(rf"convs\.(\d+)\.{there}\.bias", named(f"{here}.bias"))
            for there, here in BLOCK_BIASES.items()
        ),
        Rule(r"convs\.\d+\.\w+\.\d+\.kernel", None),
        Rule(r"final_conv\.0\.weight", lambda: "b4.conv.weight"),
        Rule(r"final_conv\.1\.bias", lambda: "b4.conv.bias"),
        Rule(r"final_linear\.0\.weight", lambda: "b4.fc.weight"),
        Rule(r"final_linear\.0\.bias", lambda: "b4.fc.bias"),
        Rule(r"final_linear\.1\.weight", lambda: "b4.out.weight"),
        Rule(r"final_linear\.1\.bias", lambda: "b4.out.bias"),
    )


def convert_generator(state: Mapping[str, Tensor], program: str = PROGRAM) -> Converted:
    """A generator, with `latent_avg` among its entries where the file has one beside it."""
    renamed = rename(state, GENERATOR_RULES, program)
    blocks = 1 + count(state, r"to_rgbs\.(\d+)\.bias")
    notes: tuple[str, ...] = ()
    if not any(name.endswith(".noise_const") for name in renamed):
        renamed |= _drawn_noise(blocks)
        notes = (NO_NOISE,)
    renamed |= _filters(f"synthesis.b{resolution_of(block)}" for block in range(blocks))
    layers = ["synthesis.b4.conv1", *(_layer(index) for index in range(2 * blocks - 2))]
    renamed |= _filters(layers)
    return with_average(Converted(program, renamed, notes=notes), "mapping.w_avg", "mapping.fc0.weight")


def convert_discriminator(state: Mapping[str, Tensor], program: str = PROGRAM) -> Converted:
    blocks = count(state, r"convs\.(\d+)\.conv1\.0\.weight")
    renamed = rename(state, discriminator_rules(blocks), program)
    names = [f"b{resolution_of(block + 1)}" for block in range(blocks)]
    layers = [f"{name}.{layer}" for name in names for layer in BLOCK_LAYERS.values()]
    renamed |= _filters([*names, *layers, f"b{resolution_of(blocks)}.fromrgb", "b4.conv"])
    return Converted(program, renamed)


def _filters(names: Iterable[str]) -> State:
    """The smoothing filter, which NVIDIA's networks repeat in every block and layer."""
    return {f"{name}.resample_filter": resample_filter() for name in names}


def _drawn_noise(blocks: int) -> State:
    """Noise pictures of a generator, drawn from a fixed seed, smallest first."""
    rng = torch.Generator().manual_seed(NOISE_SEED)
    sizes = {_noise(index): resolution_of((index + 1) // 2) for index in range(2 * blocks - 1)}
    return {name: torch.randn(size, size, generator=rng) for name, size in sizes.items()}
