"""v1 discriminator: judges whether a picture is real *and* whether it matches seven property values."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from stylegan.interface import Discriminator
from stylegan.seeds import Purpose, derived_seed
from stylegan.stylegan2_discriminator import StyleGAN2Discriminator
from stylegan.stylegan_discriminator import StyleGANDiscriminator
from stylegan_modified.stylegan_generator import PROPERTY_COUNT

Conditioning = Literal["projection", "additive"]


class ConditionedDiscriminator(Discriminator):
    """What discriminators share that also hear the properties at their end. A base class for mixing in.

    `additive` is the document's: the properties join the input of the last dense layer. That layer is linear,
    so they only add a constant which no picture can change. `projection` (Miyato & Koyama 2018) adds the
    inner product of features and embedded properties, which is large only where they agree, and a regression
    head that reads the properties from the same features.

    Args:
        config: the arguments of the original discriminator.
    """

    def __init__(self, conditioning: Conditioning = "projection", **config: Any) -> None:
        super().__init__(**config)
        self.conditioning = conditioning
        self.final = self.dense_layers[-1]
        width = self.get_parameter(f"{self.final}.weight").shape[1]
        if conditioning == "additive":
            self.set_submodule(self.final, self.score_layer(width + PROPERTY_COUNT))
        else:
            self.embedding = nn.Linear(PROPERTY_COUNT, width, bias=False)
            self.regression = nn.Linear(width, PROPERTY_COUNT)

    def forward(self, images: Tensor, properties: Tensor | None = None, **options: Any) -> Tensor:
        """Score images [N, 3, H, W] in [-1, 1] together with properties [N, 7] (None: all zero).

        Args:
            options: `lod` as in the base discriminator.

        Returns:
            [N, 1].
        """
        if properties is None:
            properties = images.new_zeros(len(images), PROPERTY_COUNT)
        return self.score(self.features(images, **options), properties)

    def score(self, features: Tensor, properties: Tensor) -> Tensor:
        """Score features [N, width] (see `features`) with properties [N, 7]; returns [N, 1] float32."""
        final = self.get_submodule(self.final)
        # Small and sensitive, as the mapping network: in float32 under mixed precision.
        with torch.autocast(features.device.type, enabled=False):
            features, properties = features.float(), properties.float()
            if self.conditioning == "additive":
                return final(torch.cat([features, properties], dim=1))
            match = (features * self.embedding(properties)).sum(dim=1, keepdim=True)
            return final(features) + match / features.shape[1] ** 0.5

    def read(self, features: Tensor) -> Tensor:
        """Properties [N, 7] float32 that "projection" reads from features [N, width]."""
        with torch.autocast(features.device.type, enabled=False):
            return self.regression(features.float())

    def dense_parameters(self) -> list[nn.Parameter]:
        """Parameters of the dense layers and heads; everything else (the conv layers) is frozen in
        fine-tuning.
        """
        heads = () if self.conditioning == "additive" else ("embedding", "regression")
        return [p for name in (*self.dense_layers, *heads) for p in self.get_submodule(name).parameters()]


class ConditionedStyleGANDiscriminator(ConditionedDiscriminator, StyleGANDiscriminator):
    """StyleGAN v1 discriminator that also hears the properties."""


class ConditionedStyleGAN2Discriminator(ConditionedDiscriminator, StyleGAN2Discriminator):
    """StyleGAN2 discriminator that also hears the properties."""


def transplant_discriminator(
    base: Discriminator, conditioning: Conditioning, seed: int = 0
) -> ConditionedDiscriminator:
    """A conditioned discriminator that starts from the judgement of `base`, deaf to the properties.

    The pretrained entries are copied; columns and heads for the properties start at zero, the regression head
    and the embedding's direction are learned from the first step on.
    """
    is_second = isinstance(base, StyleGAN2Discriminator)
    network = ConditionedStyleGAN2Discriminator if is_second else ConditionedStyleGANDiscriminator
    discriminator = network(conditioning, **base.config)
    state = {name: value.clone() for name, value in base.state_dict().items()}
    rng = torch.Generator().manual_seed(derived_seed(Purpose.DISCRIMINATOR_HEADS, seed))
    weight = f"{discriminator.final}.weight"
    pretrained = state[weight]
    if conditioning == "additive":
        # The equalised learning rate divides by the square root of the fan-in, which grew.
        widened = pretrained * ((pretrained.shape[1] + PROPERTY_COUNT) / pretrained.shape[1]) ** 0.5
        state[weight] = torch.cat([widened, pretrained.new_zeros(len(pretrained), PROPERTY_COUNT)], dim=1)
    else:
        width = pretrained.shape[1]
        state["embedding.weight"] = pretrained.new_zeros(width, PROPERTY_COUNT)
        head = torch.randn(PROPERTY_COUNT, width, generator=rng) / width**0.5
        state["regression.weight"] = head.to(pretrained)
        state["regression.bias"] = pretrained.new_zeros(PROPERTY_COUNT)
    discriminator.load_state_dict(state, strict=True)
    return discriminator.to(pretrained.device)
