"""v3: train the encoder of the conditional VAE around v2's generator, so that given pictures can be edited.

Each step draws people of known z with independently drawn properties: there the encoder is told the right
answer, and since z and properties are independent, it learns to leave the properties to the dials. Filtered
pictures are encoded, decoded and compared, with the KL divergence of their posterior. The decoder is v2's
generator as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylegan_modified.fine_tuning import (
    ExponentialAverage,
    Trainer,
    TrainingPictures,
    cosine,
    mixed_precision,
    set_learning_rate,
)
from stylegan_modified.losses import cosine_distance, kl_divergence, pyramid_loss
from stylegan_modified.stylegan_generator_v2 import DialGenerator
from stylegan_modified.stylegan_generator_v3 import Encoder, sample_posterior


@dataclass(frozen=True)
class V3Options:
    """Training of the conditional VAE (weights of the loss terms).

    A step sees `batch_size` filtered pictures and `drawn_size` pictures of known z.
    """

    steps: int
    batch_size: int = 8
    drawn_size: int = 24
    learning_rate: float = 1e-3
    reconstruction_weight: float = 2.0
    latent_weight: float = 1.0
    kl_weight: float = 0.02
    identity_weight: float = 0.3
    average_half_life: float = 40.0
    precision: str = "auto"


class ConditionalVAETrainer(Trainer):
    """Trains an encoder for v2's frozen generator with dials.

    Args:
        model: v2's generator with dials (the decoder).
        encoder: picture and properties to z.
        data: filtered pictures and their scores.
        options: see `V3Options`.
        identity: frozen network from pictures to embeddings of who is shown; None leaves the term out.
    """

    def __init__(
        self,
        model: DialGenerator,
        encoder: Encoder,
        data: TrainingPictures,
        options: V3Options,
        identity: nn.Module | None = None,
    ) -> None:
        self.model, self.encoder, self.data, self.options = model.eval(), encoder, data, options
        self.identity = identity
        self.device = next(model.parameters()).device
        model.requires_grad_(False)
        self.optimizer = torch.optim.Adam(encoder.parameters(), lr=options.learning_rate, betas=(0.9, 0.99))
        self.average = ExponentialAverage(encoder, options.average_half_life)

    def modules(self) -> dict[str, nn.Module]:
        return {"encoder": self.encoder, "average": self.average}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"encoder": self.optimizer}

    def step(self, t: int, rng: torch.Generator) -> dict[str, float]:
        set_learning_rate(self.optimizer, cosine(t, self.options.steps))
        with mixed_precision(self.device, self.options.precision):
            loss, row = self._loss(rng)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.average.update(self.encoder)
        return row

    def _loss(self, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        options = self.options
        z, drawn, drawn_properties = self._draw(rng)
        pictures, properties = self.data.batch(self._rows(options.batch_size, rng), self.device)
        mean, log_variance = self.encoder(
            torch.cat([drawn, pictures]), torch.cat([drawn_properties, properties])
        )
        mean, log_variance = mean.float(), log_variance.float()
        posterior = sample_posterior(mean[len(z) :], log_variance[len(z) :], rng)
        decoded = self.model(posterior, properties)["image"].float()
        terms = {
            "reconstruction": (options.reconstruction_weight, pyramid_loss(decoded, pictures)),
            "latent": (options.latent_weight, (mean[: len(z)] - z).square().mean()),
            "kl": (options.kl_weight, kl_divergence(mean, log_variance)),
        }
        if self.identity is not None:
            same = cosine_distance(self.identity(decoded).float(), self.identity(pictures).float())
            terms["identity"] = (options.identity_weight, same)
        loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
        return loss, {name: float(value.detach()) for name, (_, value) in terms.items()}

    def _rows(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.randint(len(self.data.images), (count,), generator=rng)

    @torch.no_grad()
    def _draw(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """People of known z with independently drawn properties: z, pictures, properties."""
        count = self.options.drawn_size
        z = torch.randn(count, self.model.z_space_dim, generator=rng).to(self.device)
        properties = self.data.properties[self._rows(count, rng)].to(self.device)
        return z, self.model(z, properties)["image"].float(), properties

    @torch.no_grad()
    def averaged(self) -> Encoder:
        """The encoder with its running average in place (changes it), in eval mode."""
        self.encoder.load_state_dict(self.average.state_for(self.encoder), strict=True)
        return self.encoder.eval()
