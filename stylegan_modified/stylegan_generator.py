"""v1 generator: a StyleGAN with seven property values beside z.

The properties are multiplied by a learned label matrix [7, 16] and joined to z before the mapping network, as
in the document and in the published fine-tuned checkpoints (`mapping.label_weight`, `mapping.dense0.weight`).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from stylegan.checkpoint import Checkpoint, CheckpointError, build_generator
from stylegan.interface import Generator
from stylegan.phases import Architecture
from stylegan.seeds import Purpose, derived_seed
from stylegan.stylegan2_generator import StyleGAN2Generator, StyleGAN2Mapping
from stylegan.stylegan_generator import MappingNetwork, StyleGANGenerator

PROPERTY_COUNT = 7
LABEL_SIZE = 16


class ConditionedMapping(nn.Module):
    """What makes a mapping network hear properties: (z, properties) -> w.

    z is joined with properties x label matrix; the usual dense layers follow. A base class for mixing in.

    Args:
        z_dim, label_size: parts of the first layer's input.
        sizes: the other arguments of the mapping network.
    """

    def __init__(self, z_dim: int, label_size: int, *sizes: Any) -> None:
        super().__init__(z_dim + label_size, *sizes)
        self.label_weight = nn.Parameter(torch.randn(PROPERTY_COUNT, label_size))

    def forward(self, z: Tensor, properties: Tensor | None = None) -> Tensor:
        """Map z [N, z_dim] and properties [N, 7] (None: all zero) to w [N, w_dim]."""
        if properties is None:
            properties = z.new_zeros(len(z), PROPERTY_COUNT)
        # Small and sensitive: stays in float32 under mixed precision.
        with torch.autocast(z.device.type, enabled=False):
            return super().forward(torch.cat([z, properties.float() @ self.label_weight], dim=1))


class ConditionedStyleGANMapping(ConditionedMapping, MappingNetwork):
    """The mapping network of StyleGAN v1 with properties."""


class ConditionedStyleGAN2Mapping(ConditionedMapping, StyleGAN2Mapping):
    """The mapping network of StyleGAN2 with properties."""


class ConditionedGenerator(Generator):
    """What generators with properties share, whichever StyleGAN they come from; built by its subclasses."""

    architecture: ClassVar[Architecture]
    label_size: int
    """Columns of the label matrix (16 in v1, 24 in the published v3)."""

    def forward(
        self, z: Tensor, properties: Tensor | None = None, trunc_psi: float | None = None, **options: Any
    ) -> dict[str, Tensor]:
        """Generate pictures of z with properties.

        Args:
            z: [N, z_dim] float.
            properties: [N, 7] float, normalised, in the order of the property table; None means all zero,
                the means of the training pictures.
            trunc_psi: truncation of all layers, None for none.
            options: `randomize_noise` as in the base generator.

        Returns:
            {"z", "w" [N, w_dim], "wp" [N, layers, w_dim], "image" [N, 3, H, W] about [-1, 1]}.
        """
        w = self.mapping(z, properties)
        wp = self.truncation(w, trunc_psi)
        return {"z": z, "w": w, "wp": wp, "image": self.synthesis(wp, **options)}

    def checkpoint(self) -> dict[str, Any]:
        """State and configuration, enough for `build_conditioned_generator` to rebuild the generator."""
        return {"generator": self.state_dict(), "config": {**self.config, "label_size": self.label_size}}


class ConditionedStyleGANGenerator(ConditionedGenerator, StyleGANGenerator):
    """StyleGAN v1 generator whose mapping network also hears seven normalised properties.

    Args:
        config: the arguments of `StyleGANGenerator`.
    """

    architecture = "stylegan"

    def __init__(self, label_size: int = LABEL_SIZE, **config: Any) -> None:
        mapping = ConditionedStyleGANMapping(
            config.get("z_space_dim", 512),
            label_size,
            config.get("w_space_dim", 512),
            config.get("mapping_fmaps", 512),
            config.get("mapping_layers", 8),
            config.get("mapping_lr_mul", 0.01),
        )
        super().__init__(**config, mapping=mapping)
        self.label_size = label_size


class ConditionedStyleGAN2Generator(ConditionedGenerator, StyleGAN2Generator):
    """StyleGAN2 generator whose mapping network also hears seven normalised properties.

    Args:
        config: the arguments of `StyleGAN2Generator`.
    """

    architecture = "stylegan2"

    def __init__(self, label_size: int = LABEL_SIZE, **config: Any) -> None:
        mapping = ConditionedStyleGAN2Mapping(
            config.get("z_space_dim", 512),
            label_size,
            config.get("w_space_dim", 512),
            config.get("mapping_layers", 8),
        )
        super().__init__(**config, mapping=mapping)
        self.label_size = label_size


CONDITIONED_GENERATORS: dict[Architecture, type[ConditionedGenerator]] = {
    network.architecture: network for network in (ConditionedStyleGANGenerator, ConditionedStyleGAN2Generator)
}


def transplant(base: Generator, label_size: int = LABEL_SIZE, seed: int = 0) -> ConditionedGenerator:
    """A conditioned generator that shows exactly the people of `base`, whatever the properties.

    The first dense layer's pretrained columns are copied and its new ones are drawn; the label matrix starts
    at zero, so the new columns see zeros (and the label matrix still gets a gradient). Two scales change with
    the input width and cancel: pixel norm averages over more features, the equalised learning rate divides by
    a larger fan-in.

    Raises:
        ValueError: `base` is conditioned already.
    """
    if isinstance(base, ConditionedGenerator):
        raise ValueError(
            "the generator is conditioned already; transplant takes an original StyleGAN generator"
        )
    architecture: Architecture = "stylegan2" if isinstance(base, StyleGAN2Generator) else "stylegan"
    generator = CONDITIONED_GENERATORS[architecture](label_size, **base.config)
    state = {name: value.clone() for name, value in base.state_dict().items()}
    first = f"mapping.{base.mapping.LAYER.format(0)}.weight"
    pretrained = state[first]
    rng = torch.Generator().manual_seed(derived_seed(Purpose.GENERATOR_COLUMNS, seed))
    fresh = torch.randn(len(pretrained), label_size, generator=rng) * pretrained.std().cpu()
    state[first] = torch.cat([pretrained, fresh.to(pretrained)], dim=1)
    state["mapping.label_weight"] = torch.zeros(PROPERTY_COUNT, label_size).to(pretrained)
    generator.load_state_dict(state, strict=True)
    return generator.to(pretrained.device).train(base.training)


def build_conditioned_generator(checkpoint: Checkpoint) -> ConditionedGenerator:
    """The conditioned generator in a checkpoint, in eval mode; an original StyleGAN is transplanted.

    Raises:
        CheckpointError: the checkpoint holds no generator that fits.
    """
    if not checkpoint.conditioned:
        return transplant(build_generator(checkpoint))
    state = checkpoint.generator_smooth or checkpoint.generator
    if state is None or "label_size" not in checkpoint.extra:
        raise CheckpointError(f"{checkpoint.description}: it holds no generator with properties")
    if checkpoint.extra["property_count"] != PROPERTY_COUNT:
        raise CheckpointError(f"{checkpoint.description}: it does not hear these {PROPERTY_COUNT} properties")
    network = CONDITIONED_GENERATORS[checkpoint.architecture]
    generator = network(checkpoint.extra["label_size"], **checkpoint.config)
    generator.load_state_dict(state, strict=True)
    return generator.eval()
