"""The document's own v2 and v3, as a baseline: v1's generator trained further through frozen networks.

v2 asks the frozen property CNN whether a picture shows the properties that were asked for. v3 makes the
generator the decoder of a conditional VAE and adds the gender network and two terms that hold the posterior
near N(0, 1); nothing asks for the picture that was given, nor for the same person.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan.parallel import Scalar
from stylegan.seeds import Purpose
from stylegan_modified.fine_tuning import FineTuner, TrainingPictures, mixed_precision
from stylegan_modified.property_cnn import PropertyCNN
from stylegan_modified.recipes import DocumentRecipe, Recipe
from stylegan_modified.stylegan_generator import ConditionedGenerator
from stylegan_modified.stylegan_generator_v3 import Encoder, sample_posterior
from stylegan_modified.training_v1 import generator_dense_parameters


class DocumentV2Trainer(FineTuner):
    """Trains the dense layers of v1's generator (AdamW) to show what the frozen property CNN should read.

    Args:
        generator: v1's conditioned generator.
        property_cnn: pictures to properties; stays frozen.
        data: filtered pictures and their scores, the distribution to ask from.
        options: see `Recipe`.
    """

    purpose = Purpose.DOCUMENT_V2_STEP

    def __init__(
        self,
        generator: ConditionedGenerator,
        property_cnn: PropertyCNN,
        data: TrainingPictures,
        options: Recipe,
    ) -> None:
        self.generator = generator.eval().requires_grad_(False)
        self.property_cnn = property_cnn.eval().requires_grad_(False)
        self.data, self.options = data, options
        self.device = next(generator.parameters()).device
        dense = [parameter.requires_grad_() for parameter in generator_dense_parameters(generator)]
        self.optimizer = torch.optim.AdamW(dense, lr=DocumentRecipe.learning_rate)

    def modules(self) -> dict[str, nn.Module]:
        return {"generator": self.generator}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"generator": self.optimizer}

    def train_step(self, t: int, rng: torch.Generator) -> dict[str, Scalar]:
        share = self.processes.part(self.options.batch_size)
        rows = torch.randint(len(self.data.images), (share.batch,), generator=rng)[share.rows]
        with (
            self.processes.joint_random_numbers(share.rows, share.batch),
            mixed_precision(self.device, self.precision),
        ):
            terms = self._terms(rows, rng)
        loss = torch.stack([weight * value for weight, value in terms.values()]).sum()
        self.descend(self.optimizer, loss * share.weight)
        row = {name: share.weight * value.detach() for name, (_, value) in terms.items()}
        return self.processes.sum_values(row, self.device)

    def _terms(self, rows: Tensor, rng: torch.Generator) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of each term of the loss, for the properties of some training pictures."""
        z = torch.randn(len(rows), self.generator.z_space_dim, generator=rng).to(self.device)
        properties = self.data.properties[rows].to(self.device)
        return self._property_term(self.generator(z, properties)["image"].float(), properties)

    def _property_term(self, images: Tensor, properties: Tensor) -> dict[str, tuple[float, Tensor]]:
        read = self.property_cnn(images).float()
        return {"property": (DocumentRecipe.property_weight, F.mse_loss(read, properties))}


class DocumentV3Trainer(DocumentV2Trainer):
    """Trains a conditional VAE whose decoder is v1's generator, through frozen property and gender networks.

    Args as of `DocumentV2Trainer`, and:
        encoder: picture and properties to z.
        gender: frozen network from pictures to the logit of a woman.
    """

    purpose = Purpose.DOCUMENT_V3_STEP

    def __init__(
        self,
        generator: ConditionedGenerator,
        property_cnn: PropertyCNN,
        data: TrainingPictures,
        options: Recipe,
        encoder: Encoder,
        gender: nn.Module,
    ) -> None:
        super().__init__(generator, property_cnn, data, options)
        self.encoder, self.gender = encoder, gender.requires_grad_(False)
        self.optimizer.add_param_group({"params": list(encoder.parameters())})

    def modules(self) -> dict[str, nn.Module]:
        return {**super().modules(), "encoder": self.encoder}

    def _terms(self, rows: Tensor, rng: torch.Generator) -> dict[str, tuple[float, Tensor]]:
        images, properties = self.data.batch(rows, self.device)
        mean, log_variance = (part.float() for part in self.encoder(images, properties))
        z = sample_posterior(mean, log_variance, rng)
        decoded = self.generator(z, properties)["image"].float()
        return {
            **self._property_term(decoded, properties),
            "gender": (DocumentRecipe.gender_weight, F.softplus(-self.gender(decoded).float()).mean()),
            "mean": (DocumentRecipe.mean_weight, mean.square().mean()),
            "log_variance": (DocumentRecipe.log_variance_weight, log_variance.square().mean()),
        }
