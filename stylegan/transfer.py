"""Starting from trained weights: transfer, growth by new blocks, and a partly frozen discriminator."""

import math

from torch import Tensor, nn

from stylegan.checkpoint import Checkpoint, CheckpointError
from stylegan.interface import Discriminator, Generator
from stylegan.known_networks import GENERATORS, TITLES
from stylegan.phases import Architecture
from stylegan.stylegan2_discriminator import StyleGAN2Discriminator

State = dict[str, Tensor]


def transfer_weights(
    checkpoint: Checkpoint,
    generator: Generator,
    discriminator: Discriminator,
    generator_smooth: Generator,
) -> None:
    """Copy the weights of a file into networks of its resolution or, in StyleGAN v1, of a higher one.

    Blocks for resolutions that the file does not reach keep the weights that they have. A file with only one
    of `generator` and `generator_smooth` gives both.

    Raises:
        CheckpointError: a network is missing, takes properties, or differs in anything but the resolution.
    """
    own, average, judging = transferable_weights(checkpoint, architecture_of(generator))
    theirs, ours = (config.get("variant", "genforce") for config in (checkpoint.config, generator.config))
    if theirs != ours:  # the entries would fit, and the pictures be others
        raise CheckpointError(
            f"The networks of the file have the arithmetic of {theirs}, the plan's that of {ours}. Leave "
            "`variant` out of the plan."
        )
    size, trained = generator.resolution, checkpoint.config["resolution"]
    if checkpoint.architecture == "stylegan2" and size != trained:
        raise CheckpointError(
            f"The networks of the file draw {trained} px, the plan's {size} px; StyleGAN2 does not grow."
        )
    _copy(own, generator, "generator")
    _copy(average, generator_smooth, "averaged generator")
    if checkpoint.architecture == "stylegan":
        grown = _blocks(discriminator.resolution) - _blocks(checkpoint.discriminator_config["resolution"])
        judging = _renumbered(judging, grown)
    _copy(judging, discriminator, "discriminator")


def architecture_of(generator: Generator) -> Architecture:
    """Which StyleGAN a generator is."""
    return next(name for name, network in GENERATORS.items() if isinstance(generator, network))


def transferable_weights(checkpoint: Checkpoint, architecture: Architecture) -> tuple[State, State, State]:
    """Weights of a generator, its average and a discriminator that a training can start from.

    Raises:
        CheckpointError: the file does not hold an original generator and discriminator of this kind.
    """
    what = checkpoint.description
    if checkpoint.architecture != architecture:
        raise CheckpointError(
            f"{what}: a training of {TITLES[architecture]} starts from weights of {TITLES[architecture]}."
        )
    if checkpoint.conditioned:
        raise CheckpointError(f"{what}: its networks take properties; a training starts from original ones.")
    own = checkpoint.generator or checkpoint.generator_smooth
    average = checkpoint.generator_smooth or checkpoint.generator
    if own is None or average is None:
        raise CheckpointError(f"{what}, but no generator, so there is nothing to transfer.")
    if checkpoint.discriminator is None:
        raise CheckpointError(
            f"{what}, but no discriminator. A new one would spoil the generator before it had learnt "
            "anything itself, so a transfer needs a file that holds both."
        )
    return own, average, checkpoint.discriminator


def _blocks(resolution: int) -> int:
    return int(math.log2(resolution)) - 1


def _renumbered(state: State, grown: int) -> State:
    """Entries of a discriminator as one with `grown` more blocks calls them: it counts from its input."""
    found = {}
    for name, value in state.items():
        layer, dot, rest = name.partition(".")
        for prefix, per_block in (("input", 1), ("layer", 2)):
            if layer.startswith(prefix):
                layer = f"{prefix}{int(layer.removeprefix(prefix)) + per_block * grown}"
        found[layer + dot + rest] = value
    return found


def _copy(state: State, network: nn.Module, title: str) -> None:
    mine = network.state_dict()
    for name, value in state.items():
        if name not in mine or mine[name].shape != value.shape:
            size = list(mine[name].shape) if name in mine else "absent"
            raise CheckpointError(
                f"The {title} of the file does not fit the plan's: `{name}` is {list(value.shape)} there and "
                f"{size} here. Only the resolution may differ, and only be higher here."
            )
    network.load_state_dict({**mine, **state}, strict=True)


def trained_parameters(
    discriminator: Discriminator, freeze_d: int = 0, freezed: int = 0
) -> list[nn.Parameter]:
    """The parameters of a discriminator that are trained; both counts 0: all of them.

    Args:
        freeze_d: how many resolutions are trained, counted from the end as in the code of Mo et al. ("Freeze
            the discriminator", 2020): 1 is the layers at 4 pixels and the dense ones, 2 those at 8 pixels
            besides. The layers before them and the inputs from RGB are frozen.
        freezed: how many layers of a StyleGAN2 discriminator are frozen, counted from its input as in
            StyleGAN2-ADA: from RGB, then conv0, conv1 and skip of every block.
    """
    if not freeze_d and not freezed:
        return list(discriminator.parameters())
    if isinstance(discriminator, StyleGAN2Discriminator):
        blocks = [f"b{size}.{layer}" for size in discriminator.sizes for layer in ("conv0", "conv1", "skip")]
        layers = [f"b{discriminator.resolution}.fromrgb", *blocks]
        first = freezed or len(layers) - 3 * (freeze_d - 1)
        trained = [*layers[first:], "b4"]
    else:
        count = 2 * _blocks(discriminator.resolution)
        trained = [f"layer{i}" for i in range(count - 2 * freeze_d, count + 1)]
    return [parameter for name in trained for parameter in discriminator.get_submodule(name).parameters()]
