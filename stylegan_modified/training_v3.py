"""v3: train the encoder of the conditional VAE around v2's generator, so that given pictures can be edited.

People of known z with independently drawn properties tell the encoder the right answer, and since z and
properties are independent there, it learns to leave the properties to the dials. Filtered pictures are
encoded, decoded and compared, with the KL divergence of their posterior. The decoder is v2's generator as it
is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from stylegan.layers import pixel_norm
from stylegan.muon import Muon
from stylegan.parallel import Processes, Scalar, Share
from stylegan.rows import Rows
from stylegan.sampling import grey_levels, to_uint8
from stylegan.seeds import Purpose, derived_seed
from stylegan_modified.fine_tuning import (
    ExponentialAverage,
    FineTuner,
    TrainingPictures,
    cosine,
    mixed_precision,
    set_learning_rate,
)
from stylegan_modified.losses import cosine_distance, kl_divergence, multiscale_l1
from stylegan_modified.recipes import V3Recipe
from stylegan_modified.stylegan_generator_v2 import DialGenerator
from stylegan_modified.stylegan_generator_v3 import Encoder, sample_posterior

DrawnBatch = tuple[Tensor, Tensor, Tensor]  # images, properties, z


class People(Protocol):
    """Where pictures of known z come from."""

    def batch(self, share: Share, rng: torch.Generator, device: torch.device) -> DrawnBatch:
        """The part of a batch that falls to this process: images [n, 3, H, W] in [-1, 1], properties [n, 7]
        and z [n, z_dim]; every process draws the same numbers from `rng`.
        """


@dataclass(frozen=True)
class KnownPeople:
    """Pictures that were drawn before: z [M, z_dim], properties [M, 7], images uint8 [M, H, W, 3]."""

    z: Tensor
    pictures: TrainingPictures

    def batch(self, share: Share, rng: torch.Generator, device: torch.device) -> DrawnBatch:
        rows = torch.randint(len(self.z), (share.batch,), generator=rng)[share.rows]
        return *self.pictures.batch(rows, device), self.z[rows].to(device)


@dataclass(frozen=True)
class FreshPeople:
    """People who are drawn when they are needed, so that nobody comes twice; for a GPU, which draws faster
    than it learns.

    Attributes:
        generator, z_dim, samples: as of `draw_people`.
    """

    generator: nn.Module
    z_dim: int
    samples: Tensor

    @torch.no_grad()
    def batch(self, share: Share, rng: torch.Generator, device: torch.device) -> DrawnBatch:
        z = torch.randn(share.batch, self.z_dim, generator=rng)[share.rows].to(device)
        rows = torch.randint(len(self.samples), (share.batch,), generator=rng)[share.rows]
        properties = self.samples[rows].to(device)
        return grey_levels(self.generator(z, properties)["image"]) / 127.5 - 1, properties, z


def _in_memory(batches: Iterable[np.ndarray]) -> Rows:
    return torch.from_numpy(np.concatenate(list(batches)))


@torch.no_grad()
def draw_people(
    generator: nn.Module,
    z_dim: int,
    samples: Tensor,
    count: int,
    seed: int,
    batch_size: int = 32,
    keep: Callable[[Iterable[np.ndarray]], Rows] = _in_memory,
) -> KnownPeople:
    """Draw people with properties of training pictures, z and properties independent.

    Args:
        generator: (z [n, z_dim], properties [n, 7]) -> {"image"}; v1's, which shows the same people as
            v2's for half the work.
        z_dim: size of z.
        samples: [N, 7] float, property vectors of the training pictures, on the CPU.
        count: people to draw.
        seed: of the run.
        batch_size: pictures per forward pass; several processes draw a batch each at a time.
        keep: takes the pictures, batch after batch, to where they are kept.
    """
    processes = Processes.of_this_run()
    rng = torch.Generator().manual_seed(derived_seed(Purpose.ENCODER_PEOPLE, seed))
    z = torch.randn(count, z_dim, generator=rng)
    properties = samples[torch.randint(len(samples), (count,), generator=rng)]
    device = next(generator.parameters()).device

    def batches() -> Iterator[np.ndarray]:
        for rows in torch.arange(count).split(batch_size * processes.count):
            share = processes.part(len(rows))
            own = rows[share.rows]
            with mixed_precision(device, "auto"):
                images = generator(z[own].to(device), properties[own].to(device))["image"]
            drawn = to_uint8(images)
            yield processes.whole_batch(torch.from_numpy(drawn).to(device), share).cpu().numpy()

    return KnownPeople(z, TrainingPictures(keep(batches()), properties))


class ConditionalVAETrainer(FineTuner):
    """Trains an encoder for v2's frozen generator with dials.

    Args:
        model: v2's generator with dials (the decoder).
        encoder: picture and properties to z.
        data: filtered pictures and their scores.
        people: pictures of known z, and where they come from.
        options: see `V3Recipe`.
        identity: frozen network from pictures to embeddings of who is shown; None leaves the term out.
    """

    purpose = Purpose.ENCODER_STEP
    options: V3Recipe

    def __init__(
        self,
        model: DialGenerator,
        encoder: Encoder,
        data: TrainingPictures,
        people: People,
        options: V3Recipe,
        identity: nn.Module | None = None,
    ) -> None:
        self.model, self.encoder, self.data, self.options = model.eval(), encoder, data, options
        self.people, self.identity = people, identity
        self.device = next(model.parameters()).device
        model.requires_grad_(False)
        self.optimizer = Muon(encoder.parameters(), lr=options.learning_rate)
        self.average = ExponentialAverage(encoder, options.average_half_life)

    def modules(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "average": self.average}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"encoder": self.optimizer}

    def train_step(self, t: int, rng: torch.Generator) -> dict[str, Scalar]:
        set_learning_rate(self.optimizer, cosine(t, self.options.steps))
        with mixed_precision(self.device, self.precision):
            loss, row = self._loss(rng)
        self.descend(self.optimizer, loss)
        self.average.update(self.encoder)
        return self.processes.sum_values(row, self.device)

    def _loss(self, rng: torch.Generator) -> tuple[Tensor, dict[str, Scalar]]:
        """What this process adds to the loss of the batch, and to each of its terms."""
        options, total = self.options, self.options.drawn_size + self.options.batch_size
        known, given = self.processes.part(options.drawn_size), self.processes.part(options.batch_size)
        count = len(known.rows)
        drawn, drawn_properties, z = self.people.batch(known, rng, self.device)
        chosen = torch.randint(len(self.data.images), (options.batch_size,), generator=rng)[given.rows]
        pictures, properties = self.data.batch(chosen, self.device)
        images = torch.cat([drawn, pictures])
        noise = torch.randn(total, *images.shape[1:], generator=rng)
        noise = noise[torch.cat([known.rows, options.drawn_size + given.rows])]
        images = images + options.noise * noise.to(self.device)
        mean, log_variance = self.encoder(images, torch.cat([drawn_properties, properties]))
        mean, log_variance = mean.float(), log_variance.float()
        with self.processes.joint_random_numbers(given.rows, given.batch):
            posterior = sample_posterior(mean[count:], log_variance[count:], rng)
        decoded = self.model(posterior, properties)["image"].float()
        divergences = [
            share.weight * share.batch / total * kl_divergence(mean[part], log_variance[part])
            for share, part in ((known, slice(count)), (given, slice(count, None)))
        ]
        terms = {
            "reconstruction": (
                options.reconstruction_weight,
                given.weight * multiscale_l1(decoded, pictures).mean(),
            ),
            "latent": (options.latent_weight, known.weight * latent_error(mean[:count], z)),
            "kl": (options.kl_weight, torch.stack(divergences).sum()),
        }
        if self.identity is not None:
            same = cosine_distance(self.identity(decoded).float(), self.identity(pictures).float())
            terms["identity"] = (options.identity_weight, given.weight * same)
        loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
        return loss, {name: value.detach() for name, (_, value) in terms.items()}

    @torch.no_grad()
    def averaged(self) -> Encoder:
        """The encoder with its running average in place (changes it), in eval mode."""
        self.encoder.load_state_dict(self.average.state_for(self.encoder), strict=True)
        return self.encoder.eval()


def latent_error(mean: Tensor, z: Tensor) -> Tensor:
    """Mean squared distance [] of encoded pictures from the known z, both [N, z_dim]; the mapping network
    sees directions of z alone.
    """
    return (mean - pixel_norm(z)).square().mean()
