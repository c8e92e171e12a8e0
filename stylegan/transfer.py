"""Starting from trained weights: transfer, growth by new blocks, and a partly frozen discriminator."""

import math

from torch import Tensor, nn

from stylegan.checkpoint import Checkpoint, CheckpointError
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan.stylegan_generator import StyleGANGenerator

State = dict[str, Tensor]


def transfer_weights(
    checkpoint: Checkpoint,
    generator: StyleGANGenerator,
    discriminator: StyleGANDiscriminator,
    generator_smooth: StyleGANGenerator,
) -> None:
    """Copy the weights of a file into networks of its resolution or of a higher one.

    Blocks for resolutions that the file does not reach keep the weights that they have. A file with only one
    of `generator` and `generator_smooth` gives both.

    Raises:
        CheckpointError: a network is missing, takes properties, or differs in anything but the resolution.
    """
    check_transferable(checkpoint)
    theirs, ours = (config.get("variant", "genforce") for config in (checkpoint.config, generator.config))
    if theirs != ours:  # the entries would fit, and the pictures be others
        raise CheckpointError(
            f"The networks of the file have the arithmetic of {theirs}, the plan's that of {ours}. Leave "
            "`variant` out of the plan."
        )
    own = checkpoint.generator or checkpoint.generator_smooth
    average = checkpoint.generator_smooth or checkpoint.generator
    _copy(own, generator, "generator")
    _copy(average, generator_smooth, "averaged generator")
    grown = discriminator.block_count - _blocks(checkpoint.discriminator_config["resolution"])
    _copy(_renumbered(checkpoint.discriminator, grown), discriminator, "discriminator")


def check_transferable(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError unless the file holds an original generator and discriminator."""
    what = checkpoint.description
    if checkpoint.architecture == "stylegan2":
        raise CheckpointError(f"{what}: a training of StyleGAN v1 starts from weights of StyleGAN v1.")
    if checkpoint.conditioned:
        raise CheckpointError(f"{what}: its networks take properties; a training starts from original ones.")
    if checkpoint.generator is None and checkpoint.generator_smooth is None:
        raise CheckpointError(f"{what}, but no generator, so there is nothing to transfer.")
    if checkpoint.discriminator is None:
        raise CheckpointError(
            f"{what}, but no discriminator. A new one would spoil the generator before it had learnt "
            "anything itself, so a transfer needs a file that holds both."
        )


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


def trained_parameters(discriminator: StyleGANDiscriminator, freeze_d: int) -> list[nn.Parameter]:
    """The parameters of a discriminator that are trained (Mo et al., "Freeze the discriminator", 2020).

    Args:
        freeze_d: how many resolutions are trained, counted from the end as in the authors' code: 1 is the
            layers at 4 pixels and the dense ones, 2 those at 8 pixels besides. The layers before them and
            the inputs from RGB are frozen. 0: everything is trained.
    """
    if not freeze_d:
        return list(discriminator.parameters())
    first = 2 * (discriminator.block_count - freeze_d)
    layers = (
        discriminator.get_submodule(f"layer{i}") for i in range(first, 2 * discriminator.block_count + 1)
    )
    return [parameter for layer in layers for parameter in layer.parameters()]
