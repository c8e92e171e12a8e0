"""Training of a conditional VAE: the evidence lower bound, and a third term for sharper pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from cvae.conditions import AUGMENTATIONS
from cvae.detail import PatchDiscriminator, edge_loss, perceptual_loss
from cvae.likelihood import bits_per_dimension
from cvae.model import ConditionalVAE
from cvae.recipes import VAERecipe
from stylegan.muon import Muon
from stylegan.parallel import Scalar
from stylegan.seeds import Purpose
from stylegan_modified.fine_tuning import (
    ExponentialAverage,
    FineTuner,
    TrainingPictures,
    cosine,
    mixed_precision,
    set_learning_rate,
)
from stylegan_modified.perceptual import ConvolutionFeatures

FIT_EVERY = 50  # steps
FITTED, FITTED_LAST, FITTED_AT_ONCE = 512, 4096, 256  # pictures


def mirrored(
    images: Tensor, conditions: Tensor, names: Sequence[str], which: Tensor
) -> tuple[Tensor, Tensor]:
    """Mirror some pictures, turn the condition of their heads, and note it.

    Args:
        images: [N, 3, H, W].
        conditions: [N, C + 5], those of `AUGMENTATIONS` last.
        names: of the C conditions.
        which: bool [N].
    """
    images = torch.where(which[:, None, None, None], images.flip(3), images)
    conditions = conditions.clone()
    if "head" in names:
        head = conditions[:, names.index("head")]
        conditions[:, names.index("head")] = torch.where(which, 1 - head, head)
    conditions[:, len(names) + AUGMENTATIONS.index("mirrored")] = which.to(conditions.dtype)
    return images, conditions


def divergence_weights(count: int, progress: float, joining: tuple[float, float], warm_up: float) -> Tensor:
    """Weights [1 + count] of the divergences: the vector's is 1, those of `count` latents behind it grow from
    0, where they join, to 1. They join one by one, the coarsest first.

    Args:
        progress: share of the training that is over.
        joining: shares at which the first joins and at which all have joined.
        warm_up: share in which a weight grows.
    """
    first, last = joining
    joined = first + (last - first) * torch.arange(count) / max(1, count)
    grown = (progress - joined) / max(warm_up, 1e-9)
    return torch.cat([torch.ones(1), grown.clamp(0, 1)])


class VAETrainer(FineTuner):
    """Trains a conditional VAE.

    Args:
        model: the network.
        data: pictures, and as properties their conditions with how each was changed, [N, C + 5].
        options: see `VAERecipe`.
        features: of the perceptual loss.
        reader: reads the conditions [N, C] from pictures [N, 3, H, W]; frozen.
    """

    purpose = Purpose.VAE_STEP
    options: VAERecipe

    def __init__(
        self,
        model: ConditionalVAE,
        data: TrainingPictures,
        options: VAERecipe,
        features: ConvolutionFeatures | None = None,
        reader: nn.Module | None = None,
    ) -> None:
        if options.detail_loss == "perceptual" and features is None:
            raise ValueError("the perceptual loss needs a network whose features it compares")
        if options.conditions_weight > 0 and reader is None:
            raise ValueError("the conditions of generated pictures need a network that reads them")
        self.model, self.data, self.options, self.features = model, data, options, features
        self.reader = reader
        self.device = next(model.parameters()).device
        model.to(memory_format=torch.channels_last).train()
        self.optimizer = Muon(model.parameters(), lr=options.learning_rate)
        self.average = ExponentialAverage(model, max(1.0, options.average_share * options.steps))
        self.discriminator: PatchDiscriminator | None = None
        if options.detail_loss == "adversarial":
            self.discriminator = PatchDiscriminator().to(self.device)
            self.discriminator_optimizer = torch.optim.Adam(
                self.discriminator.parameters(), lr=options.discriminator_lr, betas=(0.5, 0.99)
            )

    def modules(self) -> dict[str, nn.Module]:
        found: dict[str, nn.Module] = {"model": self.model, "average": self.average}
        return found if self.discriminator is None else found | {"discriminator": self.discriminator}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        found: dict[str, torch.optim.Optimizer] = {"model": self.optimizer}
        return (
            found if self.discriminator is None else found | {"discriminator": self.discriminator_optimizer}
        )

    def train_step(self, t: int, rng: torch.Generator) -> dict[str, Scalar]:
        options = self.options
        set_learning_rate(self.optimizer, cosine(t, options.steps))
        if t and t % FIT_EVERY == 0:
            self._fit_prior(self.model, FITTED)
        images, conditions, draws, weight = self._batch(rng)
        weights = divergence_weights(
            len(self.model.config.latent_shapes()) - 1,
            (t + 1) / options.steps,
            options.joining,
            options.warm_up,
        )
        levels = int(weights[1:].count_nonzero())
        if torch.rand((), generator=rng) < options.vector_share:
            levels = 0
        with mixed_precision(self.device, self.precision):
            found = self.model.infer(images, conditions, draws, levels)
        dimensions = self.model.config.dimensions
        nats = -found.likelihood.log_probability(images)
        loss = (nats + found.divergences @ weights.to(self.device)).mean() / dimensions
        row = {
            "bits_per_dimension": bits_per_dimension(nats + found.divergences.sum(dim=1), dimensions).mean(),
            "kl_bits": bits_per_dimension(found.divergences.sum(dim=1), dimensions).mean(),
        }
        if options.detail_loss != "none" and t * options.batch_size >= len(self.data.images):
            detail = self._detail_loss(found.likelihood.picture, images, weight)
            loss = loss + options.detail_weight * detail
            row[options.detail_loss] = detail
        if self.reader is not None and options.conditions_weight > 0:
            row["conditions"] = self._conditions_loss(self.reader, found.noise.detach(), rng, levels)
            loss = loss + options.conditions_weight * row["conditions"]
        self.descend(self.optimizer, weight * loss)
        self.average.update(self.model)
        values: dict[str, Scalar] = {name: weight * value.detach() for name, value in row.items()}
        return self.processes.sum_values(values, self.device)

    def _batch(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, float]:
        """Pictures, conditions and draws of this process, and what its mean counts in that of the batch."""
        size = self.options.batch_size
        share = self.processes.part(size)
        rows = torch.randint(len(self.data.images), (size,), generator=rng)[share.rows]
        which = torch.rand(size, generator=rng)[share.rows] < (0.5 if self.options.mirror else 0.0)
        draws = torch.randn(size, self.model.z_space_dim, generator=rng)[share.rows].to(self.device)
        images, conditions = self.data.batch(rows, self.device)
        names = self.model.config.condition_names
        images, conditions = mirrored(images, conditions, names, which.to(self.device))
        return images.contiguous(memory_format=torch.channels_last), conditions, draws, share.weight

    def _conditions_loss(self, reader: nn.Module, noise: Tensor, rng: torch.Generator, levels: int) -> Tensor:
        """Mean squared difference of the conditions asked for and those read, for new people and as many
        people of the batch, who are decoded under other conditions.

        Each condition is that of another training picture, so that none can be told by the others.
        """
        known = len(self.model.config.condition_names)
        count = max(1, len(noise) // 4)
        rows = torch.randint(len(self.data.images), (count, known), generator=rng)
        asked = self.data.properties[rows, torch.arange(known)].to(self.device)
        new = torch.randn(count - count // 2, noise.shape[1], generator=rng).to(noise)
        noise = torch.cat([new, noise[: count // 2]])
        with mixed_precision(self.device, self.precision):
            read = reader(self.model.decode(noise, asked, levels=levels).picture)
        return (read.float() - asked).square().mean()

    def _detail_loss(self, made: Tensor, given: Tensor, weight: float) -> Tensor:
        if self.options.detail_loss == "edge":
            return edge_loss(made, given)
        if self.features is not None:
            return perceptual_loss(self.features, made, given)
        assert self.discriminator is not None
        self.descend(self.discriminator_optimizer, weight * self.discriminator.loss(made, given))
        self.discriminator.requires_grad_(False)
        detail = -self.discriminator(made).mean()
        self.discriminator.requires_grad_(True)
        return detail

    def _fit_prior(self, model: ConditionalVAE, most: int) -> None:
        """Fit the prior of the vector to training pictures, the same in every process."""
        rng = torch.Generator().manual_seed(self.steps_done)
        rows = torch.randperm(len(self.data.images), generator=rng)[:most]
        which = torch.rand(len(rows), generator=rng) < (0.5 if self.options.mirror else 0.0)
        names = model.config.condition_names

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            for part, turned in zip(rows.split(FITTED_AT_ONCE), which.split(FITTED_AT_ONCE), strict=True):
                images, conditions = self.data.batch(part, self.device)
                images, conditions = mirrored(images, conditions, names, turned.to(self.device))
                yield images.contiguous(memory_format=torch.channels_last), conditions

        with mixed_precision(self.device, self.precision):
            model.fit_prior(batches())

    @torch.no_grad()
    def averaged(self) -> ConditionalVAE:
        """A copy of the network with its running average, in eval mode."""
        found = ConditionalVAE(self.model.config).to(self.device)
        found.load_state_dict(self.average.state_for(self.model), strict=True)
        self._fit_prior(found, FITTED_LAST)
        return found.eval()
