"""v2, second part: the dials, trained through the frozen property CNN on pairs of pictures.

A pair shows one person twice, with one dial turned between the pictures. Both must show what they were asked
for; what the dial has no business with must be the same in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segmentation.face_classes import FaceClass
from segmentation.property_table import PROPERTY_NAMES
from stylegan.parallel import Scalar
from stylegan.rows import Rows
from stylegan.seeds import Purpose
from stylegan_modified.adversary import Adversary
from stylegan_modified.fine_tuning import (
    ExponentialAverage,
    FineTuner,
    cosine,
    mixed_precision,
    set_learning_rate,
)
from stylegan_modified.losses import (
    change_masks,
    cosine_distance,
    filter_loss,
    hue_loss,
    keep_loss,
    property_loss,
)
from stylegan_modified.recipes import V2Recipe
from stylegan_modified.requests import RequestPairs
from stylegan_modified.stylegan_generator_v2 import DialGenerator

DRAWN_AT_ONCE = 64  # people
BACKGROUND_DIALS = torch.tensor([name.startswith("background") for name in PROPERTY_NAMES])


@dataclass(frozen=True)
class DialPool:
    """People to practise on: z [M, z_dim], what to ask of each, and uint8 label maps [M, 2, H, W] of the two
    pictures, as the linear dials draw them.
    """

    z: Tensor
    requests: RequestPairs
    label_maps: Rows


class DialTrainer(FineTuner):
    """Trains the dials of a `DialGenerator`; generator, property CNN and other networks stay frozen.

    Args:
        model: the network whose dials are trained.
        pool: people with requests and masks.
        options: see `V2Recipe`.
        identity: frozen network from pictures to embeddings [N, D] of who is shown; None leaves the term out.
        filters: frozen networks from pictures to logits of being kept (woman, good quality).
        adversary: a discriminator that learns along; None leaves the term out.

    Raises:
        ValueError: the size of a batch, which counts pictures, is odd: they come in pairs.
    """

    purpose = Purpose.DIAL_STEP
    options: V2Recipe

    def __init__(
        self,
        model: DialGenerator,
        pool: DialPool,
        options: V2Recipe,
        identity: nn.Module | None = None,
        filters: tuple[nn.Module, ...] = (),
        adversary: Adversary | None = None,
    ) -> None:
        options.need_pairs()
        self.model, self.pool, self.options = model.eval(), pool, options
        self.identity, self.filters, self.adversary = identity, filters, adversary
        self.device = next(model.parameters()).device
        model.requires_grad_(False)
        model.dials.requires_grad_(True)
        self.optimizer = torch.optim.Adam(
            model.dials.parameters(), lr=options.learning_rate, betas=(0.9, 0.99), fused=True
        )
        if adversary is not None:
            self.adversary_optimizer = torch.optim.Adam(
                adversary.parameters(), lr=options.adversary_lr, betas=(0.0, 0.99), fused=True
            )
        self.w, self.own, self.shown = self.read_people()
        self.average = ExponentialAverage(model.dials, options.average_half_life)

    def modules(self) -> dict[str, nn.Module]:
        learning: dict[str, nn.Module] = {"dials": self.model.dials, "average": self.average}
        return learning if self.adversary is None else learning | {"adversary": self.adversary}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        own: dict[str, torch.optim.Optimizer] = {"dials": self.optimizer}
        return own if self.adversary is None else own | {"adversary": self.adversary_optimizer}

    @torch.no_grad()
    def read_people(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """The people of the pool before a dial is turned, who meet the training again and again: w
        [M, w_dim], properties [M, 7] and, with an identity network, embeddings [M, D]; float32.
        """
        found = []
        for z in self.pool.z.split(DRAWN_AT_ONCE):
            with mixed_precision(self.device, self.precision):
                person = self.model.person(z.to(self.device)).float()
                shown = () if self.identity is None else (self.identity(person.image).float(),)
            found.append((person.w, person.own, *shown))
        w, own, *embeddings = (torch.cat(part) for part in zip(*found, strict=True))
        return w, own, embeddings[0] if embeddings else None

    def train_step(self, t: int, rng: torch.Generator) -> dict[str, Scalar]:
        rows = torch.randint(len(self.pool.z), (self.options.pairs,), generator=rng)
        set_learning_rate(self.optimizer, cosine(t, self.options.steps))
        adversary = self.adversary
        share = self.processes.part(self.options.pairs, None if adversary is None else adversary.groups)
        with mixed_precision(self.device, self.precision):
            loss, row, turned = self.loss(rows[share.rows])
        self.descend(self.optimizer, loss * share.weight)
        self.average.update(self.model.dials)
        if adversary is not None:
            set_learning_rate(self.adversary_optimizer, cosine(t, self.options.steps))
            real = torch.randint(len(adversary.pictures.images), (self.options.pairs,), generator=rng)
            with mixed_precision(self.device, self.precision):
                loss = adversary.loss(turned, real[share.rows], t)
            row["adversary_own"] = loss.detach()
            self.descend(self.adversary_optimizer, loss * share.weight)
        own = {name: share.weight * value for name, value in row.items()}
        return self.processes.sum_values(own, self.device)

    def loss(self, rows: Tensor) -> tuple[Tensor, dict[str, Scalar], Tensor]:
        """Loss of turning the dials of some people of the pool, its terms, and one picture [N, 3, H, W] of
        each person.
        """
        options = self.options
        pairs, maps = self.pool.requests.rows(rows), self.pool.label_maps[rows].to(self.device)
        requested = torch.cat([pairs.first, pairs.second]).to(self.device)
        at = rows.to(self.device)
        w = self.w[at].repeat(2, 1)
        difference = requested - self.own[at].repeat(2, 1)
        wp = self.model.generator.truncation(w) + self.model.dials(w, difference)
        image = self.model.generator.synthesis(wp).float()
        first, second = image.chunk(2)
        read = self.model.property_cnn(image).float()
        residual = self.model.dials.residual(w, difference) / self.model.dials.w_std
        terms = {
            "property": (1.0, property_loss(read, requested)),
            "residual": (options.residual_weight, residual.square().mean()),
            **self._same_elsewhere(first, second, pairs.dial, maps),
        }
        if self.identity is not None and self.shown is not None:
            same = _same_person(self.identity(image).float(), self.shown[at])
            terms["identity"] = (options.identity_weight, same)
        for index, network in enumerate(self.filters):
            terms[f"filter_{index}"] = (options.filter_weight, filter_loss(network(image).float()))
        if self.adversary is not None:
            terms["adversary"] = (options.adversary_weight, self.adversary.is_convinced(first))
        loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
        row: dict[str, Scalar] = {name: value.detach() for name, (_, value) in terms.items()}
        row["mean_error"] = (read - requested).abs().mean().detach()
        return loss, row, first

    def _same_elsewhere(
        self, first: Tensor, second: Tensor, dial: Tensor, maps: Tensor
    ) -> dict[str, tuple[float, Tensor]]:
        """Terms of what the dial has no business with: pixels outside its region, hue of skin and background.

        Args:
            first, second: [N, 3, H, W] the two pictures of each pair.
            dial: [N] int64 on the CPU, the property that was turned; maps: uint8 [N, 2, H, W].
        """
        free = change_masks(maps, dial).any(dim=1)
        skin = maps == FaceClass.SKIN
        background = maps == FaceClass.BACKGROUND
        background[:, :, maps.shape[2] // 2 :] = False
        background &= ~BACKGROUND_DIALS[dial].to(maps.device)[:, None, None, None]
        hues = [hue_loss(first, second, region[:, 0], region[:, 1]) for region in (skin, background)]
        return {
            "keep": (self.options.keep_weight, keep_loss(first, second, free)),
            "hue": (self.options.hue_weight, torch.stack(hues).sum()),
        }

    @torch.no_grad()
    def averaged(self) -> DialGenerator:
        """The model with the running average of its dials in place (changes the model), in eval mode."""
        self.model.dials.load_state_dict(self.average.state_for(self.model.dials), strict=True)
        return self.model.eval()


def _same_person(shown: Tensor, untouched: Tensor) -> Tensor:
    """Distance of the embeddings of both pictures of each pair, [2 N, D], from each other and from the
    untouched person's, [N, D].
    """
    first, second = shown.chunk(2)
    return cosine_distance(first, second) + 0.5 * cosine_distance(first, untouched)
