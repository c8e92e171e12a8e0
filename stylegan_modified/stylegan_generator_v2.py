"""v2: v1's generator with dials that were trained through the frozen property CNN.

One z is one person: v1's mapping is asked for z at neutral properties. The property CNN reads what that
person has, and the dials move w, layer by layer, by what the request differs from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stylegan_modified.dials import DialNetwork
from stylegan_modified.property_cnn import PropertyCNN
from stylegan_modified.stylegan_generator import (
    CONDITIONED_GENERATORS,
    PROPERTY_COUNT,
    ConditionedGenerator,
)


@dataclass(frozen=True)
class Person:
    """A person before any dial is turned: w [N, w_dim], wp, image and the properties read from it [N, 7]."""

    w: Tensor
    wp: Tensor
    image: Tensor
    own: Tensor

    def __getitem__(self, rows: Tensor) -> Person:
        """The people of these rows."""
        return Person(self.w[rows], self.wp[rows], self.image[rows], self.own[rows])

    def float(self) -> Person:
        """The same in float32 (mixed precision leaves some of it in bf16)."""
        return Person(self.w.float(), self.wp.float(), self.image.float(), self.own.float())

    def repeat(self, count: int) -> Person:
        """All people, `count` times over."""
        return Person(*(torch.cat([part] * count) for part in (self.w, self.wp, self.image, self.own)))


class DialGenerator(nn.Module):
    """Generator, property CNN and dials as one network; (z, properties) -> picture.

    Args:
        generator: v1's generator; its synthesis stays as it is.
        property_cnn: reads the properties a person has; frozen.
        dials: offsets in W+.
        neutral: [7] properties that v1's mapping hears for every person (None: all zero).
    """

    neutral: Tensor

    def __init__(
        self,
        generator: ConditionedGenerator,
        property_cnn: PropertyCNN,
        dials: DialNetwork | None = None,
        neutral: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.property_cnn = property_cnn.requires_grad_(False)
        self.dials = dials or DialNetwork(generator.w_space_dim, generator.layer_count)
        self.register_buffer("neutral", torch.zeros(PROPERTY_COUNT) if neutral is None else neutral.clone())

    @property
    def z_space_dim(self) -> int:
        """Size of z."""
        return self.generator.z_space_dim

    def latent(self, z: Tensor, trunc_psi: float | None = None) -> Tensor:
        """w [N, w_dim] of the untouched person of each z [N, z_dim]."""
        w = self.generator.mapping(z, self.neutral.expand(len(z), -1))
        if trunc_psi is not None:
            w = self.generator.truncation.w_avg + trunc_psi * (w - self.generator.truncation.w_avg)
        return w

    @torch.no_grad()
    def person(self, z: Tensor, trunc_psi: float | None = None) -> Person:
        """The untouched person of each z [N, z_dim]."""
        return self._person(z, trunc_psi)

    def _person(self, z: Tensor, trunc_psi: float | None) -> Person:
        w = self.latent(z, trunc_psi)
        wp = self.generator.truncation(w)
        image = self.generator.synthesis(wp)
        return Person(w, wp, image, self.property_cnn(image))

    def turn(self, person: Person, properties: Tensor) -> dict[str, Tensor]:
        """Give each person the requested properties [N, 7]; returns {"wp", "image", "difference"}."""
        difference = properties - person.own
        wp = person.wp + self.dials(person.w, difference)
        return {"wp": wp, "image": self.generator.synthesis(wp), "difference": difference}

    def turn_to(self, person: Person, properties: Tensor, corrections: int = 0) -> dict[str, Tensor]:
        """As `turn`, with closed-loop corrections (see `forward`); who keeps all properties stays."""
        asked = properties
        turned = self.turn(person, asked)
        untouched = (properties == person.own).all(dim=1, keepdim=True)
        for _ in range(corrections):
            missing = properties - self.property_cnn(turned["image"])
            asked = asked + 0.8 * missing.masked_fill(untouched, 0)
            turned = self.turn(person, asked)
        return turned

    def forward(
        self,
        z: Tensor,
        properties: Tensor | None = None,
        trunc_psi: float | None = None,
        corrections: int = 0,
    ) -> dict[str, Tensor]:
        """Generate pictures of z with properties.

        Args:
            z: [N, z_dim] float.
            properties: [N, 7] float, normalised; None shows the untouched person.
            trunc_psi: truncation of w, None for none.
            corrections: closed-loop steps: read the result with the property CNN and ask for 0.8 of what is
                missing on top of the request.

        Returns:
            {"z", "w", "wp", "image", "own" [N, 7]}.
        """
        person = self._person(z, trunc_psi)
        if properties is None:
            return {"z": z, "w": person.w, "wp": person.wp, "image": person.image, "own": person.own}
        turned = self.turn_to(person, properties, corrections)
        return {"z": z, "w": person.w, "wp": turned["wp"], "image": turned["image"], "own": person.own}

    def checkpoint(self) -> dict[str, Any]:
        """State and configuration of everything but the property CNN, which is a file of its own."""
        return {
            "dial_generator": {
                "generator": self.generator.state_dict(),
                "dials": self.dials.state_dict(),
                "neutral": self.neutral,
            },
            "config": {
                "architecture": self.generator.architecture,
                "generator": self.generator.config,
                "label_size": self.generator.label_size,
                "hidden": self.dials.hidden,
            },
        }

    @classmethod
    def from_checkpoint(cls, checkpoint: dict[str, Any], property_cnn: PropertyCNN) -> DialGenerator:
        """Rebuild the network of `checkpoint()` in eval mode; raises ValueError when the entries do not
        fit.
        """
        if not {"dial_generator", "config"} <= set(checkpoint):
            raise ValueError(
                "this is not a generator with dials: it has no entries 'dial_generator' and 'config'"
            )
        state, config = checkpoint["dial_generator"], checkpoint["config"]
        # Files from before StyleGAN2 was a base do not name the architecture.
        network = CONDITIONED_GENERATORS[config.get("architecture", "stylegan")]
        generator = network(config["label_size"], **config["generator"])
        dials = DialNetwork(generator.w_space_dim, generator.layer_count, hidden=config["hidden"])
        try:
            generator.load_state_dict(state["generator"], strict=True)
            dials.load_state_dict(state["dials"], strict=True)
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"the weights do not fit their configuration: {error}") from error
        return cls(generator, property_cnn, dials, state["neutral"]).eval()
