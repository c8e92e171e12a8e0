"""v3: train the encoder of the conditional VAE, and the dials with it, so that given pictures can be edited.

Half of each batch are pictures that the generator itself draws from known z and independently drawn
properties: there the encoder is told the right answer, and since z and properties are independent, it learns
to leave the properties to the dials. The other half are the filtered pictures, reconstructed.
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
from stylegan_modified.losses import cosine_distance, kl_divergence, property_loss, pyramid_loss
from stylegan_modified.stylegan_generator_v2 import DialGenerator
from stylegan_modified.stylegan_generator_v3 import Encoder, sample_posterior


@dataclass(frozen=True)
class V3Options:
    """Training of the conditional VAE (weights of the loss terms)."""

    steps: int
    batch_size: int = 16
    learning_rate: float = 1e-3
    dial_lr: float = 1e-4
    reconstruction_weight: float = 2.0
    latent_weight: float = 1.0
    kl_weight: float = 0.02
    property_weight: float = 0.5
    identity_weight: float = 0.3
    average_half_life: float = 60.0
    precision: str = "auto"


class ConditionalVAETrainer(Trainer):
    """Trains encoder and dials around v2's frozen generator and property CNN.

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
        model.dials.requires_grad_(True)
        self.optimizer = torch.optim.Adam(
            [
                {"params": list(encoder.parameters()), "lr": options.learning_rate},
                {"params": list(model.dials.parameters()), "lr": options.dial_lr},
            ],
            betas=(0.9, 0.99),
        )
        self.encoder_average = ExponentialAverage(encoder, options.average_half_life)
        self.dial_average = ExponentialAverage(model.dials, options.average_half_life)

    def modules(self) -> dict[str, nn.Module]:
        return {
            "encoder": self.encoder,
            "dials": self.model.dials,
            "encoder_average": self.encoder_average,
            "dial_average": self.dial_average,
        }

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"autoencoder": self.optimizer}

    def step(self, t: int, rng: torch.Generator) -> dict[str, float]:
        set_learning_rate(self.optimizer, cosine(t, self.options.steps))
        with mixed_precision(self.device, self.options.precision):
            loss, row = self._loss(rng)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.encoder_average.update(self.encoder)
        self.dial_average.update(self.model.dials)
        return row

    def _loss(self, rng: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        z, drawn, drawn_properties = self._draw(rng)
        rows = self._rows(self.options.batch_size - len(z), rng)
        pictures, properties = self.data.batch(rows, self.device)
        images = torch.cat([drawn, pictures])
        wanted = torch.cat([drawn_properties, properties])
        mean, log_variance = self.encoder(images, wanted)
        mean, log_variance = mean.float(), log_variance.float()
        decoded = self.model(sample_posterior(mean, log_variance, rng), wanted)["image"].float()
        terms = {
            "reconstruction": (self.options.reconstruction_weight, pyramid_loss(decoded, images)),
            "latent": (self.options.latent_weight, (mean[: len(z)] - z).square().mean()),
            "kl": (self.options.kl_weight, kl_divergence(mean, log_variance)),
            "property": (
                self.options.property_weight,
                property_loss(self.model.property_cnn(decoded).float(), wanted),
            ),
        }
        if self.identity is not None:
            same = cosine_distance(self.identity(decoded).float(), self.identity(images).float())
            terms["identity"] = (self.options.identity_weight, same)
        loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
        return loss, {name: float(value.detach()) for name, (_, value) in terms.items()}

    def _rows(self, count: int, rng: torch.Generator) -> Tensor:
        return torch.randint(len(self.data.images), (count,), generator=rng)

    @torch.no_grad()
    def _draw(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """People of known z with independently drawn properties: z, pictures, properties."""
        count = self.options.batch_size // 2
        z = torch.randn(count, self.model.z_space_dim, generator=rng).to(self.device)
        properties = self.data.properties[self._rows(count, rng)].to(self.device)
        return z, self.model(z, properties)["image"].float(), properties

    @torch.no_grad()
    def averaged(self) -> tuple[DialGenerator, Encoder]:
        """Model and encoder with their running averages in place (changes both), in eval mode."""
        self.model.dials.load_state_dict(self.dial_average.state_for(self.model.dials), strict=True)
        self.encoder.load_state_dict(self.encoder_average.state_for(self.encoder), strict=True)
        return self.model.eval(), self.encoder.eval()
