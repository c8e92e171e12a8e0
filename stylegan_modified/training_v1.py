"""v1: fine-tune the conditioned GAN on filtered pictures and their property scores.

Two recipes share one trainer. `document` is the user's own: dense layers of generator and discriminator
trained with AdamW, properties added to the last linear layer of D, up to four generator steps for one
discriminator step. `matching` (default) lets D compare picture and properties (projection, mismatched pairs,
a regression head), trains the mapping network alone with a step size that suits its weight scale, asks for
two property vectors of every z that must show the same person, and keeps w near where it was.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan.layers import minibatch_std_group
from stylegan.parallel import Scalar, Share
from stylegan.seeds import Purpose
from stylegan_modified.fine_tuning import (
    ExponentialAverage,
    FineTuner,
    TrainingPictures,
    cosine,
    mixed_precision,
    set_learning_rate,
)
from stylegan_modified.losses import cosine_distance, filter_loss, property_loss
from stylegan_modified.recipes import V1Recipe
from stylegan_modified.requests import PairSampler
from stylegan_modified.stylegan_discriminator import ConditionedDiscriminator
from stylegan_modified.stylegan_generator import ConditionedGenerator

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def generator_dense_parameters(
    generator: ConditionedGenerator, with_styles: bool = True
) -> list[nn.Parameter]:
    """Dense layers of a generator: the mapping network and, if asked for, the styles of all layers."""
    dense = list(generator.mapping.parameters())
    if with_styles:
        styles = {"style", "affine"}  # as StyleGAN v1 and StyleGAN2 call them
        named = generator.synthesis.named_parameters()
        dense += [parameter for name, parameter in named if styles & set(name.split("."))]
    return dense


class ConditionedGANTrainer(FineTuner):
    """Adversarial training of the dense layers; see the module's text for the two recipes.

    Args:
        generator: transplanted from the base generator.
        discriminator: transplanted with "projection" (matching) or "additive" (document).
        data: filtered pictures and scores.
        options: see `V1Recipe`.
        filters: frozen networks that map pictures to logits of being kept (woman, good quality); may be
            empty.
        identity: frozen network from pictures to embeddings [N, D] of who is shown; None leaves the term out.
    """

    purpose = Purpose.V1_STEP
    options: V1Recipe

    def __init__(
        self,
        generator: ConditionedGenerator,
        discriminator: ConditionedDiscriminator,
        data: TrainingPictures,
        options: V1Recipe,
        filters: tuple[nn.Module, ...] = (),
        identity: nn.Module | None = None,
    ) -> None:
        if options.recipe == "matching":
            options.need_pairs()
        self.generator, self.discriminator = generator.eval(), discriminator.eval()
        self.data, self.options, self.filters, self.identity = data, options, filters, identity
        self.pairs = PairSampler(data.properties)
        self.device = next(generator.parameters()).device
        self.share = self._own_share()
        self.start = nn.ModuleList([_frozen_copy(generator.mapping)])
        generator.requires_grad_(False)
        discriminator.requires_grad_(False)
        dense = generator_dense_parameters(generator, options.recipe == "document")
        self.generator_parameters = [p.requires_grad_() for p in dense]
        self.discriminator_parameters = [p.requires_grad_() for p in discriminator.dense_parameters()]
        self.generator_optimizer, self.discriminator_optimizer = self._build_optimizers()
        # What `matching` trains of G; the document averages nothing.
        self.average = (
            ExponentialAverage(generator.mapping, options.average_half_life)
            if options.recipe == "matching"
            else None
        )

    def _own_share(self) -> Share:
        """The rows of this process: pairs, and groups that the discriminator compares, stay together."""
        batch = self.options.batch_size
        size = minibatch_std_group(batch, self.discriminator.minibatch_std.group_size)
        self.discriminator.minibatch_std.group_size = size  # the same groups inside a share as in the batch
        groups = batch // size
        return self.processes.part(
            batch, math.gcd(groups, batch // 2) if self.options.recipe == "matching" else groups
        )

    def _build_optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        if self.options.recipe == "document":
            return (
                torch.optim.AdamW(self.generator_parameters, lr=self.options.document_lr),
                torch.optim.AdamW(self.discriminator_parameters, lr=self.options.document_lr),
            )
        label = [self.generator.mapping.label_weight]
        rest = [p for p in self.generator_parameters if p is not label[0]]
        groups = [
            {"params": rest, "lr": self.options.generator_lr},
            {"params": label, "lr": self.options.label_lr},
        ]
        return (
            torch.optim.Adam(groups, betas=(0.0, 0.99), fused=True),
            torch.optim.Adam(
                self.discriminator_parameters,
                lr=self.options.discriminator_lr,
                betas=(0.0, 0.99),
                fused=True,
            ),
        )

    def modules(self) -> dict[str, nn.Module]:
        average = {} if self.average is None else {"average": self.average}
        return {"generator": self.generator, "discriminator": self.discriminator, **average}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"generator": self.generator_optimizer, "discriminator": self.discriminator_optimizer}

    def train_step(self, t: int, rng: torch.Generator) -> dict[str, Scalar]:
        if self.options.recipe == "matching":
            factor = cosine(t, self.options.steps)
            set_learning_rate(self.generator_optimizer, factor)
            set_learning_rate(self.discriminator_optimizer, factor)
        with mixed_precision(self.device, self.precision):
            row = self._losses_step(t, rng)
        if self.average is not None:
            self.average.update(self.generator.mapping)
        return row

    def _losses_step(self, t: int, rng: torch.Generator) -> dict[str, Scalar]:
        row = self._discriminator_step(rng)
        if self.options.recipe == "matching" and t < self.options.warmup_steps:
            return row
        row |= self._generator_step(rng)
        if self.options.recipe == "document":
            repeats = 1
            while row["g_loss"] >= 2 * row["d_loss"] and repeats < 4:
                row |= self._generator_step(rng)
                repeats += 1
            row["g_steps"] = float(repeats)
        return row

    def _rows(self, rng: torch.Generator) -> Tensor:
        return torch.randint(len(self.data.images), (self.options.batch_size,), generator=rng)

    def _requests(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """z and properties of the pictures of a whole batch."""
        z = torch.randn(self.options.batch_size, self.generator.z_space_dim, generator=rng).to(self.device)
        return z, self.data.properties[self._rows(rng)].to(self.device)

    def _request_pairs(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Every z twice, in halves of the batch, with property vectors that differ in one dial."""
        count = self.options.batch_size // 2
        z = torch.randn(count, self.generator.z_space_dim, generator=rng).to(self.device)
        pairs = self.pairs.draw(count, rng)
        return torch.cat([z, z]), torch.cat([pairs.first, pairs.second]).to(self.device)

    def _judged(self, properties: Tensor) -> Tensor:
        """What D hears of the properties: nothing where only its regression head compares."""
        return torch.zeros_like(properties) if self.options.conditioning == "regression" else properties

    def _discriminator_step(self, rng: torch.Generator) -> dict[str, Scalar]:
        own = self.share.rows
        rows = self._rows(rng)
        real, properties = self.data.batch(rows[own], self.device)
        z, requested = (part[own] for part in self._requests(rng))
        with torch.no_grad():
            fake = self.generator(z, requested)
        real_features = self.discriminator.features(real)
        fake_features = self.discriminator.features(fake["image"])
        real_score = self.discriminator.score(real_features, self._judged(properties))
        fake_score = self.discriminator.score(fake_features, self._judged(requested))
        loss = F.softplus(-real_score).mean() + F.softplus(fake_score).mean()
        row: dict[str, Scalar] = {"d_loss": loss.detach()}
        if self.options.recipe == "matching":
            others = self.data.properties[rows.roll(1)[own]].to(self.device)
            extra, terms = self._comparison(real_features, properties, others)
            loss = loss + extra
            row |= terms
        self.descend(self.discriminator_optimizer, loss * self.share.weight)
        return self._joint(row)

    def _joint(self, row: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Means over the whole batch of what are means over the own rows."""
        own = {name: self.share.weight * value for name, value in row.items()}
        return self.processes.sum_values(own, self.device)

    def _comparison(
        self, features: Tensor, properties: Tensor, others: Tensor
    ) -> tuple[Tensor, dict[str, Scalar]]:
        """What teaches D to compare: real pictures with the properties of others, and reading them."""
        loss = features.new_zeros(())
        row: dict[str, Scalar] = {}
        if self.options.conditioning != "regression":
            mismatched = self.discriminator.score(features, others)
            loss = loss + 0.5 * F.softplus(mismatched).mean()
            row["d_mismatched"] = torch.sigmoid(mismatched).mean().detach()
        if self.options.conditioning != "projection":
            read = property_loss(self.discriminator.read(features), properties)
            loss = loss + read
            row["d_read"] = read.detach()
        return loss, row

    def _generator_step(self, rng: torch.Generator) -> dict[str, Scalar]:
        matching = self.options.recipe == "matching"
        all_z, all_requests = self._request_pairs(rng) if matching else self._requests(rng)
        requested = all_requests[self.share.rows]
        fake = self.generator(all_z[self.share.rows], requested)
        features = self.discriminator.features(fake["image"])
        score = self.discriminator.score(features, self._judged(requested))
        loss = adversarial = F.softplus(-score).mean()
        row = {"g_loss": adversarial.detach()}
        if matching:
            with torch.no_grad():
                start = self.start[0](all_z, all_requests)
            terms = self._matching_terms(fake, start, requested, features)
            loss = loss + torch.stack([weight * value for weight, value in terms.values()]).sum()
            row |= {f"g_{name}": value.detach() for name, (_, value) in terms.items()}
        self.descend(self.generator_optimizer, loss * self.share.weight)
        return self._joint(row)

    def _matching_terms(
        self, fake: dict[str, Tensor], start: Tensor, requested: Tensor, features: Tensor
    ) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of what our recipe adds to the adversarial loss of G.

        `start` [B, w_dim] is where w was at the first step, for the whole batch; the rest is of own rows.
        """
        options = self.options
        scale = start.std(dim=0).mean().clamp_min(1e-6)
        moved = ((fake["w"] - start[self.share.rows]) / scale).square().mean()
        terms = {"person": (options.person_weight, moved)}
        if options.conditioning != "projection":
            read = property_loss(self.discriminator.read(features), requested)
            terms["read"] = (options.regression_weight, read)
        if self.identity is not None:
            first, second = self.identity(fake["image"].float()).float().chunk(2)
            terms["identity"] = (options.identity_weight, cosine_distance(first, second))
        for index, network in enumerate(self.filters):
            terms[f"filter_{index}"] = (
                options.filter_weight,
                filter_loss(network(fake["image"].float()).float()),
            )
        return terms

    @torch.no_grad()
    def trained_generator(self) -> ConditionedGenerator:
        """A copy of the generator, the one to save, in eval mode: of `matching` with the running average of
        its mapping network, of `document` as it is.
        """
        trained = _frozen_copy(self.generator)
        if self.average is not None:
            trained.mapping.load_state_dict(self.average.state_for(trained.mapping), strict=True)
        return trained


def _frozen_copy(network: NetworkT) -> NetworkT:
    return copy.deepcopy(network).requires_grad_(False).eval()
